"""Cuts: where one shot ends and the next begins. `dissolves.py` finds those that take several frames.

A frame is described by a small grey picture, of which brightness and contrast are taken out, and by a histogram of its
colours. Two frames are unlike when both say so. A cut is where every one of the last frames before it is unlike every
one of the first after it: a flash does not last, and what moves fast still looks like the frame before. And the step
over it is far larger than the steps around it: a camera that is swung has many large steps.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np

from pipeline.runtime.errors import UserError
from pipeline.video.decode import DecodeSettings
from pipeline.video.dissolves import find_dissolves
from pipeline.video.looks import UNLIKE, Looks, distance, unlike

_REACH = 6  # frames on either side that are looked at: a flash is shorter
_STANDS_OUT = 2.5  # times the steps nearby


def split_shots(looks: Sequence[Looks]) -> list[range]:
    """The shots that frames in order belong to, in order: one where there is no cut. A dissolve belongs to none."""
    steps = np.array([distance(one, other) for one, other in pairwise(looks)])
    between = find_dissolves(looks)
    cuts = [int(index) + 1 for index in np.flatnonzero(steps > UNLIKE) if _is_cut(looks, steps, int(index))]
    between += [range(cut, cut) for cut in cuts if not any(each.start <= cut <= each.stop for each in between)]
    between.sort(key=lambda each: each.start)
    ends = [each.start for each in between], [each.stop for each in between]
    return [range(first, end) for first, end in zip([0, *ends[1]], [*ends[0], len(looks)])]


def choose_shot(shots: Sequence[range], wanted: int | str | None, name: str) -> range:
    """The shot that the setting video.shot asks for.

    Args:
        shots: in order; frames of a dissolve are between them.
        wanted: its number, from 1; None: the longest, of equal ones the first; "all": from the first to the last.
        name: of the video.

    Raises:
        UserError: there is no shot of that number.
    """
    if wanted == "all":
        return range(shots[0].start, shots[-1].stop)
    if wanted is None:
        return max(shots, key=len)
    if wanted > len(shots):
        raise UserError(f"{name}: video.shot is {wanted}, but {len(shots)} were found; choose 1 to {len(shots)}")
    return shots[wanted - 1]


def tell_shots(shots: Sequence[range], used: range, settings: DecodeSettings, first: int, fps: Fraction) -> str:
    """Say what shots there are, as frames of the video, and which is used.

    Args:
        first: number in the video of the first of the frames that the shots count.
        fps: of the video.
    """

    def place(shot: range) -> str:
        start, stop = (first + settings.step * index for index in (shot.start, shot.stop))
        return f"frames {start} to {stop} ({float(start / fps):.2f} to {float(stop / fps):.2f} s)"

    soft = sum(one.stop < other.start for one, other in pairwise(shots))
    hard = len(shots) - 1 - soft
    kinds = (
        (hard, f"{hard} hard cut{'s' * (hard > 1)}"),
        (soft, f"{soft} dissolve{'s' * (soft > 1)} or fade{'s' * (soft > 1)}"),
    )
    cuts = " and ".join(name for count, name in kinds if count)
    if settings.shot == "all":
        where = ", ".join(str(first + settings.step * shot.start) for shot in shots[1:])
        return f"{cuts} found, before frame {where}; all is used as one motion, for video.shot is all"
    number = shots.index(used) + 1
    which = "the longest" if settings.shot is None else "the one asked for"
    return (
        f"{cuts} found: {len(shots)} shots; used is {which}, shot {number}, {place(used)}; video.shot takes another, "
        "or all of them"
    )


def _is_cut(looks: Sequence[Looks], steps: np.ndarray, index: int) -> bool:
    """Whether a shot ends with frame `index`, (steps[i] is the distance of frames i and i + 1)."""
    before, after = looks[max(0, index + 1 - _REACH) : index + 1], looks[index + 1 : index + 1 + _REACH]
    if not all(unlike(one, other) for one in before for other in after):
        return False
    low = max(0, index - _REACH)
    around = np.delete(steps[low : index + 1 + _REACH], index - low)
    # The largest may be another cut.
    return len(around) < 2 or steps[index] > _STANDS_OUT * np.sort(around)[-2]
