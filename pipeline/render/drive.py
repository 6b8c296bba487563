"""An avatar driven by any motion: seen from around, or by the video's own camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.motion.library import Motion
from pipeline.render.novel_pose import novel_pose_frames
from pipeline.render.performer import Performer
from pipeline.render.scene import Scene
from pipeline.runtime.threads import map_parallel


def orbited(moving: Motion, root: np.ndarray) -> Motion:
    """The motion as a camera sees it that goes once round the world's y axis, to the person's left first.

    The camera of a scene stands still, so that colours depend on direction as in the fit: the world turns instead.

    Args:
        moving: in a world with y up.
        root: where the body's pelvis rests, metres. (3,)
    """
    angles = np.linspace(0, 2 * np.pi, len(moving.poses), endpoint=False)
    turn = Rotation.from_rotvec(-angles[:, None] * [0.0, 1.0, 0.0])
    orient = turn * Rotation.from_rotvec(moving.poses[:, :3])
    poses = np.concatenate([orient.as_rotvec(), moving.poses[:, 3:]], axis=1)
    return replace(moving, poses=poses, trans=turn.apply(moving.trans + root) - root)


def orbit_frames(performer: Performer, moving: Motion, width: int, height: int) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) for each frame of the motion, seen once from all around."""
    root = performer.body.rest_joints(performer.avatar.betas)[0].double().numpy()
    yield from novel_pose_frames(performer, orbited(moving, root), width, height)


def seen_by(
    performer: Performer,
    moving: Motion,
    world_from_camera: np.ndarray,  # (4, 4)
    K: np.ndarray,  # (3, 3) px
    width: int,
    height: int,
) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) for each frame of the motion, seen by a camera that stands still in its world."""
    scene = Scene(K, np.linalg.inv(world_from_camera), width, height)
    moments = zip(moving.poses, moving.trans)
    yield from map_parallel(lambda moment: performer.perform(scene, *moment), moments)
