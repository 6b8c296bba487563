"""The statistics of many bodies: ten shape directions, and a joint regressor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.body.model import BETAS


@dataclass(frozen=True)
class ShapeSpace:
    """Bodies as `mean + directions @ betas`, each beta of unit variance over the bodies."""

    mean: np.ndarray  # (V, 3)
    directions: np.ndarray  # (V, 3, 10)
    betas: np.ndarray  # (S, 10) of the bodies it was made from
    explained: np.ndarray  # (10,) share of the variance of each direction

    def follow(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (N, 3) and directions (N, 3, 10) of other points of the same bodies (S, N, 3), by least squares."""
        mean = points.mean(0)
        solution = np.linalg.lstsq(self.betas, (points - mean).reshape(len(points), -1), rcond=None)[0]
        return mean, solution.reshape(BETAS, -1, 3).transpose(1, 2, 0)


def principal_shapes(vertices: np.ndarray, faces: np.ndarray) -> ShapeSpace:
    """Principal components of bodies (S, V, 3). Signs: the first beta grows the body, the others add volume."""
    mean = vertices.mean(0)
    centred = (vertices - mean).reshape(len(vertices), -1)
    left, singular, right = np.linalg.svd(centred, full_matrices=False)
    deviations = singular[:BETAS] / np.sqrt(len(vertices) - 1)
    directions = (right[:BETAS] * deviations[:, None]).reshape(BETAS, -1, 3)
    betas = left[:, :BETAS] * np.sqrt(len(vertices) - 1)
    for k, direction in enumerate(directions):
        gain = np.ptp(direction[:, 1] + mean[:, 1]) - np.ptp(mean[:, 1]) if k == 0 else None
        if gain is None:
            gain = volume(mean + direction, faces) - volume(mean - direction, faces)
        if gain < 0:
            directions[k] *= -1
            betas[:, k] *= -1
    return ShapeSpace(mean, directions.transpose(1, 2, 0), betas, (singular**2 / (singular**2).sum())[:BETAS])


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume in cubic metres inside a closed mesh."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)


def joint_regressor(
    vertices: np.ndarray, joints: np.ndarray, nearest: int = 220, around: float = 2.2, ridge: float = 1e-5
) -> np.ndarray:
    """Weights (J, V) by which rest joints are sums of rest vertices, each row summing to 1.

    Args:
        vertices: bodies (S, V, 3).
        joints: their joints (S, J, 3).
        nearest: vertices closest to the joint that may take part.
        around: so may those within this many times the distance of the closest one, which surround the joint.
        ridge: penalty on the squares of the weights, relative to metres squared; keeps them small and spread out.
    """
    template = vertices.mean(0)
    regressor = np.zeros((joints.shape[1], len(template)))
    for row, samples in zip(regressor, joints.transpose(1, 0, 2)):
        distance = np.linalg.norm(template - samples.mean(0), axis=1)
        near = distance <= max(np.partition(distance, nearest)[nearest], around * distance.min())
        # Joint minus the plain mean of the candidates is regressed on the candidates' offsets from that mean, by
        # weights that sum to 0; so the row sums to 1.
        chosen = vertices[:, near].transpose(0, 2, 1).reshape(-1, near.sum())
        middle = chosen.mean(1, keepdims=True)
        offsets = chosen - middle
        target = samples.reshape(-1) - middle[:, 0]
        gram = offsets @ offsets.T + ridge * len(target) * np.eye(len(target))
        row[near] = offsets.T @ np.linalg.solve(gram, target) + 1 / near.sum()
    return regressor
