"""Feet that do not slide at all: hips, knees and ankles are bent so that what stands stays where it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation, Slerp

from pipeline.body import BodyModel
from pipeline.camera.feet import feet_of
from pipeline.camera.legs import CHAINS, REACH, bent, bone_lengths
from pipeline.camera.world import as_in_world
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix

_STANDS = 0.5  # probability from which a part is held
_LEAST = 0.08  # seconds: shorter contacts are not held
_SOFT = 0.08  # seconds over which the pelvis comes down to where the legs reach


def planted(pose: Pose, body: BodyModel) -> Pose:
    """The motion with the feet of its world held where they stand; `body_pose_world` and `transl_world` change.

    While heel and toes both stand, the foot keeps its place and its turn; while one does, that point keeps its place.
    In between, the foot goes over from one to the next. Legs are two bones whose knee keeps its plane; the pelvis
    comes down a little where a leg would be too short.

    Args:
        pose: with a world and contact.
        body: the body it is of.
    """
    world = as_in_world(pose)
    rotmats = axis_angle_to_matrix(_tensor(np.c_[world.global_orient, world.body_pose]).unflatten(1, (24, 3)))
    betas = _tensor(pose.betas)
    frames = body.to(dtype=torch.float64).world_joints(rotmats, betas, _tensor(world.transl)).numpy()
    turns, places = frames[..., :3, :3], frames[..., :3, 3]
    feet = feet_of(world, body)
    local = rotmats.numpy().copy()
    targets = []
    for number, chain in enumerate(CHAINS):
        held = np.stack([_held(pose.contact[:, 2 * number + part], feet.fps) for part in (0, 1)], axis=1)
        foot, toes = _kept_turn(turns[:, chain[2]], local[:, chain[3]], held.all(axis=1))
        # A part goes with the joint that it hangs on: the heel with the ankle, the toes with the foot.
        turned = foot @ turns[:, chain[2]].transpose(0, 2, 1)
        ball = places[:, chain[2]] + np.einsum("tij,tj->ti", turned, places[:, chain[3]] - places[:, chain[2]])
        tip = foot @ toes @ turns[:, chain[3]].transpose(0, 2, 1)
        points = np.stack(
            [
                _about(feet.soles[:, 2 * number], places[:, chain[2]], turned, places[:, chain[2]]),
                _about(feet.soles[:, 2 * number + 1], places[:, chain[3]], tip, ball),
            ],
            axis=1,
        )
        targets.append(places[:, chain[2]] + _moves(points, held))
        local[:, chain[3]] = toes
        turns[:, chain[2]] = foot
    drop = _drop(places, targets, feet.fps)
    places = places - drop[:, None, None] * np.array([0, 1.0, 0])
    for chain, target in zip(CHAINS, targets):
        hip, knee, ankle, _ = chain
        thigh, shank = bent(places[:, [hip, knee, ankle]], turns[:, [hip, knee]], target)
        local[:, hip] = turns[:, 0].transpose(0, 2, 1) @ thigh
        local[:, knee] = thigh.transpose(0, 2, 1) @ shank
        local[:, ankle] = shank.transpose(0, 2, 1) @ turns[:, ankle]
    body_pose = Rotation.from_matrix(local[:, 1:].reshape(-1, 3, 3)).as_rotvec().reshape(len(pose), 69)
    return replace(pose, body_pose_world=body_pose, transl_world=pose.transl_world - drop[:, None] * [0, 1, 0])


def _held(contact: np.ndarray, fps: float) -> np.ndarray:
    """(T,) bool: where a part (T,) stands long enough to be held."""
    stands = contact > _STANDS
    for first, last in _runs(stands):
        stands[first:last] = last - first >= max(2, _LEAST * fps)
    return stands


def _runs(flags: np.ndarray) -> np.ndarray:
    """(R, 2) first frame and the one after the last of each run."""
    return np.flatnonzero(np.diff(np.pad(flags.astype(int), 1))).reshape(-1, 2)


def _kept_turn(foot: np.ndarray, toes: np.ndarray, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turns (T, 3, 3) of the ankle in the world and of the toes on it, each constant while the foot is flat (T,)."""
    runs = _runs(flat)
    if not len(runs):
        return foot, toes
    kept = []
    for turn in (foot, toes):
        corrections, at = [], []
        for first, last in runs:
            mean = Rotation.from_matrix(turn[first:last]).mean().as_matrix()
            corrections += [mean @ one.T for one in turn[first:last]]
            at += range(first, last)
        where = np.clip(np.arange(len(turn)), at[0], at[-1])
        change = Rotation.from_matrix(np.stack(corrections))
        change = Slerp(at, change)(where) if len(at) > 1 else Rotation.concatenate([change] * len(turn))
        kept.append(change.as_matrix() @ turn)
    return kept[0], kept[1]


def _about(points: np.ndarray, pivot: np.ndarray, turn: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(T, K, 3) points turned about a pivot (T, 3) that is moved to `place` (T, 3)."""
    return np.einsum("tij,tkj->tki", turn, points - pivot[:, None]) + place[:, None]


def _moves(points: np.ndarray, held: np.ndarray) -> np.ndarray:
    """(T, 3) by which a foot is moved so that what is held (T, 2) stays, of its parts' points (T, 2, K, 3)."""
    middles, lows = points.mean(axis=2), points[..., 1].min(axis=2)
    any_held = held.any(axis=1)
    move = np.zeros((len(points), 3))
    known = []
    for first, last in _runs(any_held):
        for t in range(first + 1, last):
            both = held[t] & held[t - 1]
            step = (middles[t] - middles[t - 1])[both].mean(axis=0) if both.any() else np.zeros(3)
            move[t] = move[t - 1] - step
        move[first:last] -= move[first:last].mean(axis=0)
        move[first:last, 1] = [-lows[t][held[t]].min() for t in range(first, last)]
        known += range(first, last)
    if len(known) < 2:
        return move
    return PchipInterpolator(known, move[known], axis=0)(np.clip(np.arange(len(move)), known[0], known[-1]))


def _drop(places: np.ndarray, targets: list[np.ndarray], fps: float) -> np.ndarray:
    """(T,) metres that the pelvis comes down, smoothly, so that the legs reach the ankles' targets."""
    need = np.zeros(len(places))
    for (hip, knee, ankle, _), target in zip(CHAINS, targets):
        reach = REACH * bone_lengths(places[:, [hip, knee, ankle]]).sum(axis=1)
        away = places[:, hip] - target
        level = np.hypot(away[:, 0], away[:, 2])
        need = np.maximum(need, away[:, 1] - np.sqrt(np.maximum(reach**2 - level**2, 0)))
    width = max(1, round(_SOFT * fps))
    peaks = np.array([need[max(0, t - 2 * width) : t + 2 * width + 1].max() for t in range(len(need))])
    return np.maximum(gaussian_filter1d(peaks, width, mode="nearest"), need)


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)
