"""Progress of long steps: a bar with rate and time left on a terminal, plain lines in a log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_FIRST_LINE, _LINES_APART = 5.0, 60.0  # seconds until a step tells how far it is; twice as many each time, up to this
_title = ""  # what this process works on, where several share a terminal
_log = logging.getLogger("pipeline.runtime.progress")
details = logging.getLogger("pipeline.details")  # what is too long for a terminal that several jobs share


def track(iterable: Iterable[T], desc: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yield from `iterable`, showing how far it is, its rate and the time left.

    Args:
        iterable: what to go through.
        desc: what is being done, a few words.
        total: how many items there are; taken from `len(iterable)` where it has one.
        unit: what an item is ("frame", "step").
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    started = last = time.monotonic()
    done, pause = 0, _FIRST_LINE
    with tqdm(
        iterable, desc=_title + desc, total=total, unit=unit, disable=not sys.stderr.isatty(), leave=False
    ) as bar:
        for item in bar:
            yield item
            done += 1
            now = time.monotonic()
            if now - last >= pause and done != total:
                last, pause = now, min(2 * pause, _LINES_APART)
                _log.info("%s: %s", desc, _state(done, total, now - started, unit))
    _log.info("%s: done, %s", desc, _state(done, done, time.monotonic() - started, unit))


def _state(done: int, total: int | None, seconds: float, unit: str) -> str:
    rate = done / max(seconds, 1e-9)
    text = f"{done}{'' if total is None else f'/{total}'} {unit}, {rate:.1f} {unit}/s, {seconds:.1f} s"
    return text if total is None or done >= total else f"{text}, {(total - done) / max(rate, 1e-9):.0f} s left"


class _TerminalHandler(logging.Handler):
    """Writes above a running progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


class _LogFile(logging.FileHandler):
    """A log on a disk that is full is cut short without a traceback for each line: the terminal has the lines, too."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def setup_logging(log_file: Path | None, title: str = "") -> None:
    """Send log lines to the terminal and, when `log_file` is given, to that file (plain, with the time).

    On a terminal the progress lines are left out, for the bar shows them. What `details` logs goes to the file alone,
    where there is one.

    Args:
        title: what the lines are about, where jobs of several videos share a terminal; begins each line there.
    """
    global _title
    _title = f"{title} · " if title else ""
    root = logging.getLogger("pipeline")
    root.setLevel(logging.INFO)
    root.propagate = False
    root.handlers.clear()
    terminal = _TerminalHandler()
    terminal.setFormatter(logging.Formatter(f"{_title.replace('%', '%%')}%(message)s"))
    terminal.addFilter(lambda record: not (record.name == _log.name and sys.stderr.isatty()))
    root.addHandler(terminal)
    if log_file is not None:
        terminal.addFilter(lambda record: record.name != details.name)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        to_file = _LogFile(log_file, mode="w", encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
        root.addHandler(to_file)
