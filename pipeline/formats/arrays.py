"""Checked reading and writing of npz files that hold plain arrays."""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from pipeline.formats.atomic import atomic_path
from pipeline.runtime.errors import UserError

Shape = tuple[int | str, ...]
_ROTATION_TOLERANCE = 1e-4  # of R^T R from the identity
MOST_BYTES = 4_000_000_000  # that a file may hold when it is unpacked; a few kilobytes of zip can unpack to petabytes


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file; pickled objects are refused.

    Raises:
        UserError: the file is missing, or is no npz, or holds pickled objects, or more than MOST_BYTES.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: not found; run the stage that writes it first")
    try:
        with zipfile.ZipFile(path) as archive:  # np.load takes other files, too
            check_unpacked(archive)
        with np.load(path, allow_pickle=False) as data:
            return {key: data[key] for key in data.files}
    except Exception as error:  # a damaged file can raise nearly anything in numpy and zipfile
        raise UserError(f"{path}: expected an npz file of plain arrays, could not read it ({error})") from error


def read_npy(path: Path) -> np.ndarray:
    """The array of an npy file. Raises UserError where it is none, or not as large as it says."""
    try:
        with path.open("rb") as file:
            _check_declared(file, path.stat().st_size)
            file.seek(0)
            return np.load(file, allow_pickle=False)
    except Exception as error:  # as above
        raise UserError(f"{path}: expected a .npy array of numbers, could not read it ({error})") from error


def check_unpacked(archive: zipfile.ZipFile) -> None:
    """Raise a ValueError, before anything is unpacked, where what the archive says of itself is too large or untrue."""
    size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES:
        raise ValueError(f"it unpacks to {size / 1e9:.1f} GB, more than {MOST_BYTES / 1e9:.0f} GB")
    for member in archive.infolist():
        if member.filename.endswith(".npy"):
            with archive.open(member) as file:
                _check_declared(file, member.file_size)


def _check_declared(file: IO[bytes], size: int) -> None:
    """Raise a ValueError where an array in npy's layout says that it is larger than the `size` bytes of its file."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > size - file.tell():
        raise ValueError(f"it says {dtype} {shape}, and holds {size - file.tell()} bytes")


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray | str | float]) -> None:
    """Write `arrays` compressed, whole or not at all."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def check_arrays(where: str | Path, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, Shape]) -> dict[str, int]:
    """Check that the arrays are there, have these shapes and hold only finite numbers.

    Args:
        where: what to call the file in an error.
        arrays: the arrays by name.
        shapes: for each name its shape; a letter stands for a size that must be the same wherever it occurs.

    Returns:
        The size found for each letter.

    Raises:
        UserError: names the file, the key and the shape or value found.
    """
    sizes: dict[str, int] = {}
    for key, shape in shapes.items():
        if key not in arrays:
            raise UserError(f"{where}: key {key!r} is missing; found {', '.join(sorted(arrays)) or 'nothing'}")
        found = np.shape(arrays[key])
        fits = len(found) == len(shape)
        for size, want in zip(found, shape):
            fits = fits and size == (sizes.setdefault(want, size) if isinstance(want, str) else want)
        if not fits:
            wanted = ", ".join(f"{s}={sizes[s]}" if s in sizes else str(s) for s in shape)
            raise UserError(f"{where}: key {key!r} should have shape ({wanted}), found {found}")
        values = np.asarray(arrays[key])
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = np.argwhere(~np.isfinite(values))[0]
            raise UserError(f"{where}: key {key!r} holds {values[tuple(bad)]} at index {tuple(int(i) for i in bad)}")
        if values.dtype.kind not in "fiub":
            raise UserError(f"{where}: key {key!r} should hold numbers, found {values.dtype}")
    return sizes


def read_text(where: str | Path, arrays: Mapping[str, np.ndarray], key: str) -> str:
    """The text under a key. Raises UserError naming the file where it is missing or no text."""
    if key not in arrays:
        raise UserError(f"{where}: key {key!r} is missing; found {', '.join(sorted(arrays)) or 'nothing'}")
    value = np.asarray(arrays[key])
    if value.dtype.kind != "U" or value.ndim != 0:
        raise UserError(f"{where}: key {key!r} should be a text, found {value.dtype} {value.shape}")
    return str(value)


def check_rigid(where: str | Path, key: str, poses: np.ndarray) -> None:
    """Raise a UserError where one of the matrices (T, 4, 4) is no rotation and shift. float32's rounding passes."""
    turns = poses[:, :3, :3]
    off = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max()
    if off > _ROTATION_TOLERANCE or (np.linalg.det(turns) < 0).any() or np.abs(poses[:, 3] - [0, 0, 0, 1]).max() > 0:
        raise UserError(f"{where}: key {key!r} should hold rigid motions (a rotation, a shift, 0 0 0 1)")
