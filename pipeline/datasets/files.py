"""Finding and reading the files of a dataset, with errors that say what was expected where."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.formats import images as formats
from pipeline.formats.arrays import read_npy
from pipeline.formats.pickles import NUMPY_NAMES, AdmittingUnpickler

_PHOTOS = (".jpg", ".jpeg", ".png")
_ADVICE = "; unpack the dataset again"


def require(path: Path, what: str) -> Path:
    """The path, where there is something. Raises a UserError that says what should be there."""
    if not path.exists():
        raise UserError(f"{path}: not found; expected {what}")
    return path


def listed(folder: Path, suffixes: tuple[str, ...] = _PHOTOS) -> tuple[Path, ...]:
    """The files of a folder with these suffixes, ordered by the numbers in their names: frame2 before frame10.

    Raises:
        UserError: there is no such folder, or no such file in it.
    """
    require(folder, f"a folder with files {', '.join(suffixes)}")
    files = [file for file in folder.iterdir() if file.suffix.lower() in suffixes and not file.name.startswith(".")]
    if not files:
        raise UserError(f"{folder}: holds no file {', '.join(suffixes)}; unpack the dataset again")
    return tuple(sorted(files, key=natural))


def natural(file: Path) -> list[str | int]:
    """Sorting key by the numbers in a file's name."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.stem)]


def read_image(path: Path) -> np.ndarray:
    """uint8 (H, W, 3) RGB, as stored: no rotation by metadata. Raises a UserError where it cannot be read."""
    pixels, _ = formats.read_image(path, _ADVICE, mode="RGB")
    return pixels


def read_grey(path: Path) -> np.ndarray:
    """(H, W) of an image as it is stored, 8 or 16 bits, its first channel; or of an .npy file."""
    values = read_npy(path) if path.suffix == ".npy" else formats.read_image(path, _ADVICE)[0]
    values = values[..., 0] if values.ndim == 3 else values
    if values.ndim != 2:
        raise UserError(f"{path}: expected an image (H, W), found {values.dtype} {values.shape}")
    return values


def read_pickle(path: Path, kind: str) -> dict[str, Any]:
    """The dict in a plain pickle of Python 2 or 3, of which only numpy's arrays are built.

    Raises:
        UserError: it is none, or names a class that such a file does not need.
    """
    try:
        with path.open("rb") as file:
            content = AdmittingUnpickler(file, NUMPY_NAMES, kind, encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UserError(f"{path}: not a pickle of {kind}: {error}; unpack the dataset again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a dict, found {type(content).__name__}; unpack the dataset again")
    return content


def entry(path: Path, content: dict[str, Any], *keys: Any) -> Any:
    """content[key][key]…, or a UserError that names the file, the key and what is there."""
    for key in keys:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError) as error:
            found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
            raise UserError(f"{path}: key {key!r} is missing; found {found[:200]}") from error
    return content
