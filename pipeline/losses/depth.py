"""Losses against a metric depth map (equations 13 to 15)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.losses import depth_kernels
from pipeline.losses.depth_kernels import CHUNK
from pipeline.losses.known import with_gradients
from pipeline.losses.search import by_distances
from pipeline.runtime.jit import array_of, has_kernels
from pipeline.runtime.threads import run_parallel, split

_FAR = 1e6  # metres
_MICROSECONDS = 0.06  # a point


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
    return _points(depth, K)[keep]


def _points(depth: Tensor, K: Tensor) -> Tensor:  # [H, W, 3]
    height, width = depth.shape
    rows = torch.arange(0.5, height, device=depth.device, dtype=depth.dtype)[:, None]
    columns = torch.arange(0.5, width, device=depth.device, dtype=depth.dtype)
    x = (columns - K[0, 2]) / K[0, 0] * depth
    y = (rows - K[1, 2]) / K[1, 1] * depth
    return torch.stack([x, y, depth], dim=-1)


def depth_2d(
    rendered: Tensor,  # [H, W]
    depth: Tensor,  # [H, W]
    keep: Tensor,  # [H, W] bool, or how much a pixel counts
) -> Tensor:
    """Equation 13, averaged: mean absolute difference in metres over the pixels `keep` (depth known, on the person)."""
    return ((rendered - depth).abs() * keep).sum() / keep.sum().clamp(min=1)


def depth_3d(
    points: Tensor,  # [N, 3]
    visible: Tensor,  # [N] bool
    depth: Tensor,  # [H, W]
    K: Tensor,  # [3, 3]
    epsilon: float,
) -> Tensor:
    """Equation 14: half the mean of rho(d^2), rho(u) = sqrt(u + eps^2) - eps, so that far outliers count linearly.

    The argument of rho is the squared distance, as below the paper's sum, so that rho is the pseudo-Huber penalty.

    Args:
        points: centres of Gaussians, metres in the camera frame. [N, 3]
        visible: those that count. [N]
        depth: the map whose cloud they are compared with, metres, 0 where it has no point. [H, W]
        K: its intrinsics. [3, 3]
        epsilon: scale of the penalty, metres.
    """
    if has_kernels(points):
        return _by_kernels(points, visible, depth, K, epsilon)
    return by_operations(points, visible, depth, K, epsilon, fixed_size=points.device.type != "cpu")


def by_operations(
    points: Tensor, visible: Tensor, depth: Tensor, K: Tensor, epsilon: float, fixed_size: bool
) -> Tensor:
    """`depth_3d` by torch operations.

    `fixed_size` leaves the pixels without a point in the cloud, far away: to drop them, a GPU would have to be waited
    for.
    """
    known = depth > 0
    if fixed_size:
        cloud = torch.where(known[..., None], _points(depth, K), _FAR).flatten(0, 1)
    else:
        cloud = back_project(depth, K, known)
    if len(cloud) == 0:
        return 0 * points.sum()
    nearest = cloud[by_distances(points, cloud)]
    root = ((points - nearest).square().sum(-1) + epsilon**2).sqrt()
    counts = visible & known.any()
    return 0.5 * ((root - epsilon) * counts).sum() / counts.sum().clamp(min=1)


@torch.no_grad()
def in_sight(
    places: Tensor,  # [N, 2]
    depths: Tensor,  # [N]
    surface: Tensor,  # [H, W]
    within: float,
) -> Tensor:  # [N] bool
    """Which points lie in an image and less than `within` metres behind its surface.

    Args:
        places: of the points in the image, px.
        depths: of the points, metres along z.
        surface: depth of what is seen, metres.
        within: metres.
    """
    if has_kernels(surface):
        seen = np.empty(len(depths), np.bool_)
        inputs = (tensor.detach().numpy() for tensor in (places, depths, surface))
        depth_kernels.in_sight(*inputs, np.float32(within), seen)
        return torch.from_numpy(seen)
    height, width = surface.shape
    cell = places.floor().long()
    inside = (cell >= 0).all(-1) & (cell[:, 0] < width) & (cell[:, 1] < height)
    cell = cell * inside[:, None]
    return inside & (depths < surface[cell[:, 1], cell[:, 0]] + within)


def _by_kernels(points: Tensor, visible: Tensor, depth: Tensor, K: Tensor, epsilon: float) -> Tensor:
    arrays = [array_of(tensor) for tensor in (points, visible, depth, K)]
    chunks = -(-len(points) // CHUNK)
    sums, counts, gradient = np.empty(chunks), np.empty(chunks, np.int64), np.empty_like(arrays[0])
    outputs = np.float32(epsilon), sums, counts, gradient
    run_parallel(
        lambda *w: depth_kernels.depth_3d(*split(chunks, *w, 1), *arrays, *outputs), _MICROSECONDS * len(points)
    )
    count = max(1, counts.sum())
    return with_gradients(sums.sum() / count, (torch.from_numpy(gradient).div_(float(count)),), points)
