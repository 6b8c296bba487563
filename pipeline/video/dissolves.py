"""Transitions that take their time: a shot dissolves into the next, or fades out before the next fades in.

In a dissolve every place of the picture goes from the one shot to the other in step. A camera that turns, or somebody
who walks through the picture, changes each place at a time of its own. In a fade the picture keeps its structure
while its contrast goes; where the same structure comes back, it was a light.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.video.looks import Looks, unlike

_WINDOWS = (4, 8, 16, 32, 64)  # frames between two that are compared
_STARTS = 4  # of a window, over its length
_DIFFERS = 15.0  # grey levels between the shots, from which a place tells
_PLACES = 60  # of 576, that must tell
_IN_STEP = 0.2  # of the way, that a place may be off the median place
_SHARE = 0.58  # of the places, that are in step
_ENDS = 0.08  # of the way: up to here a frame is of a shot
_BACK = 0.1  # of the way, that the median place may go back
_JUMP = 0.6  # of the way, from one frame to the next: more is a light, or a hard cut; less where there are many frames
_CLEAN = 0.2  # of a window: its frames that are of a shot; what moves evenly is on its way from end to end
_WHOLE = 0.9  # of the farthest apart that ends of windows over one transition are: nearer ones are on their way
_AROUND = 6  # frames on either side that are unlike
_LIT = 0.4  # of the other end's contrast: an end with less is dark, and of no shot
_ALIKE = 0.6  # correlation, above which both ends may be one place in another light
_STANDS_OUT = 2.0  # times the places that change before and after
_NEAR = 10  # frames there at most
_DARK = 0.08  # of a shot's contrast, below which a frame shows nothing of it
_FADED = 0.9  # of the contrast of the next frames, below which one is fading
_LONGEST = 64  # frames of a fade


def find_dissolves(looks: Sequence[Looks]) -> list[range]:
    """The frames that belong to no shot, for each transition, in order and apart."""
    pictures = np.array([look.contrast * look.structure for look in looks])
    fades = [frames for frames in _fades(looks) if _apart(looks, frames)]
    mixes = [
        mix
        for window in _WINDOWS
        for first in range(0, len(looks) - window, max(1, window // _STARTS))
        if unlike(looks[first], looks[first + window]) and (mix := _mix(pictures, first, window))
    ]
    dissolves = [frames for frames in _whole(mixes) if _apart(looks, frames) and _stands_out(pictures, frames)]
    alone = [one for one in dissolves if all(one.stop <= fade.start or fade.stop <= one.start for fade in fades)]
    return sorted([*fades, *alone], key=lambda frames: frames.start)


def _mix(pictures: np.ndarray, first: int, window: int) -> tuple[float, range] | None:
    """How far apart the ends of a window of pictures (T, P) are, and its frames that are a mix; None: no dissolve."""
    before, after = pictures[[first, first + window]]
    tells = np.abs(after - before) > _DIFFERS
    contrasts = np.linalg.norm(before), np.linalg.norm(after)
    if tells.sum() < _PLACES or min(contrasts) < _LIT * max(contrasts):
        return None
    way = (pictures[first : first + window + 1, tells] - before[tells]) / (after - before)[tells]
    median = np.median(way, axis=1)
    mixed = np.flatnonzero((median > _ENDS) & (median < 1 - _ENDS))
    if not len(mixed) or mixed[-1] + 1 - mixed[0] > (1 - _CLEAN) * window:
        return None
    if (np.maximum.accumulate(median) - median).max() > _BACK:
        return None
    if np.diff(median).max() > min(_JUMP, 2 / (len(mixed) + 1) + _BACK):
        return None
    if (np.abs(way - median[:, None])[mixed] < _IN_STEP).mean() < _SHARE:
        return None
    return float(np.linalg.norm(after - before)), range(first + int(mixed[0]), first + int(mixed[-1]) + 1)


def _whole(mixes: list[tuple[float, range]]) -> list[range]:
    """One for each transition: the median over the windows whose ends are no mix themselves."""
    groups: list[list[tuple[float, range]]] = []
    for mix in sorted(mixes, key=lambda mix: mix[1].start):
        if groups and mix[1].start < max(frames.stop for _, frames in groups[-1]):
            groups[-1].append(mix)
        else:
            groups.append([mix])
    chosen = []
    for group in groups:
        farthest = max(apart for apart, _ in group)
        whole = [(frames.start, frames.stop) for apart, frames in group if apart > _WHOLE * farthest]
        chosen.append(range(*np.median(whole, axis=0).round().astype(int)))
    return chosen


def _fades(looks: Sequence[Looks]) -> list[range]:
    """Frames between shots that fade out and in."""
    contrast = np.array([look.contrast for look in looks])
    dark = contrast < _DARK * np.median(contrast)
    found = []
    for first, last in np.flatnonzero(np.diff(np.pad(dark.astype(int), 1))).reshape(-1, 2):
        if first == 0 or last == len(looks):
            continue  # of the clip's ends no other shot is known
        start = _clear(looks, range(first - 1, max(-1, first - 1 - _LONGEST), -1))
        stop = _clear(looks, range(last, min(len(looks), last + _LONGEST)))
        if start < first - 1 or stop > last:
            found.append(range(start + 1, stop))
    return found


def _clear(looks: Sequence[Looks], frames: range) -> int:
    """From the dark on, the first frame whose contrast rises no more."""
    contrast = np.array([looks[frame].contrast for frame in frames])
    rises = [contrast[index] < _FADED * contrast[index : index + _AROUND].max() for index in range(len(frames))]
    return frames[rises.index(False)]


def _apart(looks: Sequence[Looks], mixed: range) -> bool:
    """Whether there are frames of a shot before and after, and all of them are unlike."""
    before, after = looks[max(0, mixed.start - _AROUND) : mixed.start], looks[mixed.stop : mixed.stop + _AROUND]
    pairs = [(one, other) for one in before for other in after]
    return bool(pairs) and all(unlike(*pair) and pair[0].structure @ pair[1].structure < _ALIKE for pair in pairs)


def _stands_out(pictures: np.ndarray, mixed: range) -> bool:
    """Whether far more places of the picture change over the transition than shortly before and after."""
    first, last, length = mixed.start - 1, mixed.stop, min(len(mixed) + 1, _NEAR)
    pairs = (first, last), (max(0, first - length), first), (last, min(len(pictures) - 1, last + length))
    over, before, after = ((np.abs(pictures[one] - pictures[other]) > _DIFFERS).sum() for one, other in pairs)
    return bool(over > _STANDS_OUT * max(before, after))
