"""Where a person stands whose pose is told in the camera's axes, but not the place: by the boxes of the masks."""

import numpy as np
from scipy.ndimage import median_filter

_ROUNDS = 15
_MEDIAN = 9  # frames: arms that a box just misses must not move the person


def place_by_boxes(
    points: np.ndarray,  # (M, P, 3) metres: all over the body's surface, the root at 0
    boxes: np.ndarray,  # (M, 4) xyxy px, NaN where not known
    K: np.ndarray,  # (3, 3) px
    size: tuple[int, int],  # px of the image; a box that touches its border tells too little
) -> np.ndarray:  # (M, 3)
    """The root's place in each frame, so that the image of the points fills the box.

    The longer side of the box tells the distance. Frames with no box, or with one at the border, get the place of their
    neighbours.

    Raises:
        ValueError: no box is of use.
    """
    inside = (boxes[:, :2] > 1).all(axis=1) & (boxes[:, 2:] < np.array(size) - 1).all(axis=1)
    usable = np.flatnonzero(inside) if inside.any() else np.flatnonzero(np.isfinite(boxes).all(axis=1))
    if not len(usable):
        raise ValueError("no box")
    focal, wanted = np.sqrt(abs(K[0, 0] * K[1, 1])), boxes[usable]
    middle, long = (wanted[:, :2] + wanted[:, 2:]) / 2, (wanted[:, 2:] - wanted[:, :2]).max(axis=1)
    depth = focal * np.ptp(points[usable][..., :2], axis=1).max(axis=1) / long
    pixel = middle.copy()  # of the root
    for _ in range(_ROUNDS):
        homogeneous = np.concatenate([pixel, np.ones((len(pixel), 1))], axis=1)
        place = depth[:, None] * np.linalg.solve(K, homogeneous.T).T
        seen = (points[usable] + place[:, None]) @ K.T
        seen = seen[..., :2] / np.maximum(seen[..., 2:], 0.1)
        low, high = seen.min(axis=1), seen.max(axis=1)
        depth = depth * (high - low).max(axis=1) / long
        pixel = pixel + middle - (low + high) / 2
    place = place * (median_filter(depth, _MEDIAN, mode="nearest") / place[:, 2])[:, None]
    frames = np.arange(len(points))
    return np.stack([np.interp(frames, usable, place[:, axis]) for axis in range(3)], axis=1)
