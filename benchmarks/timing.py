"""Timing of several callables in one run, in turn, so that what disturbs the machine disturbs them alike."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.runtime.progress import track

_LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Spread:
    """A median, and the quartiles around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        return cls(*(float(value) for value in np.percentile(values, (25, 50, 75))))


@dataclass(frozen=True)
class Timings:
    """What `interleave` measured."""

    seconds: dict[str, np.ndarray]  # of one call, by name: one value a round. (rounds,)
    others: float | None  # share of the machine that other processes used meanwhile; None where the system won't say

    @property
    def rounds(self) -> int:
        return len(next(iter(self.seconds.values())))

    def spread(self, name: str) -> Spread:
        """Seconds of a call."""
        return Spread.of(self.seconds[name])

    def times_as_fast(self, name: str, rival: str) -> Spread:
        """How many times as fast `name` is as `rival`: the rival's seconds over its own, round by round."""
        return Spread.of(self.seconds[rival] / self.seconds[name])


def interleave(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    desc: str,
    least_seconds: float = 0.05,
    budget: float = math.inf,
) -> Timings:
    """Time callables in turn, after one call of each that is not counted.

    Args:
        calls: what to time, by name.
        rounds: how often each is measured.
        desc: what is being timed, for the progress.
        least_seconds: a measurement repeats a call until it has taken about so long, that the clock and the caches'
            refilling do not count; 0 calls once, for callables that are not alike from call to call.
        budget: seconds after which no new round begins, if there have been three.
    """
    repeats = {name: _repeats(call, least_seconds) for name, call in calls.items()}
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    started, busy, own = time.perf_counter(), _busy(), time.process_time()
    for number in track(range(rounds), desc, unit="round"):
        if number >= _LEAST_ROUNDS and time.perf_counter() - started > budget:
            continue
        # Back and forth, so that none is always after the same other one
        for name in names if number % 2 == 0 else reversed(names):
            gc.collect()
            begin = time.perf_counter()
            for _ in range(repeats[name]):
                calls[name]()
            seconds[name].append((time.perf_counter() - begin) / repeats[name])
    wall = time.perf_counter() - started
    others = None
    if busy is not None:
        spent = _busy() - busy - (time.process_time() - own)
        others = max(0.0, spent / (wall * (os.cpu_count() or 1)))
    return Timings({name: np.array(values) for name, values in seconds.items()}, others)


def _repeats(call: Callable[[], object], least_seconds: float) -> int:
    call()
    if least_seconds <= 0:
        return 1
    begin = time.perf_counter()
    call()
    return max(1, math.ceil(least_seconds / max(time.perf_counter() - begin, 1e-9)))


def _busy() -> float | None:
    """Seconds of processor time that all processes have used since the machine started; None but on Linux."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
