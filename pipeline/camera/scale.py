"""How large a camera's path is, from the person: a standing body of 1.7 m, and the floor where its feet are."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.camera.features import Tracks
from pipeline.camera.travelling import Solution

_TALL = 1.7  # metres
_UPRIGHT = 1.8  # height of the mask over its width, at least, of somebody who stands
_FRAMES = 60  # at most, evenly spread
_ROWS = 0.06  # of the person's height, up and down from the lowest row of the mask
_FEWEST = 12  # points beside feet, over all frames
_BEHIND = 1.5  # the background's distance over the person's, where no floor is seen: a guess
UNSURE = 0.15  # relative standard deviation of the scale


def metres(solution: Solution, tracks: Tracks, masks: Sequence[Path], K: np.ndarray) -> tuple[float, bool]:
    """Metres in one unit of a path, and whether the floor beside the feet tells it; else the background's distance.

    A point of the floor in the row of the feet is as far as the person, whose height in the picture tells how far.

    Args:
        solution: the path.
        tracks: what was seen.
        masks: files of the masks.
        K: (3, 3) px.
    """
    beside, behind = [], []
    for t in np.unique(np.linspace(0, len(masks) - 1, _FRAMES).round().astype(int)):
        mask = cv2.imread(str(masks[t]), cv2.IMREAD_GRAYSCALE) > 127
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        seen = tracks.rows(t)
        if not len(rows) or seen.start == seen.stop or rows[0] == 0 or rows[-1] == len(mask) - 1:
            continue
        tall = rows[-1] + 1 - rows[0]
        if tall < _UPRIGHT * np.ptp(columns):
            continue
        distance = solution.focal * K[1, 1] * _TALL / tall
        depths = _depths(solution, tracks, seen, t, K)
        near = np.abs(tracks.xy[seen][:, 1] - rows[-1] - 0.5) < _ROWS * tall
        beside += list(distance / depths[near & (depths > 0)])
        behind += list(_BEHIND * distance / depths[depths > 0])
    if len(beside) >= _FEWEST:
        return float(np.median(beside)), True
    return float(np.median(behind)) if behind else 1.0, False


def _depths(solution: Solution, tracks: Tracks, rows: slice, t: int, K: np.ndarray) -> np.ndarray:
    """z of a frame's points in its camera, in units of the path; NaN where it is not known."""
    point = tracks.point[rows]
    first, rho = tracks.first[point], solution.rho[point]
    K = K * [[solution.focal, 1, 1], [1, solution.focal, 1], [1, 1, 1]]
    xy = (tracks.first_xy[point] - K[:2, 2]) / K[[0, 1], [0, 1]]
    rays = np.column_stack([xy * (1 + solution.bend * (xy**2).sum(1, keepdims=True)), np.ones(len(point))])
    world = np.einsum("nij,nj->ni", solution.turns[first], rays) / rho[:, None] + solution.centres[first]
    return (world - solution.centres[t]) @ solution.turns[t][:, 2]
