"""The avatar at ease, turning once about itself; the last frame leads back to the first."""

from collections.abc import Iterator

import numpy as np

from pipeline.motion.at_ease import at_ease
from pipeline.render.performer import Performer
from pipeline.render.scene import Scene, framed
from pipeline.runtime.threads import map_parallel


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
