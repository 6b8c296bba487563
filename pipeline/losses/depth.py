"""Losses against a metric depth map (equations 13 to 15)."""

from __future__ import annotations

import torch
from torch import Tensor


def back_project(
    depth: Tensor,  # [H, W]
    K: Tensor,  # [3, 3]
    keep: Tensor,  # [H, W] bool
) -> Tensor:  # [P, 3]
    """The point cloud of a depth map, in metres in the camera frame: p = pi^-1(D, K) of equation 14.

    Args:
        depth: metres along z. [H, W]
        K: intrinsics; the centre of pixel (0, 0) lies at (0.5, 0.5). [3, 3]
        keep: which pixels to take. [H, W]
    """
    rows, columns = torch.nonzero(keep, as_tuple=True)
    z = depth[rows, columns]
    x = (columns + 0.5 - K[0, 2]) / K[0, 0] * z
    y = (rows + 0.5 - K[1, 2]) / K[1, 1] * z
    return torch.stack([x, y, z], dim=-1)


def depth_2d(
    rendered: Tensor,  # [H, W]
    depth: Tensor,  # [H, W]
    keep: Tensor,  # [H, W] bool
) -> Tensor:
    """Equation 13, averaged: mean absolute difference in metres over the pixels `keep` (depth known, on the person)."""
    return ((rendered - depth).abs() * keep).sum() / keep.sum().clamp(min=1)


def depth_3d(
    points: Tensor,  # [M, 3]
    neighbours: Tensor,  # [M, 3]
    epsilon: float,
) -> Tensor:
    """Equation 14: half the mean of rho(d^2), rho(u) = sqrt(u + eps^2) - eps, so that far outliers count linearly.

    The argument of rho is the squared distance, as below the paper's sum, so that rho is the pseudo-Huber penalty.

    Args:
        points: centres of the visible Gaussians, metres in the camera frame. [M, 3]
        neighbours: the point of the depth cloud nearest to each. [M, 3]
        epsilon: scale of the penalty, metres.
    """
    if len(points) == 0:
        return points.sum()
    squared = (points - neighbours).square().sum(-1)
    return 0.5 * ((squared + epsilon**2).sqrt() - epsilon).mean()
