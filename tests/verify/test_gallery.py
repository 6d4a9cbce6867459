"""The file of enrolled voices: what comes back, and what is refused."""
from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import pytest

from common.errors import UserError
from common.network import params as parameters
from common.training.trained import Trained
from common.verify.gallery import Gallery, Threshold, changed, load_gallery, save_gallery, unit

TRAINED = Trained("tdnn", ("x", "y"), "nobody, 0 epochs", "0123456789abcdef")
ADA = unit(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32))
ZOE = unit(np.array([[0.0, 1.0, 1.0]], np.float32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two voices and a threshold."""
    path = tmp_path / "voices.npz"
    with changed(path, TRAINED) as gallery:
        gallery.enroll("Ada", ADA)
        gallery.enroll("Zoë", ZOE)
        gallery.threshold = Threshold(0.5, "given")
    return path


def test_round_trip(path: Path) -> None:
    gallery = load_gallery(path, TRAINED)
    assert list(gallery.voices) == ["Ada", "Zoë"] and gallery.threshold == Threshold(0.5, "given")
    assert [voice.recordings for voice in gallery.voices.values()] == [2, 1]
    np.testing.assert_allclose(gallery.voices["Ada"].embedding, [0.5 ** 0.5, 0.5 ** 0.5, 0], atol=1e-6)
    assert gallery.scores(np.array([0, 0, 1], np.float32)) == pytest.approx({"Zoë": 0.5 ** 0.5, "Ada": 0.0})
    assert list(gallery.scores(ADA[0])) == ["Ada", "Zoë"] and list(gallery.scores(ADA[0], "Zoë")) == ["Zoë"]
    with pytest.raises(UserError, match="Bea is not enrolled; enrolled are Ada, Zoë"):
        gallery.scores(ADA[0], "Bea")


def test_a_voice_is_replaced_only_if_asked_and_taken_out(path: Path) -> None:
    with pytest.raises(UserError, match="Ada is enrolled already, by 2 recordings; --force"):
        with changed(path, TRAINED) as gallery:
            gallery.enroll("Ada", ZOE)
    assert load_gallery(path, TRAINED).voices["Ada"].recordings == 2
    with changed(path, TRAINED) as gallery:
        gallery.enroll("Ada", ZOE, replace=True)
        gallery.remove("Zoe\u0308")  # as another keyboard writes it
    assert {name: voice.recordings for name, voice in load_gallery(path, TRAINED).voices.items()} == {"Ada": 1}
    with changed(path, TRAINED) as gallery:
        gallery.remove("Ada")
    assert load_gallery(path, TRAINED).voices == {}
    with pytest.raises(UserError, match="Ada is not enrolled; enrolled are none"):
        load_gallery(path, TRAINED).voice("Ada")


@pytest.mark.parametrize("name", ["", " Ada", "A\nda", "a" * 101])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UserError, match="is no name for a voice"):
        Gallery("tdnn", "0").enroll(name, ADA)


def test_another_model_is_named(path: Path) -> None:
    other = dataclasses.replace(TRAINED, parameters="f" * 16)
    with pytest.raises(UserError, match=r"another model \(tdnn, parameters 0123456789abcdef\) than this one .*f{16}"):
        load_gallery(path, other)


def damaged(path: Path, change: Callable[[Dict[str, Any], np.ndarray], np.ndarray]) -> None:
    """Write it again with other facts or embeddings."""
    groups = parameters.load(path)
    facts = json.loads(groups["facts"]["json"].tobytes())
    embeddings = change(facts, groups["voices"]["embeddings"])
    parameters.save(path, voices={"embeddings": embeddings},
                    facts={"json": np.frombuffer(json.dumps(facts).encode(), np.uint8)})


DAMAGE: Dict[str, Callable[[Dict[str, Any], np.ndarray], Any]] = {
    "other numbers": lambda facts, embeddings: embeddings[:1],
    "other numbers of": lambda facts, embeddings: embeddings.astype(np.float64),
    "names are damaged": lambda facts, embeddings: facts.update(names=["Ada", "Ada"]) or embeddings,
    "numbers of recordings": lambda facts, embeddings: facts.update(recordings=[2, 0]) or embeddings,
    "not the length 1": lambda facts, embeddings: 2 * embeddings,
    "length 1": lambda facts, embeddings: embeddings * np.float32("nan"),
    "threshold is no number": lambda facts, embeddings: facts["threshold"].update(value=None) or embeddings,
    "is no gallery": lambda facts, embeddings: facts.update(format=2) or embeddings,
    "unknown|unexpected|can not": lambda facts, embeddings: facts.update(more=1) or embeddings,
    r"recordings\b": lambda facts, embeddings: facts.update(recordings="2") or embeddings,
}


@pytest.mark.parametrize("said", DAMAGE)
def test_damage_is_named(path: Path, said: str) -> None:
    damaged(path, DAMAGE[said])
    with pytest.raises(UserError, match=said) as refused:
        load_gallery(path, TRAINED)
    assert str(refused.value).startswith(str(path))


@pytest.mark.parametrize("size", [0, 10, 500, -1])
def test_a_file_that_is_cut_short(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match="no readable gallery of enrolled voices .*take it away and enroll"):
        load_gallery(path, TRAINED)


def test_a_checkpoint_is_no_gallery(path: Path) -> None:
    parameters.save(path, params={"a": np.zeros(3, np.float32)})
    with pytest.raises(UserError, match="is no gallery of enrolled voices"):
        load_gallery(path, TRAINED)
    with pytest.raises(UserError, match="there is no gallery of enrolled voices"):
        load_gallery(path.with_name("none.npz"), TRAINED)


def test_nothing_is_lost_where_the_disk_is_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left"):
        save_gallery(path, load_gallery(path, TRAINED))
    assert path.read_bytes() == before
