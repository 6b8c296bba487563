"""The motion in the world of the pose file, with y or z up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel
from pipeline.camera.planted import planted
from pipeline.camera.world import as_in_world, with_world
from pipeline.formats.pose import Pose

# From the axes of a level camera (x right, y down, z forward) to a world's; rows are the world's axes.
CAMERA_TO_Y_UP = np.diag([1.0, -1.0, -1.0])
CAMERA_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class WorldMotion:
    """A motion in a world frame."""

    poses: np.ndarray  # (T, 24, 3) axis-angle; joint 0 in the world frame
    transl: np.ndarray  # (T, 3) metres, added after the model's own root offset, as smplx does
    world_from_camera: np.ndarray  # (T, 4, 4)
    fps: float
    hand_pose: np.ndarray | None = None  # (T, 30, 3) axis-angle of `FINGER_NAMES`; None: no hand was looked for


def to_world(pose: Pose, body: BodyModel, axes: np.ndarray, feet: str = "free") -> WorldMotion:
    """The motion in its world: soles on the ground, the first pelvis above the origin, facing the viewer at first.

    That is +z where y is up, -y where z is. A pose without a world gets one, of a camera that stands still.

    Args:
        pose: motion in the camera frame, and in a world.
        body: the body it belongs to.
        axes: `CAMERA_TO_Y_UP` or `CAMERA_TO_Z_UP`. (3, 3)
        feet: "free", or "planted": what stands does not slide.
    """
    stood = with_world(pose, body)
    pose = as_in_world(planted(stood, body) if feet == "planted" else stood)
    root = body.rest_joints(torch.as_tensor(pose.betas, dtype=body.v_template.dtype))[0].double().numpy()
    turn = axes @ CAMERA_TO_Y_UP.T
    orient = Rotation.from_matrix(turn) * Rotation.from_rotvec(pose.global_orient)
    motion = np.eye(4)
    motion[:3, :3] = turn
    return WorldMotion(
        poses=np.concatenate([orient.as_rotvec(), pose.body_pose], axis=1).reshape(-1, 24, 3),
        transl=(root + pose.transl) @ turn.T - root,  # the root offset is the model's own, so it does not turn
        world_from_camera=motion @ pose.world_from_camera,
        fps=pose.fps,
        hand_pose=pose.hand_pose,
    )
