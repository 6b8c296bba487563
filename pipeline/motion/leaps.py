"""Frames in which a body or a limb is somewhere else for a moment: no body moves so, an estimator errs so."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.geometry.rotations import axis_angle_to_matrix

# Half of a body's joints at once. In 98 captured clips (CMU subjects 01 to 09, 30 frames/s, walks, jumps, dances) they
# reach 58 m/s^2 and a second difference of 0.065 m; what is above 100 there are faults of the capture.
_ACCELERATION = 100.0  # m/s^2
_DISTANCE = 0.05  # m, of the second difference: at high rates noise alone has large accelerations
# Elbow and wrist, or knee and ankle: there they reach 120 m/s^2, and 330 where a capture errs.
_LIMB_ACCELERATION, _LIMB_DISTANCE = 180.0, 0.1
LIMBS = {
    f"{side} {limb}": tuple(JOINT_NAMES.index(f"{side}_{part}") for part in parts)
    for limb, parts in {"arm": ("shoulder", "elbow", "wrist"), "leg": ("hip", "knee", "ankle")}.items()
    for side in ("left", "right")
}  # name: its joints, from the trunk outward
_MOMENT = 0.3  # s, as long as a body may be elsewhere
_BACK = 0.5  # of the distance that it was away, from which it may miss the way that it was on


class Astray(NamedTuple):
    """What is somewhere else in each of T frames."""

    whole: np.ndarray  # (T,) bool, the body
    limbs: np.ndarray  # (T, 4) bool, in the order of LIMBS: where the body is where it belongs

    def any(self) -> bool:
        return bool(self.whole.any() or self.limbs.any())


@torch.no_grad()
def body_astray(
    body: BodyModel,
    global_orient: np.ndarray | torch.Tensor,
    body_pose: np.ndarray | torch.Tensor,
    betas: np.ndarray | torch.Tensor,
    transl: np.ndarray | torch.Tensor,
    fps: float,
    world_from_camera: np.ndarray | torch.Tensor | None = None,
) -> Astray:
    """`astray` of a motion in the camera frame, and of each limb by itself.

    Args:
        body: the body that performs it.
        global_orient, body_pose, betas, transl: (T, 3), (T, 69), (10,) and (T, 3).
        fps: frames per second.
        world_from_camera: (T, 3, 3), of a camera that turns: people move smoothly in the world, not in a picture that
            shakes.
    """
    angles, shape, moved = (
        torch.as_tensor(value, dtype=torch.float32) for value in (np.hstack([global_orient, body_pose]), betas, transl)
    )
    joints = body.world_joints(axis_angle_to_matrix(angles.unflatten(1, (24, 3))), shape, moved)[..., :3, 3]
    if world_from_camera is not None:
        joints = joints @ torch.as_tensor(world_from_camera, dtype=torch.float32).mT
    places = joints.double().numpy()
    whole = astray(places, fps)
    limbs = [astray(places[:, ends], fps, _LIMB_ACCELERATION, _LIMB_DISTANCE) for _, *ends in LIMBS.values()]
    return Astray(whole, np.stack(limbs, axis=1) & ~whole[:, None])


def astray(
    joints: np.ndarray, fps: float, acceleration: float = _ACCELERATION, distance: float = _DISTANCE
) -> np.ndarray:
    """Frames to which joints leap, and from which they leap back to the way that they were on.

    A leap lies between two neighbouring frames at both of which half of the joints accelerate as no body does. What
    lies between two leaps lasts 0.3 s and a quarter of the clip at most. Beside an end of the clip one leap is enough.
    Where the body stays on the other side of a leap, nobody knows which side is right, and none is told.

    Args:
        joints: places of a body's joints, m, in axes that do not turn. (T, J, 3)
        fps: frames per second.
        acceleration: m/s^2, that half of them do not reach.
        distance: m, of the second difference, that is left to noise whatever the acceleration.

    Returns:
        (T,) bool.
    """
    count, lost = len(joints), np.zeros(len(joints), dtype=bool)
    if count < 4:
        return lost
    off = _size(np.diff(joints, 2, axis=0))
    wild = np.pad(off > max(distance, acceleration / fps**2), 1)
    # An end has no second difference of its own: beside it one alone says that the end itself is away.
    wild[0], wild[-1] = wild[1] and not wild[2], wild[-2] and not wild[-3]
    leaps = set(np.flatnonzero(wild[:-1] & wild[1:]) + 1)  # the frames after them
    longest = int(min(_MOMENT * fps, count / 4))
    near = [(length, start) for start in leaps for length in range(1, longest + 1) if start + length in leaps]
    for length, start in sorted(near):
        stop = start + length
        if {start, stop} <= leaps and _comes_back(joints, start, stop):
            lost[start:stop] = True
            leaps -= set(range(start, stop + 1))
    lost[: max((leap for leap in leaps if leap <= longest), default=0)] = True
    lost[min((leap for leap in leaps if count - leap <= longest), default=count) :] = True
    return lost


def _comes_back(joints: np.ndarray, start: int, stop: int) -> bool:
    """Whether the joints go on at `stop` about where they would have been without the frames from `start` to there."""
    before, after = joints[max(start - 2, 0) : start], joints[stop : stop + 2]
    steps = np.concatenate([np.diff(before, axis=0), np.diff(after, axis=0)])  # a frame's way, on both sides
    span = stop - start + 1
    missed = after[0] - before[-1] - (span * steps.mean(0) if len(steps) else 0.0)
    part = np.arange(1, span)[:, None, None] / span
    away = joints[start:stop] - (1 - part) * before[-1] - part * after[0]
    return bool(_size(missed) < _BACK * _size(away).max())


def _size(offsets: np.ndarray) -> np.ndarray:
    """(..., J, 3) -> (...), m: half of the joints are farther."""
    return np.median(np.linalg.norm(offsets, axis=-1), axis=-1)
