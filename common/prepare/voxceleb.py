"""What comes with VoxCeleb beside the recordings: the speakers' names and the official split.

    from common.prepare.voxceleb import find_split, name_speakers

Both files are looked for in the folder that was named and in the one above it.
"""
from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from common.data.dataset import read_official_split, sides_of
from common.data.form import composed
from common.errors import UserError
from common.files import read_text
from common.prepare.sources import Recording

META_FILES = ("vox1_meta.csv", "vox2_meta.csv")
SPLIT_FILE = "iden_split.txt"
_MAX_BYTES = 200  # of a name; a file system takes 255
_NAME_COLUMNS = ("name", "vggface1 id")  # VoxCeleb1's VGGFace1 ID is the name; VoxCeleb2 has a name or none


def name_speakers(tree: Path, recordings: Sequence[Recording]) -> List[Recording]:
    """The recordings with names in place of ids such as id10001, as far as a meta file has them."""
    names: Dict[str, str] = {}
    paths = [path for path in (_beside(tree, meta) for meta in META_FILES) if path]
    for path in paths:
        names.update(_read_names(path))
    name, times = Counter(names.values()).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise UserError(f"{' and '.join(map(str, paths))} gives {times} speakers the name {name[:60]!r}; make them differ")
    return [dataclasses.replace(recording, speaker=names.get(recording.speaker, recording.speaker))
            for recording in recordings]


def find_split(tree: Path, recordings: Sequence[Recording]) -> Optional[Dict[str, str]]:
    """The official side of every recording, None where there is no iden_split.txt.

    A list that was made for other suffixes (.wav, where the files are .flac) holds as well.
    Raises UserError when it does not name one of them.
    """
    path = _beside(tree, SPLIT_FILE)
    if path is None:
        return None
    sides = sides_of([recording.name for recording in recordings], read_official_split(path))
    missing = [name for name, side in sides.items() if not side]
    if missing:
        raise UserError(f"{path}: does not name {len(missing)} of the {len(recordings)} recordings, the first is "
                        f"{missing[0]}; give --own-split to go without the official split")
    return sides


def _beside(tree: Path, name: str) -> Optional[Path]:
    return next((folder / name for folder in (tree, tree.resolve().parent) if (folder / name).is_file()), None)


def _read_names(path: Path) -> Dict[str, str]:
    """{id: name} from a meta file: columns separated by tabs or by commas, with spaces around some."""
    lines = [line for line in read_text(path, "meta file").splitlines() if line.strip()]
    separator = "\t" if lines and "\t" in lines[0] else ","
    rows = [[field.strip() for field in line.split(separator)] for line in lines]
    header = [field.lower() for field in rows[0]] if rows else []
    column = next((header.index(name) for name in _NAME_COLUMNS if name in header), None)
    if not header or not header[0].startswith("voxceleb"):
        raise UserError(f"{path}: line 1 is not the header of a VoxCeleb meta file, which begins with 'VoxCeleb1 ID'")
    if column is None:
        return {}
    short = next((number for number, row in enumerate(rows, start=1) if len(row) <= column), None)
    if short:
        raise UserError(f"{path}: line {short} has {len(rows[short - 1])} columns, the header has {len(header)}")
    names = {row[0]: composed("_".join(row[column].split())) for row in rows[1:] if row[column]}
    for name in names.values():
        # It becomes a folder of the samples, and a line of classes.txt.
        if "/" in name or "\\" in name or name.startswith(".") or not name.isprintable() or len(name.encode()) > _MAX_BYTES:
            raise UserError(f"{path}: {name[:60]!r} cannot name a speaker, for it would be a folder: a name has no slash, "
                            f"does not begin with a dot, is printable and at most {_MAX_BYTES} bytes long")
    return names
