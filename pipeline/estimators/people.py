"""Who is in the clip: the person to follow, chosen on a few frames, and whether there are others.

mediapipe finds one person an image. The others are found by painting out those found so far, and looking again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.estimators.boxes import Box, area, clip, grow, iou, union
from pipeline.estimators.detector import Detection, PoseDetector

MOST_PEOPLE = 3  # an image is searched for
_PAINT_SIDE = 320  # px, longest side of the image that people are painted out of: more than the detector's 224


@dataclass(frozen=True)
class Subject:
    """The most prominent person: the largest, over the sampled frames."""

    seed: int  # a sampled frame in which the person is largest
    box: Box  # the person there
    window: Box  # px, holds the person in all sampled frames, with a wide margin
    sampled: int  # frames looked at
    seen: int  # of them, frames with the person
    crowded: int  # of them, frames with somebody else, too


def find_subject(frames: Sequence[np.ndarray], samples: int, min_confidence: float) -> Subject | None:
    """Look at `samples` frames spread over the clip. None where nobody is in any of them.

    Detections of neighbouring samples that overlap, or are the nearest of like size, are taken for one person; the
    person with the largest sum of box areas is the subject.
    """
    indices = np.unique(np.linspace(0, len(frames) - 1, samples).round().astype(int))
    tracks: list[dict[int, Box]] = []  # a person's box in each sampled frame
    with PoseDetector(tracking=False, segmentation=True, min_confidence=min_confidence) as detector:
        for index in indices:
            boxes = [found.box for found in people(detector, frames[index])]
            _extend(tracks, int(index), boxes)
    if not tracks:
        return None
    main = max(tracks, key=lambda track: sum(area(box) for box in track.values()))
    seed = max(main, key=lambda index: area(main[index]))
    crowded = {index for track in tracks if track is not main for index in track}
    height, width = frames[0].shape[:2]
    window = grow(union(main.values()), 1.5)
    whole = len(main) < len(indices) or area(clip(window, width, height)) > 0.5 * width * height
    return Subject(
        seed=seed,
        box=main[seed],
        window=(0, 0, width, height) if whole else window,
        sampled=len(indices),
        seen=len(main),
        crowded=len(crowded),
    )


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


def _extend(tracks: list[dict[int, Box]], index: int, boxes: list[Box]) -> None:
    """Add each box of a frame to the track whose last box is nearest, or begin a track with it."""
    free = list(range(len(tracks)))
    for box in sorted(boxes, key=area, reverse=True):
        costs = {k: _distance(list(tracks[k].values())[-1], box) for k in free}
        nearest = min(costs, key=costs.get, default=None)
        if nearest is not None and costs[nearest] < 1.5:
            tracks[nearest][index] = box
            free.remove(nearest)
        else:
            tracks.append({index: box})


def _distance(a: Box, b: Box) -> float:
    """Between two boxes, in their heights, plus how much their heights differ."""
    heights = np.array([a[3] - a[1], b[3] - b[1]])
    centres = np.array([[(a[0] + a[2]) / 2, (a[1] + a[3]) / 2], [(b[0] + b[2]) / 2, (b[1] + b[3]) / 2]])
    return float(np.linalg.norm(centres[0] - centres[1]) / heights.max() + abs(np.log(heights[0] / heights[1])))
