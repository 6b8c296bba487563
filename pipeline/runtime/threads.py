"""A small thread pool for kernels that release the GIL.

Why not Numba's own `prange`: its OpenMP layer aborts a forked child, its workqueue layer aborts when two threads call
it at once. Plain Python threads around `nogil` kernels do neither. They belong to the process that made them: a forked
child makes its own.

torch's OpenMP threads spin after each operation and starve every other pool: a program that spends its time in these
kernels wants `set_threads(n)` together with `torch.set_num_threads(1)`.
"""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

# Below this much work, in microseconds of one thread, it is not handed over: that takes 20 to 90, most of it to wake a
# processor that sleeps.
WORTH_SHARING = 250.0
T, U = TypeVar("T"), TypeVar("U")
_chosen: int | None = None
_here = threading.local()  # `alone`: this thread is one of several that each do a whole task


def set_threads(count: int | None) -> None:
    """Use `count` threads (at least 1) for every kernel from now on; None returns to the default of `get_threads`."""
    global _chosen
    if count is not None and count < 1:
        raise ValueError(f"threads: expected at least 1, found {count}")
    _chosen = count


def get_threads() -> int:
    """Threads that a kernel uses: what `set_threads` chose, else the processors that this process may use (Slurm's
    allocation included), and no more than torch uses (so that OMP_NUM_THREADS=1 means one thread here, too). Within
    `map_parallel` one."""
    if getattr(_here, "alone", False):
        return 1
    if _chosen is not None:
        return _chosen
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, min(int(slurm) if slurm.isdecimal() else available, available, torch.get_num_threads()))


def run_parallel(work: Callable[[int, int], None], microseconds: float = math.inf) -> None:
    """Run work(worker, workers) once for each worker, at the same time, and return when all are done.

    `microseconds` is about what one thread needs for all of it: where that is too little to share, the caller does it.

    The caller is worker 0. The result must not depend on the number of workers; see `split`. Called while another
    thread has the crew, or from within, the caller does it all.
    """
    workers = get_threads()
    if workers == 1 or microseconds < WORTH_SHARING:
        work(0, 1)
        return
    crew = _crew(os.getpid())
    if not crew.free.acquire(blocking=False):
        for worker in range(workers):
            work(worker, workers)
        return
    helpers = crew.helpers(workers - 1)
    for worker, helper in enumerate(helpers, start=1):
        helper.hand(work, worker, workers)
    try:
        work(0, workers)
    finally:
        errors = [helper.wait() for helper in helpers]
        crew.free.release()  # not where waiting was interrupted: then a helper is still at work, and stays alone
    for error in errors:
        if error is not None:
            raise error


def map_parallel(function: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """function(item) of each item, in their order, with as many at work at once as there are threads.

    For work that has parts outside of kernels, too, such as drawing the frames of a video. Kernels called by `function`
    use one thread.
    """
    workers = get_threads()
    if workers == 1:
        yield from map(function, items)
        return

    def work_alone() -> None:
        _here.alone = True

    with ThreadPoolExecutor(workers, thread_name_prefix="map", initializer=work_alone) as pool:
        ahead: deque[Future[U]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def split(count: int, worker: int, workers: int, multiple: int = 64) -> tuple[int, int]:
    """Start and end of this worker's share of `count` items.

    Shares begin at a multiple of `multiple`, so that an item is in the vector part or in the scalar rest of a compiled
    loop whatever the number of workers is, and results are bitwise the same.
    """
    blocks = -(-count // multiple)
    return min(count, blocks * worker // workers * multiple), min(count, blocks * (worker + 1) // workers * multiple)


class _Helper(threading.Thread):
    """A thread that waits for work behind a lock. To hand it some and wait for it takes less time than by a
    ThreadPoolExecutor; a step of the fit does so twenty times."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._begin, self._end = threading.Lock(), threading.Lock()
        self._begin.acquire()
        self._end.acquire()
        self._task: tuple[Callable[[int, int], None], int, int] | None = None
        self._error: BaseException | None = None
        self.start()

    def hand(self, work: Callable[[int, int], None], worker: int, workers: int) -> None:
        self._task = work, worker, workers
        self._begin.release()

    def wait(self) -> BaseException | None:
        """Wait for the end of what was handed; returns what it raised."""
        self._end.acquire()
        error, self._error = self._error, None
        return error

    def run(self) -> None:
        while True:
            self._begin.acquire()
            work, *share = self._task
            try:
                work(*share)
            except BaseException as error:  # raised in the caller
                self._error = error
            self._task = work = None  # what it holds may be large
            self._end.release()


class _Crew:
    """The helpers of a process: as many as were ever needed at once."""

    def __init__(self, process: int) -> None:
        self.free = threading.Lock()
        self._process, self._helpers = process, []

    def helpers(self, count: int) -> list[_Helper]:
        while len(self._helpers) < count:
            self._helpers.append(_Helper(f"kernels-{self._process}-{len(self._helpers)}"))
        return self._helpers[:count]


@lru_cache(maxsize=1)
def _crew(process: int) -> _Crew:
    return _Crew(process)
