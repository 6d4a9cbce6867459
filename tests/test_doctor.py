"""The doctor: finds each kind of damage by its place, stays quiet on good data, and repairs into a new folder."""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import pytest

from common.data.classes import write_classes
from common.data.dataset import SessionRow, open_dataset, sidecar_path, write_sessions
from common.data.records import NUM_BINS, NUM_FRAMES, RECORD_BYTES, RecordWriter
from common.data.splits import save_split, split_dataset
from common.doctor import duplicates
from common.doctor.__main__ import main
from common.doctor.measure import BINS, FRAMES, NONE, NORMALISATIONS, UTTERANCE, measure
from common.prepare.features import SEGMENT_SAMPLES, normalise_bins, spectrogram
from common.prepare.levels import SILENCE

SPEAKERS = ["Ada", "Bea", "Cleo"]
PER_FILE = 12


def magnitudes(seed: int) -> np.ndarray:
    """As skewed as the magnitudes of speech are."""
    return np.random.default_rng(seed).gamma(0.5, size=(NUM_BINS, NUM_FRAMES)).astype(np.float32) + 1e-3


def healthy(seed: int) -> np.ndarray:
    return normalise_bins(magnitudes(seed))


def write_file(path: Path, first_seed: int, make: Callable[[int], np.ndarray]) -> None:
    """Twelve records, four of each speaker in turn, each of a session and a recording of its own."""
    labels = [i % 3 for i in range(PER_FILE)]
    with RecordWriter(path) as writer:
        for i, label in enumerate(labels):
            writer.append(make(first_seed + i), label)
    write_sessions(path, [SessionRow(SPEAKERS[label], f"s{i}", f"{SPEAKERS[label]}/{path.stem}-{i}.wav", 0)
                          for i, label in enumerate(labels)])


def make_folder(folder: Path, make: Callable[[int], np.ndarray] = healthy, files: int = 2) -> Path:
    folder.mkdir()
    write_classes(folder / "classes.txt", SPEAKERS)
    for number in range(1, files + 1):
        write_file(folder / f"part-{number}.bin", 100 * number, make)
    return folder


@pytest.fixture()
def data(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data")


def patch(path: Path, record: int, values: np.ndarray, offset: int = 0) -> None:
    """Overwrite bytes of a record, from byte `offset` of it."""
    with open(path, "r+b") as file:
        file.seek(record * RECORD_BYTES + offset)
        file.write(np.asarray(values).tobytes())


def examine(capsys: pytest.CaptureFixture, *arguments: object) -> Tuple[int, Dict[str, Any]]:
    """Exit status and JSON report."""
    capsys.readouterr()
    status = main([str(argument) for argument in arguments] + ["--json", "--workers", "1"])
    return status, json.loads(capsys.readouterr().out)


def codes(report: Dict[str, Any]) -> Dict[str, str]:
    return {finding["code"]: finding["severity"] for finding in report["findings"]}


def finding(report: Dict[str, Any], code: str) -> Dict[str, Any]:
    (found,) = [finding for finding in report["findings"] if finding["code"] == code]
    return found


def places(report: Dict[str, Any], code: str) -> List[Tuple[str, int, int]]:
    return [(Path(place["path"]).name, place["record"], place["byte"]) for place in finding(report, code)["places"]]


def test_sound_data(data: Path, capsys: pytest.CaptureFixture) -> None:
    status, report = examine(capsys, data, "--strict")
    assert (status, report["verdict"], report["findings"]) == (0, "sound", [])
    assert report["records"] == 24 and report["speakers"] == 3
    assert report["records_by_speaker"] == {"Ada": 8, "Bea": 8, "Cleo": 8}
    assert (report["normalised"], report["scale"], report["mirrored_records"]) == ("bins", "magnitude", 0)
    assert report["checked_split"] == "the default split (seed 0, by session)"


def test_text_report_ends_with_the_verdict(data: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(data)]) == 0
    text = capsys.readouterr().out
    assert "every bin over time, as the paper" in text and "24 in 2 files" in text
    assert text.splitlines()[-1] == "verdict: sound"
    patch(data / "part-2.bin", 3, np.float32(7))
    assert main([str(data)]) == 1
    text = capsys.readouterr().out
    assert f"part-2.bin: record 3, byte {3 * RECORD_BYTES}" in text
    assert text.splitlines()[-1] == "verdict: not usable: 1 problem, 0 warnings"


def test_real_spectrograms_of_both_scales() -> None:
    samples = np.random.default_rng(0).standard_normal(48_240).astype(np.float32) * np.sin(np.arange(48_240) / 900)
    for scale, positive in (("magnitude", True), ("log", False)):
        row, _ = measure(np.ascontiguousarray(spectrogram(samples, scale=scale)))
        assert row["normalised"] == BINS and (row["skewness"] > 0.6) == positive


@pytest.mark.parametrize("axis, expected", [(1, BINS), (0, FRAMES), (None, UTTERANCE)])
def test_axis_of_normalisation(axis: Optional[int], expected: int) -> None:
    values = magnitudes(0) * np.linspace(1, 9, NUM_BINS, dtype=np.float32)[:, None] * np.linspace(1, 5, NUM_FRAMES, dtype=np.float32)
    assert measure(values)[0]["normalised"] == NONE
    normalised = (values - values.mean(axis=axis, keepdims=True)) / values.std(axis=axis, keepdims=True)
    assert measure(normalised.astype(np.float32))[0]["normalised"] == expected


def test_measures_of_extreme_values() -> None:
    large = np.full((NUM_BINS, NUM_FRAMES), 9e14, dtype=np.float32)
    assert measure(large)[0]["bad"] == 0  # its sum of cubes overflows, its values are legal
    for value, not_finite in ((-np.inf, 1), (3e38, 0), (-1.1e15, 0)):
        large[5, 7] = value
        row, descriptor = measure(large)
        assert (row["bad"], row["not_finite"], row["first"]) == (1, not_finite, 5 * NUM_FRAMES + 7)
        assert not descriptor.any()


def test_truncated_tail_and_empty_file(data: Path, capsys: pytest.CaptureFixture) -> None:
    os.truncate(data / "part-1.bin", 11 * RECORD_BYTES + 5)
    (data / "part-3.bin").touch()
    status, report = examine(capsys, data)
    assert status == 1 and codes(report) == {"truncated-tail": "problem", "empty-file": "problem"}
    assert places(report, "truncated-tail") == [("part-1.bin", 11, 11 * RECORD_BYTES)]
    assert "only 5 of 614404 bytes" in finding(report, "truncated-tail")["message"]
    assert report["checked_split"] is None


def test_download_that_failed(data: Path, capsys: pytest.CaptureFixture) -> None:
    (data / "part-3.bin").write_bytes(b"<?xml version='1.0'?><Error>AccessDenied</Error>")
    status, report = examine(capsys, data)
    assert status == 1 and "a download may have failed" in finding(report, "truncated-tail")["message"]


def test_bad_labels(data: Path, capsys: pytest.CaptureFixture) -> None:
    for record, label in ((0, 1.5), (3, np.nan), (7, np.inf), (4, 3), (5, -1)):
        patch(data / "part-2.bin", record, np.float32(label))
    status, report = examine(capsys, data)
    assert status == 1
    assert places(report, "label-not-whole") == [("part-2.bin", i, i * RECORD_BYTES) for i in (0, 3, 7)]
    assert places(report, "label-outside-classes") == [("part-2.bin", i, i * RECORD_BYTES) for i in (4, 5)]
    assert "the first is 1.5" in finding(report, "label-not-whole")["message"]
    assert sum(report["records_by_speaker"].values()) == 19


@pytest.mark.parametrize("kind, name", [("<i4", "int32"), (">f4", "big-endian float32")])
def test_labels_of_another_type_are_recognised(data: Path, capsys: pytest.CaptureFixture, kind: str, name: str) -> None:
    for record in range(PER_FILE):
        patch(data / "part-1.bin", record, np.array(record % 3, dtype=kind))
    message = finding(examine(capsys, data)[1], "label-not-whole")["message"]
    assert "labels that are not whole numbers: 8 of 24" in message and f"read as {name} it is 1" in message


def test_values_that_are_not_finite(data: Path, capsys: pytest.CaptureFixture) -> None:
    patch(data / "part-2.bin", 6, np.float32([np.nan, np.inf]), offset=4 + 4 * 1000)
    status, report = examine(capsys, data)
    assert status == 1 and codes(report) == {"not-finite": "problem"}
    assert places(report, "not-finite") == [("part-2.bin", 6, 6 * RECORD_BYTES + 4 + 4 * 1000)]
    assert "1, with 2 such values" in finding(report, "not-finite")["message"]


def test_values_of_no_sensible_magnitude(data: Path, capsys: pytest.CaptureFixture) -> None:
    patch(data / "part-2.bin", 6, np.float32([3e38, 3e38, -3e38]), offset=4 + 4 * 1000)
    patch(data / "part-1.bin", 3, np.full(RECORD_BYTES // 4 - 1, 1e-40, np.float32), offset=4)
    status, report = examine(capsys, data)
    assert status == 1 and codes(report) == {"magnitude": "problem"}
    assert places(report, "magnitude") == [("part-1.bin", 3, 3 * RECORD_BYTES + 4),
                                           ("part-2.bin", 6, 6 * RECORD_BYTES + 4 + 4 * 1000)]
    assert "values that are below 1e-15, as all are" in finding(report, "magnitude")["message"]


def test_denormal_values_are_a_warning(data: Path, capsys: pytest.CaptureFixture) -> None:
    patch(data / "part-2.bin", 6, np.float32([1e-40, -1e-39]), offset=4 + 4 * 1000)
    status, report = examine(capsys, data)
    assert status == 0 and codes(report) == {"vanishing-values": "warning"}
    assert places(report, "vanishing-values") == [("part-2.bin", 6, 6 * RECORD_BYTES + 4 + 4 * 1000)]


def test_a_big_endian_file_is_named_as_what_it_is(data: Path, capsys: pytest.CaptureFixture) -> None:
    (data / "part-1.bin").write_bytes(np.fromfile(data / "part-1.bin", "<f4").astype(">f4").tobytes())
    report = examine(capsys, data)[1]
    assert "read as big-endian float32 all are ordinary numbers" in finding(report, "not-finite")["message"]


def test_constant_spectrograms(data: Path, capsys: pytest.CaptureFixture) -> None:
    for record in (2, 9):
        patch(data / "part-1.bin", record, np.zeros(RECORD_BYTES // 4 - 1, dtype=np.float32), offset=4)
    status, report = examine(capsys, data)
    assert status == 0 and report["verdict"] == "usable" and codes(report) == {"constant": "warning"}
    assert places(report, "constant") == [("part-1.bin", i, i * RECORD_BYTES) for i in (2, 9)]
    assert examine(capsys, data, "--strict")[0] == 1


def of_noise(deviation: float, **options: Any) -> np.ndarray:
    samples = np.random.default_rng(0).normal(0, deviation, SEGMENT_SAMPLES)
    return spectrogram(samples, **options)


@pytest.mark.parametrize("scale", ["magnitude", "log"])
def test_levels_of_what_was_not_normalised(tmp_path: Path, capsys: pytest.CaptureFixture, scale: str) -> None:
    data = make_folder(tmp_path / "data", lambda seed: of_noise(0.05 + seed / 1e4, normalise=False, scale=scale))
    assert not {"silent", "above-full-scale"} & set(codes(examine(capsys, data)[1]))
    patch(data / "part-1.bin", 3, of_noise(SILENCE / 2, normalise=False, scale=scale), offset=4)
    patch(data / "part-2.bin", 5, of_noise(8_000, normalise=False, scale=scale), offset=4)
    _, report = examine(capsys, data)
    assert places(report, "silent") == [("part-1.bin", 3, 3 * RECORD_BYTES)]
    assert places(report, "above-full-scale") == [("part-2.bin", 5, 5 * RECORD_BYTES)]


def test_rounding_noise_that_was_normalised(data: Path, capsys: pytest.CaptureFixture) -> None:
    patch(data / "part-1.bin", 3, of_noise(1e-4), offset=4)
    assert places(examine(capsys, data)[1], "noise") == [("part-1.bin", 3, 3 * RECORD_BYTES)]


def copy_record(data: Path, source: int, target: int, change: Callable[[np.ndarray], np.ndarray] = lambda x: x) -> None:
    """Overwrite the spectrogram of a record of part-2 with that of one of part-1."""
    values = open_dataset([data]).records.read([source])[0][0]
    patch(data / "part-2.bin", target, change(values).astype(np.float32), offset=4)


def test_exact_duplicates_of_one_speaker(data: Path, capsys: pytest.CaptureFixture) -> None:
    copy_record(data, 0, 3)
    _, report = examine(capsys, data)
    assert report["exact_duplicate_groups"] == 1 and report["near_duplicate_pairs"] == 0
    assert places(report, "exact-duplicates") == [("part-2.bin", 3, 3 * RECORD_BYTES)]
    assert "two-speakers-one-recording" not in codes(report)


@pytest.mark.parametrize("change", [
    lambda x: x + 0.1 * np.random.default_rng(9).standard_normal(x.shape),
    lambda x: 0.5 * x,
    lambda x: np.roll(x, 1, axis=1),
], ids=["noise", "loudness", "shift"])
def test_near_duplicates(tmp_path: Path, capsys: pytest.CaptureFixture, change: Callable[[np.ndarray], np.ndarray]) -> None:
    data = make_folder(tmp_path / "data", smooth)
    copy_record(data, 0, 3, change)
    _, report = examine(capsys, data)
    assert report["exact_duplicate_groups"] == 0 and report["near_duplicate_pairs"] == 1
    assert places(report, "near-duplicates") == [("part-2.bin", 3, 3 * RECORD_BYTES)]


def smooth(seed: int) -> np.ndarray:
    """Magnitudes that change slowly over time, as those of speech do; noise has nothing left after a shift."""
    from scipy.ndimage import gaussian_filter1d

    return normalise_bins(gaussian_filter1d(magnitudes(seed), sigma=6, axis=1) ** 4)


def test_near_duplicates_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = np.random.default_rng(0).standard_normal((50, 320)).astype(np.float32)
    descriptors[[7, 33, 49]] = descriptors[[2, 2, 48]]
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    for block in (7, 2048):
        monkeypatch.setattr(duplicates, "_BLOCK", block)
        assert sorted(duplicates._candidates(descriptors)) == [(2, 7), (2, 33), (7, 33), (48, 49)]
    monkeypatch.setattr(duplicates, "_MAX_CANDIDATES", 2)
    assert 2 < len(duplicates._candidates(descriptors)) <= 4


def test_one_recording_under_two_speakers(data: Path, capsys: pytest.CaptureFixture) -> None:
    copy_record(data, 0, 1)
    _, report = examine(capsys, data)
    assert codes(report)["two-speakers-one-recording"] == "problem"  # more than 1 % of 24
    assert places(report, "two-speakers-one-recording") == [("part-2.bin", 1, RECORD_BYTES)]


def test_duplicates_across_a_split(data: Path, capsys: pytest.CaptureFixture) -> None:
    split = split_dataset(open_dataset([data]), seed=0)
    labels = open_dataset([data]).records.labels
    train = next(i for i in split.train if i < PER_FILE)
    test = next(i for i in split.test if i >= PER_FILE and labels[i] == labels[train])
    copy_record(data, train, test - PER_FILE)
    assert codes(examine(capsys, data)[1])["duplicates-across-split"] == "problem"
    stored = data / "split.json"
    save_split(stored, split, open_dataset([data]))
    _, report = examine(capsys, data, "--split", stored)
    assert report["checked_split"] == str(stored)
    assert places(report, "duplicates-across-split") == [("part-2.bin", test - PER_FILE, (test - PER_FILE) * RECORD_BYTES)]


def test_recording_on_both_sides(data: Path, capsys: pytest.CaptureFixture) -> None:
    path = sidecar_path(data / "part-1.bin")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rsplit(",", 2)[0] + ",same.wav,0" for line in lines) + "\n")
    status, report = examine(capsys, data)
    assert status == 1 and "the recording 'same.wav' is on both sides" in finding(report, "split-refused")["message"]


def test_split_of_other_data(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = make_folder(tmp_path / "other", lambda seed: healthy(seed + 1), files=1)
    save_split(tmp_path / "split.json", split_dataset(open_dataset([other])), open_dataset([other]))
    status, report = examine(capsys, data, "--split", tmp_path / "split.json")
    assert status == 1 and "was made for other data" in finding(report, "split-refused")["message"]


def test_missing_sidecars_and_classes(data: Path, capsys: pytest.CaptureFixture) -> None:
    for path in [*data.glob("*.csv"), data / "classes.txt"]:
        path.unlink()
    status, report = examine(capsys, data)
    assert status == 0 and codes(report) == {"classes-missing": "warning", "sidecars-missing": "warning"}
    assert report["records_by_speaker"] == {"0": 8, "1": 8, "2": 8}


def test_bad_classes_and_bad_sidecar(data: Path, capsys: pytest.CaptureFixture) -> None:
    sidecar_path(data / "part-1.bin").write_text("Ada,s,a.wav\n")
    status, report = examine(capsys, data)
    assert status == 1 and "3 fields in place of 4" in finding(report, "not-readable")["message"]
    (data / "classes.txt").write_text("0 Ada\n0 Bea\n")
    status, report = examine(capsys, data)
    assert status == 1 and "repeats label 0" in finding(report, "classes-unreadable")["message"]


def test_imbalance_and_absent_speakers(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_classes(tmp_path / "classes.txt", SPEAKERS)
    with RecordWriter(tmp_path / "a.bin") as writer:
        for i in range(12):
            writer.append(healthy(i), 0 if i else 1)
    _, report = examine(capsys, tmp_path)
    assert "Ada has 11 records, Bea only 1" in finding(report, "imbalance")["message"]
    assert "1 of 3, such as Cleo" in finding(report, "speaker-without-records")["message"]


def per_frame(seed: int) -> np.ndarray:
    return np.ascontiguousarray(normalise_bins(magnitudes(seed).T).T)


def log_values(seed: int) -> np.ndarray:
    return normalise_bins(np.log(magnitudes(seed)))


def frames_first(seed: int, **options: Any) -> np.ndarray:
    """Of sound: where neighbours do not resemble each other, nobody can tell."""
    noise = np.random.default_rng(seed).standard_normal(48_240).astype(np.float32)
    return np.ascontiguousarray(spectrogram(noise, **options).T).reshape(NUM_BINS, NUM_FRAMES)


def mirror(seed: int) -> np.ndarray:
    values = healthy(seed)
    values[257:] = values[255:0:-1]
    return values


@pytest.mark.parametrize("make, normalised, scale, found", [
    (log_values, "bins", "log", {}),
    (magnitudes, "none", "magnitude", {"unusual-input": "warning"}),
    (lambda seed: np.log(magnitudes(seed)), "none", "log", {}),
    (per_frame, "frames", "magnitude", {"unusual-input": "warning"}),
    (frames_first, "unknown", "magnitude", {"transposed": "problem"}),
    (lambda seed: frames_first(seed, normalise=False, scale="log"), "unknown", "log", {"transposed": "problem"}),
    (mirror, "bins", "magnitude", {"mirrored": "warning"}),
], ids=["log", "raw", "raw-log", "per-frame", "transposed", "transposed-raw", "mirrored"])
def test_how_spectrograms_were_made(tmp_path: Path, capsys: pytest.CaptureFixture, make: Callable[[int], np.ndarray],
                                    normalised: str, scale: str, found: Dict[str, str]) -> None:
    _, report = examine(capsys, make_folder(tmp_path / "data", make, files=1))
    assert (report["normalised"], report["scale"], codes(report)) == (normalised, scale, found)
    assert normalised in (*NORMALISATIONS, "unknown")


def test_files_prepared_in_different_ways(data: Path, capsys: pytest.CaptureFixture) -> None:
    write_file(data / "part-2.bin", 900, log_values)
    status, report = examine(capsys, data)
    assert status == 1 and "part-1.bin magnitude, part-2.bin log" in finding(report, "mixed-scale")["message"]
    write_file(data / "part-2.bin", 900, magnitudes)
    status, report = examine(capsys, data)
    assert status == 1 and report["normalised"] == "mixed"
    assert "12 none, 12 bins" in finding(report, "mixed-normalisation")["message"]


def test_description_that_is_wrong(data: Path, capsys: pytest.CaptureFixture) -> None:
    (data / "dataset.json").write_text('{"normalised": true, "scale": "log"}')
    _, report = examine(capsys, data)
    assert "says scale: log" in finding(report, "description-differs")["message"]


def test_a_file_of_anything(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "noise.bin").write_bytes(np.random.default_rng(0).bytes(2_000_000))
    status, report = examine(capsys, tmp_path / "noise.bin")
    assert status == 1 and report["records"] == 3
    assert {"label-not-whole", "not-finite", "truncated-tail"} <= set(codes(report))


def test_repair(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    os.truncate(data / "part-1.bin", 11 * RECORD_BYTES + 5)
    patch(data / "part-1.bin", 2, np.float32(9))
    patch(data / "part-2.bin", 6, np.float32(np.nan), offset=400)
    copy = (data / "part-1.bin").read_bytes()[4:RECORD_BYTES]
    patch(data / "part-2.bin", 3, np.frombuffer(copy, dtype=np.uint8), offset=4)  # same speaker: one is kept
    patch(data / "part-2.bin", 4, np.zeros(RECORD_BYTES - 4, dtype=np.uint8), offset=4)
    (data / "dataset.json").write_text('{"scale": "magnitude", "records": 24}')
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    out = tmp_path / "repaired"
    assert examine(capsys, data, "--repair", out)[0] == 1
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    assert examine(capsys, out, "--strict")[0] == 0
    repaired = open_dataset([out])
    assert len(repaired.records) == 10 + 9 and repaired.scale == "magnitude"
    assert repaired.recordings is not None
    expected = [f"{SPEAKERS[i % 3]}/part-{part}-{i}.wav" for part, gone in ((1, (2, 11)), (2, (3, 4, 6)))
                for i in range(PER_FILE) if i not in gone]
    assert repaired.recordings.tolist() == expected
    np.testing.assert_array_equal(repaired.records.read([2])[0][0], healthy(103))


def test_repair_drops_what_two_speakers_claim(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    copy_record(data, 0, 1)
    examine(capsys, data, "--repair", tmp_path / "out")
    assert len(open_dataset([tmp_path / "out"]).records) == 22


def test_repair_only_into_a_new_folder(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    assert main([str(data), "--repair", str(data)]) == 2
    assert "holds files already" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    assert main([str(data), "--repair", str(data / "classes.txt")]) == 2
    assert "cannot use this folder" in capsys.readouterr().err


def test_repair_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "noise.bin").write_bytes(np.random.default_rng(0).bytes(2_000_000))
    assert main([str(tmp_path / "noise.bin"), "--repair", str(tmp_path / "out")]) == 2
    assert "no record is good" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_plots(data: Path, tmp_path: Path) -> None:
    patch(data / "part-1.bin", 0, np.float32([np.nan]), offset=4)
    assert main([str(data), "--plots", str(tmp_path / "plots")]) == 1
    for name in ("speakers.png", "spectrograms.png"):
        assert (tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for arguments, message in (([str(tmp_path / "gone.bin")], "gone.bin: no such"),
                               ([str(tmp_path)], "no .bin record files"),
                               ([str(tmp_path), "--workers", "0"], "--workers must be at least 1")):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
