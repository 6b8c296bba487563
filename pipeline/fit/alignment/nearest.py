"""The nearest of many places in the image to each of a few."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.runtime.jit import has_kernels, kernel

f4, u8 = np.float32, np.uint64


def nearest(
    places: Tensor,  # [2, M] px
    u: Tensor,  # [N] px
    v: Tensor,  # [N]
) -> Tensor:  # [M] int64
    """Index of the point (u, v) that is nearest to each place."""
    if has_kernels(u):
        index = torch.empty(places.shape[1], dtype=torch.int64)
        nearest_kernel(places.numpy(), u.numpy(), v.numpy(), index.numpy())
        return index
    return ((places[0, :, None] - u).square() + (places[1, :, None] - v).square()).argmin(1)


@kernel()
def nearest_kernel(places, u, v, index):
    """`nearest`, one place after the other: for a few hundred places no tree is worth building."""
    for m in range(places.shape[1]):
        x, y = places[0, m], places[1, m]
        closest = f4(np.inf)
        index[m] = 0
        for k in range(u.shape[0]):
            a, b = u[u8(k)] - x, v[u8(k)] - y
            square = a * a + b * b
            if square < closest:
                closest = square
                index[m] = k
