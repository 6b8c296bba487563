"""The operation floor of rasterization: what no program on this machine could be faster than.

    floor = max(pairs x operations / peak, bytes / bandwidth)

- pairs: (pixel, Gaussian) pairs that count in the image (`tiled.contributing_pairs`): alpha at least 1/255, and the
  pixel still open. Pairs that a program must look at to find that out are not counted, nor are projection and sorting.
- operations: vector instructions a pair and lane, listed below; a fused multiply-add is one, and so is any other.
- peak: fused multiply-adds a second, measured by a kernel of nothing else on as many threads as the rasterizer has.
  Other instructions are taken to be as fast; division is slower.
- bytes: each input read once, each output written once; bandwidth: a copy of arrays larger than the caches.

What is below is thus a bound and not a prediction: a kernel at 3 to 4 times the floor has little left to win.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numba
import numpy as np

from pipeline.runtime.threads import get_threads, run_parallel, split

f4 = np.float32

# exponent along a row 3, exp(-s) 11 (degree 6, three squarings), alpha 3 (times opacity, cap, threshold), weight and
# transmittance 2, closed or not 2, three colours and depth 4
FORWARD = 25
# all of that but the four sums 21; weight's gradient 5, what is behind 1, by the exponent 4, sums of colours and depth
# 4, of the exponent's six coefficients 10, closed or capped 2
BACKWARD = 47
INPUT_BYTES = 4 * 14  # a Gaussian: mean 3, quaternion 4, scales 3, opacity, colour 3
IMAGE_BYTES = 4 * 5  # a pixel: colour 3, depth, alpha

_CHAINS, _LENGTH = 4, 16
_VALUES = 1024  # of float32: stays in the first cache
_WINDOWS = 200  # short ones, of which the best counts: other processes do not lower a peak
_COPY = 64 << 20  # bytes


@dataclass(frozen=True)
class Machine:
    """What was measured of this machine, all threads together."""

    threads: int
    operations: float  # vector lanes' operations a second
    bandwidth: float  # bytes a second, read and written together


def measure() -> Machine:
    """Measure with as many threads as kernels use (`pipeline.runtime.threads`); takes a second."""
    return Machine(get_threads(), _peak(), _bandwidth())


def floor_seconds(machine: Machine, pairs: int, gaussians: int, pixels: int, backward: bool) -> float:
    """The floor of a forward pass, or of a forward and a backward pass, in seconds."""
    operations = pairs * (FORWARD + BACKWARD * backward)
    # Backward: inputs and image again, and the gradients of both
    moved = (gaussians * INPUT_BYTES + pixels * IMAGE_BYTES) * (1 + 2 * backward)
    return max(operations / machine.operations, moved / machine.bandwidth)


@numba.njit(nogil=True, fastmath={"contract"})
def _multiply_add(values, repeats, factor, term):
    for _ in range(repeats):
        for i in range(values.shape[0]):
            a = values[i]
            b, c, d = a + f4(1), a + f4(2), a + f4(3)
            for _ in range(_LENGTH):
                a = a * factor + term
                b = b * factor + term
                c = c * factor + term
                d = d * factor + term
            values[i] = (a + b) + (c + d)


def _peak() -> float:
    repeats = 100
    best = np.zeros(get_threads())
    _multiply_add(np.zeros(_VALUES, f4), 1, f4(0.9), f4(0.1))  # compiles

    def work(worker: int, workers: int) -> None:
        values = np.zeros(_VALUES, f4)
        for _ in range(_WINDOWS):
            begin = time.perf_counter()
            _multiply_add(values, repeats, f4(0.9), f4(0.1))
            rate = _VALUES * repeats * _CHAINS * _LENGTH / (time.perf_counter() - begin)
            best[worker] = max(best[worker], rate)

    run_parallel(work)
    return float(best.sum())


def _bandwidth() -> float:
    source = np.ones(_COPY // 4, f4)
    target = np.zeros_like(source)
    best = np.inf

    def work(worker: int, workers: int) -> None:
        start, end = split(len(source), worker, workers)
        np.copyto(target[start:end], source[start:end])

    for _ in range(10):
        begin = time.perf_counter()
        run_parallel(work)
        best = min(best, time.perf_counter() - begin)
    return 2 * _COPY / best
