"""What a job's parameters say of files, so that a change reruns it: of its code, and of the user's files.

Snakemake compares times of inputs with those of outputs. A file moved over another keeps its old time, and a clone
gives all files new ones. So jobs carry these as parameters instead.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pipeline.setup.sources import PACKAGE, sources

_DIGITS = 16  # of a digest


@cache
def code(*modules: str) -> str:
    """Digest of the source and data files that modules of this package run, by content and place.

    Args:
        modules: dotted names, "pipeline.stages.fit".
    """
    digest = hashlib.sha256()
    for file in sources(*modules):
        digest.update(f"{file.relative_to(PACKAGE)} {_content(file)}\n".encode())
    return digest.hexdigest()[:_DIGITS]


@cache
def _content(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
