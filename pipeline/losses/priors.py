"""Priors: what is believed of a pose or of an avatar before the image is looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.jit import array_of, has_kernels
from pipeline.losses import embedding_kernels
from pipeline.losses.embedding_kernels import CHUNK
from pipeline.losses.known import with_gradients
from pipeline.threads import run_parallel, split


def robust(
    squared: Tensor,  # [...]
    scale: float,
) -> Tensor:  # [...]
    """Geman-McClure penalty s^2 u / (s^2 + u) of a squared error u: u itself while small, never above s^2.

    What lies well beyond the scale, as fast motion does for a smoothness term, is not pulled back.
    """
    return squared * scale**2 / (squared + scale**2)


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
    columns = [math.sqrt(weight) * array_of(values).reshape(count, -1) for weight, values in parts]
    array = np.concatenate(columns, axis=1)
    index, offsets, owners = (array_of(tensor) for tensor in neighbours)
    chunks, share = -(-count // CHUNK), np.float32(1 / index.shape[1])
    sums, apart, gradient = np.empty(chunks), np.empty_like(array), np.empty_like(array)
    inputs = apart, share, offsets, owners, np.float32(1 / count), gradient
    run_parallel(lambda *w: embedding_kernels.deviations(*split(chunks, *w, 1), array, index, sums, apart))
    run_parallel(lambda *w: embedding_kernels.roughness_gradient(*split(count, *w), *inputs))
    ends = np.cumsum([column.shape[1] for column in columns])[:-1]
    gradients = [
        torch.from_numpy(math.sqrt(weight) * part).view(values.shape)
        for (weight, values), part in zip(parts, np.split(gradient, ends, axis=1))
    ]
    return with_gradients(sums.sum() / count, tuple(gradients), *(values for _, values in parts))


def breadth(
    scales: Tensor,  # [N, 3]
) -> Tensor:
    """Mean square of each Gaussian's largest scale (GART's penalty on large ones)."""
    return scales.max(-1).values.square().mean()
