"""Focal lengths as makers state them, the 35-mm equivalent in millimetres, and in pixels.

The equivalent compares diagonals: of film, 36x24 mm, and of the whole sensor (CIPA DCG-001). Pictures of 4:3 and 3:2
are whole sensors. Any other is taken for the largest cut of that shape out of a 4:3 sensor, as a phone's 16:9 video is:
as broad as its photos, less high. So a phone's 26 mm are 0.60 diagonals of its photos and 0.65 of its videos. What
electronic stabilisation cuts off on top is not known: measured were 13% and 17% of the width on two iPhones.
"""

import math

FILM_DIAGONAL = math.hypot(36, 24)  # mm
LIKELY_MM = (8, 800)  # between a fisheye's and a long telephoto's; below lie the lens' own millimetres
_WHOLE = (4 / 3 * 0.99, 3 / 2 * 1.01)  # aspects of whole sensors, rounding of sides allowed


def focal_pixels(mm: float, width: int, height: int) -> float:
    """The focal length in px of pictures of this size, upright or not, from its 35-mm equivalent."""
    return mm / FILM_DIAGONAL * _sensor_diagonal(width, height)


def equivalent_mm(pixels: float, width: int, height: int) -> float:
    """The 35-mm equivalent of a focal length in px: the inverse of `focal_pixels`."""
    return pixels * FILM_DIAGONAL / _sensor_diagonal(width, height)


def _sensor_diagonal(width: int, height: int) -> float:
    """Of the whole sensor, in px of the picture."""
    short, long = sorted((width, height))
    if _WHOLE[0] <= long / short <= _WHOLE[1]:
        return math.hypot(width, height)
    return max(long * 5 / 4, short * 5 / 3)
