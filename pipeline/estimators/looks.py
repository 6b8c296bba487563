"""How a person looks: the colours of the upper and the lower body, to tell two people apart after they cross."""

from __future__ import annotations

import numpy as np

from pipeline.estimators.boxes import clip
from pipeline.estimators.detector import LANDMARK_NAMES, Detection

Look = np.ndarray  # (2, BINS) float32: histograms of colour of the upper and the lower body, each sums to 1

_BINS = (5, 9, 9)  # lightness is the least to be trusted: the same shirt is in the light and in the shade
_RANGES = [0, 256, 68, 188, 68, 188]  # of OpenCV's 8-bit Lab; colours of clothes and skin lie well inside
BINS = _BINS[0] * _BINS[1] * _BINS[2]
_SIDE = 96  # px, a person's longer side: enough for colours
_SHOULDERS = [LANDMARK_NAMES.index(f"{side}_shoulder") for side in ("left", "right")]
_HIPS = [LANDMARK_NAMES.index(f"{side}_hip") for side in ("left", "right")]


def look(image: np.ndarray, person: Detection) -> Look:
    """The look of a detected person.

    Args:
        image: uint8 (H, W, 3) RGB.
        person: found in it, with a mask that leaves out who stands before.
    """
    import cv2

    x0, y0, x1, y1 = clip(person.box, image.shape[1], image.shape[0])
    step = max(1, round(max(x1 - x0, y1 - y0) / _SIDE))
    rows, columns = slice(y0, y1, step), slice(x0, x1, step)
    lab = cv2.cvtColor(np.ascontiguousarray(image[rows, columns]), cv2.COLOR_RGB2LAB)
    inside = person.mask[rows, columns] > 0.7  # the soft edge has the background's colours
    # The hips part the upper from the lower body; both stay the same whichever way round the person is.
    waist, top = person.xy[_HIPS].mean(0), person.xy[_SHOULDERS].mean(0)
    down = (waist - top) / max(np.linalg.norm(waist - top), 1.0)
    y, x = np.mgrid[rows, columns]
    below = (x + 0.5 - waist[0]) * down[0] + (y + 0.5 - waist[1]) * down[1] > 0
    return np.stack([_histogram(lab, inside & ~below), _histogram(lab, inside & below)])


def _histogram(lab: np.ndarray, where: np.ndarray) -> np.ndarray:
    import cv2
    from scipy.ndimage import gaussian_filter

    counts = cv2.calcHist([lab], [0, 1, 2], where.astype(np.uint8), list(_BINS), _RANGES)
    counts = gaussian_filter(counts, 0.5)  # a colour at the border of two bins is near both
    return (counts / max(counts.sum(), 1e-6)).ravel().astype(np.float32)


def unlike(a: Look, b: Look) -> float:
    """How different two looks are, 0 to 1: Hellinger's distance, the mean of upper and lower body.

    A half of which nothing is seen in one of the two does not count; 0.5 where none counts.
    """
    known = (a.sum(1) > 0) & (b.sum(1) > 0)
    if not known.any():
        return 0.5
    common = np.sqrt(a[known] * b[known]).sum(1)
    return float(np.sqrt(np.clip(1 - common, 0, 1)).mean())
