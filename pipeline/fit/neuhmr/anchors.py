"""Which frames make the avatar: many orientations, then the least loss (NeuHMR, section 3.3.1)."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

_FEWEST = 4  # anchor frames of a short clip: a side of the person each


def facing(
    global_orient: np.ndarray,  # (T, 3)
) -> np.ndarray:  # (T, 3)
    """The global orientation on the unit sphere: the direction that the person's front has in the camera frame."""
    return Rotation.from_rotvec(global_orient).apply([0.0, 0.0, 1.0])


def farthest_points(
    points: np.ndarray,  # (T, D)
    count: int,
) -> np.ndarray:  # (count,)
    """Indices of points that are spread as widely as greedy choice gets them: each next is farthest from all before.

    The first is the one farthest from the mean, so that the choice depends on nothing random.
    """
    first = int(np.linalg.norm(points - points.mean(0), axis=1).argmax())
    chosen = [first]
    distance = np.linalg.norm(points - points[first], axis=1)
    while len(chosen) < min(count, len(points)):
        distance[chosen[-1]] = -1.0  # equal points are chosen once each, too
        chosen.append(int(distance.argmax()))
        distance = np.where(
            distance < 0, -1.0, np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        )
    return np.array(chosen)


def count_anchors(frames: int, share: float, factor: float) -> tuple[int, int]:
    """How many anchor frames a clip gets, and how many candidates for them (N and N hat)."""
    anchors = min(frames, max(_FEWEST, round(share * frames)))
    return anchors, min(frames, round(factor * anchors))
