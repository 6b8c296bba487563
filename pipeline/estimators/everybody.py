"""Who is in the clip: everybody that is seen on a few frames, and the one person to follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.errors import UserError
from pipeline.estimators.boxes import Box, area, clip, grow, overlap, union
from pipeline.estimators.detector import Detection, PoseDetector
from pipeline.estimators.looks import Look, look, unlike
from pipeline.estimators.people import people, small_people, uncovered

_SELDOM = 0.25  # share of the sampled frames: where fewer show somebody, people are looked for in tiles, too
_NEW = 20.0  # cost of taking somebody for a new person: more than of any known one who is near enough
_OTHER = 0.55  # looks that differ by more than this are two people's; one person's differ by 0.1 to 0.3


@dataclass(frozen=True)
class Sighting:
    """One person in one sampled frame."""

    box: Box
    look: Look
    alone: bool  # nobody else overlaps


Track = dict[int, Sighting]  # a person in the sampled frames, by the frame's index


@dataclass(frozen=True)
class Everybody:
    """The people of a clip, the most prominent first: the one with the largest sum of box areas."""

    sampled: list[int]  # frames looked at
    people: list[Track]
    size: tuple[int, int]  # px, width and height of the frames

    @property
    def shown(self) -> int:
        """The sampled frame that shows the most people, the first of such: left, right and x,y speak of it."""
        return max(self.sampled, key=lambda index: sum(index in track for track in self.people))

    def number(self, person: str | int) -> int | None:
        """Which of the people a value of `masks.person` means; None where it means nobody."""
        wanted = parse_person(person)
        if wanted == "largest":
            return 0
        if isinstance(wanted, int):
            return wanted if wanted < len(self.people) else None
        there = {k: track[self.shown].box for k, track in enumerate(self.people) if self.shown in track}
        if isinstance(wanted, str):
            return (min if wanted == "left" else max)(there, key=lambda k: there[k][0] + there[k][2])
        x, y = wanted[0] * self.size[0], wanted[1] * self.size[1]
        around = {k: (a, b, c, d) for k, (a, b, c, d) in there.items() if a <= x <= c and b <= y <= d}
        # Where several boxes hold the point, the one in whose middle it lies.
        return min(around, key=lambda k: _off_centre(around[k], x, y), default=None)

    def subject(self, number: int) -> Subject:
        track = self.people[number]
        boxes = {index: sighting.box for index, sighting in track.items()}
        others = {index for other in self.people if other is not track for index in other}
        # Where people overlap, a box may hold two of them.
        seeds = [index for index, sighting in track.items() if sighting.alone or not others] or list(track)
        seed = max(seeds, key=lambda index: area(boxes[index]))
        window = grow(union(boxes.values()), 1.5)
        whole = len(track) < len(self.sampled) or area(clip(window, *self.size)) > 0.5 * self.size[0] * self.size[1]
        return Subject(
            number=number,
            boxes=boxes,
            seed=seed,
            box=boxes[seed],
            window=(0, 0, *self.size) if whole else window,
            sampled=len(self.sampled),
            seen=len(track),
            crowded=len(others),
        )


@dataclass(frozen=True)
class Subject:
    """The person to follow."""

    number: int  # among the people of the clip
    boxes: dict[int, Box]  # the person in the sampled frames
    seed: int  # the sampled frame in which the person is largest, and apart from others
    box: Box  # the person there
    window: Box  # px, holds the person in all sampled frames, with a wide margin
    sampled: int  # frames looked at
    seen: int  # of them, frames with the person
    crowded: int  # of them, frames with somebody else, too


def parse_person(person: str | int) -> str | int | tuple[float, float]:
    """A value of `masks.person`: "largest", "left" or "right", a number, or a point in shares of width and height."""
    text = str(person).strip()
    if text in ("largest", "left", "right"):
        return text
    try:
        if "," not in text and int(text) >= 0:
            return int(text)
        x, y = map(float, text.split(","))
        if 0 <= x <= 1 and 0 <= y <= 1:
            return x, y
    except ValueError:
        pass
    raise UserError(
        "settings masks.person: expected largest, left, right, a number of people.jpg (0, 1, ...), or a point in "
        f'shares of width and height ("0.3,0.5"); found {person!r}'
    )


def find_everybody(frames: Sequence[np.ndarray], samples: int, min_confidence: float) -> Everybody:
    """Look at `samples` frames spread over the clip.

    Detections of neighbouring samples that overlap, or are the nearest of like size and look, are taken for one person.
    """
    indices = np.unique(np.linspace(0, len(frames) - 1, samples).round().astype(int))
    found: dict[int, list[Sighting]] = {}
    with PoseDetector(tracking=False, segmentation=True, min_confidence=min_confidence) as detector:
        for index in map(int, indices):
            image = frames[index]
            found[index] = sightings(image, people(detector, image))
        if sum(map(bool, found.values())) < _SELDOM * len(found):
            for index in [index for index, there in found.items() if not there]:
                image = frames[index]
                found[index] = sightings(image, small_people(detector, image))
    tracks: list[Track] = []
    for index, there in found.items():
        _extend(tracks, index, there)
    tracks.sort(key=lambda track: -sum(area(sighting.box) for sighting in track.values()))
    height, width = frames[0].shape[:2]
    return Everybody(list(found), tracks, (width, height))


def sightings(image: np.ndarray, found: Sequence[Detection]) -> list[Sighting]:
    """What is kept of the people found in an image."""
    out = []
    for person in uncovered(found):
        alone = all(overlap(person.box, other.box) < 0.05 or other.xy is person.xy for other in found)
        out.append(Sighting(person.box, look(image, person), alone))
    return out


def _extend(tracks: list[Track], index: int, there: list[Sighting]) -> None:
    """Add each person of a frame to the track that is nearest in place and look, or begin a track with them."""
    from scipy.optimize import linear_sum_assignment

    costs = np.full((len(there), len(tracks) + len(there)), _NEW)
    costs[:, : len(tracks)] = 1e6
    for row, sighting in enumerate(there):
        for k, track in enumerate(tracks):
            distance = _distance(list(track.values())[-1].box, sighting.box)
            difference = float(np.mean([unlike(sighting.look, other.look) for other in clear(track)]))
            if distance < 1.5 and difference < _OTHER:
                costs[row, k] = min(_distance(_expected(track, index), sighting.box), 3.0) + 4 * difference
    rows, columns = linear_sum_assignment(costs)
    absent = [track for k, track in enumerate(tracks) if k not in columns]
    for row, k in zip(rows, columns):
        sighting = there[row]
        # Whoever was there last, and is not seen now, may be hidden behind this person.
        if any(overlap(list(track.values())[-1].box, sighting.box) > 0.05 for track in absent):
            sighting = replace(sighting, alone=False)
        if k < len(tracks):
            tracks[k][index] = sighting
    tracks += [{index: there[row]} for row, k in zip(rows, columns) if k >= len(costs[0]) - len(there)]


def clear(track: Track) -> list[Sighting]:
    """A person's sightings without others around, or all where there are none."""
    return [sighting for sighting in track.values() if sighting.alone] or list(track.values())


def _expected(track: Track, index: int) -> Box:
    """Where a person is in a later frame, going on as in the last two frames without others around."""
    last = list(track.values())[-1]
    clear = [i for i, sighting in track.items() if sighting.alone][-2:]
    if len(clear) < 2:
        return last.box
    first, second = (np.array(track[i].box) for i in clear)
    step = ((second - first)[[0, 1]] + (second - first)[[2, 3]]) / 2 / (clear[1] - clear[0])
    x, y = step * (index - clear[1])
    return second[0] + x, second[1] + y, second[2] + x, second[3] + y


def _distance(a: Box, b: Box) -> float:
    """Between two boxes, in their heights, plus how much their heights differ."""
    heights = np.array([a[3] - a[1], b[3] - b[1]])
    centres = np.array([[(a[0] + a[2]) / 2, (a[1] + a[3]) / 2], [(b[0] + b[2]) / 2, (b[1] + b[3]) / 2]])
    return float(np.linalg.norm(centres[0] - centres[1]) / heights.max() + abs(np.log(heights[0] / heights[1])))


def _off_centre(box: Box, x: float, y: float) -> float:
    x0, y0, x1, y1 = box
    return float(np.hypot((2 * x - x0 - x1) / (x1 - x0), (2 * y - y0 - y1) / (y1 - y0)))
