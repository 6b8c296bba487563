"""Frames without a pose filled from their neighbours."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp


def fill_rotations(
    rotvecs: np.ndarray,  # (B, J, 3) axis-angle
    known: np.ndarray,  # (B,) int, rising
    frames: int,
) -> np.ndarray:  # (frames, J, 3)
    """Rotations of all frames from those at the `known` ones: spherical interpolation, constant beyond the ends."""
    times = np.clip(np.arange(frames), known[0], known[-1])
    filled = np.empty((frames, *rotvecs.shape[1:]))
    for joint in range(rotvecs.shape[1]):
        if len(known) == 1:
            filled[:, joint] = rotvecs[0, joint]
        else:
            filled[:, joint] = Slerp(known, Rotation.from_rotvec(rotvecs[:, joint]))(times).as_rotvec()
    filled[known] = rotvecs
    return filled


def fill_values(
    values: np.ndarray,  # (B, D)
    known: np.ndarray,  # (B,) int, rising
    frames: int,
) -> np.ndarray:  # (frames, D)
    """Values of all frames by linear interpolation, constant beyond the ends."""
    return np.stack([np.interp(np.arange(frames), known, column) for column in values.T], axis=-1)
