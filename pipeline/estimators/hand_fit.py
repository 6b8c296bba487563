"""A hand's turn and the bending of its fingers from 21 landmarks, each frame on its own: Levenberg-Marquardt on pixels,
and on the detector's depths where it gives them, within the joints' limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.body.hand import Hand

_TRIAL, _STEPS = 12, 25  # steps from each start, and from the best
_IN_PICTURE = 0.005  # metres at the hand, of a landmark in the picture ...
_PIXELS = 1.0  # ... and px, where those are more
_IN_DEPTH = 0.015  # metres, of a landmark against the wrist along the line of sight
_WRONG_DEPTH = 0.015  # metres: errors beyond this count less and less
_AT_REST = 1.0  # rad from the relaxed hand
_ALIKE = 0.3  # rad by which a finger's last joint bends otherwise than by two thirds of the one before it
_LIMITS = 0.05  # rad beyond a joint's range
_SIZE = 0.15  # log, of the hand in the picture against the body's
_BAD = 0.012  # metres of root mean square error in the picture at which a fit is half believed
_TURN, _ANGLES, _PLACE, _SCALE = slice(0, 3), slice(3, 23), slice(23, 25), 25
_PALM = [0, 1, 5, 9, 13]  # wrist and the four fingers' knuckles, of `Hand.places`


@dataclass(frozen=True)
class Seen:
    """Landmarks of left hands in T frames, in the order of `Hand.places`, looked at along the line of sight to each."""

    xy: np.ndarray  # (T, 21, 2) metres at the hand's distance, x right, y down
    pixel: np.ndarray  # (T,) metres
    weights: np.ndarray  # (T, 21) in [0, 1]
    depth: np.ndarray | None  # (T, 21) metres, away from the camera; the origin does not matter
    turn: np.ndarray  # (T, 3, 3) of the wrist, the first guess where there are no depths


@dataclass(frozen=True)
class FittedHand:
    turn: np.ndarray  # (T, 3, 3) from the flat hand in the rest pose to the axes of `Seen`
    angles: np.ndarray  # (T, 20) radians, of the freedoms of `Hand`
    variance: np.ndarray  # (T,) square radians, of the turn about any axis, as the landmarks' errors leave it
    belief: np.ndarray  # (T,) in [0, 1]: falls where no hand explains the landmarks


def fit_hand(hand: Hand, seen: Seen) -> FittedHand:
    """The hand in each frame. Unknowns: turn, 20 freedoms, place in the picture, size.

    A hand from the side looks nearly as the one turned over does, and a descent does not get from one to the other:
    it begins at several turns, and the one that explains the landmarks best is kept.
    """
    tried = [_solved(hand, seen, _started(hand, seen, turn), _TRIAL) for turn in _first_turns(hand, seen)]
    best = np.argmin([state.cost for state in tried], axis=0)
    chosen = _State(*(np.stack(values)[best, np.arange(len(best))] for values in zip(*tried)))
    found = _solved(hand, seen, chosen, _STEPS)
    residual, slope = _linear(hand, seen, *found[:4])
    error = residual[:, :42] * np.maximum(_IN_PICTURE, _PIXELS * seen.pixel)[:, None]
    squared = (error**2).sum(1) / np.maximum(seen.weights.sum(1), 1e-6)
    spread = np.linalg.inv(slope.transpose(0, 2, 1) @ slope + 1e-6 * np.eye(26))
    variance = np.trace(spread[:, _TURN, _TURN], axis1=1, axis2=2) / 3
    return FittedHand(found.turn, found.angles, variance, 1 / (1 + (squared / _BAD**2)) ** 2)


class _State(NamedTuple):
    turn: np.ndarray  # (T, 3, 3)
    angles: np.ndarray  # (T, 20)
    place: np.ndarray  # (T, 2) metres, of the wrist in the picture
    scale: np.ndarray  # (T,) log
    cost: np.ndarray  # (T,)


def _started(hand: Hand, seen: Seen, turn: np.ndarray) -> _State:
    """The relaxed hand, turned so."""
    frames = len(turn)
    angles = np.tile(hand.relaxed, (frames, 1))
    return _State(turn, angles, seen.xy[:, 0].copy(), np.zeros(frames), np.full(frames, np.inf))


def _solved(hand: Hand, seen: Seen, start: _State, steps: int) -> _State:
    """Levenberg-Marquardt in all frames at once, each with a damping of its own."""
    state = _State(*(values.copy() for values in start))
    damping = np.full(len(state.turn), 1e-2)
    residual, slope = _linear(hand, seen, *state[:4])
    state.cost[:] = (residual**2).sum(1)
    for _ in range(steps):
        normal = slope.transpose(0, 2, 1) @ slope
        damped = normal + damping[:, None, None] * (normal * np.eye(26) + np.eye(26))
        step = -np.linalg.solve(damped, slope.transpose(0, 2, 1) @ residual[..., None])[..., 0]
        tried = (
            Rotation.from_rotvec(step[:, _TURN]).as_matrix() @ state.turn,
            state.angles + step[:, _ANGLES],
            state.place + step[:, _PLACE],
            state.scale + step[:, _SCALE],
        )
        found, by = _linear(hand, seen, *tried)
        reached = (found**2).sum(1)
        better = reached < state.cost
        for old, new in zip((*state, residual, slope), (*tried, reached, found, by)):
            old[better] = new[better]
        damping = np.clip(np.where(better, damping / 3, damping * 5), 1e-6, 1e6)
    return state


def _first_turns(hand: Hand, seen: Seen) -> list[np.ndarray]:
    """The body's wrist; and, where there are depths, the palm onto its landmarks (Kabsch 1976); each turned about the
    arm by quarters."""
    turns = [seen.turn]
    if seen.depth is not None:
        points = np.concatenate([seen.xy, seen.depth[..., None]], axis=2)[:, _PALM]
        flat = hand.places(hand.relaxed[None])[0][0, _PALM]
        u, _, v = np.linalg.svd((points - points.mean(1, keepdims=True)).transpose(0, 2, 1) @ (flat - flat.mean(0)))
        signs = np.ones((len(u), 3))
        signs[:, 2] = np.sign(np.linalg.det(u @ v))
        turns.append(u * signs[:, None] @ v)
    quarters = Rotation.from_rotvec(np.pi / 2 * np.arange(4)[:, None] * [1.0, 0, 0]).as_matrix()
    return [turn @ quarter for turn in turns for quarter in quarters]


def _linear(
    hand: Hand, seen: Seen, turn: np.ndarray, angles: np.ndarray, place: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (T, R) in units of their sigmas, and their derivatives (T, R, 26)."""
    frames = len(angles)
    flat, slopes = hand.places(angles)
    points = np.einsum("tij,tkj->tki", turn, flat)
    by = np.zeros((frames, 21, 3, 26))
    by[..., _TURN] = -np.cross(points[:, :, None], np.eye(3)).transpose(0, 1, 3, 2)
    by[..., _ANGLES] = np.einsum("tij,tkjn->tkin", turn, slopes)
    size, trust = np.exp(scale)[:, None, None], np.sqrt(seen.weights)
    precise = (trust / np.maximum(_IN_PICTURE, _PIXELS * seen.pixel)[:, None])[..., None]
    flat_by = size[..., None] * by[:, :, :2]
    flat_by[..., _PLACE] = np.eye(2)
    flat_by[..., _SCALE] = size * points[..., :2]
    residuals = [(precise * (size * points[..., :2] + place[:, None] - seen.xy)).reshape(frames, 42)]
    rows = [(precise[..., None] * flat_by).reshape(frames, 42, 26)]
    if seen.depth is not None:
        # Geman-McClure's cost as a square: of a hand from the side the detector's depths may be all wrong.
        error = points[..., 2] - (seen.depth - seen.depth[:, :1])
        flatter = 1 / np.sqrt(1 + (error / _WRONG_DEPTH) ** 2)
        residuals.append(trust / _IN_DEPTH * flatter * error)
        rows.append((trust / _IN_DEPTH * flatter**3)[..., None] * by[:, :, 2])
    prior, prior_rows = _prior(hand, angles, scale)
    return np.concatenate([*residuals, prior], 1), np.concatenate([*rows, prior_rows], 1)


def _prior(hand: Hand, angles: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How joints bend, as residuals (T, 45) and their derivatives (T, 45, 26)."""
    frames = len(angles)
    beyond = np.maximum(angles - hand.high, 0) + np.minimum(angles - hand.low, 0)
    last, before = np.arange(3, 16, 4), np.arange(2, 16, 4)  # a thumb's are free
    alike = angles[:, last] - hand.relaxed[last] - (2 / 3) * (angles[:, before] - hand.relaxed[before])
    residual = np.concatenate(
        [(angles - hand.relaxed) / _AT_REST, beyond / _LIMITS, alike / _ALIKE, scale[:, None] / _SIZE], axis=1
    )
    rows = np.zeros((frames, 45, 26))
    rows[:, :20, _ANGLES] = np.eye(20) / _AT_REST
    rows[:, 20:40, _ANGLES] = (beyond != 0)[..., None] * np.eye(20) / _LIMITS
    for k in range(4):
        rows[:, 40 + k, 3 + last[k]] = 1 / _ALIKE
        rows[:, 40 + k, 3 + before[k]] = -(2 / 3) / _ALIKE
    rows[:, 44, _SCALE] = 1 / _SIZE
    return residual, rows
