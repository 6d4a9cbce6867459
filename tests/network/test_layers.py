"""Shapes, parameters and multiply-accumulates of every layer type, worked out by hand."""
import pytest

from common.errors import UserError
from common.network.layers import (
    LAYER_TYPES,
    AveragePool,
    BatchNorm,
    BinsAsChannels,
    Convolution,
    Dense,
    MaxPool,
    NetworkSpec,
    Relu,
    StatisticsPool,
)

CONV = Convolution("conv", 4, kernel=(5, 3), stride=(3, 2), padding=(2, 1), dilation=(1, 3))
SPEC = NetworkSpec("every_type", (
    CONV, BatchNorm("bn"), Relu("relu"), MaxPool("pool", kernel=(4, 2), stride=(3, 2)),
    StatisticsPool("stats"), Dense("logits", 7)), num_speakers=7)


def placed(spec: NetworkSpec, frames: int = 100):
    return {step.layer.name: step for step in spec.steps(frames)}


@pytest.mark.parametrize("layer, shape", [
    ("conv", (4, 171, 48)),  # (512 + 4 - 5) // 3 + 1 and (100 + 2 - 3 * 2 - 1) // 2 + 1
    ("bn", (4, 171, 48)),
    ("relu", (4, 171, 48)),
    ("pool", (4, 56, 24)),  # (171 - 4) // 3 + 1: the last row fits no window and is dropped
    ("stats", (8,)),
    ("logits", (7,)),
])
def test_output_shapes(layer, shape):
    assert placed(SPEC)[layer].output_shape == shape


def test_bins_become_channels_and_average_pooling_leaves_channels():
    spec = NetworkSpec("short", (BinsAsChannels("bins"), AveragePool("pool")), num_speakers=512)
    assert placed(spec)["bins"].output_shape == (512, 1, 100)
    assert placed(spec)["pool"].output_shape == (512,)


def test_multiply_accumulates_are_those_of_convolutions_and_dense_layers():
    macs = {name: step.macs for name, step in placed(SPEC).items() if step.macs}
    assert macs == {"conv": 171 * 48 * 4 * 1 * 5 * 3, "logits": 8 * 7}
    assert SPEC.macs(100) == sum(macs.values())


def test_parameters_have_canonical_names_shapes_and_order():
    assert {p.name: p.shape for p in SPEC.parameters()} == {
        "conv/weight": (4, 1, 5, 3), "conv/bias": (4,),
        "bn/scale": (4,), "bn/shift": (4,), "bn/running_mean": (4,), "bn/running_variance": (4,),
        "logits/weight": (7, 8), "logits/bias": (7,)}
    layers = [p.name.split("/")[0] for p in SPEC.parameters()]
    assert layers == ["conv"] * 2 + ["bn"] * 4 + ["logits"] * 2


def test_uneven_padding():
    uneven = Convolution("conv", 4, (5, 3), (3, 2), padding=(1, 0), padding_after=(2, 1))
    spec = NetworkSpec("uneven", (uneven,), num_speakers=4)
    assert uneven.pads == ((1, 2), (0, 1)) and CONV.pads == ((2, 2), (1, 1))
    assert placed(spec)["conv"].output_shape == (4, 171, 50)  # (512 + 3 - 5) // 3 + 1 rows


def test_running_statistics_are_not_trained():
    fixed = {p.name for p in SPEC.parameters() if not p.trainable}
    assert fixed == {"bn/running_mean", "bn/running_variance"}
    assert SPEC.num_parameters == 4 * 15 + 4 + 4 + 4 + 7 * 8 + 7


def test_too_few_frames_names_the_network_the_length_and_the_layer():
    with pytest.raises(UserError, match="every_type cannot take 6 frames: pool") as caught:
        SPEC.steps(6)
    assert "100 frames" in str(caught.value)


def test_specs_are_values():
    assert CONV == Convolution("conv", 4, (5, 3), (3, 2), (2, 1), (1, 3))
    assert len({SPEC, NetworkSpec("every_type", SPEC.layers, 7)}) == 1


def test_every_layer_type_is_placed_in_this_file():
    covered = {type(layer) for layer in SPEC.layers} | {BinsAsChannels, AveragePool}
    assert covered == set(LAYER_TYPES)
