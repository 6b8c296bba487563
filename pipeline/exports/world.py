"""The motion in a world that stands on the ground, out of the camera frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel
from pipeline.formats.pose import Pose

# From the camera's axes (x right, y down, z forward) to a world's; rows are the world's axes.
CAMERA_TO_Y_UP = np.diag([1.0, -1.0, -1.0])
CAMERA_TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
_CHUNK = 64  # frames posed at a time
# The ground is where the lowest vertex is in the lowest tenth of the frames: a person may jump, and a frame may be off.
_GROUND_QUANTILE = 0.1


@dataclass(frozen=True)
class WorldMotion:
    """A motion in a world frame."""

    poses: np.ndarray  # (T, 24, 3) axis-angle; joint 0 in the world frame
    transl: np.ndarray  # (T, 3) metres, added after the model's own root offset, as smplx does
    world_from_camera: np.ndarray  # (4, 4)
    fps: float


def to_world(pose: Pose, body: BodyModel, axes: np.ndarray) -> WorldMotion:
    """Turn a motion into a world, its feet on the ground and its first pelvis above the origin.

    Args:
        pose: motion in the camera frame.
        body: the body it belongs to.
        axes: `CAMERA_TO_Y_UP` or `CAMERA_TO_Z_UP`. (3, 3)
    """
    root = body.rest_joints(torch.as_tensor(pose.betas, dtype=body.v_template.dtype))[0].double().numpy()
    pelvis = (root + pose.transl) @ axes.T
    up = axes @ np.array([0.0, -1.0, 0.0])
    origin = pelvis[0] * (1 - up) + up * _ground_height(pose, body)
    orient = Rotation.from_matrix(axes) * Rotation.from_rotvec(pose.global_orient)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = axes
    world_from_camera[:3, 3] = -origin
    return WorldMotion(
        poses=np.concatenate([orient.as_rotvec(), pose.body_pose], axis=1).reshape(-1, 24, 3),
        transl=pelvis - origin - root,  # the root offset is the model's own, so it does not turn
        world_from_camera=world_from_camera,
        fps=pose.fps,
    )


def _ground_height(pose: Pose, body: BodyModel) -> float:
    """Height above the camera, negative below it, of the plane that the feet stand on."""
    dtype = body.v_template.dtype
    motion = [torch.as_tensor(a, dtype=dtype) for a in (pose.global_orient, pose.body_pose, pose.transl)]
    betas = torch.as_tensor(pose.betas, dtype=dtype)
    lowest = []
    with torch.no_grad():
        for orient, body_pose, transl in zip(*(values.split(_CHUNK) for values in motion)):
            lowest.append(-body(orient, body_pose, betas, transl).vertices[..., 1].amax(1))
    return float(torch.cat(lowest).quantile(_GROUND_QUANTILE))
