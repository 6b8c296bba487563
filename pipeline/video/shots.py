"""Hard cuts: where one shot ends and the next begins.

A frame is described by a small grey picture, of which brightness and contrast are taken out, and by a histogram of its
colours. Two frames are unlike when both say so. A cut is where every one of the last frames before it is unlike every
one of the first after it: a flash does not last, and what moves fast still looks like the frame before. And the step
over it is far larger than the steps around it: a camera that is swung has many large steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np

from pipeline.errors import UserError
from pipeline.video.decode import DecodeSettings

_SIDE = 48  # px of the small picture
_SAME_PLACE = 0.25  # distance of structures below which two frames show one scene, however its light has changed
_FLAT = 3.0  # grey levels of standard deviation, below which a frame is of one grey: what is left is noise
_BINS = 6  # a colour channel
_REACH = 6  # frames on either side that are looked at: a flash is shorter
_UNLIKE = 0.1  # distance, 0 to 1, beyond which two frames show different scenes
_STANDS_OUT = 2.5  # times the steps nearby


@dataclass(frozen=True)
class Looks:
    """What is kept of a frame."""

    structure: np.ndarray  # float32 (24 * 24,), mean 0, length 1; 0 for a frame of one grey
    colours: np.ndarray  # float32 (6 ** 3,), square roots of shares


def describe(frame: np.ndarray) -> Looks:
    """What cuts are found by, of a frame, uint8 (H, W, 3) RGB."""
    coarse = max(1, min(frame.shape[:2]) // (4 * _SIDE))  # every pixel of a large one would take five times as long
    small = cv2.resize(frame[::coarse, ::coarse], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(cv2.resize(small, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    grey = grey.astype(np.float32).ravel()
    grey -= grey.mean()
    flat = grey.std() < _FLAT
    colours = cv2.calcHist([small], [0, 1, 2], None, [_BINS] * 3, [0, 256] * 3).ravel() / _SIDE**2
    return Looks(np.zeros_like(grey) if flat else grey / np.linalg.norm(grey), np.sqrt(colours))


def distance(one: Looks, other: Looks) -> float:
    """0 for frames alike to 1 for frames that share neither structure nor colours: the geometric mean of both."""
    colours = 1.0 - float(one.colours @ other.colours)
    return float(np.sqrt(_structure(one, other) * max(colours, 0.0)))


def _structure(one: Looks, other: Looks) -> float:
    """Distance of the structures alone, 0 to 1; 0 for two frames of one grey each, of which nothing can be told."""
    if not (one.structure.any() or other.structure.any()):
        return 0.0
    return min(1.0, max(0.0, 1.0 - float(one.structure @ other.structure)))


def _unlike(one: Looks, other: Looks) -> bool:
    return distance(one, other) > _UNLIKE and _structure(one, other) > _SAME_PLACE


def split_shots(looks: Sequence[Looks]) -> list[range]:
    """The shots that frames in order belong to, in order: one where there is no cut."""
    steps = np.array([distance(one, other) for one, other in pairwise(looks)])
    cuts = [int(index) + 1 for index in np.flatnonzero(steps > _UNLIKE) if _is_cut(looks, steps, int(index))]
    return [range(first, end) for first, end in zip([0, *cuts], [*cuts, len(looks)])]


def choose_shot(shots: Sequence[range], wanted: int | str | None, name: str) -> range:
    """The shot that the setting video.shot asks for.

    Args:
        shots: in order, without a hole.
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

    cuts = f"{len(shots) - 1} hard cut{'s' if len(shots) > 2 else ''}"
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
    if not all(_unlike(one, other) for one in before for other in after):
        return False
    low = max(0, index - _REACH)
    around = np.delete(steps[low : index + 1 + _REACH], index - low)
    # The largest may be another cut.
    return len(around) < 2 or steps[index] > _STANDS_OUT * np.sort(around)[-2]
