"""Evenly spaced points on a mesh, where Gaussians start and where the surface is measured."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from pipeline.runtime.threads import get_threads

_CANDIDATES_PER_POINT = 12
_RELAXATIONS = 8


def seed_surface(
    vertices: np.ndarray,  # (V, 3)
    faces: np.ndarray,  # (F, 3)
    count: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:  # (count,), (count, 3)
    """Choose `count` points of a mesh, spread evenly over its area whatever its triangles are.

    Seven tenths of the free body's vertices lie in head, hands and feet, so that one Gaussian a vertex, as in the
    paper, would leave the torso coarse. Candidates are drawn by area; Lloyd's relaxation among them evens the spacing.

    Args:
        vertices: metres. (V, 3)
        faces: vertex indices. (F, 3)
        count: how many points.
        seed: of the random numbers.

    Returns:
        The face of each point, int64, and its barycentric coordinates in it, float32.
    """
    rng = np.random.default_rng(seed)
    corners = vertices[faces].astype(np.float64)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    candidates = count * _CANDIDATES_PER_POINT
    face = rng.choice(len(faces), candidates, p=areas / areas.sum())
    root, split = np.sqrt(rng.random(candidates)), rng.random(candidates)
    barycentric = np.stack([1 - root, root * (1 - split), root * split], axis=1)
    points = np.einsum("nc,ncd->nd", barycentric, corners[face])

    tree = cKDTree(points)
    chosen = rng.choice(candidates, count, replace=False)
    for _ in range(_RELAXATIONS):
        owner = cKDTree(points[chosen]).query(points, workers=get_threads())[1]
        sums = np.stack([np.bincount(owner, points[:, axis], count) for axis in range(3)], axis=1)
        owned = np.bincount(owner, minlength=count)
        centres = sums / np.maximum(owned, 1)[:, None]
        # Two centres can end at one candidate; one of them then owns nothing, and starts anew elsewhere.
        centres[owned == 0] = points[rng.choice(candidates, int((owned == 0).sum()))]
        chosen = tree.query(centres, workers=get_threads())[1]
    return face[chosen].astype(np.int64), barycentric[chosen].astype(np.float32)
