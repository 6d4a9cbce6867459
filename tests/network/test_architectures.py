"""VGG-M against the paper's table, the time-delay network against its budget."""
import pytest

from common.errors import UserError
from common.network import architectures
from common.network.layers import BatchNorm, Convolution, Dense, NetworkSpec

# Nagrani et al. 2017, table 3, for 300 frames; mpool5's 9 x 8 and conv3's 384 filters as the first
# author corrected them.
VGG_M_SHAPES = {
    "conv1": (96, 254, 148), "mpool1": (96, 126, 73), "conv2": (256, 62, 36),
    "mpool2": (256, 30, 17), "conv3": (384, 30, 17), "conv4": (256, 30, 17),
    "conv5": (256, 30, 17), "mpool5": (256, 9, 8), "fc6": (4096, 1, 8), "apool6": (4096,),
    "fc7": (1024,), "fc8": (50,),
}


def shapes(spec: NetworkSpec, frames: int = 300):
    return {step.layer.name: step.output_shape for step in spec.steps(frames)}


@pytest.mark.parametrize("layer", VGG_M_SHAPES)
def test_vgg_m_has_the_papers_shapes(layer):
    assert shapes(architectures.vgg_m(50))[layer] == VGG_M_SHAPES[layer]


def test_vgg_m_has_the_known_number_of_parameters():
    assert architectures.vgg_m(50).num_parameters == 16_680_242
    assert architectures.vgg_m(1251).num_parameters == 16_680_242 + (1251 - 50) * 1025


def test_vgg_m_costs_the_known_number_of_multiply_accumulates():
    by_layer = {step.layer.name: step.macs for step in architectures.vgg_m(50).steps()}
    assert by_layer["conv1"] == 254 * 148 * 96 * 49
    assert by_layer["conv2"] == 62 * 36 * 256 * 96 * 25
    assert architectures.vgg_m(50).macs() == pytest.approx(2.83e9, rel=1e-3)


def test_vgg_m_normalises_after_every_weight_layer_but_the_last():
    layers = architectures.vgg_m(50).layers
    weighted = [i for i, layer in enumerate(layers) if isinstance(layer, (Convolution, Dense))]
    assert [layers[i].name for i in weighted if not layers[i + 1:i + 2]] == ["fc8"]
    assert all(isinstance(layers[i + 1], BatchNorm) for i in weighted[:-1])


def test_time_delay_network_costs_at_most_a_quarter_of_vgg_m():
    assert architectures.tdnn(50).macs() <= architectures.vgg_m(50).macs() / 4
    assert architectures.tdnn(50, width=0.5).macs() <= architectures.vgg_m(50, width=0.5).macs() / 4


def test_time_delay_network_sees_fifteen_frames_before_it_pools():
    spec = architectures.tdnn(50)
    assert shapes(spec)["frame5"] == (768, 1, 300 - 14)
    assert shapes(spec)["stats"] == (2 * 768,)  # mean and standard deviation


@pytest.mark.parametrize("name", architectures.NETWORKS)
@pytest.mark.parametrize("frames", [100, 101, 299, 1000])
def test_any_length_from_a_second_up_gives_one_score_per_speaker(name, frames):
    spec = architectures.build(name, 12)
    assert spec.steps(frames)[-1].output_shape == (12,)
    assert [p.shape for s in spec.steps(frames) for p in s.parameters] == [
        p.shape for p in spec.parameters()]  # the same tensors at every length


@pytest.mark.parametrize("name, frames", [("vgg_m", 30), ("tdnn", 14)])
def test_too_short_an_utterance_is_an_error_that_says_what_to_do(name, frames):
    with pytest.raises(UserError, match=f"{name} cannot take {frames} frames.*longer"):
        architectures.build(name, 12).steps(frames)


@pytest.mark.parametrize("name", architectures.NETWORKS)
def test_width_scales_every_channel_count_but_the_speakers(name):
    whole, half = shapes(architectures.build(name, 13)), shapes(architectures.build(name, 13, width=0.5))
    scores = architectures.build(name, 13).layers[-1].name
    assert half.pop(scores) == whole.pop(scores) == (13,)
    whole.pop("bins", None), half.pop("bins", None)
    assert {n: shape[0] for n, shape in half.items()} == {
        n: shape[0] // 2 for n, shape in whole.items()}


@pytest.mark.parametrize("name", architectures.NETWORKS)
def test_layer_names_are_unique(name):
    names = [layer.name for layer in architectures.build(name, 12).layers]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("arguments, message", [
    (("vgg_n", 50), "no network 'vgg_n'; choose from vgg_m, tdnn"),
    (("vgg_m", 1), "at least 2 speakers"),
    (("vgg_m", 50, 0.0), "width factor must be above 0"),
    (("vgg_m", 50, float("nan")), "width factor must be above 0"),
    (("vgg_m", 50, float("inf")), "width factor must be above 0 and finite"),
    (("tdnn", 50, 0.005), "leaves 1 of a layer's 256 channels.*take 0.0078 or more"),
    (("vgg_m", 50, 0.001), "leaves 0 of a layer's 96 channels.*take 0.021 or more"),
    (("vgg_m", 50, 1.0, 1.0), "label smoothing must be at least 0 and below 1, not 1.0"),
    (("vgg_m", 50, 1.0, float("nan")), "label smoothing must be at least 0 and below 1, not nan"),
])
def test_impossible_networks_are_clear_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        architectures.build(*arguments)


def test_command_prints_both_tables(capsys):
    assert architectures.main(["--speakers", "50"]) == 0
    printed = capsys.readouterr().out
    assert "16,680,242" in printed and "tdnn: 50 speakers, 300 frames" in printed


def test_command_reports_a_bad_length_without_a_traceback(capsys):
    assert architectures.main(["--frames", "10"]) == 2
    assert capsys.readouterr().err.startswith("error: vgg_m cannot take 10 frames")
