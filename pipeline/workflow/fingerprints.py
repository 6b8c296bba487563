"""What a job's parameters say of the user's files, so that a change reruns it (of its code: `setup/sources.py`).

Snakemake compares times of inputs with those of outputs. A file moved over another keeps its old time, and a clone
gives all files new ones. So jobs carry these as parameters instead.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

_DIGITS = 16  # of a digest


def stamp(paths: Iterable[str | Path]) -> str:
    """Digest of size and time of last change of files, and of all files in folders; of absence, too."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path) + b"\n")
        for file in _files(Path(path)):
            digest.update(os.fsencode(file) + _state(file).encode())
    return digest.hexdigest()[:_DIGITS]


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*")) if path.is_dir() else [path]


def _state(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return " absent\n"
    return " folder\n" if file.is_dir() else f" {status.st_size} {status.st_mtime_ns}\n"
