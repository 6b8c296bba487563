"""What is kept of a frame to tell shots apart: its structure without its light, and its colours."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_SIDE = 48  # px of the small picture
_SAME_PLACE = 0.25  # distance of structures below which two frames show one scene, however its light has changed
_FLAT = 3.0  # grey levels of standard deviation, below which a frame is of one grey: what is left is noise
_BINS = 6  # a colour channel
UNLIKE = 0.1  # distance, 0 to 1, beyond which two frames show different scenes


@dataclass(frozen=True)
class Looks:
    """What is kept of a frame."""

    structure: np.ndarray  # float32 (24 * 24,), mean 0, length 1; 0 for a frame of one grey
    contrast: float  # grey levels: length that the structure had; 0 for a frame of one grey
    colours: np.ndarray  # float32 (6 ** 3,), square roots of shares


def describe(frame: np.ndarray) -> Looks:
    """What cuts are found by, of a frame, uint8 (H, W, 3) RGB."""
    coarse = max(1, min(frame.shape[:2]) // (4 * _SIDE))  # every pixel of a large one would take five times as long
    small = cv2.resize(frame[::coarse, ::coarse], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(cv2.resize(small, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    grey = grey.astype(np.float32).ravel()
    grey -= grey.mean()
    flat = grey.std() < _FLAT
    length = 0.0 if flat else float(np.linalg.norm(grey))
    colours = cv2.calcHist([small], [0, 1, 2], None, [_BINS] * 3, [0, 256] * 3).ravel() / _SIDE**2
    return Looks(np.zeros_like(grey) if flat else grey / length, length, np.sqrt(colours))


def distance(one: Looks, other: Looks) -> float:
    """0 for frames alike to 1 for frames that share neither structure nor colours: the geometric mean of both."""
    colours = 1.0 - float(one.colours @ other.colours)
    return float(np.sqrt(_structure(one, other) * max(colours, 0.0)))


def unlike(one: Looks, other: Looks) -> bool:
    """Whether two frames show different scenes."""
    return distance(one, other) > UNLIKE and _structure(one, other) > _SAME_PLACE


def _structure(one: Looks, other: Looks) -> float:
    """Distance of the structures alone, 0 to 1; 0 for two frames of one grey each, of which nothing can be told."""
    if not (one.structure.any() or other.structure.any()):
        return 0.0
    return min(1.0, max(0.0, 1.0 - float(one.structure @ other.structure)))
