"""Nearest neighbours: a k-d tree on the CPU, all distances on a GPU, from where nothing is then copied."""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from pipeline.runtime.threads import get_threads

_PAIRS = 2**24  # distances held at once: 128 MiB


class Searchable:
    """Points among which nearest ones are looked for, more than once."""

    def __init__(
        self,
        targets: Tensor,  # [Q, D]
    ) -> None:
        self._targets = targets.detach()
        self._tree = cKDTree(self._targets.numpy()) if self._targets.device.type == "cpu" else None

    def nearest(
        self,
        points: Tensor,  # [P, D]
        count: int = 1,
    ) -> Tensor:  # [P] or [P, count]
        """Index of the nearest target of each point, int64; of the `count` nearest in order where more are asked."""
        points = points.detach()
        if self._tree is None:
            return by_distances(points, self._targets, count)
        index = self._tree.query(points.numpy(), k=count, workers=get_threads())[1]
        return torch.as_tensor(index, dtype=torch.int64)


def by_distances(
    points: Tensor,  # [P, D]
    targets: Tensor,  # [Q, D]
    count: int = 1,
) -> Tensor:  # [P] or [P, count]
    """The same as `Searchable.nearest` by looking at every pair, in parts that fit in memory.

    By a matrix product, in float64: in float32 it rounds millimetres away at the size of a body, and torch.cdist's
    kernel without one takes the most of a step of the fit on a GPU (docs/speed.md).
    """
    points, targets = points.detach().double(), targets.detach().double()
    squares = targets.square().sum(1)
    parts = []
    for part in points.split(max(1, _PAIRS // len(targets))):
        apart = torch.addmm(squares, part, targets.T, alpha=-2)  # squared, but for what a row has in common
        parts.append(apart.argmin(1) if count == 1 else apart.topk(count, largest=False).indices)
    return parts[0] if len(parts) == 1 else torch.cat(parts)
