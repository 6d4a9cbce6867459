"""Canonical parameters: one NumPy initialisation for every framework, and npz files of them.

    params = initialise(architectures.build("vgg_m", 50), seed=0)

`Params` maps canonical names to float32 arrays in the spec's order: `conv1/weight` (out, in, high,
wide), `fc7/weight` (out, in), `conv1_bn/running_mean` and so on. Each framework transposes to its
own layout at its own border, nowhere else.
"""
from __future__ import annotations

import hashlib
import io
import math
import tokenize  # NumPy parses a tensor's header with it
import zipfile
import zlib
from pathlib import Path
from reprlib import repr as short  # a file may hold anything, of any length
from typing import Dict, Iterable, Mapping, Optional, Tuple

import numpy as np

from common.errors import UserError
from common.files import replacing
from common.network.layers import NetworkSpec, Parameter

Params = Dict[str, np.ndarray]


def initialise(spec: NetworkSpec, seed: int = 0) -> Params:
    """He initialisation (He et al. 2015): weights N(0, 2 / fan-in), every other tensor neutral.

    Each tensor draws from a generator of its own, seeded by `seed` and its name, so that adding a
    layer leaves the others' start as it was.
    """
    return {p.name: _initial(p, seed) for p in spec.parameters()}


def _initial(parameter: Parameter, seed: int) -> np.ndarray:
    if parameter.role in ("scale", "running_variance"):
        return np.ones(parameter.shape, np.float32)
    if parameter.role != "weight":
        return np.zeros(parameter.shape, np.float32)
    generator = np.random.default_rng((seed, zlib.crc32(parameter.name.encode())))
    fan_in = parameter.size // parameter.shape[0]
    values = generator.standard_normal(parameter.shape, np.float32)
    return values * np.float32(np.sqrt(2.0 / fan_in))


def zeros(spec: NetworkSpec) -> Params:
    """A zero for every trained tensor: where the momentum buffers start."""
    return {p.name: np.zeros(p.shape, np.float32) for p in spec.parameters() if p.trainable}


def state(spec: NetworkSpec, params: Mapping[str, np.ndarray], momenta: Optional[Mapping[str, np.ndarray]] = None
          ) -> Tuple[Params, Params]:
    """What a model of `spec` holds, checked as by `check`: parameters and momenta; none given are zeros."""
    wanted = spec.parameters()
    return (check(params, wanted, "parameters"),
            check(zeros(spec) if momenta is None else momenta, [p for p in wanted if p.trainable], "momentum buffers"))


def check(params: Mapping[str, np.ndarray], expected: Iterable[Parameter], where: str) -> Params:
    """`params` in the order of `expected`, as float32; UserError naming what does not fit."""
    wanted = list(expected)
    missing = [p.name for p in wanted if p.name not in params]
    unknown = sorted(set(params) - {p.name for p in wanted})
    if missing or unknown:
        raise UserError(f"{where} does not fit the network: missing {missing or 'nothing'}, "
                        f"unknown {short(unknown) if unknown else 'nothing'}")
    for p in wanted:
        value = params[p.name]
        if value.shape != p.shape:
            raise UserError(f"{where}: {p.name} has shape {value.shape}, the network needs {p.shape}")
        if value.dtype.kind != "f" or not np.isfinite(_as_float32(value)).all():
            raise UserError(f"{where}: {p.name} holds values that are not finite real numbers")
    return {p.name: _as_float32(params[p.name]) for p in wanted}


def _as_float32(value: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused as such
        return np.ascontiguousarray(value, np.float32)


def halved(params: Mapping[str, np.ndarray]) -> Params:
    """Weights in half precision, for files; vectors, which are small and may be large numbers, as they are.

    Raises UserError for a weight that is too large for it.
    """
    half = {name: value if value.ndim < 2 else _as_float16(value) for name, value in params.items()}
    for name, value in half.items():
        if not np.isfinite(value).all():
            raise UserError(f"{name} holds weights beyond 65504, which is the most in half precision")
    return half


def _as_float16(value: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return value.astype(np.float16)


def fingerprint(params: Mapping[str, np.ndarray]) -> str:
    """Short hash of names, shapes and every bit of the values."""
    digest = hashlib.sha256()
    for name, value in params.items():
        digest.update(f"{name}{value.shape}{value.dtype}".encode())
        digest.update(np.ascontiguousarray(value))
    return digest.hexdigest()[:16]


def save(path: Path, **groups: Mapping[str, np.ndarray]) -> None:
    """Write named groups of tensors (`params=`, `momenta=`) to one npz file, all or nothing.

    Raises UserError when the disk is full or the folder is gone.
    """
    tensors = {f"{group}:{name}": value for group, values in groups.items()
               for name, value in values.items()}
    with replacing(path) as temporary:
        archive = io.BytesIO()  # a zip file that meets a full disk goes on complaining after it has failed
        np.savez(archive, **tensors)
        temporary.write_bytes(archive.getbuffer())


def load(path: Path, what: str = "parameter file", hint: str = "use an earlier checkpoint", only: str = "") -> Dict[str, Params]:
    """Groups of tensors from a file that `save` wrote; never unpickles anything.

    Nothing is read that is larger than the file itself, whatever its headers say.
    what, hint: what it is called in a `UserError`, and what that says to do; only: of the groups read this one alone.
    """
    groups: Dict[str, Params] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                group, _, name = member.filename.partition(":")
                if only and group != only:
                    continue
                groups.setdefault(group, {})[name.removesuffix(".npy")] = _tensor(archive, member, path)
    except FileNotFoundError:
        raise UserError(f"there is no {what} {path}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError,
            NotImplementedError, RuntimeError, MemoryError, SyntaxError, tokenize.TokenError) as error:
        raise UserError(f"{path} is no readable {what} ({str(error)[:200]}); it may be cut short: {hint}") from None
    return groups


def _tensor(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """One tensor of an npz file, checked before memory is taken for it. Raises ValueError."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > path.stat().st_size:
        raise ValueError(f"{member.filename[:80]!r} is compressed or larger than the file")
    with archive.open(member) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{member.filename[:80]!r} is of another version of the npy format")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
        data = stream.read()
    if dtype.hasobject or len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{member.filename[:80]!r} does not hold the tensor that its header describes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C").copy()  # writable
