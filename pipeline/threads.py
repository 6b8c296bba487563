"""A small thread pool for kernels that release the GIL.

Why not Numba's own `prange`: its OpenMP layer aborts a forked child, its workqueue layer aborts when two threads call
it at once. Plain Python threads around `nogil` kernels do neither. A pool belongs to the process that made it: a forked
child makes its own.

torch's OpenMP threads spin after each operation and starve every other pool: a program that spends its time in these
kernels wants `set_threads(n)` together with `torch.set_num_threads(1)`.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

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


def run_parallel(work: Callable[[int, int], None]) -> None:
    """Run work(worker, workers) once for each worker, at the same time, and return when all are done.

    The caller is worker 0. The result must not depend on the number of workers; see `split`.
    """
    workers = get_threads()
    if workers == 1:
        work(0, 1)
        return
    pool = _pool(os.getpid(), workers - 1)
    others = [pool.submit(work, worker, workers) for worker in range(1, workers)]
    try:
        work(0, workers)
    finally:
        for other in others:
            other.result()


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


@lru_cache(maxsize=1)
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix=f"kernels-{process}")
