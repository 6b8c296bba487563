"""Feet put on the ground and kept where they stand, by a small shift of the root a frame."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from pipeline.camera import contact
from pipeline.camera.feet import Feet

# Errors expected, of each frame. A place that one camera tells is off along its line of sight, hardly across it.
_ALONG, _ACROSS = 0.1, 0.03  # metres
_HEIGHT = 0.01  # metres, of a part that stands
_SINKS = 0.005  # metres, of one that is under the ground
_SLIDES, _SEEN = 0.03, 0.7  # m/s along the ground, of a part that stands; and share of the speed it is seen to have
_UP_CHANGES = 1.0  # m/s^2 of the shift's height: with _HEIGHT, a low pass of 0.12 s
_CHANGES = 3.0  # m/s^2 of the shift along the ground
_ROUNDS = 4
_UP = np.array([0.0, 1.0, 0.0])


def settle(feet: Feet) -> tuple[np.ndarray, np.ndarray]:
    """The shift of the root that puts what stands on the ground y = 0 and holds it there.

    Who is seen too far from the camera is seen too high, and too near too low, where the camera looks down: most of a
    foot's height is an error of depth. Where nothing stands (a jump), the shift is interpolated; where nothing stands
    for long (a person who lies, or climbs), it is small.

    Args:
        feet: in a world with y up, the ground at 0.

    Returns:
        The shift (T, 3), metres, and how likely each part stands (T, 4).
    """
    heights, carried = feet.heights(_UP), contact.carried(feet)[:, None]
    # Of who lies or kneels something else than a foot is lowest.
    lowest = np.minimum(heights.min(axis=1), feet.joints[..., 1].min(axis=1))
    stands = carried * contact.slow(feet) * contact.low(heights - lowest[:, None]) * contact.near(heights)
    shift = np.zeros((len(heights), 3))
    for _ in range(_ROUNDS):
        shift = _solved(feet, heights, lowest, stands, shift)
        moved = feet.shifted(shift)
        stands = carried * contact.slow(moved) * contact.low(heights + shift[:, 1:2]) * contact.near(heights)
    return shift, stands


def _solved(feet: Feet, heights: np.ndarray, lowest: np.ndarray, stands: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Least squares, a sparse system in the 3 T unknowns."""
    count, fps = len(heights), feet.fps
    identity = sparse.identity(count, format="csr")
    rows, values = [], []

    def add(matrix: sparse.spmatrix, wanted: np.ndarray, weight: np.ndarray) -> None:
        rows.append(sparse.diags(weight) @ matrix)
        values.append(weight * wanted)

    def axis(matrix: sparse.spmatrix, which: int) -> sparse.spmatrix:
        return sparse.kron(matrix, sparse.csr_matrix(np.eye(3)[which]))

    for part in range(heights.shape[1]):
        add(axis(identity, 1), -heights[:, part], np.sqrt(stands[:, part]) / _HEIGHT)
    # Who is far under the plane is on something else, or this is not the ground.
    add(axis(identity, 1), -lowest, ((lowest + before[:, 1] < 0) & (contact.near(lowest) > 0.5)) / _SINKS)

    rays = feet.rays().mean(axis=1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    held = sparse.block_diag(list(across / _ACROSS + rays[:, :, None] * rays[:, None, :] / _ALONG), format="csr")
    add(held, np.zeros(3 * count), np.ones(3 * count))

    if count > 1:
        steps = sparse.diags([-1.0, 1.0], [0, 1], (count - 1, count))
        both = np.sqrt(stands[1:] * stands[:-1])
        speed = np.diff(feet.middles, axis=0) * fps
        # The picture tells the speed across the line of sight: a part that is seen to move is not held.
        seen = contact.speeds(feet, share=0.0)
        slides = np.hypot(_SLIDES, _SEEN * np.maximum(seen[1:], seen[:-1]))
        for part in range(heights.shape[1]):
            for which in (0, 2):
                add(axis(steps * fps, which), -speed[:, part, which], np.sqrt(both[:, part]) / slides[:, part])
    if count > 2:
        bends = sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], (count - 2, count)) * fps**2
        for which, error in ((0, _CHANGES), (1, _UP_CHANGES), (2, _CHANGES)):
            add(axis(bends, which), np.zeros(count - 2), np.full(count - 2, 1 / error))
    matrix, target = sparse.vstack(rows, format="csr"), np.concatenate(values)
    return spsolve((matrix.T @ matrix).tocsc(), matrix.T @ target).reshape(count, 3)
