"""Everybody in one image: mediapipe finds one person an image.

The others are found by painting out those found so far, and looking again; people who are small, in tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.estimators.boxes import area, grow, iou, overlap
from pipeline.estimators.detector import VISIBLE, Detection, PoseDetector

MOST_PEOPLE = 3  # an image is searched for
_PAINT_SIDE = 320  # px, longest side of the image that people are painted out of: more than the detector's 224
_TILES = (0.5, 0.2)  # of the longer side: a person of a tenth of it fills a third of the smaller ones


def people(detector: PoseDetector, image: np.ndarray) -> list[Detection]:
    """Up to `MOST_PEOPLE` people in one image, the one that the detector likes best first."""
    everybody: list[Detection] = []
    found = _search(detector, image)
    while found is not None and len(everybody) < MOST_PEOPLE:
        again = any(iou(found.box, other.box) > 0.6 for other in everybody)
        if again or not _confirmed(detector, image, found):
            break
        everybody.append(found)
        image = paint_out(image, found)
        found = detector.detect(image)
    return everybody


def small_people(detector: PoseDetector, image: np.ndarray) -> list[Detection]:
    """People who are too small for a look at the whole image, the largest first: overlapping tiles are searched."""
    height, width = image.shape[:2]
    found: list[Detection] = []
    for share in _TILES:
        side = share * max(height, width)
        for y in _steps(height, side):
            for x in _steps(width, side):
                person = detector.detect(image, (x, y, x + side, y + side))
                if person is None:
                    continue
                # A tile may cut the person; and tiles are many, and so are patterns in them.
                closer = detector.detect(image, grow(person.box, 2.0, square=True))
                if closer is None or overlap(closer.box, person.box) < 0.5 or _poorly_seen(closer):
                    continue
                if not any(overlap(closer.box, other.box) > 0.3 for other in found):
                    found.append(closer)
    return sorted(found, key=lambda person: -area(person.box))[:MOST_PEOPLE]


def _poorly_seen(person: Detection) -> bool:
    return (person.visibility > VISIBLE).mean() < 0.5


def _steps(length: float, side: float) -> np.ndarray:
    """Where tiles of a side begin, so that they overlap by half."""
    return np.linspace(0, max(length - side, 0), max(int(np.ceil(2 * length / side)) - 1, 1))


def uncovered(found: Sequence[Detection]) -> list[Detection]:
    """The people of an image with masks that leave out those found before: these stand in front."""
    out: list[Detection] = []
    for person in found:
        mask = person.mask
        for other in found[: len(out)]:
            mask = mask * (1 - other.mask)
        out.append(replace(person, mask=mask))
    return out


def _confirmed(detector: PoseDetector, image: np.ndarray, found: Detection) -> bool:
    """Whether a closer look finds a person at the same place: patterns that look like one from afar do not pass."""
    closer = detector.detect(image, grow(found.box, 1.5, square=True))
    return closer is not None and iou(closer.box, found.box) > 0.4


def _search(detector: PoseDetector, image: np.ndarray) -> Detection | None:
    """Search the whole image; where nobody is found, six overlapping parts of it, for people who are small in it."""
    found = detector.detect(image)
    if found is not None:
        return found
    height, width = image.shape[:2]
    for part_width, part_height in ((1.0, 0.6), (0.6, 1.0), (0.6, 0.6)):
        for x in (0.0, 1 - part_width) if part_width < 1 else (0.0,):
            for y in (0.0, 1 - part_height) if part_height < 1 else (0.0,):
                box = (x * width, y * height, (x + part_width) * width, (y + part_height) * height)
                found = detector.detect(image, box)
                if found is not None:
                    return found
    return None


def paint_out(image: np.ndarray, person: Detection) -> np.ndarray:
    """The image, made small, with the person replaced by what surrounds them."""
    import cv2

    height, width = image.shape[:2]
    factor = min(1.0, _PAINT_SIDE / max(height, width))
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    mask = (cv2.resize(person.mask, size, interpolation=cv2.INTER_AREA) > 0.1).astype(np.uint8)
    reach = max(3, round(0.05 * factor * (person.box[3] - person.box[1])))
    mask = cv2.dilate(mask, np.ones((reach, reach), np.uint8))
    painted = cv2.inpaint(small, mask, 3, cv2.INPAINT_TELEA)
    return cv2.resize(painted, (width, height), interpolation=cv2.INTER_LINEAR)
