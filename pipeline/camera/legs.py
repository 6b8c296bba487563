"""Legs as two bones: hip and knee turned so that the ankle comes to its target."""

from __future__ import annotations

import numpy as np

from pipeline.body import JOINT_NAMES

CHAINS = [
    [JOINT_NAMES.index(f"{side}_{name}") for name in ("hip", "knee", "ankle", "foot")] for side in ("left", "right")
]
REACH = 0.998  # of the leg's length: a straight knee has no bend to turn
_EASE = 0.05  # of the thigh's own axis, in that of the knee's bend: a straight leg has none


def bone_lengths(joints: np.ndarray) -> np.ndarray:
    """(T, 2) of thigh and shank, of hip, knee and ankle (T, 3, 3)."""
    return np.linalg.norm(np.diff(joints, axis=1), axis=2)


def bent(joints: np.ndarray, turns: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turns of thigh and shank in the world, (T, 3, 3) each, that bring the ankle to its target, or towards it.

    The knee keeps its plane. Where the leg is too short, it is as straight as it was, or nearly so.

    Args:
        joints: hip, knee and ankle. (T, 3, 3)
        turns: of hip and knee. (T, 2, 3, 3)
        target: metres. (T, 3)
    """
    hip, knee, ankle = joints.transpose(1, 0, 2)
    thigh, shank = bone_lengths(joints).T
    axis = np.cross(knee - hip, ankle - hip) / (thigh * shank)[:, None] + _EASE * turns[:, 0, :, 0]
    way = target - hip
    longest = np.maximum(REACH * (thigh + shank), np.linalg.norm(ankle - hip, axis=1))
    far = np.clip(np.linalg.norm(way, axis=1), np.abs(thigh - shank) + 1e-4, longest)
    way = way / np.linalg.norm(way, axis=1, keepdims=True)
    cosine = np.clip((thigh**2 + far**2 - shank**2) / (2 * thigh * far), -1, 1)[:, None]
    across = _frames(way, axis)[:, :, 1]
    middle = hip + thigh[:, None] * (cosine * way + np.sqrt(1 - cosine**2) * np.cross(way, across))
    there = hip + far[:, None] * way
    new_thigh = _frames(middle - hip, across) @ _frames(knee - hip, axis).transpose(0, 2, 1) @ turns[:, 0]
    new_shank = _frames(there - middle, across) @ _frames(ankle - knee, axis).transpose(0, 2, 1) @ turns[:, 1]
    return new_thigh, new_shank


def _frames(along: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """(T, 3, 3) orthonormal columns: along, the axis made square to it, and their product."""
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    axis = axis - (axis * along).sum(1, keepdims=True) * along
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    return np.stack([along, axis, np.cross(along, axis)], axis=2)
