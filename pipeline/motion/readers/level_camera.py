"""Where a still camera stood, found from a motion in a world and the boxes of the person in the video."""

import numpy as np
from scipy.optimize import least_squares

_STARTS = 12  # headings tried
_ROBUST = 0.05  # box heights; errors beyond count less


def find_level_camera(
    points: np.ndarray,  # (F, P, 3) metres: points all over the body's surface in each frame, in the world
    boxes: np.ndarray,  # (F, 4) xyxy px of the person
    K: np.ndarray,  # (3, 3) px
    up: np.ndarray,  # (3,) unit up axis of the world
) -> tuple[np.ndarray, float]:
    """The camera whose image of the points fills the boxes best: world_from_camera (4, 4), and how well.

    The camera stands still and does not roll; heading, tilt and place are found by least squares on the sides of the
    boxes (robust, scipy), from several headings. Boxes tell facing and facing away apart only by how the person
    moves, so the pose wants a look.

    Returns:
        The camera, and the median error of a side in box heights.
    """
    axes = _level_axes(up)
    tall = boxes[:, 3] - boxes[:, 1]
    middle = points.mean(axis=(0, 1))
    scale = np.sqrt(abs(K[0, 0] * K[1, 1]))
    height = np.ptp(points @ up, axis=1).mean()
    distance = scale * height / tall.mean()
    center = np.append((boxes[:, :2] + boxes[:, 2:]).mean(axis=0) / 2, 1.0)

    def rotation(heading: float, tilt: float) -> np.ndarray:
        c, s, ct, st = np.cos(heading), np.sin(heading), np.cos(tilt), np.sin(tilt)
        about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        about_x = np.array([[1, 0, 0], [0, ct, -st], [0, st, ct]])
        return about_x @ about_y @ axes

    def seen(values: np.ndarray) -> np.ndarray:
        camera = (points - middle) @ rotation(values[0], values[1]).T + values[2:]
        camera[..., 2] = np.maximum(camera[..., 2], 0.1 * distance)  # a step of the solver may go too near
        pixels = camera @ K.T
        pixels = pixels[..., :2] / pixels[..., 2:]
        return np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)

    def residual(values: np.ndarray) -> np.ndarray:
        return ((seen(values) - boxes) / tall[:, None]).ravel()

    start = distance * np.linalg.solve(K, center)
    best = min(
        (
            least_squares(
                residual,
                [heading, 0.0, *start],
                loss="soft_l1",
                f_scale=_ROBUST,
                x_scale=[0.3, 0.1, *([0.1 * distance] * 3)],
                max_nfev=60,
            )
            for heading in np.arange(_STARTS) * 2 * np.pi / _STARTS
        ),
        key=lambda found: found.cost,
    ).x
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = rotation(best[0], best[1]).T
    world_from_camera[:3, 3] = middle - world_from_camera[:3, :3] @ best[2:]
    return world_from_camera, float(np.median(np.abs(residual(best))))


def _level_axes(up: np.ndarray) -> np.ndarray:
    """Rows: a level camera's right, down and forward in the world, of any heading."""
    forward = np.roll(up, 1)
    return np.stack([np.cross(-up, forward), -up, forward])
