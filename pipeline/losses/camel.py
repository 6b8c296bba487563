"""The Cloth-Aware Mesh-Embedded Loss (equations 6 to 11): four terms that keep Gaussians by the body's surface.

A fifth, ours, holds their tips down. No camera before which a person does not turn sees how far a Gaussian at the
outline reaches along the line of sight; from the side such Gaussians stick out of a limb like hairs.

The terms take the nearest neighbours as indices: they change slowly, and the caller searches anew every few steps
(`pipeline.losses.search`). All distances are in metres in canonical space.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.geometry.rotations import quaternion_to_matrix
from pipeline.losses import embedding_kernels
from pipeline.losses.embedding_kernels import CHUNK, TERMS, TIPS_AT
from pipeline.losses.known import with_gradients
from pipeline.runtime.jit import array_of, has_kernels
from pipeline.runtime.threads import run_parallel, split

_MICROSECONDS = 0.1  # a Gaussian
f4 = np.float32


class Surface(NamedTuple):
    """Points of the body in canonical space, and what is nearest to what."""

    points: Tensor  # [S, 3] metres
    normals: Tensor  # [S, 3] unit
    nearest_surface: Tensor  # [N] for each Gaussian its nearest point, int64
    nearest_mean: Tensor  # [S] for each point its nearest Gaussian, int64
    nearest_to_tips: Tensor  # [N, 6] for each tip (see `tips`) its nearest point, int64; [0, 6]: tips are left out


class Factors(NamedTuple):
    """Weights of the terms, and what they are measured by."""

    point_to_mesh: float
    coverage: float
    flatness: float
    surface: float
    tips: float
    margin: float  # of cloth (delta), metres
    ratio: float  # of breadth to thickness (tau)
    tip_margin: float  # metres


def camel(
    means: Tensor,  # [N, 3]
    quats: Tensor,  # [N, 4]
    log_scales: Tensor,  # [N, 3]
    surface: Surface,
    factors: Factors,
) -> Tensor:
    """Equation 11 and the tips: the weighted sum of the five terms.

    Args:
        means: centres in canonical space, metres. [N, 3]
        quats: orientations there, wxyz, of any length. [N, 4]
        log_scales: logarithms of the standard deviations along the axes. [N, 3]
    """
    if has_kernels(means):
        return _by_kernels(means, quats, log_scales, surface, factors)
    points, normals, near, nearest_mean, near_tips = surface
    rotations = quaternion_to_matrix(quats)
    loss = (
        factors.point_to_mesh * point_to_mesh(means, points, normals, near, factors.margin)
        + factors.coverage * coverage(means, points, nearest_mean, factors.margin)
        + factors.flatness * flatness(log_scales, factors.ratio)
        + factors.surface * surface_alignment(rotations, log_scales, normals[near])
    )
    if len(near_tips) == 0:
        return loss
    ends = tips(means, rotations, log_scales)
    return loss + factors.tips * protrusion(means, ends, points, normals, near, near_tips, factors.tip_margin)


def _by_kernels(means: Tensor, quats: Tensor, log_scales: Tensor, surface: Surface, factors: Factors) -> Tensor:
    arrays = [array_of(tensor) for tensor in (means, quats, log_scales)]
    points, normals, near, nearest_mean, near_tips = (array_of(tensor) for tensor in surface)
    gradients = [np.empty_like(array) for array in arrays]
    chunks = -(-len(means) // CHUNK)
    measures = f4(factors.margin), f4(np.log(factors.ratio)), f4(factors.tip_margin)
    sums = np.empty((chunks, TERMS))
    per_term = np.array([factors.point_to_mesh, factors.flatness, factors.surface, factors.tips]) / len(means)
    inputs = *arrays, points, normals, near, near_tips, *measures, per_term.astype(f4)
    outputs = sums, *gradients
    run_parallel(
        lambda *w: embedding_kernels.camel_terms(*split(chunks, *w, 1), *inputs, *outputs), _MICROSECONDS * len(means)
    )
    bare = factors.coverage / len(points)
    uncovered = embedding_kernels.coverage(arrays[0], points, nearest_mean, measures[0], f4(bare), gradients[0])
    value = float(sums.sum(0) @ per_term + bare * uncovered)
    return with_gradients(value, tuple(map(torch.from_numpy, gradients)), means, quats, log_scales)


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
    return (excess - math.log(ratio)).abs().sum(-1).mean()


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


def tips(
    means: Tensor,  # [N, 3]
    rotations: Tensor,  # [N, 3, 3]
    log_scales: Tensor,  # [N, 3]
) -> Tensor:  # [N, 6, 3]
    """Where each axis of a Gaussian ends, two standard deviations from its centre: first axis ahead, first back, ...

    Args:
        rotations: orientations; their columns are the axes of `log_scales`. [N, 3, 3]
    """
    reach = float(TIPS_AT) * (rotations * log_scales.exp()[:, None]).transpose(1, 2)  # [N, 3, 3], rows are axes
    return (means[:, None, None] + torch.stack([reach, -reach], dim=2)).flatten(1, 2)


def protrusion(
    means: Tensor,  # [N, 3]
    ends: Tensor,  # [N, 6, 3]
    surface: Tensor,  # [S, 3]
    normals: Tensor,  # [S, 3]
    nearest_surface: Tensor,  # [N]
    nearest_to_tips: Tensor,  # [N, 6]
    margin: float,
) -> Tensor:
    """How much farther than the margin tips stand off the surface than their Gaussian's centre does, or than the
    surface where the centre is under it: the mean over Gaussians of the sum over tips, metres.

    Args:
        means: centres of the Gaussians. [N, 3]
        ends: their tips. [N, 6, 3]
        surface, normals: points of the body's surface and unit normals there. [S, 3]
        nearest_surface, nearest_to_tips: index of the nearest surface point of each centre and of each tip.
        margin: metres.
    """
    own = ((means - surface[nearest_surface]) * normals[nearest_surface]).sum(-1)
    height = ((ends - surface[nearest_to_tips]) * normals[nearest_to_tips]).sum(-1)
    return (height - own.clamp(min=0)[:, None] - margin).clamp(min=0).sum(-1).mean()
