"""Left and right put right: in fast or side-on frames the detector sometimes takes one for the other.

Arms, legs and head are each as seen or swapped in a frame: eight states. The sequence of states that makes the
landmarks move least, with the fewest swaps, is found by dynamic programming (Viterbi 1967).
"""

from __future__ import annotations

from itertools import product

import numpy as np

from pipeline.landmarks.detector import LANDMARK_NAMES

_HEAD, _ARMS, _LEGS = range(11), range(11, 23), range(23, 33)
_GROUPS = (_HEAD, _ARMS, _LEGS)
_STATES = np.array(list(product((False, True), repeat=len(_GROUPS))))  # [8, 3] which groups are swapped
_JUMP = 0.3  # body heights: a landmark that jumps farther counts no more


def mirror_order() -> np.ndarray:
    """For each of the 33 landmarks, the index of the same landmark of the other side."""
    swapped = [name.replace("left", "?").replace("right", "left").replace("?", "right") for name in LANDMARK_NAMES]
    return np.array([LANDMARK_NAMES.index(name) for name in swapped])


def find_swaps(
    xy: np.ndarray,  # (B, 33, 2) px
    world: np.ndarray,  # (B, 33, 3) m
    visibility: np.ndarray,  # (B, 33)
    penalty: float,
) -> np.ndarray:  # (B, 33) bool
    """Which landmarks to swap with their other side, in each frame; `swapped` does it.

    Args:
        xy: landmarks of the frames in which the person was found, in order.
        world: the same in metres.
        visibility: in [0, 1].
        penalty: cost of a swapped group in one frame, in body heights that all of its landmarks would have to jump:
            of two sequences that are each other's mirror image, it decides for the one as detected.
    """
    frames = len(xy)
    height = max(float(np.median(np.ptp(xy[..., 1], axis=1))), 1.0)
    height_3d = max(float(np.median(np.ptp(world[..., 1], axis=1))), 1e-3)
    points = np.concatenate([xy / height, 0.5 * world / height_3d], axis=-1)
    order = mirror_order()
    steps = _steps(points, visibility, order)
    unary = _STATES.sum(1) * penalty + 0.1 * _twisted(world, order)  # [B, 8]

    cost = unary[0]
    came_from = np.zeros((frames, len(_STATES)), int)
    for t in range(1, frames):
        total = cost[:, None] + steps[t - 1]
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


def _steps(points: np.ndarray, visibility: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(B - 1, 8, 8): cost of going from each state to each in the next frame, summed over the groups."""
    seen = np.sqrt(visibility[1:] * visibility[:-1])
    seen = np.minimum(seen, seen[:, order])  # the same for both hypotheses
    same = np.minimum(np.linalg.norm(points[1:] - points[:-1], axis=-1), _JUMP) * seen
    cross = np.minimum(np.linalg.norm(points[1:, order] - points[:-1], axis=-1), _JUMP) * seen
    steps = np.zeros((len(points) - 1, len(_STATES), len(_STATES)))
    for group, members in enumerate(_GROUPS):
        changes = _STATES[:, None, group] != _STATES[None, :, group]
        stay, turn = same[:, list(members)].mean(1), cross[:, list(members)].mean(1)
        steps += np.where(changes, turn[:, None, None], stay[:, None, None])
    return steps


def _twisted(world: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(B, 8): by how much each state turns shoulders against hips, or head against shoulders, beyond a right angle."""

    def axis(left: str, right: str) -> np.ndarray:
        line = world[:, LANDMARK_NAMES.index(left)] - world[:, LANDMARK_NAMES.index(right)]
        return line / np.maximum(np.linalg.norm(line, axis=-1, keepdims=True), 1e-6)

    head, shoulders, hips = (
        axis("left_ear", "right_ear"),
        axis("left_shoulder", "right_shoulder"),
        axis("left_hip", "right_hip"),
    )
    signs = np.where(_STATES, -1, 1)  # swapping a group turns its axis over
    body = (shoulders * hips).sum(-1)[:, None] * signs[:, 1] * signs[:, 2]
    neck = (head * shoulders).sum(-1)[:, None] * signs[:, 0] * signs[:, 1]
    return np.maximum(-body, 0) + np.maximum(-neck, 0)
