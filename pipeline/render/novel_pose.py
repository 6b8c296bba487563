"""The avatar performs a motion that the person never did."""

from collections.abc import Iterator

import numpy as np

from pipeline.motion.library import Motion
from pipeline.motion.loop import looping
from pipeline.render.performer import Performer
from pipeline.render.scene import Scene, framed
from pipeline.runtime.threads import map_parallel


def novel_motion(performer: Performer, name: str, seconds: float, fps: float, seed: int) -> Motion:
    """A motion of motion/library.py (or a file that it reads) on this avatar's body, feet on the ground, as a loop."""
    betas = performer.avatar.betas.numpy()
    return looping(name, max(1, round(seconds * fps)), fps, seed, performer.body, betas)


def novel_pose_scene(performer: Performer, moving: Motion, width: int, height: int) -> Scene:
    """The scene that holds the whole motion."""
    step = max(1, len(moving.poses) // 40)
    pairs = zip(moving.poses[::step], moving.trans[::step])
    return framed(np.concatenate([performer.extent(pose, trans)[::4] for pose, trans in pairs]), width, height)


def novel_pose_frames(performer: Performer, moving: Motion, width: int, height: int) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) for each frame of the motion."""
    scene = novel_pose_scene(performer, moving, width, height)
    moments = zip(moving.poses, moving.trans)
    yield from map_parallel(lambda moment: performer.perform(scene, *moment), moments)
