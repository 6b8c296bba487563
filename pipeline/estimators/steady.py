"""An initial motion without the moments in which it is somewhere else, whatever estimator it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.body import BodyModel
from pipeline.estimators.smplify.gaps import fill_rotations, fill_values
from pipeline.formats.pose import Pose
from pipeline.motion.leaps import LIMBS, body_astray


def steadied(pose: Pose, body: BodyModel, world_from_camera: np.ndarray, warn: Callable[[str], None]) -> Pose:
    """The motion with moments to which no body can leap filled from their neighbours.

    Frames to which the whole body leaps are no longer valid. A limb that leaps by itself is filled in by itself.

    Args:
        pose: in the camera frame.
        body: the body it is of.
        world_from_camera: (T, 4, 4), where the camera is: people move smoothly in the world. Its size does not matter.
        warn: is told what leaps, and in which frames.
    """
    motion = pose.global_orient, pose.body_pose, pose.betas, pose.transl
    astray = body_astray(body, *motion, pose.fps, world_from_camera[:, :3, :3])
    if not astray.any():
        return pose
    count = len(pose)
    turns = np.concatenate([pose.global_orient, pose.body_pose], 1).reshape(count, 24, 3).astype(float)
    joints = {"body": tuple(range(24)), **LIMBS}
    for (name, moved), lost in zip(joints.items(), [astray.whole, *astray.limbs.T]):
        if lost.any():
            told = ", ".join(str(frame) for frame in np.flatnonzero(lost))
            warn(f"no {name} moves as the pose does at frame {told}: filled in from the neighbours")
            kept = np.flatnonzero(~lost)
            turns[:, moved] = fill_rotations(turns[np.ix_(kept, moved)], kept, count)
    turns, kept = turns.astype(np.float32), np.flatnonzero(~astray.whole)
    return replace(
        pose,
        global_orient=turns[:, 0],
        body_pose=turns[:, 1:].reshape(count, 69),
        transl=fill_values(pose.transl[kept], kept, count).astype(np.float32),
        valid=pose.valid & ~astray.whole,
    )
