"""People of tools that look at each picture alone, followed from picture to picture."""

from dataclasses import dataclass
from typing import Any

import numpy as np

_FARTHEST = 0.25  # of the distance from the camera, or of a metre: who moves farther between two frames is another one


@dataclass(frozen=True)
class Seen:
    """One person in one picture."""

    frame: int
    place: np.ndarray  # (3,) metres in the camera's frame
    data: Any


def linked(seen: list[Seen]) -> list[list[Seen]]:
    """People, each with one entry a frame at most: the nearest pairs of two frames first."""
    people: list[list[Seen]] = []
    for frame in sorted({each.frame for each in seen}):
        new = [each for each in seen if each.frame == frame]
        pairs = sorted(
            (float(np.linalg.norm(each.place - person[-1].place)), p, n)
            for p, person in enumerate(people)
            for n, each in enumerate(new)
        )
        taken: set[int] = set()
        grown: set[int] = set()
        for distance, p, n in pairs:
            reach = _FARTHEST * max(1.0, abs(float(new[n].place[2])))
            if p not in grown and n not in taken and distance < reach:
                people[p].append(new[n])
                taken.add(n)
                grown.add(p)
        people += [[each] for n, each in enumerate(new) if n not in taken]
    return people
