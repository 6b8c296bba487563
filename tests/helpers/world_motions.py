"""Motions on the ground, and how a tilted camera sees them."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel
from pipeline.camera.tilt import up_of
from pipeline.formats.pose import Pose
from pipeline.motion.library import Motion, motion

FPS = 30.0


def on_the_ground(name: str, frames: int, body: BodyModel, seed: int = 0) -> Motion:
    """A motion by name, feet on y = 0, facing +z."""
    return motion(name, frames, FPS, seed, body)


def camera_looking(pitch: float, roll: float, height: float = 1.4, distance: float = 4.0) -> np.ndarray:
    """world_from_camera (4, 4) of a camera before the origin, this high and far, so tilted (degrees)."""
    up = up_of(pitch, roll)
    # The camera's axes in the world: up is known in the camera, and it looks along -z.
    ahead = np.array([0, 0, 1.0]) - up[2] * up
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, up)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = np.stack([right, up, -ahead])
    world_from_camera[:3, 3] = [0, height, distance]
    return world_from_camera


def seen_by(
    moving: Motion,
    body: BodyModel,
    pitch: float = 0.0,
    roll: float = 0.0,
    cameras: np.ndarray | None = None,
    noise: float = 0.0,
) -> Pose:
    """The motion in the frame of a camera (or of one a frame, (T, 4, 4)); `noise`: metres of smooth error of depth."""
    frames = len(moving.poses)
    cameras = np.broadcast_to(camera_looking(pitch, roll) if cameras is None else cameras, (frames, 4, 4))
    turn = Rotation.from_matrix(cameras[:, :3, :3]).inv()
    root = body.rest_joints(torch.zeros(10)).double().numpy()[0]
    pelvis = turn.apply(moving.trans + root - cameras[:, :3, 3])
    wave = noise * np.sin(np.arange(frames) / FPS * 4)
    pelvis += wave[:, None] * pelvis / np.linalg.norm(pelvis, axis=1, keepdims=True)
    return Pose(
        global_orient=(turn * Rotation.from_rotvec(moving.poses[:, :3])).as_rotvec(),
        body_pose=moving.poses[:, 3:],
        betas=np.zeros(10),
        transl=pelvis - root,
        valid=np.ones(frames, bool),
        bbox=np.tile([0.0, 0.0, 64.0, 96.0], (frames, 1)),
        K=np.array([[90.0, 0, 32], [0, 90, 48], [0, 0, 1]]),
        fps=FPS,
        body_model="free",
        source="test",
    )
