"""Which way a motion faces whose world is not the camera's: turned and moved as a whole to where the landmarks are.

The boxes of the masks tell where a person of a world stands, and hardly which way they face: left is as broad as right.
Paths that are put together from speeds drift; a drift at one speed is found with the rest, lest it turn the person.
"""

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

_HEADINGS = 12  # tried
_FRAMES = 40  # looked at
_ROBUST = 0.05  # body heights; errors beyond count less
_LEAST = 6  # landmarks that a frame must show


def turned_to_landmarks(
    points: np.ndarray,  # (T, L, 3) metres, z > 0: where the landmarks are on the body, by the camera found so far
    xy: np.ndarray,  # (T, L, 2) px: where they are seen
    trusted: np.ndarray,  # (T, L) in [0, 1], 0 where one is not
    tall: float,  # px, of the person
    K: np.ndarray,  # (3, 3)
) -> tuple[Rotation, np.ndarray, float] | None:
    """The turn of all frames alike, and then the moves, that bring the points onto the landmarks, from any heading.

    Returns:
        Turn; moves, of one speed (T, 3); the median error of a landmark in body heights. None where too few are seen.
    """
    usable = np.flatnonzero((trusted > 0.1).sum(axis=1) >= _LEAST)
    if len(usable) < 2:
        return None
    some = usable[np.unique(np.linspace(0, len(usable) - 1, _FRAMES).astype(int))]
    time = np.linspace(-0.5, 0.5, len(points))
    points, xy, weight = points[some], xy[some], trusted[some]
    middle = points.mean(axis=(0, 1))

    def off(values: np.ndarray, heading: Rotation) -> np.ndarray:
        turn = Rotation.from_rotvec(values[:3]) * heading
        moved = (middle + values[3:6] + time[some, None] * values[6:])[:, None]
        seen = ((points - middle) @ turn.as_matrix().T + moved) @ K.T
        pixels = seen[..., :2] / np.maximum(seen[..., 2:], 0.1 * middle[2])
        return weight[..., None] * (pixels - xy) / tall

    best = None
    for angle in np.arange(_HEADINGS) * 2 * np.pi / _HEADINGS:
        heading = Rotation.from_rotvec([0, angle, 0])  # the camera is about level
        found = least_squares(
            lambda values, heading=heading: off(values, heading).ravel(),
            np.zeros(9),
            loss="soft_l1",
            f_scale=_ROBUST,
            x_scale=[0.3, 0.3, 0.3, *([0.1 * middle[2]] * 6)],
            max_nfev=40,
        )
        if best is None or found.cost < best[0]:
            best = found.cost, found.x, heading
    _, values, heading = best
    turn = Rotation.from_rotvec(values[:3]) * heading
    error = np.linalg.norm(off(values, heading), axis=-1)[weight > 0]
    moves = middle - turn.apply(middle) + values[3:6] + time[:, None] * values[6:]
    return turn, moves, float(np.median(error))
