"""Of several runs of a stage on the same video, the newest one writes.

A killed Snakemake, or a node that lost its network, leaves a stage running. The user starts again, and two processes
write the same outputs. So a run leaves its name in results/<video>/logs/.STAGE.claim. A newer run puts its own there,
and ends the older one where it runs on the same machine. On another machine the older one finds out by itself: before
an output gets its name, `check_claim` reads the file. Nothing here needs a lock of the file system, which NFS may lack.
"""

import json
import logging
import os
import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from pipeline.errors import UserError

_SAME_START = 2.0  # seconds: a clock that is set meanwhile moves the start of a process by as much
_PATIENCE = 10.0  # seconds that an older run gets to take its half-written files away
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Claim:
    """The run that writes."""

    host: str
    pid: int
    started: float  # seconds since 1970
    token: str


_held: tuple[Path, _Claim] | None = None  # of this process: the file, and what it wrote there


@contextmanager
def claimed(directory: Path, stage: str) -> Iterator[None]:
    """While the block runs, this process is the one that writes what `stage` makes in `directory`.

    Raises:
        UserError: a newer run took over meanwhile.
    """
    global _held
    file = directory / "logs" / f".{stage}.claim"
    made = [folder for folder in (file.parent, directory) if not folder.exists()]
    older, mine = _read(file), _Claim(host(), os.getpid(), psutil.Process().create_time(), uuid.uuid4().hex)
    outer = _held
    try:
        _write(file, mine)
        if older is not None:
            _end(older, stage)
        _held = file, mine
        yield
    except Exception as error:
        if _lost():  # then the other run has cleaned up under this one, and any error is of that
            raise _taken_over(file) from error
        raise
    finally:
        _held = outer
        if _read(file) == mine:
            file.unlink(missing_ok=True)
        for folder in made:  # a mistyped folder leaves nothing behind
            with suppress(OSError):
                folder.rmdir()


def holds_claim() -> bool:
    """Whether this process is inside a `claimed` block: leftovers of other runs of the stage are then nobody's."""
    return _held is not None


def check_claim() -> None:
    """Raise a UserError where a newer run has taken over. Outside a `claimed` block nothing is asked."""
    if _lost():
        raise _taken_over(_held[0])


def host() -> str:
    """This machine's name, for the names of files: letters, digits and dashes."""
    return "".join(letter if letter.isalnum() else "-" for letter in platform.node())


def _lost() -> bool:
    return _held is not None and _read(_held[0]) != _held[1]


def _taken_over(file: Path) -> UserError:
    newer = _read(file)
    by = f"process {newer.pid} on {newer.host}" if newer else f"{file} is gone"
    return UserError(f"{file.parent.parent}: a newer run of this stage has taken over ({by}); this run writes no more")


def _read(file: Path) -> _Claim | None:
    """The claim; None where there is none, or one that is being written."""
    try:
        return _Claim(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(file: Path, claim: _Claim) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.write_text(json.dumps(asdict(claim)) + "\n", encoding="utf-8")
    except OSError as error:  # a full disk, which names no file
        file.unlink(missing_ok=True)
        error.filename = str(file)
        raise


def _end(older: _Claim, stage: str) -> None:
    """End the process of an older run and those that it started, if it still runs and this is its machine."""
    if older.host != host() or older.pid == os.getpid():
        return
    try:
        process = psutil.Process(older.pid)
        same = abs(process.create_time() - older.started) < _SAME_START and stage in process.cmdline()
        if not same:  # its number was given to another process
            return
        log.warning("warning: %s: ending process %d, an older run of this stage on this video", stage, older.pid)
        family = [process, *process.children(recursive=True)]
        process.terminate()
        _, alive = psutil.wait_procs(family, _PATIENCE)
        for each in alive:
            each.kill()
        psutil.wait_procs(alive, 1)
    except psutil.Error:  # it ended by itself, or belongs to another user: then check_claim stops it
        return
