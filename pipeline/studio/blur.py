"""Motion blur: while the shutter is open, what a picture shows moves on."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

_INSTANTS = 8  # while the shutter is open


def picture_motion(
    points: np.ndarray,  # (M, 3) metres, world
    speed: np.ndarray,  # (M, 3) metres a second, world
    K: np.ndarray,  # (3, 3) px
    viewmat: np.ndarray,  # (4, 4) world to camera
) -> np.ndarray:  # (M, 2) px a second
    """How fast points move in the picture: the derivative of the pinhole projection."""
    x, y, z = (points @ viewmat[:3, :3].T + viewmat[:3, 3]).T
    u, v, w = (speed @ viewmat[:3, :3].T).T
    return np.stack([K[0, 0] * (u - w * x / z), K[1, 1] * (v - w * y / z)], 1) / z[:, None]


def smeared(
    colors: np.ndarray,  # (H, W, 3) float32, linear
    seen: np.ndarray,  # (H, W) bool
    way: np.ndarray,  # (M, 2) px right and down, of the pixels that are seen, row by row
) -> tuple[np.ndarray, np.ndarray]:
    """What is seen, as it is over the time in which each pixel goes its way, straight, half before and half after.

    What lies behind it is taken to stand still, and what leaves the picture is lost. Of pixels that meet the colours
    are averaged, whichever is nearer.

    Returns:
        (H, W, 3) float32 colours times the share of the time in which something is seen, and (H, W) float32 that share.
    """
    height, width = seen.shape
    rows, columns = np.nonzero(seen)
    shown = np.concatenate([colors[rows, columns], np.ones((len(rows), 1), np.float32)], axis=1)
    ends = np.arange(0, 4 * len(rows) + 1, 4)  # a pixel falls on four, in bilinear shares
    total = np.zeros((height * width, 4), np.float32)
    for time in (np.arange(_INSTANTS) + 0.5) / _INSTANTS - 0.5:
        x, y = columns + time * way[:, 0], rows + time * way[:, 1]
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        left, top = (np.clip(np.floor(at), 0, size - 2).astype(np.int32) for at, size in ((x, width), (y, height)))
        across, down = x - left, y - top
        shares = [(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down]
        places = [top * width + left + step for step in (0, 1, width, width + 1)]
        weights = (np.stack(shares, 1) * inside[:, None]).astype(np.float32)
        spread = sp.csc_matrix((weights.ravel(), np.stack(places, 1).ravel(), ends), (height * width, len(rows)))
        now = spread @ shown
        total += now / np.maximum(1, now[:, 3:])  # more than one pixel's worth is one pixel
    total = (total / _INSTANTS).reshape(height, width, 4)
    return total[..., :3], total[..., 3]
