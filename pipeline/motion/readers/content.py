"""What is inside a file of another tool: found by its first bytes, read without running anything it may hold."""

import contextlib
import io
import json
import pickle
import re
import types
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import torch

from pipeline.formats.arrays import MOST_BYTES, Shape, check_arrays, check_unpacked
from pipeline.formats.pickles import NUMPY_NAMES, AdmittingUnpickler
from pipeline.runtime.errors import UserError

_PICKLE = 0x80  # first byte of pickle protocols 2 and later
_OTHERS = {b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x5d\x00\x00": "lzma", b"\x04\x22\x4d\x18": "lz4", b"\x89HDF": "HDF5"}
_CHUNK = 1 << 20  # bytes


class _Bytes(Protocol):
    """What an unpickler needs of a file. Without `peek` it never reads ahead, so that arrays can follow in between."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self) -> bytes: ...


class _Inflated:
    """The bytes of a zlib or gzip stream, inflated as they are asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(wbits=47)  # 32 + 15: either header
        self._ready = bytearray()
        self._left = MOST_BYTES

    def read(self, size: int, /) -> bytes:
        while len(self._ready) < size and self._more():
            pass
        return self._take(size)

    def readline(self) -> bytes:
        while (end := self._ready.find(b"\n")) < 0 and self._more():
            pass
        return self._take(end + 1 if end >= 0 else len(self._ready))

    def _more(self) -> bool:
        packed = b"" if self._inflate.eof else self._file.read(_CHUNK // 16)
        inflated = self._inflate.decompress(packed)
        self._left -= len(inflated)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {MOST_BYTES / 1e9:.0f} GB")
        self._ready += inflated
        return bool(packed)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken


class _JoblibArray:
    """joblib's NumpyArrayWrapper: the array's bytes follow it in the file, outside the pickle (joblib/numpy_pickle.py).

    Each file has a subclass with its bytes: the state is set at the very moment when the array comes next.
    """

    source: _Bytes
    array: np.ndarray

    def __setstate__(self, state: dict[str, Any]) -> None:
        dtype, shape = state["dtype"], tuple(int(size) for size in state["shape"])
        if dtype.hasobject or min(shape, default=0) < 0:
            raise pickle.UnpicklingError(f"it holds an array of {dtype}, shape {shape}, which no motion file needs")
        if state.get("numpy_array_alignment_bytes") is not None:  # joblib 1.2 and later: a count of filling bytes
            self._next(self._next(1)[0])
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        flat = np.frombuffer(self._next(size), dtype)
        self.array = flat.reshape(shape[::-1]).T if state["order"] == "F" else flat.reshape(shape)

    def _next(self, size: int) -> bytearray:
        found = bytearray()
        while len(found) < size:
            piece = self.source.read(min(size - len(found), _CHUNK))
            if not piece:
                raise EOFError("it ends within an array")
            found += piece
        return found


def _storage(data: bytes) -> Any:
    """torch.storage._load_from_bytes, but safe."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _new_dict(*_factory: type) -> dict[Any, Any]:
    """collections.defaultdict and OrderedDict: what is in them follows."""
    return {}


_ADMITTED: Mapping[tuple[str, str], Any] = {
    **NUMPY_NAMES,
    ("collections", "defaultdict"): _new_dict,
    ("collections", "OrderedDict"): _new_dict,
    ("builtins", "dict"): dict,
    ("__builtin__", "dict"): dict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch.storage", "_load_from_bytes"): _storage,
}


def read_content(path: Path) -> Any:
    """The object in a file: a dict of arrays (npz), or what was saved with torch, joblib, pickle, json or np.save.

    Joblib's arrays and torch tensors come out as they are: get at them with `arrays_of` or `as_array`.

    Raises:
        UserError: the file is none of these, is damaged, is packed otherwise, or names a class that it does not need.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
            file.seek(0)
            if zipfile.is_zipfile(path):
                return _read_zip(path)
            if start.startswith(b"\x93NUMPY"):
                return _read_npy(file)
            if start.startswith(b"\x1f\x8b") or (start[:1] == b"\x78" and int.from_bytes(start[:2], "big") % 31 == 0):
                return _unpickle(_Inflated(file))
            if start[:1] == bytes([_PICKLE]):
                return _unpickle(types.SimpleNamespace(read=file.read, readline=file.readline))
            if start.lstrip()[:1] in (b"{", b"["):
                return json.load(file)
    except Exception as error:  # a damaged or wicked file can raise nearly anything
        raise UserError(f"{path}: not read: {_reason(error)}; use the file as its tool wrote it") from error
    for magic, name in _OTHERS.items():
        if start.startswith(magic):
            raise UserError(
                f"{path}: is {name}, which is not read; write it again with joblib, not compressed or with zlib"
            )
    raise UserError(
        f"{path}: not a motion file: expected a pickle (joblib), npz, npy, torch, json, csv or trc, found {start!r}"
    )


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        check_unpacked(archive)
        from_torch = any(name.endswith("/data.pkl") for name in archive.namelist())
    if from_torch:
        return torch.load(path, map_location="cpu", weights_only=True)
    arrays = {}
    with np.load(path, allow_pickle=False) as data:
        for key in data.files:
            try:
                arrays[key] = data[key]
            except ValueError:  # pickled objects, such as ROMP's dicts
                with (
                    contextlib.suppress(Exception),
                    zipfile.ZipFile(path) as archive,
                    archive.open(f"{key}.npy") as file,
                ):
                    arrays[key] = _read_npy(file)  # what may not be unpickled, as AMASS files hold, is left alone
    return arrays


def _read_npy(file: IO[bytes]) -> Any:
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if not dtype.hasobject:
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    value = _unpickle(types.SimpleNamespace(read=file.read, readline=file.readline))
    return value.item() if shape == () else value.tolist()


def _unpickle(source: _Bytes) -> Any:
    array = type("_JoblibArrayHere", (_JoblibArray,), {"source": source})
    return AdmittingUnpickler(
        source, {**_ADMITTED, ("joblib.numpy_pickle", "NumpyArrayWrapper"): array}, "motion", encoding="latin1"
    ).load()


def _reason(error: Exception) -> str:
    """In a line. torch wraps what its unpickler says in advice to switch the safety off, which is not passed on."""
    inner = error.__context__ if str(error).startswith("Weights only load failed") and error.__context__ else error
    text = " ".join(str(inner).split())
    refused = re.search(r"unsupported global:? (?:GLOBAL )?(\S+)", text, re.IGNORECASE)
    if refused:
        return f"it names {refused[1]}, which no motion file needs"
    return text[:200] or type(error).__name__


def as_array(value: Any) -> np.ndarray:
    """An array, a tensor or a list of numbers as an array; unequal parts, or too much, become an object of shape ()."""
    if isinstance(value, _JoblibArray):
        return value.array
    if isinstance(value, torch.Tensor):
        if value.nbytes > MOST_BYTES:  # one number can stand for all of a tensor's: of no shape that is asked for
            return np.array(None, dtype=object)
        return value.detach().float().numpy() if value.is_floating_point() else value.detach().numpy()
    try:
        return np.asarray(value)
    except ValueError:
        return np.array(None, dtype=object)


def arrays_of(where: str | Path, content: Mapping[str, Any], shapes: Mapping[str, Shape]) -> dict[str, np.ndarray]:
    """The entries that `shapes` names, as arrays. Raises UserError where one is missing, misshapen or not finite."""
    arrays = {key: as_array(content[key]) for key in shapes if key in content}
    check_arrays(where, arrays, shapes)
    return arrays
