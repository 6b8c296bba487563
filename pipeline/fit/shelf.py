"""Arrays put aside in a file, and mapped into memory from there.

What is mapped, the system may drop and read again: a long clip then needs no more memory than a short one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.formats.atomic import errors_name

_ALIGNED = 64  # bytes: where each array begins


class Place(NamedTuple):
    """Where an array lies on a shelf."""

    start: int  # bytes
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Shelf:
    """A file without a name in a folder: it is gone when nothing uses it any more."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._folder = folder
        self._mapped: np.ndarray | None = None

    def put(self, array: np.ndarray) -> Place:
        """Write an array at the end; all are put there before the first is taken."""
        start = self._file.tell()
        with errors_name(self._folder):
            self._file.write(np.ascontiguousarray(array).data)
            self._file.write(bytes(-self._file.tell() % _ALIGNED))
        return Place(start, array.shape, array.dtype)

    def get(self, place: Place) -> np.ndarray:
        """An array that was put there. What is written to it stays in memory, and the file as it was."""
        if self._mapped is None:
            with errors_name(self._folder):
                self._file.flush()
            self._mapped = np.asarray(np.memmap(self._file, mode="c"))
        end = place.start + int(np.prod(place.shape)) * place.dtype.itemsize
        return self._mapped[place.start : end].view(place.dtype).reshape(place.shape)
