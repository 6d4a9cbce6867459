"""One contract, held by both twins: what `common.twin.Model` promises, against the reference."""
import importlib
import re
from dataclasses import replace

import numpy as np
import pytest
from numpy_twin import loss_and_gradients
from small_networks import SPEAKERS, SPECS, assert_close, drawn_batch, drawn_momenta, drawn_params

from common.contenders import CONTENDERS, by_label
from common.data.batches import Batch
from common.errors import UserError
from common.network import params as parameters
from common.network import reference
from common.network.layers import LAYER_TYPES, AveragePool, BatchNorm, Dense, NetworkSpec
from common.network.optimizer import SGD


@pytest.fixture(params=SPECS)
def spec(request) -> NetworkSpec:
    return SPECS[request.param]


def predicted(model, spectrograms: np.ndarray) -> np.ndarray:
    model.stage(spectrograms)
    return model.predict_staged()


def assert_predicts(model, spectrograms: np.ndarray, params: parameters.Params) -> None:
    """The model's logits are the reference's in testing mode."""
    outputs = reference.forward(model.spec, params, spectrograms, training=False)
    expected = reference.logits(model.spec, outputs)
    assert_close({"logits": predicted(model, spectrograms)}, {"logits": expected}, 1e-5)


def equal_bits(one: parameters.Params, other: parameters.Params) -> bool:
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes() for name in one)


def test_a_twin_calls_itself_as_its_row_does(twin):
    assert CONTENDERS[by_label(twin.framework)].implementation == twin.package


def test_what_numbers_rest_on_is_stated(twin):
    spec = SPECS["over_time"]
    facts = twin.model(spec, drawn_params(spec), SGD()).facts()
    assert set(facts) == {"framework", "device", "engine", "layout", "precision", "threads", "blas", "convolutions",
                          "instructions", "algorithm"}
    assert (facts["device"], facts["precision"], facts["threads"]) == ("cpu", "float32", "1")
    for name in ("framework", "blas", "convolutions"):
        assert re.search(r"\d+\.\d+", facts[name]) and "unknown" not in facts[name], facts[name]


def test_specs_hold_every_layer_type():
    assert {type(layer) for spec in SPECS.values() for layer in spec.layers} == set(LAYER_TYPES)


def test_twin_has_a_builder_for_every_layer_type(twin):
    layers = importlib.import_module(f"{twin.package}.layers")
    assert set(layers.BUILDERS) == set(LAYER_TYPES)


# Forward and gradients

def test_every_layers_output_in_training_mode(twin, spec):
    params, batch = drawn_params(spec), drawn_batch()
    seen = twin.model(spec, params, SGD()).inspect(*batch)
    assert_close(seen.outputs, reference.forward(spec, params, batch[0], training=True), 1e-5)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_loss_and_every_gradient(twin, spec, label_smoothing):
    spec = replace(spec, label_smoothing=label_smoothing)
    params, batch = drawn_params(spec), drawn_batch()
    seen = twin.model(spec, params, SGD(weight_decay=0.5)).inspect(*batch)
    expected = loss_and_gradients(spec, params, *batch)
    assert seen.loss == pytest.approx(expected.loss, rel=1e-5)
    assert_close(seen.gradients, expected.gradients, 2e-5)


def test_smoothed_loss_over_as_many_speakers_as_voxceleb_has(twin):
    spec = NetworkSpec("wide", (AveragePool("pooled"), Dense("scores", 1211)), 1211, label_smoothing=0.1)
    params, batch = drawn_params(spec), drawn_batch()
    expected = loss_and_gradients(spec, params, *batch)
    seen = twin.model(spec, params, SGD()).inspect(*batch)
    assert seen.loss == pytest.approx(expected.loss, rel=1e-5)
    assert_close(seen.gradients, expected.gradients, 2e-5)


def test_loss_of_a_speaker_that_is_all_but_excluded(twin):
    """Probabilities below single precision's smallest: the loss is of logits, not of these."""
    spec = NetworkSpec("sure", (AveragePool("pooled"), Dense("scores", 3)), 3)
    params = {"scores/weight": np.zeros((3, 1), np.float32), "scores/bias": np.array([200, 0, 0], np.float32)}
    spectrograms, _ = drawn_batch()
    speakers = np.ones(len(spectrograms), np.int32)
    seen = twin.model(spec, params, SGD()).inspect(spectrograms, speakers)
    assert seen.loss == pytest.approx(200, rel=1e-5)


def test_logits_in_testing_mode(twin, spec):
    params = drawn_params(spec)
    assert_predicts(twin.model(spec, params, SGD()), drawn_batch()[0], params)


@pytest.mark.parametrize("name, number", [
    (name, i) for name, spec in SPECS.items() for i, layer in enumerate(spec.layers)
    if isinstance(layer, BatchNorm)])
def test_testing_mode_up_to_every_batch_norm(twin, name, number):
    """Only batch norm differs between the modes: end the network behind each of them in turn."""
    step = SPECS[name].steps()[number]
    pool = () if len(step.output_shape) == 1 else (AveragePool("pooled"),)
    spec = NetworkSpec("cut", (*SPECS[name].layers[:number + 1], *pool), step.output_shape[0])
    params = drawn_params(spec)
    assert_predicts(twin.model(spec, params, SGD()), drawn_batch()[0], params)


def test_epsilon_is_the_layers_own(twin):
    """Of spectrograms so faint that it outweighs the variance: TensorFlow's wrapper, which raises it to 1.001e-5, is off by 5e-4."""
    spec = NetworkSpec("faint", (BatchNorm("bn"), AveragePool("pool"), Dense("logits", SPEAKERS)), SPEAKERS)
    params, (spectrograms, speakers) = parameters.initialise(spec), drawn_batch()
    params["bn/running_variance"] *= np.float32(1e-8)
    spectrograms *= np.float32(1e-4)
    model = twin.model(spec, params, SGD())
    assert_close(model.inspect(spectrograms, speakers).outputs, reference.forward(spec, params, spectrograms, training=True), 1e-5)
    assert_predicts(model, spectrograms, params)


def test_inspecting_changes_nothing(twin, spec):
    params = drawn_params(spec)
    model = twin.model(spec, params, SGD())
    model.inspect(*drawn_batch())
    assert equal_bits(model.params(), params)
    assert equal_bits(model.momenta(), parameters.zeros(spec))


# Parameters

def test_parameters_and_momenta_come_back_bit_for_bit(twin, spec):
    params, momenta = drawn_params(spec, seed=1), drawn_momenta(spec)
    model, other = twin.model(spec, drawn_params(spec), SGD()), twin.model(spec, params, SGD(), momenta)
    model.load(params, momenta)
    for each in (model, other):
        assert equal_bits(each.params(), params)
        assert equal_bits(each.momenta(), momenta)
    model.load(params)
    assert equal_bits(model.momenta(), parameters.zeros(spec))


def test_parameters_are_handed_in_and_out_as_copies(twin, spec):
    params, original = drawn_params(spec), drawn_params(spec)
    model = twin.model(spec, params, SGD())
    for tensor in params.values():
        tensor[...] = 7
    before = model.params()
    assert equal_bits(before, original)
    model.stage(*drawn_batch())
    model.train_staged(0.1)
    assert equal_bits(before, original)


@pytest.mark.parametrize("change, message", [
    (lambda params: params.pop("logits/bias"), "missing.*logits/bias"),
    (lambda params: params.update({"stray": np.zeros(1, np.float32)}), "unknown.*stray"),
    (lambda params: params.update({"logits/bias": np.zeros(3, np.float32)}), "shape"),
    (lambda params: params["logits/bias"].fill(np.nan), "finite"),
], ids=["missing", "unknown", "shape", "nan"])
def test_parameters_that_do_not_fit_are_refused_and_change_nothing(twin, change, message):
    spec = SPECS["over_time"]
    model, wrong = twin.model(spec, drawn_params(spec), SGD()), drawn_params(spec, seed=1)
    change(wrong)
    with pytest.raises(UserError, match=message):
        model.load(wrong)
    assert equal_bits(model.params(), drawn_params(spec))


def test_two_models_live_side_by_side(twin):
    spec, batch = SPECS["over_time"], drawn_batch()
    one, other = (twin.model(spec, drawn_params(spec, seed), SGD()) for seed in (1, 2))
    before = predicted(other, batch[0])
    one.stage(*batch)
    one.train_staged(0.1)
    assert equal_bits(other.params(), drawn_params(spec, seed=2))
    np.testing.assert_array_equal(predicted(other, batch[0]), before)


# One training step

def test_one_step_of_sgd_by_hand(twin, spec):
    params, momenta, batch = drawn_params(spec), drawn_momenta(spec), drawn_batch()
    model = twin.model(spec, params, SGD(momentum=0.8, weight_decay=0.05), momenta)
    gradients = model.inspect(*batch).gradients
    model.stage(*batch)
    model.train_staged(learning_rate=0.1)
    new, new_momenta = model.params(), model.momenta()
    for name, gradient in gradients.items():
        decay = 0.05 * params[name] if name.endswith("/weight") else 0
        momentum = 0.8 * momenta[name] + 0.1 * (gradient + decay)
        np.testing.assert_allclose(new_momenta[name], momentum, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(new[name], params[name] - momentum, rtol=1e-5, atol=1e-6,
                                   err_msg=name)


@pytest.mark.parametrize("decay", [0.9, 0.25])
def test_running_statistics_after_one_step(twin, spec, decay):
    spec = replace(spec, layers=tuple(replace(layer, decay=decay) if isinstance(layer, BatchNorm)
                                      else layer for layer in spec.layers))
    params, batch = drawn_params(spec), drawn_batch(size=3)  # few values: n / (n - 1) shows
    model = twin.model(spec, params, SGD())
    model.stage(*batch)
    model.train_staged(0.1)
    expected = loss_and_gradients(spec, params, *batch).running
    new = model.params()
    assert_close({name: new[name] for name in expected}, expected, 1e-5)


def test_step_reports_loss_and_right_answers_before_its_update(twin, spec):
    params, (spectrograms, speakers) = drawn_params(spec), drawn_batch(size=16)
    model = twin.model(spec, params, SGD())
    model.stage(spectrograms, speakers)
    result = model.train_staged(0.1)
    outputs = reference.forward(spec, params, spectrograms, training=True)
    scores = reference.logits(spec, outputs)
    assert result.loss == pytest.approx(reference.cross_entropy(scores, speakers)[0], rel=1e-5)
    assert result.correct == (scores.argmax(axis=1) == speakers).sum()


def test_predictions_follow_training_and_loading(twin, spec):
    """Whatever a model prepares for testing must be thrown away when its parameters change."""
    batch = drawn_batch()
    model = twin.model(spec, drawn_params(spec), SGD())
    predicted(model, batch[0])
    model.stage(*batch)
    model.train_staged(0.1)
    assert_predicts(model, batch[0], model.params())
    model.load(drawn_params(spec, seed=1))
    assert_predicts(model, batch[0], drawn_params(spec, seed=1))


# Shapes of batches

def test_one_model_predicts_any_number_of_frames(twin, spec):
    params = drawn_params(spec)
    model = twin.model(spec, params, SGD())
    for frames in (100, 101, 237, 100):
        assert_predicts(model, drawn_batch(4, frames)[0], params)


def test_one_model_trains_on_any_batch_size_and_number_of_frames(twin, spec):
    model = twin.model(spec, drawn_params(spec), SGD())
    for size, frames in ((6, 100), (4, 100), (4, 131), (6, 100)):
        batch, params = drawn_batch(size, frames), model.params()
        expected = loss_and_gradients(spec, params, *batch)
        model.stage(*batch)
        assert model.train_staged(0.01).loss == pytest.approx(expected.loss, rel=1e-5)
        new = model.params()
        assert_close({name: new[name] for name in expected.running}, expected.running, 1e-5)


def test_one_model_predicts_any_batch_size_without_mixing_utterances(twin, spec):
    spectrograms, _ = drawn_batch(7)
    model = twin.model(spec, drawn_params(spec), SGD())
    together = predicted(model, spectrograms)
    assert together.shape == (7, SPEAKERS) and together.dtype == np.float32
    for piece in (slice(0, 1), slice(1, 3), slice(3, 7)):
        np.testing.assert_allclose(predicted(model, spectrograms[piece]), together[piece],
                                   rtol=1e-5, atol=1e-5)


# Export

def test_exported_network_gives_the_same_logits_and_embeddings_for_any_shape(twin, spec, tmp_path):
    import onnxruntime

    params = drawn_params(spec)
    twin.model(spec, params, SGD()).export_onnx(tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"),
                                           providers=["CPUExecutionProvider"])
    for size, frames in ((1, 100), (3, 137)):
        spectrograms, _ = drawn_batch(size, frames)
        seen = dict(zip(("logits", "embedding"), session.run(["logits", "embedding"], {"spectrograms": spectrograms})))
        assert_close(seen, last_two(spec, params, spectrograms), 1e-5)


def test_embeddings_are_what_the_last_layer_sees(twin, spec):
    """Of the network without that layer, which is as good a network as any."""
    params, (spectrograms, _) = drawn_params(spec), drawn_batch()
    model = twin.model(spec.embedding, {p.name: params[p.name] for p in spec.embedding.parameters()}, SGD())
    assert_close({"embedding": predicted(model, spectrograms)},
                 {"embedding": last_two(spec, params, spectrograms)["embedding"]}, 1e-5)


def last_two(spec: NetworkSpec, params: parameters.Params, spectrograms: np.ndarray) -> parameters.Params:
    """The reference's logits, and the output of the layer before."""
    outputs = reference.forward(spec, params, spectrograms, training=False)
    return {"logits": reference.logits(spec, outputs), "embedding": outputs[spec.layers[-2].name]}


# The framework's own input queue

def queued() -> list:
    shapes = [(4, 100), (4, 100), (4, 100), (4, 100), (3, 120)]
    return [Batch(*drawn_batch(*shape, seed)) for seed, shape in enumerate(shapes)]


def test_queued_batches_arrive_whole_and_in_order(twin):
    spec = SPECS["over_time"]
    model, logits = twin.model(spec, drawn_params(spec), SGD()), []
    for speakers, batch in zip(twin.staged(model, iter(queued())), queued()):
        np.testing.assert_array_equal(speakers, batch.speakers)
        logits.append(model.predict_staged())
    assert len(logits) == len(queued())
    for seen, batch in zip(logits, queued()):
        np.testing.assert_array_equal(seen, predicted(model, batch.spectrograms))


def test_queue_hands_on_a_readers_error(twin):
    def broken():
        yield queued()[0]
        raise UserError("record 7 is damaged")

    spec = SPECS["over_time"]
    model = twin.model(spec, drawn_params(spec), SGD())
    with pytest.raises(UserError, match="record 7 is damaged"):
        for _ in twin.staged(model, broken()):
            pass
