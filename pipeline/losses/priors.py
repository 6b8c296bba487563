"""Priors: what is believed of a pose or of an avatar before the image is looked at."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.losses import embedding_kernels
from pipeline.losses.embedding_kernels import CHUNK
from pipeline.losses.known import with_gradients
from pipeline.runtime.jit import array_of, has_kernels
from pipeline.runtime.threads import run_parallel, split

_MICROSECONDS = 1.5e-3  # a value
f4 = np.float32


def robust(
    squared: Tensor,  # [...]
    scale: float,
) -> Tensor:  # [...]
    """Geman-McClure penalty s^2 u / (s^2 + u) of a squared error u: u itself while small, never above s^2.

    What lies well beyond the scale, as fast motion does for a smoothness term, is not pulled back.
    """
    return squared * scale**2 / (squared + scale**2)


def robust_weight(
    squared: Tensor,  # [...]
    scale: float,
) -> Tensor:  # [...]
    """Weight of a squared error in a least-squares step under `robust`, against that of a small one."""
    return (scale**2 / (squared + scale**2)) ** 2


class Neighbours(NamedTuple):
    """The nearest neighbours of each Gaussian; and the other way round, of whom it is a neighbour."""

    index: Tensor  # [N, k] int64
    offsets: Tensor  # [N + 1] int64
    owners: Tensor  # [N k] int64; Gaussian i is a neighbour of owners[offsets[i] : offsets[i + 1]]

    @classmethod
    def of(cls, index: Tensor) -> Neighbours:
        flat = index.flatten()
        owners = torch.argsort(flat, stable=True) // index.shape[1]
        offsets = torch.searchsorted(flat.sort().values, torch.arange(len(index) + 1, device=index.device))
        return cls(index, offsets, owners)


def roughness(
    parts: Sequence[tuple[float, Tensor]],  # weights, and [N, ...]
    neighbours: Neighbours,
) -> Tensor:
    """Weighted sum over parts of the mean squared difference of each Gaussian's values from the mean over its
    neighbours (GART's k-nearest terms).

    It matters where the video says little. What is hardly seen gets its colours in the end from `pipeline.fit.spread`.
    """
    if has_kernels(parts[0][1]):
        return _by_kernels(parts, neighbours)
    flat = torch.cat([math.sqrt(weight) * values.reshape(len(values), -1) for weight, values in parts], dim=1)
    return (flat - flat[neighbours.index].mean(1)).square().sum(-1).mean()


def _by_kernels(parts: Sequence[tuple[float, Tensor]], neighbours: Neighbours) -> Tensor:
    count = len(parts[0][1])
    columns = [array_of(values).reshape(count, -1) for _, values in parts]
    gradients = [np.empty_like(column) for column in columns]
    factors = [f4(math.sqrt(weight)) for weight, _ in parts]
    firsts = [0, *itertools.accumulate(column.shape[1] for column in columns)]
    index, offsets, owners = (array_of(tensor) for tensor in neighbours)
    chunks, share = -(-count // CHUNK), f4(1 / index.shape[1])
    # Side by side, so that a neighbour is one place in memory
    array, apart, sums = np.empty((count, firsts[-1]), f4), np.empty((count, firsts[-1]), f4), np.empty(chunks)
    inputs = apart, share, offsets, owners, f4(1 / count), array

    def gather(worker: int, workers: int) -> None:
        for column, factor, first in zip(columns, factors, firsts):
            embedding_kernels.put_columns(*split(count, worker, workers), column, factor, first, array)

    def differentiate(worker: int, workers: int) -> None:
        rows = split(count, worker, workers)
        embedding_kernels.roughness_gradient(*rows, *inputs)
        for gradient, factor, first in zip(gradients, factors, firsts):
            embedding_kernels.take_columns(*rows, array, factor, first, gradient)

    work = _MICROSECONDS * array.size
    run_parallel(gather, work)
    run_parallel(lambda *w: embedding_kernels.deviations(*split(chunks, *w, 1), array, index, sums, apart), work)
    run_parallel(differentiate, work)
    shaped = (torch.from_numpy(gradient).view(values.shape) for (_, values), gradient in zip(parts, gradients))
    return with_gradients(sums.sum() / count, tuple(shaped), *(values for _, values in parts))


def breadth(
    scales: Tensor,  # [N, 3]
) -> Tensor:
    """Mean square of each Gaussian's largest scale (GART's penalty on large ones)."""
    return scales.max(-1).values.square().mean()
