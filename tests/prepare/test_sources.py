"""The layouts recordings come in, what comes with VoxCeleb, and archives that mean harm."""
from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
from pathlib import Path
from typing import Callable

import pytest

from common.errors import UserError
from common.prepare.archive import unpack_recordings
from common.prepare.options import Options
from common.prepare.plan import choose_cast, plan_preparation
from common.prepare.samples import pick_samples, sample_stem
from common.prepare.sources import Recording, find_recordings
from common.prepare.voxceleb import find_split, name_speakers

META1 = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\nid10001\tA.J._Buckley\tm\tIreland\tdev\n" \
        "id10002\tA.R._Rahman\tm\tIndia\tdev\n"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"sound")
    return root


def read(root: Path) -> list:
    return [(item.speaker, item.session, item.name) for item in find_recordings(root).recordings]


def test_speakers_and_sessions(tmp_path: Path) -> None:
    touch(tmp_path, "ann/home/1.wav", "ann/home/take 2/1.FLAC", "bob/x.mp3", "bob/talk_012.m4a", "ann/home/notes.txt",
          "bob/.hidden.wav", ".cache/c/d.wav")
    assert read(tmp_path) == [("ann", "home", "ann/home/1.wav"), ("ann", "home/take 2", "ann/home/take 2/1.FLAC"),
                              ("bob", "talk", "bob/talk_012.m4a"), ("bob", "-", "bob/x.mp3")]


@pytest.mark.parametrize("above", ["", "wav/", "dev/wav/"])
def test_voxceleb_begins_at_the_speaker(tmp_path: Path, above: str) -> None:
    touch(tmp_path, f"{above}id10001/1zcIwhmdeo4/00001.wav", f"{above}id10002/0_laIeN-Q44/00001.wav")
    assert read(tmp_path) == [("id10001", "1zcIwhmdeo4", "id10001/1zcIwhmdeo4/00001.wav"),
                              ("id10002", "0_laIeN-Q44", "id10002/0_laIeN-Q44/00001.wav")]
    assert find_recordings(tmp_path).recordings[0].path == f"{above}id10001/1zcIwhmdeo4/00001.wav"


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "s/1.wav")
    tree = touch(tmp_path / "tree", "bob/s/1.wav")
    (tree / "ann").symlink_to(tmp_path / "elsewhere")
    (tree / "bob" / "circle").symlink_to(tree)
    (tree / "bob" / "s" / "broken.wav").symlink_to(tmp_path / "nowhere")
    assert [name for _, _, name in read(tree)] == ["ann/s/1.wav", "bob/s/1.wav", "bob/s/broken.wav"]


@pytest.mark.parametrize("make, message", [
    (lambda root: None, "no such folder"),
    (lambda root: root.mkdir(), "no recordings"),
    (lambda root: touch(root, "a.wav"), "speaker's folder"),
    (lambda root: touch(root, "s/" + "/".join(["d" * 200] * 6) + "/1.wav"), "longer than 1000"),
    (lambda root: (root / "ann").mkdir(parents=True) or open(os.fsencode(root) + b"/ann/\xff.wav", "w"), "not UTF-8"),
])
def test_trees_that_cannot_be_used(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    make(tmp_path / "tree")
    with pytest.raises(UserError, match=message):
        find_recordings(tmp_path / "tree")


def test_what_cannot_be_a_recording_ends_nothing(tmp_path: Path) -> None:
    tree = touch(tmp_path, "ann/s/1.wav", "a.wav", " bob /s/1.wav", "dev/id00001/v/1.wav", "test/id00001/v/1.wav",
                 "ann/s/notes.txt", "ann/s/more.TXT", "ann/s/README", "ann/s/2.opus", "data/dataset.json", "data/samples/ann/3.wav",
                 "begun/unfinished/plan.json", "begun/unfinished/samples/ann/4.wav", "out/samples/ann/5.wav")
    open(os.fsencode(tree) + b"/ann/s/\xff.wav", "w").close()
    found = find_recordings(tree, tree / "out")
    assert [item.name for item in found.recordings] == ["ann/s/1.wav", "ann/s/2.opus", "id00001/v/1.wav"]
    reasons = dict(found.left_out)
    assert list(reasons) == ["a.wav", " bob /s/1.wav", "ann/s/\\xff.wav", "test/id00001/v/1.wav"]
    for name, reason in (("a.wav", "speaker's folder"), (" bob /s/1.wav", "spaces"), ("ann/s/\\xff.wav", "UTF-8"),
                         ("test/id00001/v/1.wav", "name of another")):
        assert reason in reasons[name]
    assert found.ignored == {".txt": 2, "without a suffix": 1, "data folders": 2}


def test_composed_and_decomposed_letters_are_one_name(tmp_path: Path) -> None:
    touch(tmp_path, "Zo\u00eb/caf\u00e9/1.wav", "Zoe\u0308/cafe\u0301/2.wav")
    found = find_recordings(tmp_path).recordings
    assert {(item.speaker, item.session) for item in found} == {("Zo\u00eb", "caf\u00e9")}
    assert all((tmp_path / item.path).exists() for item in found)
    (tmp_path / "iden_split.txt").write_text("1 Zo\u00eb/caf\u00e9/1.flac\n3 Zo\u00eb/caf\u00e9/2.flac\n")
    assert sorted(find_split(tmp_path, found).values()) == ["test", "train"]


@pytest.mark.parametrize("name", ["../../../x", "a/b", "..", "a\\b", "x" * 300, "a\x07b"])
def test_no_name_from_a_meta_file_leaves_the_folder(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "wav/id10001/v/00001.wav")
    (tmp_path / "vox1_meta.csv").write_text(f"VoxCeleb1 ID\tVGGFace1 ID\nid10001\t{name}\n")
    with pytest.raises(UserError, match="vox1_meta.csv.*cannot name a speaker"):
        name_speakers(tmp_path, find_recordings(tmp_path).recordings)


def test_names_from_voxceleb1(tmp_path: Path) -> None:
    touch(tmp_path, "wav/id10001/v/00001.wav", "wav/id10003/v/00001.wav")
    (tmp_path / "vox1_meta.csv").write_text(META1)
    for tree in (tmp_path, tmp_path / "wav"):
        named = name_speakers(tree, find_recordings(tree).recordings)
        assert [item.speaker for item in named] == ["A.J._Buckley", "id10003"]
        assert named[0].name == "id10001/v/00001.wav"


@pytest.mark.parametrize("meta, name", [
    ("VoxCeleb2 ID ,VGGFace2 ID ,Gender,Set \nid00012 ,n000012 ,m ,dev \n", "id00012"),
    ("VoxCeleb2 ID ,Name ,VGGFace2 ID ,Gender,Set \nid00012 ,Ann Lee ,n000012 ,m ,dev \n", "Ann_Lee"),
])
def test_names_from_voxceleb2(tmp_path: Path, meta: str, name: str) -> None:
    touch(tmp_path, "dev/aac/id00012/v/00001.m4a")
    (tmp_path / "vox2_meta.csv").write_text(meta)
    assert [item.speaker for item in name_speakers(tmp_path, find_recordings(tmp_path).recordings)] == [name]


@pytest.mark.parametrize("meta, message", [
    ("", "header"), ("hello\nworld\n", "header"),
    ("VoxCeleb1 ID\tVGGFace1 ID\nid10001\n", "line 2 has 1 columns"),
    ("VoxCeleb1 ID\tVGGFace1 ID\nid10001\tAnn\nid10002\tAnn\n", "2 speakers the name 'Ann'"),
])
def test_meta_files_that_are_none(tmp_path: Path, meta: str, message: str) -> None:
    touch(tmp_path, "wav/id10001/v/00001.wav")
    (tmp_path / "vox1_meta.csv").write_text(meta)
    with pytest.raises(UserError, match=message):
        name_speakers(tmp_path, find_recordings(tmp_path).recordings)


def test_the_official_split(tmp_path: Path) -> None:
    touch(tmp_path, "wav/id10001/v/00001.wav", "wav/id10001/w/00001.wav")
    recordings = find_recordings(tmp_path).recordings
    assert find_split(tmp_path, recordings) is None
    (tmp_path / "iden_split.txt").write_text("1 id10001/v/00001.wav\n3 id10001/w/00001.wav\n2 id10009/v/00001.wav\n")
    assert find_split(tmp_path, recordings) == {"id10001/v/00001.wav": "train", "id10001/w/00001.wav": "test"}
    (tmp_path / "iden_split.txt").write_text("1 id10001/v/00001.m4a\n3 id10001/w/00001.flac\n")  # of other suffixes
    assert find_split(tmp_path, recordings) == {"id10001/v/00001.wav": "train", "id10001/w/00001.wav": "test"}
    (tmp_path / "iden_split.txt").write_text("1 id10001/v/00001.wav\n")
    with pytest.raises(UserError, match="1 of the 2 recordings.*id10001/w/00001.wav.*--own-split"):
        find_split(tmp_path, recordings)


def some_recordings(speakers: int, each: int) -> list:
    return [Recording(f"s{speaker}/v/{number:05d}.wav", f"s{speaker}/v/{number:05d}.wav", f"s{speaker}", "v", 9)
            for speaker in range(speakers) for number in range(each)]


def test_the_cast_is_drawn_by_the_seed() -> None:
    everyone = some_recordings(20, 2)
    casts = [frozenset(item.speaker for item in choose_cast(everyone, 5, seed)) for seed in (0, 0, 1)]
    assert casts[0] == casts[1] != casts[2] and len(casts[0]) == 5
    assert len(choose_cast(everyone, 5, 0)) == 10
    with pytest.raises(UserError, match="21 speakers from the 20"):
        choose_cast(everyone, 21, 0)


@pytest.mark.parametrize("recordings, parts, expected", [(3, None, 3), (100, None, 8), (9_001, None, 10), (100, 6, 6)])
def test_parts(recordings: int, parts: int, expected: int) -> None:
    plan = plan_preparation(some_recordings(1, recordings), Options(), parts)
    assert len(plan.parts) == expected and plan.recordings == recordings
    assert len({item.name for part in plan.parts for item in part}) == recordings
    sizes = [len(part) for part in plan.parts]
    assert max(sizes) - min(sizes) <= 1


def test_the_fingerprint_tells_plans_apart() -> None:
    recordings = some_recordings(2, 5)
    plans = [plan_preparation(recordings, Options()), plan_preparation(recordings, Options(seed=1)),
             plan_preparation(recordings, Options(scale="log")), plan_preparation(recordings[:-1], Options()),
             plan_preparation(recordings, Options(), parts=2)]
    assert len({plan.fingerprint for plan in plans}) == 5
    assert plan_preparation(recordings, Options()).fingerprint == plans[0].fingerprint


def test_samples_are_named_as_the_homeworks() -> None:
    def named(name: str, session: str) -> str:
        return sample_stem(Recording(name, name, "s", session, 0))

    assert named("id1/GgYuyVluakM/00002.wav", "GgYuyVluakM") == "GgYuyVluakM_002"
    assert named("James_Nesbitt/GgYuyVluakM_002.wav", "GgYuyVluakM") == "GgYuyVluakM_002"
    assert named("s/a/b/hello.wav", "a/b") == "a_b_hello"
    assert named("s/hello.wav", "-") == "hello"
    talk, sound = "\u8a71" * 45, "\u97f3" * 55
    long = named(f"s/{talk}/{sound}.wav", talk)
    assert len(long.encode()) <= 200 and long != named(f"s/{talk}/{sound}x.wav", talk)
    picked = pick_samples(some_recordings(3, 5) + [Recording("s0/v/0.wav", "s0/v/0.wav", "s0", "v", 9)], each=9)
    assert len(picked) == 15 and "s0/v/0.wav" not in picked  # it would have the name of s0/v/00000.wav


def tar_bytes(*members: tarfile.TarInfo, mode: str = "w:gz") -> bytes:
    """An archive of these members; files hold as many letters as their size says."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


def member(name: str, size: int = 5, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size if kind == tarfile.REGTYPE else 0, kind, link
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_of_samples(tmp_path: Path, mode: str) -> None:
    archive = tmp_path / "samples.tar.gz"
    archive.write_bytes(tar_bytes(member("samples/Ann/vid_001.wav"), member("samples/Ann/vid_001.bin"),
                                  member("samples/Bob/vid_002.wav"), mode=mode))
    tree = unpack_recordings(archive, tmp_path / "out")
    assert tree == tmp_path / "out" / "samples"
    assert read(tree) == [("Ann", "vid", "Ann/vid_001.wav"), ("Bob", "vid", "Bob/vid_002.wav")]
    assert (tree / "Ann/vid_001.wav").read_bytes() == b"xxxxx" and not list(tree.rglob("*.bin"))


@pytest.mark.parametrize("name", ["../evil.wav", "/tmp/evil.wav", "samples/../../evil.wav", "a/..", "a\\..\\b.wav",
                                  "a/new\nline.wav"])
def test_no_path_leaves_the_folder(tmp_path: Path, name: str) -> None:
    name = name if name.endswith(".wav") else name + "/evil.wav"
    (tmp_path / "a.tar.gz").write_bytes(tar_bytes(member("samples/Ann/1.wav"), member(name)))
    with pytest.raises(UserError, match="outside"):
        unpack_recordings(tmp_path / "a.tar.gz", tmp_path / "in" / "out")
    assert not [path for path in tmp_path.rglob("*evil*")] and not Path("/tmp/evil.wav").exists()


def test_links_and_devices_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes(
        member("s/Ann/1.wav"), member("s/Ann/link.wav", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("s/Ann/hard.wav", kind=tarfile.LNKTYPE, link="s/Ann/1.wav"), member("s/Ann/pipe.wav", kind=tarfile.FIFOTYPE),
        member("s/Bob", kind=tarfile.SYMTYPE, link="/tmp"), member("s/Bob/2.wav")))
    tree = unpack_recordings(tmp_path / "a.tar", tmp_path / "out")
    assert sorted(path.name for path in tree.rglob("*.wav")) == ["1.wav", "2.wav"]
    assert not any(path.is_symlink() for path in tree.rglob("*"))


def forged_long_name() -> bytes:
    """A header that announces a name of 1 GB, compressed to nothing."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**30
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240)


@pytest.mark.parametrize("content, message", [
    (b"", "cannot be unpacked"), (b"hello" * 500, "cannot be unpacked"),
    (tar_bytes(member("s/Ann/1.wav", 50_000), mode="w")[:20_000], "cannot be unpacked"),
    (gzip.compress(os.urandom(5_000)), "cannot be unpacked"),
    (tar_bytes(member("s/Ann/1.wav", 500_000))[:200], "cannot be unpacked"),
    (gzip.compress(forged_long_name()), "a header of"), (tar_bytes(member("s/Ann/notes.txt")), "no recordings"),
    (struct.pack("<H", 0x8B1F) + b"\0" * 100, "cannot be unpacked"),
    (tar_bytes(member("s/Ann/1.wav/2.wav"), member("s/Ann/1.wav")), "cannot be unpacked"),
], ids=["nothing", "text", "cut tar", "noise", "cut gzip", "forged", "no recordings", "zeros",
        "in a file"])
def test_damaged_archives(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=message):
        unpack_recordings(tmp_path / "a.tar.gz", tmp_path / "out")


def test_a_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        unpack_recordings(tmp_path / "none.tar.gz", tmp_path)
