"""Colours for the body's vertices out of an avatar's Gaussians."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from pipeline.avatar import Avatar

_SH_C0 = 0.28209479177387814  # the constant spherical harmonic, 1 / (2 sqrt(pi))
_NEIGHBOURS = 8
_REACH = 0.02  # metres: how fast a Gaussian's say in a vertex's colour falls with its distance
_CANDIDATES = 64  # Gaussians near a vertex that a look at it may meet
_OUTSIDE = 0.01  # metres from the vertex along its normal, about where clothes are: candidates are nearest to it
_DEPTHS = (-0.04, 0.12)  # metres along the normal within which Gaussians are this surface, not another one
_THIN = 0.0012  # metres: flat Gaussians are taken to be at least so thick (standard deviation)
_COVERED = 0.3  # opacity met, below which the nearest Gaussians are asked instead


def surface_colors(
    vertices: np.ndarray,  # (V, 3)
    normals: np.ndarray,  # (V, 3)
    avatar: Avatar,
) -> np.ndarray:  # (V, 3)
    """sRGB colours in [0, 1]: what is seen of the Gaussians on the way in to a vertex, against its normal.

    View dependence is left out. Where the look meets next to nothing the nearest Gaussians give the colour.

    Args:
        vertices: of the body in the rest pose with the avatar's betas, metres. (V, 3)
        normals: unit, outwards. (V, 3)
        avatar: kept in the rest pose too.
    """
    means, scales = avatar.means.double().numpy(), np.hypot(avatar.scales.double().numpy(), _THIN)
    axes = Rotation.from_quat(avatar.quats.numpy()[:, [1, 2, 3, 0]]).as_matrix() / scales[:, None, :]  # whitening
    count = min(_CANDIDATES, len(means))
    _, near = cKDTree(means).query(vertices + _OUTSIDE * normals, k=np.arange(1, count + 1))
    # In each Gaussian's own units the line v + t n is nearest to its centre at t = (x . n) / (n . n).
    offset = np.einsum("vki,vkij->vkj", means[near] - vertices[:, None], axes[near])
    along = np.einsum("vi,vkij->vkj", normals, axes[near])
    depth = (offset * along).sum(-1) / (along * along).sum(-1)
    missed = ((offset - depth[..., None] * along) ** 2).sum(-1)
    alpha = np.minimum(0.999, avatar.opacities.double().numpy()[near] * np.exp(-missed / 2))
    alpha = np.where((depth > _DEPTHS[0]) & (depth < _DEPTHS[1]), alpha, 0)
    order = np.argsort(-depth, axis=1)
    alpha, near = np.take_along_axis(alpha, order, 1), np.take_along_axis(near, order, 1)
    left = np.cumprod(np.concatenate([np.ones((len(vertices), 1)), 1 - alpha[:, :-1]], axis=1), axis=1)
    say = (alpha * left)[..., None]
    met = say.sum(1)
    seen = (say * constant_colors(avatar.sh.numpy())[near]).sum(1) / np.maximum(met, 1e-12)
    return np.where(met > _COVERED, seen, vertex_colors(vertices, avatar))


def vertex_colors(
    vertices: np.ndarray,  # (V, 3)
    avatar: Avatar,
) -> np.ndarray:  # (V, 3)
    """sRGB colours in [0, 1]: the mean of the nearest Gaussians, near opaque ones first; arguments as above."""
    colors = constant_colors(avatar.sh.numpy())
    count = min(_NEIGHBOURS, len(colors))
    distance, index = cKDTree(avatar.means.numpy()).query(vertices, k=np.arange(1, count + 1))
    nearest = distance.min(1, keepdims=True)
    # Relative to the nearest one, so that a vertex far from all Gaussians has a colour too.
    say = avatar.opacities.double().numpy()[index] * np.exp(-(((distance - nearest) / _REACH) ** 2))
    return (say[..., None] * colors[index]).sum(1) / np.maximum(say.sum(1, keepdims=True), 1e-12)


def constant_colors(
    sh: np.ndarray,  # (N, K, 3)
) -> np.ndarray:  # (N, 3)
    """sRGB colours in [0, 1] of spherical harmonics without their view dependence."""
    return np.clip(0.5 + _SH_C0 * sh[:, 0].astype(float), 0, 1)
