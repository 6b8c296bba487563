"""Pitch and roll of a camera. Pitch is positive where it looks down, roll where its picture is turned clockwise."""

import numpy as np


def up_of(pitch: float, roll: float) -> np.ndarray:
    """Up in the axes of a camera (OpenCV) with this pitch and roll, degrees. (3,)"""
    p, r = np.radians([pitch, roll])
    return np.array([np.sin(r) * np.cos(p), -np.cos(r) * np.cos(p), -np.sin(p)])


def tilt_of(up: np.ndarray) -> np.ndarray:
    """Pitch and roll (2,), degrees, of a camera in whose axes `up` (3,) is up."""
    return np.degrees([np.arcsin(np.clip(-up[2], -1, 1)), np.arctan2(up[0], -up[1])])
