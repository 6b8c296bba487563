"""Left and right put right: for a while the detector takes one for the other, or a person's back for the front.

Arms, legs and head are each as seen or exchanged in a frame: eight states. The sequence of states that is cheapest over
the whole clip is found by dynamic programming (Viterbi 1967). What counts, in body heights:

- A change of state costs `change`, plus what it makes the landmarks jump and the body's turning break off. The body has
  momentum, so a change is worth its cost where the landmarks jump without it: where the detector changed its mind.
- Each second in a state costs what it contradicts: shoulders against hips, the feet in the picture, the detector.
- What is guessed has no say: a line between two landmarks counts by the less visible one.

What is exchanged is mirrored in depth, too (`swapped_world`).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.ndimage import minimum_filter1d

from pipeline.landmarks.detector import LANDMARK_NAMES

_HEAD, _ARMS, _LEGS = range(11), range(11, 23), range(23, 33)
_GROUPS = (_HEAD, _ARMS, _LEGS)
_AXES = ((7, 8), (11, 12), (23, 24))  # of each group: left and right ear, shoulder, hip
_STATES = np.array(list(product((False, True), repeat=len(_GROUPS))))  # [8, 3] which groups are exchanged
_MIRRORED = np.array([-1.0, -1.0, 1.0])  # what exchanging does to a line from right to left
_JUMP = 0.3  # body heights: a landmark that jumps farther counts no more
_MEMORY = 0.1  # s over which a turning is measured, and goes on by itself
_FASTEST = 25.0  # rad/s, four turns a second: where it seems faster, the labels were exchanged there
_BREADTH = 0.1  # body heights: the way of a shoulder is the torso's turning times this
_TWIST, _NECK = 3.0, 0.5  # body heights a second: shoulders that look the other way than hips, a head than shoulders
_TOLD = 1.0  # body heights for shoulders, and for hips, that look straight elsewhere than the user says
_SIDE = 0.5  # sine of 30 degrees: who looks so far to the side looks neither here nor there
_FEET = 0.04  # body heights a second for hips that look at the camera over feet that point away from it
# Body heights that toes lie above heels in the picture: more than the first, it begins to tell, than both, it is clear.
_ABOVE, _CLEARLY = 0.005, 0.02


def mirror_order() -> np.ndarray:
    """For each of the 33 landmarks, the index of the same landmark of the other side."""
    swapped = [name.replace("left", "?").replace("right", "left").replace("?", "right") for name in LANDMARK_NAMES]
    return np.array([LANDMARK_NAMES.index(name) for name in swapped])


def find_swaps(
    xy: np.ndarray,  # (B, 33, 2) px
    world: np.ndarray,  # (B, 33, 3) m
    visibility: np.ndarray,  # (B, 33)
    seconds: np.ndarray,  # (B,)
    change: float,
    doubt: float,
    facing: str = "auto",
) -> np.ndarray:  # (B, 33) bool
    """Which landmarks to exchange with their other side, in each frame; `swapped` and `swapped_world` do it.

    Args:
        xy: landmarks of the frames in which the person was found, in order.
        world: the same in metres; x right, y down, z away from the camera.
        visibility: in [0, 1].
        seconds: when each frame was taken; rising.
        change: cost, in body heights that all landmarks of a group would have to jump, of beginning or ending to
            exchange that group.
        doubt: cost of exchanging a group for a second, in body heights: of two sequences that are each other's mirror
            image, and as likely, it decides for the one as detected.
        facing: which way the person looks in the first of the frames, as the user says it: towards the `camera`,
            `away` from it; `auto`: nobody says it.
    """
    frames = len(xy)
    changes = change + _jumps(xy, world, visibility)  # [B - 1, 3]
    broken = _broken_turns(world, visibility, seconds)  # [B - 1]
    rates = doubt * _STATES.sum(1) + _twisted(world, visibility) + _FEET * _against_feet(xy, world, visibility)
    unary = rates * _interval(seconds)  # [B, 8]
    differ = _STATES[:, None] != _STATES[None]  # [8, 8, 3]
    turn = differ[..., 1] & differ[..., 2]  # the torso's, with shoulders and hips

    cost = unary[0] + _otherwise(world[0], facing)
    came_from = np.zeros((frames, len(_STATES)), int)
    for t in range(1, frames):
        total = cost[:, None] + differ @ changes[t - 1] + turn * broken[t - 1]
        came_from[t] = total.argmin(0)
        cost = total.min(0) + unary[t]
    state = np.zeros(frames, int)
    state[-1] = cost.argmin()
    for t in range(frames - 1, 0, -1):
        state[t - 1] = came_from[t, state[t]]

    chosen = np.zeros((frames, len(LANDMARK_NAMES)), bool)
    for group, members in enumerate(_GROUPS):
        chosen[:, list(members)] = _STATES[state, group][:, None]
    return chosen


def swapped(
    values: np.ndarray,  # (B, 33, ...)
    chosen: np.ndarray,  # (B, 33) bool
) -> np.ndarray:
    """`values` with the chosen landmarks exchanged with those of the other side."""
    mask = chosen.reshape(*chosen.shape, *[1] * (values.ndim - 2))
    return np.where(mask, values[:, mirror_order()], values)


def swapped_world(
    world: np.ndarray,  # (B, 33, 3) m
    chosen: np.ndarray,  # (B, 33) bool
) -> np.ndarray:
    """World landmarks with the chosen ones exchanged, and the facing of what was exchanged mirrored in depth.

    The picture stays: x and y are only exchanged. In the studio, where the detector took a back for a front, the depth
    of each limb against its shoulder or hip was the picture's, but what depends on the facing was reversed: which
    shoulder and hip is nearer, the face against the shoulders, toes against heels.
    """
    result = swapped(world, chosen)
    depth = result[..., 2]
    for (left, right), members in zip(_AXES[1:], _GROUPS[1:]):
        nearer = world[:, left, 2] - world[:, right, 2]
        for k in members:
            depth[:, k] += np.where(chosen[:, k], nearer if LANDMARK_NAMES[k].startswith("left") else -nearer, 0.0)
    shoulders = world[:, 11:13, 2].mean(1, keepdims=True)
    depth[:, _HEAD] = np.where(chosen[:, _HEAD], 2 * shoulders - depth[:, _HEAD], depth[:, _HEAD])
    for toe, heel in ((31, 29), (32, 30)):
        depth[:, toe] = np.where(chosen[:, toe], 2 * depth[:, heel] - depth[:, toe], depth[:, toe])
    return result


def _jumps(xy: np.ndarray, world: np.ndarray, visibility: np.ndarray) -> np.ndarray:
    """(B - 1, 3): how much farther a group's landmarks jump to the next frame if their sides are exchanged there."""
    height = max(float(np.median(np.ptp(xy[..., 1], axis=1))), 1.0)
    height_3d = max(float(np.median(np.ptp(world[..., 1], axis=1))), 1e-3)
    order, every = mirror_order(), np.ones(xy.shape[:2], bool)
    as_seen = np.concatenate([xy / height, 0.5 * world / height_3d], axis=-1)
    other = np.concatenate([xy[:, order] / height, 0.5 * swapped_world(world, every) / height_3d], axis=-1)
    seen = np.sqrt(visibility[1:] * visibility[:-1])
    seen = np.minimum(seen, seen[:, order])  # the same for both hypotheses
    same = np.minimum(np.linalg.norm(as_seen[1:] - as_seen[:-1], axis=-1), _JUMP)
    # There and back again: the two differ by the noise of a mirrored depth.
    there = np.minimum(np.linalg.norm(other[1:] - as_seen[:-1], axis=-1), _JUMP)
    back = np.minimum(np.linalg.norm(as_seen[1:] - other[:-1], axis=-1), _JUMP)
    more = ((there + back) / 2 - same) * seen
    return np.stack([more[:, list(members)].mean(1) for members in _GROUPS], axis=1)


def _broken_turns(world: np.ndarray, visibility: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """(B - 1,): how much more the torso's turning breaks off if its sides are exchanged in the next frame, in body
    heights that it would be astray after `_MEMORY`. The shoulders show it best.

    Mirrored in depth, who turned to the left turns to the right. A body that seems to turn back at once when it is seen
    from the side goes on turning.
    """
    axis = world[:, 11] - world[:, 12]
    facing = np.arctan2(axis[:, 2], axis[:, 0])
    rate = (np.mod(np.diff(facing) + np.pi, 2 * np.pi) - np.pi) / np.diff(seconds)  # rad/s after each frame
    seen = _seen(visibility, *_AXES[1])
    window = max(2, round(_MEMORY / max(_interval(seconds), 1e-3)))
    broken = np.zeros(len(world) - 1)
    for t in range(1, len(world) - 2):
        before, after = rate[max(0, t - window) : t], rate[t + 1 : t + 1 + window]
        if max(np.abs(before).max(), np.abs(after).max()) < _FASTEST:
            before, after = before.mean(), after.mean()
            told = seen[max(0, t - window) : t + 2 + window].min()
            broken[t] = told * _BREADTH * _MEMORY * (abs(after + before) - abs(after - before))
    # One break is seen in many frames around it; only one change may gain from it.
    sharpest = broken == minimum_filter1d(broken, 2 * window + 1)
    return np.where(sharpest, broken, np.maximum(broken, 0))


def _interval(seconds: np.ndarray) -> float:
    """Between two frames; those in which the person was not found leave gaps."""
    return float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.0


def _twisted(world: np.ndarray, visibility: np.ndarray) -> np.ndarray:
    """(B, 8): cost a second of shoulders turned against hips, or a head against shoulders, beyond a right angle.

    A group of which nothing is seen goes with the other: a guessed head is exchanged where the shoulders are.
    """
    axes = [_axis(world, *pair)[:, None] * np.where(_STATES[:, group, None], _MIRRORED, 1.0)
            for group, pair in enumerate(_AXES)]  # fmt: skip
    seen = [_seen(visibility, *pair)[:, None] for pair in _AXES]
    shown = [visibility[:, list(members)].max(1, keepdims=True) for members in _GROUPS]
    cost = 0.0
    for one, other, weight in ((1, 2, _TWIST), (0, 1, _NECK)):
        against = np.maximum(-(axes[one] * axes[other]).sum(-1), 0)  # [B, 8]
        apart = _STATES[:, one] != _STATES[:, other]
        guessed = 1 - np.minimum(shown[one], shown[other])
        cost = cost + weight * (np.minimum(seen[one], seen[other]) * against + guessed * apart)
    return cost


def _against_feet(xy: np.ndarray, world: np.ndarray, visibility: np.ndarray) -> np.ndarray:
    """(B, 8): by how much each state's hips look at the camera while the feet point away from it.

    Feet on the ground that point away have their toes above their heels in the picture, as the camera stands higher.
    Toes below heels tell nothing: a raised heel looks so from all sides. The depth of toes is no evidence, nor are
    knees: the detector makes them fit its mistake.
    """
    height = max(float(np.median(np.ptp(xy[..., 1], axis=1))), 1.0)
    away = 0.0
    for toe, heel in ((31, 29), (32, 30)):
        above = (xy[:, heel, 1] - xy[:, toe, 1]) / height
        seen = np.minimum(visibility[:, toe], visibility[:, heel])
        away = away + 0.5 * np.clip((above - _ABOVE) / _CLEARLY, 0, 1) * seen
    # The left hip is on the right of the picture: they look at the camera.
    facing = _axis(world, *_AXES[2])[:, 0] * _seen(visibility, *_AXES[2])
    return away[:, None] * np.maximum(np.where(_STATES[:, 2], -facing[:, None], facing[:, None]), 0)


def _otherwise(world: np.ndarray, facing: str) -> np.ndarray:  # (33, 3) -> (8,)
    """Cost of the states in which shoulders or hips look elsewhere than the user says; from the side both are right."""
    if facing == "auto":
        return np.zeros(len(_STATES))
    away = 1.0 if facing == "away" else -1.0
    lines = np.stack([_axis(world[None], *pair)[0, 0] * np.where(_STATES[:, group], -1.0, 1.0)
                      for group, pair in ((1, _AXES[1]), (2, _AXES[2]))])  # fmt: skip
    return _TOLD * np.maximum(away * lines - _SIDE, 0).sum(0)


def _seen(visibility: np.ndarray, left: int, right: int) -> np.ndarray:
    """(B,) how far the line between two landmarks is believed."""
    return np.minimum(visibility[:, left], visibility[:, right])


def _axis(world: np.ndarray, left: int, right: int) -> np.ndarray:
    """(B, 3) unit vectors from the right landmark to the left one."""
    line = world[:, left] - world[:, right]
    return line / np.maximum(np.linalg.norm(line, axis=-1, keepdims=True), 1e-6)
