"""A motion at another frame rate: 29.97 as 30, for programs that know whole rates alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from pipeline.exports.world import WorldMotion


def at_rate(motion: WorldMotion, fps: float) -> WorldMotion:
    """The motion at moments 1 / fps apart from its first frame on, as far as it goes.

    Turns are interpolated along the sphere (slerp), places along lines. The same motion where it has that rate, or one
    frame.
    """
    frames = len(motion.poses)
    if fps == motion.fps or frames == 1:
        return replace(motion, fps=fps)
    count = int(np.floor((frames - 1) * fps / motion.fps + 1e-6)) + 1
    at = np.minimum(np.arange(count) * motion.fps / fps, frames - 1)
    poses = _joints(motion.poses, at)
    fingers = None if motion.hand_pose is None else _joints(motion.hand_pose, at)
    camera = motion.world_from_camera
    if camera.ndim == 3:
        places = np.tile(np.eye(4), (count, 1, 1))
        places[:, :3, :3] = _turned(Rotation.from_matrix(camera[:, :3, :3]), at).as_matrix()
        places[:, :3, 3] = _moved(camera[:, :3, 3], at)
        camera = places
    transl = _moved(motion.transl, at)
    return replace(motion, poses=poses, transl=transl, world_from_camera=camera, fps=fps, hand_pose=fingers)


def _joints(poses: np.ndarray, at: np.ndarray) -> np.ndarray:  # (T, J, 3)
    return np.stack([_turned(Rotation.from_rotvec(joint), at).as_rotvec() for joint in poses.swapaxes(0, 1)], 1)


def _turned(turns: Rotation, at: np.ndarray) -> Rotation:
    return Slerp(np.arange(len(turns)), turns)(at)


def _moved(places: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(at, np.arange(len(places)), axis) for axis in places.T], axis=1)
