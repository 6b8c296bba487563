"""Motions: procedural ones (walk, run, turn, wave, squat, dance, sit, cross, jump) or from files, feet on the
ground.

A motion lives in a y-up world, in metres: at rest the person faces +z, the left side is +x, the ground is y = 0. SMPL's
joint angles drive it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.motion.bvh import CLIP, read_bvh
from pipeline.motion.files import load_motion_file, resampled
from pipeline.motion.mocap import read_mocap
from pipeline.motion.moves import MOTIONS, Rig

_GRAVITY = 9.81  # m/s^2
_CONTACTS = ("left_ankle", "left_foot", "right_ankle", "right_foot")
_CONTACT_SOFTNESS = 0.004  # metres of height over which a foot point takes over the contact


@dataclass(frozen=True)
class Motion:
    """A motion of T frames in the y-up world; feed it to a body as global_orient, body_pose and transl."""

    poses: np.ndarray  # (T, 72) axis-angle, SMPL's joint order
    trans: np.ndarray  # (T, 3) metres, added after the model's own root offset, as smplx does
    name: str


def motion(
    name: str, frames: int | None, fps: float, seed: int, body: BodyModel, betas: np.ndarray | None = None
) -> Motion:
    """A motion by name, or from a file, with the feet of this body on the ground y = 0.

    Args:
        name: a key of MOTIONS, or the path of a file that `load_motion_file` reads (resampled to `fps` where it
            states its own rate; one shorter than `frames` gives as many frames as it has), or FILE.npz:CLIP of a
            file that `read_mocap` reads, or a BVH that `read_bvh` reads.
        frames: how many frames are wanted; None: all of a file.
        fps: frames a second.
        seed: style of a procedural motion (tempo, reach, side); the same seed gives the same motion.
        body: the body that will perform it.
        betas: its shape (10,); the mean shape where absent.

    Raises:
        UserError: no such motion, or a file that does not hold one.
    """
    if frames is None and name in MOTIONS:
        raise ValueError(f"{name} is as long as one wants: frames must be given")
    if frames is not None and frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    betas = np.zeros(10) if betas is None else np.asarray(betas, float)
    if name not in MOTIONS:
        rest = rest_joints(body, betas)
        file, _, clip = name.rpartition(":")
        if name.lower().endswith(".bvh"):
            source = read_bvh(Path(name))
            poses, trans = resampled(*source.performed(CLIP, rest), source.rate / fps, frames)
        elif file.endswith(".npz"):
            poses, trans = read_mocap(Path(file)).resampled(clip, rest, frames, fps)
        else:
            poses, trans = load_motion_file(Path(name), MOTIONS, frames, fps, rest[0])
        planted = Motion(poses, np.zeros((len(poses), 3)), Path(name).stem)
        if trans is None:
            return plant_feet(planted, body, betas)
        return replace(planted, trans=trans - [0, lowest(body, poses, betas, trans).min(), 0])
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / fps
    rig = Rig(frames)
    lift = MOTIONS[name](rig, time, frames / fps, rng)
    rig.sway(time, rng)
    planted = plant_feet(Motion(rig.poses(), np.zeros((frames, 3)), name), body, betas, lift)
    height = _fallen(planted.trans[:, 1], fps)
    return replace(planted, trans=np.stack([planted.trans[:, 0], height, planted.trans[:, 2]], axis=1))


def plant_feet(moving: Motion, body: BodyModel, betas: np.ndarray, lift: np.ndarray | float = 0.0) -> Motion:
    """Replace the translation by one under which the lowest vertex is on the ground and the standing foot stays put.

    Of ankles and balls of the feet the lowest ones carry the body: between two frames the root moves by what keeps
    them, weighted softly by height, where they were. The path is centred on x = z = 0.

    Args:
        moving: the motion; its translation is ignored.
        body: the body that performs it.
        betas: its shape (10,).
        lift: height of the lowest vertex above the ground, one number or one a frame (a leap); NaN gives NaN.
    """
    pose = _f32(moving.poses)
    joints = body(pose[:, :3], pose[:, 3:], _f32(betas), torch.zeros(len(pose), 3)).joints.numpy().astype(float)
    rest = body.rest_joints(_f32(betas)).numpy()
    points = [JOINT_NAMES.index(name) for name in _CONTACTS]
    height = joints[:, points, 1] - rest[points, 1]  # above where the same point is with the foot flat on the ground
    weights = np.exp(-(height - height.min(axis=1, keepdims=True)) / _CONTACT_SOFTNESS)
    weights = (weights[1:] + weights[:-1])[..., None]
    steps = -(np.diff(joints[:, points], axis=0) * weights).sum(1) / weights.sum(1)
    path = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    path -= (path.min(0) + path.max(0)) / 2
    path[:, 1] = lift - lowest(body, moving.poses, betas, np.zeros_like(path))
    return replace(moving, trans=path)


def _fallen(heights: np.ndarray, fps: float) -> np.ndarray:
    """Heights (T,), metres, with free fall where they are NaN, from the last one before to the next one after."""
    frames, known = np.arange(len(heights)), np.flatnonzero(~np.isnan(heights))
    before = known[np.searchsorted(known, frames, side="right") - 1]
    after = known[np.searchsorted(known, frames)]
    return np.interp(frames, known, heights[known]) + 0.5 * _GRAVITY * (frames - before) * (after - frames) / fps**2


def lowest(body: BodyModel, poses: np.ndarray, betas: np.ndarray, trans: np.ndarray) -> np.ndarray:
    """(T,) height of the lowest vertex, a few frames at a time to spare memory."""
    chunks = []
    for start in range(0, len(poses), 32):
        pose, moved = _f32(poses[start : start + 32]), _f32(trans[start : start + 32])
        chunks.append(body(pose[:, :3], pose[:, 3:], _f32(betas), moved).vertices[..., 1].amin(1).numpy())
    return np.concatenate(chunks).astype(float)


def rest_joints(body: BodyModel, betas: np.ndarray) -> np.ndarray:
    """(24, 3) joints of the rest pose of this shape, metres."""
    return body.rest_joints(_f32(betas)).numpy().astype(float)


def _f32(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)
