"""Outputs that appear whole or not at all: write beside, then rename."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pipeline.formats.claim import check_claim, holds_claim, host


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` with the same suffix; move it there when the block ends well.

    The folder is made where it is missing. On an exception the temporary file is removed and `path` is as before. What
    a killed run left of `path` is removed at the start.

    Raises:
        UserError: a newer run of the stage has taken over (pipeline.formats.claim); `path` is as before.
    """
    path = Path(path)
    temporary = _temporary(path, path.stem, path.suffix)
    try:
        with errors_name(path):
            yield temporary
            check_claim()
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """As `atomic_path`, for a folder: yield an empty one, let it take the place of `path` when the block ends well."""
    path = Path(path)
    temporary = _temporary(path, path.name)
    fresh, replaced = temporary / "new", temporary / "replaced"
    try:
        with errors_name(path):
            fresh.mkdir(parents=True)
            yield fresh
            check_claim()
            if path.exists():
                os.replace(path, replaced)  # to be removed apart: a kill in between leaves no half of it
            os.replace(fresh, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(path: Path, stem: str, suffix: str = "") -> Path:
    """Where to write `path`: named by this process. Leftovers of others are taken away first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = re.compile(rf"\.{re.escape(stem)}\.([\w-]+?)(?:-(\d+))?\.part{re.escape(suffix)}")
    for other in path.parent.iterdir():
        found = name.fullmatch(other.name)
        if found and _is_left_over(found[1], int(found[2] or 0)):
            shutil.rmtree(other, ignore_errors=True) if other.is_dir() else other.unlink(missing_ok=True)
    return path.with_name(f".{stem}.{host()}-{os.getpid()}.part{suffix}")


def _is_left_over(writer: str, pid: int) -> bool:
    """Whether nobody goes on with a temporary file of this machine and process.

    With a claim all others are: the newest run alone writes. Without one (stages of no single video) only those of
    dead processes of this machine; what runs on other machines cannot be known.
    """
    return holds_claim() or (writer == host() and (pid == os.getpid() or not psutil.pid_exists(pid)))


@contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Give system errors that name no file, such as those of a full disk, the name of what is written."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
