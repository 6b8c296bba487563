"""When a heel or the toes of a foot stand: a point that is slow in the world, and low."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit

from pipeline.camera.feet import Feet

_SECONDS = (
    0.06  # standard deviation of the time over which a speed is measured: at the top of a jump a foot is not slow
)
_SPEED, _SPEED_SPREAD = 0.45, 0.08  # m/s: half as likely to stand, and how fast that changes
_HEIGHT, _HEIGHT_SPREAD = 0.05, 0.012  # metres above the ground, the same
_FAR = 0.25  # metres from the ground beyond which a foot is on something else
# m/s^2 by which the centre of mass speeds up downwards: half as likely that something carries it, and how fast that
# changes. It is 9.81 in a jump, and up to 6 in the studio's walks and where its jumpers drop into a crouch.
_FALLS, _FALLS_SPREAD = 7.0, 0.5
_FALLS_SECONDS = 0.05  # standard deviation of the time over which that is a mean
# How far what stands may move: e times as far for each more of the speed at which it is seen to move.
_HELD, _MOVES = 0.002, 0.03  # m/s
_TREMBLE = 0.15  # seconds, standard deviation of the time over which that speed is a mean: less is error
# One camera tells speeds across the line of sight; half of what is seen along it is an error of depth.
_ALONG = 0.5


def slow(feet: Feet) -> np.ndarray:
    """How likely each of the parts is at rest, (T, 4), of feet in a world that does not move."""
    return expit((_SPEED - speeds(feet, _ALONG)) / _SPEED_SPREAD)


def speeds(feet: Feet, share: float) -> np.ndarray:
    """(T, 4) m/s, root mean square over a short time; of the speed along the line of sight only a share is counted."""
    points = feet.middles
    if len(points) < 2:
        return np.zeros(points.shape[:2])
    width = _SECONDS * feet.fps
    velocity = np.gradient(gaussian_filter1d(points, 0.5 * width, axis=0, mode="nearest"), axis=0) * feet.fps
    along = (velocity * feet.rays()).sum(2)
    squared = (velocity**2).sum(2) - (1 - share**2) * along**2
    return np.sqrt(np.maximum(gaussian_filter1d(squared, width, axis=0, mode="nearest"), 0))


def carried(feet: Feet) -> np.ndarray:
    """How likely something carries the body, (T,), of feet in a world with y up: in a jump it falls freely."""
    heights = feet.centres[:, 1]
    if len(heights) < 3:
        return np.ones(len(heights))
    speeding_up = np.pad(np.diff(heights, 2), 1, mode="edge") * feet.fps**2
    mean = gaussian_filter1d(speeding_up, _FALLS_SECONDS * feet.fps, mode="nearest")
    return expit((mean + _FALLS) / _FALLS_SPREAD)


def slides(feet: Feet, stands: np.ndarray) -> np.ndarray:
    """(T, 4) m/s that parts may move while they stand (T, 4): the more, the more they are seen to move, not tremble.

    What is seen is the speed across the line of sight. Along it one camera sees no motion that slow.
    """
    speeds, rays = np.zeros(stands.shape), feet.rays()
    for part in range(stands.shape[1]):
        for first, last in np.flatnonzero(np.diff(np.pad(stands[:, part].astype(int), 1))).reshape(-1, 2):
            if last - first < 2:
                continue
            places = gaussian_filter1d(feet.middles[first:last, part], _TREMBLE * feet.fps, axis=0, mode="nearest")
            velocity = np.gradient(places, axis=0) * feet.fps
            ray = rays[first:last, part]
            velocity -= (velocity * ray).sum(1, keepdims=True) * ray
            speeds[first:last, part] = np.linalg.norm(velocity, axis=1)
    return _HELD * np.exp(np.minimum(speeds, 1.0) / _MOVES)


def low(heights: np.ndarray) -> np.ndarray:
    """How likely points at these heights, metres, are on what carries them."""
    return expit((_HEIGHT - heights) / _HEIGHT_SPREAD)


def near(heights: np.ndarray) -> np.ndarray:
    """How likely what is at these heights, metres, is on the ground but for errors, and not on something else."""
    return expit((_FAR - np.abs(heights)) / _HEIGHT_SPREAD)
