"""The nearest of many places in the image to each of a few."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.jit import kernel

f4, u8 = np.float32, np.uint64
BLOCK = 64


def nearest(
    places: Tensor,  # [2, M] px
    u: Tensor,  # [N] px
    v: Tensor,  # [N]
) -> Tensor:  # [M] int64
    """Index of the point (u, v) that is nearest to each place."""
    if u.device.type == "cpu" and u.dtype == torch.float32:
        index = torch.empty(places.shape[1], dtype=torch.int64)
        nearest_kernel(places.numpy(), u.numpy(), v.numpy(), index.numpy())
        return index
    return ((places[0, :, None] - u).square() + (places[1, :, None] - v).square()).argmin(1)


@kernel()
def nearest_kernel(places, u, v, index):
    """`nearest`; by blocks, since a compiled loop finds a minimum in vector registers, but not where it is."""
    count = u.shape[0]
    for m in range(places.shape[1]):
        x, y = places[0, m], places[1, m]
        best, place = f4(np.inf), 0
        for start in range(0, count, BLOCK):
            block_u, block_v = u[start : start + BLOCK], v[start : start + BLOCK]
            least = f4(np.inf)
            for k in range(block_u.shape[0]):
                a, b = block_u[k] - x, block_v[k] - y
                least = min(least, a * a + b * b)
            if least < best:
                best, place = least, start
        index[m] = place
        closest = f4(np.inf)
        for k in range(place, min(place + BLOCK, count)):
            a, b = u[k] - x, v[k] - y
            if a * a + b * b < closest:
                closest = a * a + b * b
                index[m] = k
