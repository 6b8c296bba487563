"""The avatar at ease, turning once about itself; the last frame leads back to the first."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from pipeline.body import JOINT_NAMES
from pipeline.render.performer import Performer
from pipeline.render.scene import Scene, framed
from pipeline.runtime.threads import map_parallel

# Axis-angle in degrees (motion/library.py tells the signs) of the left side; the right side mirrors y and z. The arms
# hang clear of the hips, so that they are seen apart from them.
_AT_EASE = {
    "left_hip": (0, 0, 4),
    "left_collar": (0, 0, -4),
    "left_shoulder": (4, 4, -56),
    "left_elbow": (0, -14, 0),
}


@lru_cache(maxsize=1)
def at_ease() -> np.ndarray:
    """(72,) axis-angle: standing relaxed, arms a little away from the body, facing +z."""
    pose = np.zeros((24, 3))
    for name, (x, y, z) in _AT_EASE.items():
        pose[JOINT_NAMES.index(name)] = np.deg2rad((x, y, z))
        pose[JOINT_NAMES.index(name.replace("left", "right"))] = np.deg2rad((x, -y, -z))
    return pose.ravel()


def standing(performer: Performer, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Pose (72,) and translation (3,) of the avatar at ease with its feet on y = 0, turned left by `angle` radians."""
    pose = at_ease().copy()
    pose[1] = angle
    feet = performer.vertices(pose, np.zeros(3))[:, 1].min()
    root = performer.body.rest_joints(performer.avatar.betas)[0].numpy()
    return pose, np.array([-root[0], -feet, -root[2]])


def turntable_scene(performer: Performer, width: int, height: int) -> Scene:
    """The scene in which the avatar can turn right round without leaving the picture."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    points = np.concatenate([performer.extent(*standing(performer, angle)) for angle in angles])
    return framed(points, width, height, about_axis=True)


def turntable_frames(performer: Performer, width: int, height: int, frames: int) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) each: one full turn in `frames` equal steps, starting from the front."""
    scene = turntable_scene(performer, width, height)
    angles = np.linspace(0, 2 * np.pi, frames, endpoint=False)
    yield from map_parallel(lambda angle: performer.perform(scene, *standing(performer, angle)), angles)
