"""Priors: what is believed of a pose or of an avatar before the image is looked at."""

from __future__ import annotations

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
    values: Tensor,  # [N, C]
    neighbours: Neighbours,
) -> Tensor:
    """Mean squared difference of each Gaussian's values from the mean over its neighbours (GART's k-nearest terms).

    It matters where the video says nothing: a back that is never seen takes the colours of the sides.
    """
    if has_kernels(values):
        return _by_kernels(values, neighbours)
    return (values - values[neighbours.index].mean(1)).square().sum(-1).mean()


def _by_kernels(values: Tensor, neighbours: Neighbours) -> Tensor:
    array, count = array_of(values), len(values)
    index, offsets, owners = (array_of(tensor) for tensor in neighbours)
    chunks, share = -(-count // CHUNK), np.float32(1 / index.shape[1])
    sums, apart, gradient = np.empty(chunks), np.empty_like(array), np.empty_like(array)
    inputs = apart, share, offsets, owners, np.float32(1 / count), gradient
    run_parallel(lambda *w: embedding_kernels.deviations(*split(chunks, *w, 1), array, index, sums, apart))
    run_parallel(lambda *w: embedding_kernels.roughness_gradient(*split(count, *w), *inputs))
    return with_gradients(sums.sum() / count, (torch.from_numpy(gradient),), values)


def breadth(
    scales: Tensor,  # [N, 3]
) -> Tensor:
    """Mean square of each Gaussian's largest scale (GART's penalty on large ones)."""
    return scales.max(-1).values.square().mean()
