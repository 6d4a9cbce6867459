"""Damaged recordings, archives of them, and VoxCeleb's list of speakers."""
from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import pytest
from containers import FORMS, encode
from fuzzing import TAG, Tally, anything, damaged_bytes, fuzz, rearranged, text_of
from hypothesis import strategies as st

from common.prepare.archive import unpack_recordings
from common.prepare.audio import load_audio
from common.prepare.sources import Recording
from common.prepare.voxceleb import name_speakers


def tar_bytes(members: List[Tuple[str, bytes, bytes]], compress: bool) -> bytes:
    """A tar archive of (name, type, content); links point to where they must not."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz" if compress else "w") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "../../escaped.wav"
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


NAMES = st.sampled_from(["samples/Ada/v_1.wav", "Ada/2.wav", "../escaped.wav", "/tmp/escaped.wav", "a/../../escaped.wav",
                         "Ada\\..\\x.wav", "Ada/\n.wav", "Ada", "Ada/1.wav/2.wav", "x" * 300 + ".wav", ".wav", "./b.wav"])
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE,
                         tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME])


def test_archive(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "samples.tar.gz"
    members = [("samples/Ada/v_1.wav", tarfile.REGTYPE, b"RIFF" * 20), ("samples/Bea/v_2.wav", tarfile.REGTYPE, b"x")]
    path.write_bytes(tar_bytes(members, compress=True))
    plain = tar_bytes(members, compress=False)
    fields = [512 * block + byte for block in range(4) for byte in (0, 1, 100, 124, 135, 148, 156, 157, 257, 345)]
    made = st.lists(st.tuples(NAMES, KINDS, st.binary(max_size=30)), max_size=4).map(lambda m: tar_bytes(m, compress=True))

    def read() -> Path:
        return unpack_recordings(path, Path(tempfile.mkdtemp(dir=tmp_path)))

    def verify(folder: Path) -> None:
        assert folder.resolve().is_relative_to(tmp_path.resolve())
        files = [found for found in folder.rglob("*") if not found.is_dir()]
        assert all(found.is_file() and not found.is_symlink() and found.suffix == ".wav" for found in files)

    damaged = st.one_of(made, damaged_bytes(plain, fields), damaged_bytes(plain, fields).map(gzip.compress), anything(path))
    fuzz(tally, path, damaged, read, verify)


def test_speakers_names(tmp_path: Path, tally: Tally) -> None:
    """VoxCeleb's meta file."""
    path = tmp_path / "vox1_meta.csv"
    path.write_text("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\tdev\n"
                    "id10002\tA.R._Rahman\tm\tIndia\tdev\n")
    recordings = [Recording(f"{name}/v/1.wav", f"{name}/v/1.wav", name, "v", 1) for name in ("id10001", "id10002", "id10003")]

    def verify(named: List[Recording]) -> None:
        assert [recording.name for recording in named] == [recording.name for recording in recordings]
        assert named[2].speaker == "id10003" or "id10003" in text_of(path)

    fuzz(tally, path, anything(path), lambda: name_speakers(tmp_path, recordings), verify)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, bytes]:
    """0.4 s in every container, two rates and layouts in turn, with a tag."""
    folder = tmp_path_factory.mktemp("recordings")
    return {suffix: encode(folder / f"a.{suffix}", *FORMS[suffix], title=TAG.decode(), seconds=0.4,
                           rate=(48_000, 24_000)[number % 2], layout=("mono", "stereo")[number % 2])
            for number, suffix in enumerate(FORMS)}


def is_sound(samples: np.ndarray) -> None:
    assert samples.dtype == np.float32 and samples.ndim == 1 and np.isfinite(samples).all()


@pytest.mark.parametrize("kind", FORMS)
def test_recording(tmp_path: Path, tally: Tally, recordings: Dict[str, bytes], kind: str) -> None:
    path, content = tmp_path / f"recording.{kind}", recordings[kind]
    path.write_bytes(content)
    headers = list(range(0, 64)) + [len(content) - 1]
    damaged = st.one_of(damaged_bytes(content, headers), st.binary(max_size=300))
    fuzz(tally, path, damaged, lambda: load_audio(path), is_sound)


@pytest.mark.parametrize("kind", FORMS)
def test_recordings_cut_joined_and_retagged(tmp_path: Path, tally: Tally, recordings: Dict[str, bytes], kind: str) -> None:
    """Mostly of one kind, as who joins them does; the name says the first one's."""
    path = tmp_path / f"recording.{kind}"
    path.write_bytes(recordings[kind])
    damaged = st.one_of(rearranged([recordings[kind]]), rearranged([recordings[kind], *recordings.values()]))
    fuzz(tally, path, damaged, lambda: load_audio(path), is_sound)
