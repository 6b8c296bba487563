"""Rotation matrices of other tools as axis-angle."""

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.runtime.errors import UserError


def to_axis_angle(where: str, rotmats: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (..., 3). Raises a UserError naming `where` when a matrix is no rotation."""
    off = np.abs(rotmats @ np.swapaxes(rotmats, -1, -2) - np.eye(3)).max(initial=0)
    if off > 0.05 or (np.linalg.det(rotmats) < 0).any():
        raise UserError(f"{where}: expected rotation matrices, found some that are none; use the file as written")
    return Rotation.from_matrix(rotmats.reshape(-1, 3, 3)).as_rotvec().reshape(rotmats.shape[:-1])
