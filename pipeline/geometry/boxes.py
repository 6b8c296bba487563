"""Boxes around people: x0, y0, x1, y1 in pixels."""

from collections.abc import Iterable

import numpy as np

Box = tuple[float, float, float, float]


def grow(box: Box, factor: float, square: bool = False) -> Box:
    """The box about the same centre, `factor` times as large a side; with `square`, its longer side for both."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    if square:
        width = height = max(width, height)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - factor * width / 2, y - factor * height / 2, x + factor * width / 2, y + factor * height / 2


def clip(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The box in whole pixels of an image, at least one pixel large."""
    x0, y0 = min(max(int(box[0]), 0), width - 1), min(max(int(box[1]), 0), height - 1)
    return x0, y0, max(min(int(np.ceil(box[2])), width), x0 + 1), max(min(int(np.ceil(box[3])), height), y0 + 1)


def area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def intersection(a: Box, b: Box) -> Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    inner = area(intersection(a, b))
    return inner / max(area(a) + area(b) - inner, 1e-9)


def overlap(a: Box, b: Box) -> float:
    """The share of the smaller box that the other covers."""
    return area(intersection(a, b)) / max(min(area(a), area(b)), 1e-9)


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around all."""
    corners = np.array(list(boxes))
    return (*corners[:, :2].min(0), *corners[:, 2:].max(0))


def mask_box(mask: np.ndarray) -> Box | None:
    """Around the pixels of uint8 (H, W) that are above one half; None where there are none."""
    solid = mask > 127
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if len(rows) == 0:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def inside(xy: np.ndarray, width: int, height: int) -> np.ndarray:
    """Whether points (..., 2) lie in an image, (...) bool."""
    return (xy[..., 0] >= 0) & (xy[..., 0] < width) & (xy[..., 1] >= 0) & (xy[..., 1] < height)
