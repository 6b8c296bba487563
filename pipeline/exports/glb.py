"""The motion as a GLB (glTF 2.0): the body's mesh, skinned to its 24 joints and animated, and the video's camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pygltflib as gltf
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.exports.fitted import Fitted
from pipeline.exports.gltf import GltfFile
from pipeline.exports.names import BONE_NAMES
from pipeline.exports.rig import Rig, add_person
from pipeline.exports.world import WorldMotion

_GREY = 0.6
_NEAR = 0.01  # metres in front of the camera from which on things are seen
_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])  # glTF's cameras look along -z, y up
_STILL = 1e-9  # a camera that moves less has no keys


def export(fitted: Fitted, folder: Path) -> None:
    """Write motion.glb, the body in the avatar's colours."""
    pose, rig = fitted.pose, Rig.of(fitted.body, fitted.pose.betas)
    names = BONE_NAMES[fitted.settings.bone_names]
    write_glb(folder / "motion.glb", fitted.y_up_at_rate, fitted.body, rig, fitted.surface_colors, pose.K, names)


def write_glb(
    path: str | Path,
    motion: WorldMotion,
    body: BodyModel,
    rig: Rig,
    colors: np.ndarray | None,
    K: np.ndarray,
    names: Sequence[str] = JOINT_NAMES,
) -> None:
    """Write `motion` (y up), whole or not at all.

    glTF has no frame rate: keys lie at times, and a program that knows only frames must be set to the clip's rate.
    `asset.extras` and the animation's `extras` hold it as `fps`.

    Args:
        motion: in a world with y up, metres.
        body: the body that it moves.
        rig: of the person's shape.
        colors: sRGB colours of the body's vertices in [0, 1] (V, 3), or None for grey.
        K: of the video's camera, px. (3, 3)
        names: of the joints, in SMPL's order.
    """
    file = GltfFile()
    add_person(file, rig, body, np.full(rig.vertices.shape, _GREY) if colors is None else colors, names)
    told = {"fps": motion.fps, "frames": len(motion.poses)}
    file.model.asset.extras = told
    times = file.add(np.arange(len(motion.poses)) / motion.fps, bounds=True)
    # The rest joint's own lift is not the motion's: that stands on the ground already.
    root = rig.joints[0] - [0, rig.lift, 0]
    tracks = [(0, "translation", motion.transl + root)]
    quats = same_sign(rig.local(motion.poses))
    tracks += [(joint, "rotation", quats[:, joint]) for joint in range(len(JOINT_NAMES))]
    tracks += _add_camera(file, motion, K)
    file.model.animations = [_animation(file, times, tracks, told)]
    file.save(path)


def same_sign(
    quats: np.ndarray,  # (T, ..., 4)
) -> np.ndarray:  # (T, ..., 4)
    """The same rotations, neighbours of one sign (q and -q are one), so that keys are joined the short way."""
    signs = np.where((quats[1:] * quats[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    return np.concatenate([quats[:1], quats[1:] * np.cumprod(signs, axis=0)])


def _add_camera(file: GltfFile, motion: WorldMotion, K: np.ndarray) -> list[tuple[int, str, np.ndarray]]:
    """The video's camera as a node, and its tracks where it moves.

    glTF has no principal point: the picture is taken to reach equally far to both sides of it.
    """
    places = np.broadcast_to(motion.world_from_camera, (len(motion.poses), 4, 4)) @ _FROM_OPENCV
    quats = same_sign(Rotation.from_matrix(places[:, :3, :3]).as_quat())
    node, (half_width, half_height) = len(file.model.nodes), K[:2, 2] / [K[0, 0], K[1, 1]]
    lens = gltf.Perspective(
        yfov=float(2 * np.arctan(half_height)), aspectRatio=float(half_width / half_height), znear=_NEAR
    )
    file.model.cameras = [gltf.Camera(name="video", type="perspective", perspective=lens)]
    file.model.nodes.append(
        gltf.Node(name="camera", camera=0, translation=places[0, :3, 3].tolist(), rotation=quats[0].tolist())
    )
    file.model.scenes[0].nodes.append(node)
    if np.abs(places - places[0]).max() < _STILL:
        return []
    return [(node, "translation", places[:, :3, 3]), (node, "rotation", quats)]


def _animation(
    file: GltfFile, times: int, tracks: list[tuple[int, str, np.ndarray]], extras: dict[str, float]
) -> gltf.Animation:
    """One key a frame of each track: the node, what of it moves, and the values."""
    samplers, channels = [], []
    for index, (node, kind, values) in enumerate(tracks):
        samplers.append(gltf.AnimationSampler(input=times, output=file.add(values), interpolation="LINEAR"))
        target = gltf.AnimationChannelTarget(node=node, path=kind)
        channels.append(gltf.AnimationChannel(sampler=index, target=target))
    return gltf.Animation(name="motion", samplers=samplers, channels=channels, extras=extras)
