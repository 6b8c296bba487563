"""Colours for the body's vertices out of an avatar's Gaussians."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from pipeline.avatar import Avatar

_SH_C0 = 0.28209479177387814  # the constant spherical harmonic, 1 / (2 sqrt(pi))
_NEIGHBOURS = 8
_REACH = 0.02  # metres: how fast a Gaussian's say in a vertex's colour falls with its distance


def vertex_colors(
    vertices: np.ndarray,  # (V, 3)
    avatar: Avatar,
) -> np.ndarray:  # (V, 3)
    """sRGB colours in [0, 1]: the nearest Gaussians' colours without their view dependence, near opaque ones first.

    Args:
        vertices: of the body in the rest pose with the avatar's betas, metres. (V, 3)
        avatar: kept in the rest pose too.
    """
    colors = np.clip(0.5 + _SH_C0 * avatar.sh[:, 0].double().numpy(), 0, 1)
    count = min(_NEIGHBOURS, len(colors))
    distance, index = cKDTree(avatar.means.numpy()).query(vertices, k=np.arange(1, count + 1))
    nearest = distance.min(1, keepdims=True)
    # Relative to the nearest one, so that a vertex far from all Gaussians has a colour too.
    say = avatar.opacities.double().numpy()[index] * np.exp(-(((distance - nearest) / _REACH) ** 2))
    return (say[..., None] * colors[index]).sum(1) / np.maximum(say.sum(1, keepdims=True), 1e-12)
