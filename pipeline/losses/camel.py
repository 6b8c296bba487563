"""The Cloth-Aware Mesh-Embedded Loss (equations 6 to 11): four terms that keep Gaussians by the body's surface.

The terms take the nearest neighbours as indices: they change slowly, and the caller searches anew every few steps
(`nearest`). All distances are in metres in canonical space.
"""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor


def nearest(
    points: Tensor,  # [P, 3]
    targets: Tensor,  # [Q, 3]
    count: int = 1,
) -> Tensor:  # [P] or [P, count]
    """Index of the nearest target of each point, int64; of the `count` nearest in order where more are asked for."""
    index = cKDTree(targets.detach().cpu().numpy()).query(points.detach().cpu().numpy(), k=count)[1]
    return torch.as_tensor(index, dtype=torch.int64, device=points.device)


def point_to_mesh(
    means: Tensor,  # [N, 3]
    surface: Tensor,  # [S, 3]
    normals: Tensor,  # [S, 3]
    nearest_surface: Tensor,  # [N]
    margin: float,
) -> Tensor:
    """Equations 6 and 7: mean distance beyond the cloth margin, along the normal of the nearest surface point.

    Args:
        means: centres of the Gaussians. [N, 3]
        surface, normals: points of the body's surface and unit normals there. [S, 3]
        nearest_surface: for each Gaussian the index of its nearest surface point. [N]
        margin: cloth margin delta, metres.
    """
    distance = ((means - surface[nearest_surface]) * normals[nearest_surface]).sum(-1)
    return (distance.abs() - margin).clamp(min=0).mean()


def coverage(
    means: Tensor,  # [N, 3]
    surface: Tensor,  # [S, 3]
    nearest_mean: Tensor,  # [S]
    margin: float,
) -> Tensor:
    """Equation 8: mean distance beyond the margin from a surface point to its nearest Gaussian.

    `nearest_mean` holds for each surface point the index of its nearest Gaussian. [S]
    """
    distance = torch.linalg.vector_norm(surface - means[nearest_mean], dim=-1)
    return (distance - margin).clamp(min=0).mean()


def flatness(
    log_scales: Tensor,  # [N, 3]
    ratio: float,
) -> Tensor:
    """Equation 9, averaged over Gaussians: both broad axes should exceed the thinnest by `ratio` (tau)."""
    sorted_scales = log_scales.sort(dim=-1).values
    excess = sorted_scales[:, 1:] - sorted_scales[:, :1]
    target = torch.log(log_scales.new_tensor(ratio))
    return (excess - target).abs().sum(-1).mean()


def surface_alignment(
    rotations: Tensor,  # [N, 3, 3]
    log_scales: Tensor,  # [N, 3]
    normals: Tensor,  # [N, 3]
) -> Tensor:
    """Equation 10: mean of one minus |cosine| between each Gaussian's thinnest axis and the normal.

    Args:
        rotations: orientations; their columns are the axes of `log_scales`. [N, 3, 3]
        normals: unit normal of each Gaussian's nearest surface point. [N, 3]
    """
    thinnest = log_scales.argmin(dim=-1)
    axes = rotations.gather(-1, thinnest[:, None, None].expand(-1, 3, 1)).squeeze(-1)
    return (1 - (axes * normals).sum(-1).abs()).mean()
