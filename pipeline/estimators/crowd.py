"""Follow one person among others, so that two who cross are not exchanged.

Everybody is found in each frame, and told apart by where they are heading and by how they look (after DeepSORT, Wojke
et al. 2017). While the person is hidden nobody is taken for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.estimators.boxes import Box, grow, iou, overlap
from pipeline.estimators.detector import Detection, PoseDetector
from pipeline.estimators.everybody import Everybody, Subject, clear
from pipeline.estimators.looks import Look, look, unlike
from pipeline.estimators.people import paint_out, people, uncovered

_LOOKS = 4.0  # cost of wholly different looks; one person's cost 0.4 to 1.2
_STRANGER = 2.2  # cost of taking somebody for a person not known
_SPEED = 6.0  # body heights a second at which two people may close in on each other
_COAST = 0.5  # seconds that a hidden person is expected to go on as before


@dataclass
class _Person:
    """Somebody who is known, on the way through the frames."""

    looks: list[Look]
    box: Box | None = None  # where last seen
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))  # px a frame
    missed: int = 0  # frames since then

    def place(self, coast: float) -> Box | None:
        """Where the person is expected."""
        if self.box is None:
            return None
        x, y = self.velocity * min(self.missed + 1, coast)
        return self.box[0] + x, self.box[1] + y, self.box[2] + x, self.box[3] + y

    def cost(self, box: Box, seen: Look, coast: float) -> float:
        """Of taking a detection for this person."""
        difference = _LOOKS * min(unlike(seen, known) for known in self.looks)
        place = self.place(coast)
        if place is None:
            return difference + 1.0
        height, other = place[3] - place[1], box[3] - box[1]
        away = np.linalg.norm(_centre(box) - _centre(place)) / max(height, other) + 0.5 * abs(np.log(other / height))
        return difference + min(away / (0.5 + 0.05 * self.missed), 2.0)

    def move(self, box: Box | None, alone: bool) -> None:
        """Note where the person is in the next frame, None where they are not seen."""
        self.missed += 1
        if box is None:
            return
        if self.box is not None and alone:  # boxes of people who overlap are cut short, and seem to turn back
            step = (_centre(box) - _centre(self.box)) / self.missed
            self.velocity = step if not self.velocity.any() else 0.7 * self.velocity + 0.3 * step
        self.box, self.missed = box, 0


def follow_among(
    frames: Sequence[np.ndarray],
    indices: Iterable[int],
    everybody: Everybody,
    subject: Subject,
    min_confidence: float,
    fps: float,
) -> Iterator[tuple[int, Detection | None]]:
    """Detect the subject in frame after frame, beginning at or beside the seed frame.

    Yields:
        Each index with the detection, whose mask leaves out those who stand before; None where the subject is hidden.
    """
    known = [_Person([sighting.look for sighting in clear(track)]) for track in everybody.people]
    for person, track in zip(known, everybody.people):
        if subject.seed in track:
            person.box = track[subject.seed].box
    main, coast = known[subject.number], _COAST * fps
    apart = 0  # frames for which nobody else can come near
    with PoseDetector(False, True, min_confidence) as detector:
        for index in indices:
            image = frames[index]
            if apart > 0:
                apart -= 1
                found = detector.detect(image, grow(main.place(coast), 1.5, square=True))
                if found is not None and iou(found.box, main.place(coast)) > 0.3:
                    main.move(found.box, alone=True)
                    for person in known:
                        person.missed += person is not main
                    yield index, found
                    continue
            chosen = _assign(known, _look_around(detector, image, known, coast), image, coast)
            apart = _free_frames(known, main, fps)
            yield index, chosen.get(subject.number)


def _look_around(detector: PoseDetector, image: np.ndarray, known: list[_Person], coast: float) -> list[Detection]:
    """Everybody in the image, those in front first, each found in full detail; and close looks at who is missed."""
    everybody: list[Detection] = []
    rest = image
    for found in people(detector, image):
        if everybody:  # found on a coarse picture
            finer = detector.detect(rest, grow(found.box, 1.5, square=True))
            found = finer if finer is not None and iou(finer.box, found.box) > 0.4 else found
        everybody.append(found)
        rest = _without(rest, found)
    for place in [person.place(coast) for person in known]:
        if place is None or any(iou(place, other.box) > 0.3 for other in everybody):
            continue
        for picture in (rest, image):  # somebody in front may have been painted out with who is behind
            found = detector.detect(picture, grow(place, 1.5, square=True))
            if found is not None and not any(_same(found, other) for other in everybody):
                everybody.append(found)
                rest = _without(rest, found)
                break
    return everybody


def _same(a: Detection, b: Detection) -> bool:
    """Whether two detections are of one person."""
    both = np.minimum(a.mask, b.mask).sum()
    return iou(a.box, b.box) > 0.6 or both > 0.5 * min(a.mask.sum(), b.mask.sum())


def _without(image: np.ndarray, person: Detection) -> np.ndarray:
    """The image with a person painted out, all else as sharp as it is."""
    import cv2

    reach = max(3, round(0.03 * (person.box[3] - person.box[1])))
    mask = cv2.dilate((person.mask > 0.1).astype(np.uint8), np.ones((reach, reach), np.uint8))
    return np.where(mask[..., None] > 0, paint_out(image, person), image)


def _assign(known: list[_Person], found: list[Detection], image: np.ndarray, coast: float) -> dict[int, Detection]:
    """Which known person each detection is, the cheapest of all ways; everybody is moved there."""
    from scipy.optimize import linear_sum_assignment

    costs = np.full((len(found), len(known) + len(found)), _STRANGER)
    seen = uncovered(found)
    for row, person in enumerate(seen):
        looks = look(image, person)
        costs[row, : len(known)] = [other.cost(person.box, looks, coast) for other in known]
    chosen = {int(k): int(row) for row, k in zip(*linear_sum_assignment(costs)) if k < len(known)}
    hidden = [known[k].place(coast) for k in range(len(known)) if k not in chosen]
    for k, person in enumerate(known):
        if k not in chosen:
            person.move(None, alone=False)
            continue
        box = found[chosen[k]].box
        others = [other.box for row, other in enumerate(found) if row != chosen[k]]
        others += [place for place in hidden if place is not None]
        person.move(box, all(overlap(box, other) < 0.05 for other in others))
    return {k: seen[row] for k, row in chosen.items()}


def _free_frames(known: list[_Person], main: _Person, fps: float) -> int:
    """Frames, at most half a second's, for which the others are too far away to reach the subject."""
    if main.missed or main.box is None:
        return 0
    gaps = [fps / 2]
    for person in known:
        if person is not main and person.box is not None:
            x = max(person.box[0] - main.box[2], main.box[0] - person.box[2])
            y = max(person.box[1] - main.box[3], main.box[1] - person.box[3])
            gaps.append(max(x, y) / (main.box[3] - main.box[1]) / _SPEED * fps - person.missed)
    return max(int(min(gaps)), 0)


def _centre(box: Box) -> np.ndarray:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
