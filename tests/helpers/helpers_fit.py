"""What tests of the fit share: short settings, a results folder with a disturbed pose, and the error of a pose."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.body import BodyModel
from pipeline.fit.settings import FitSettings
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.runtime.settings import load_settings

if TYPE_CHECKING:
    from conftest import StudioClip

aten = torch.ops.aten

SHORT = {
    "gaussians": 800,
    "crop_sides": {"coarse": 48, "middle": 64, "full": 96},
    "neighbours_every": 5,
    "checkpoint_every": 10,
    "align": {"coarse": 3, "middle": 0},
    "steps": {"colours": 5, "coarse": 10, "middle": 5, "full": 20, "heldout": 3, "clip_frames": 80},
    "densify": {"start": 0.2, "stop": 0.9, "every": 5, "max_gaussians": 900},
    "spread": {"at": 0.9},
    "cloth": {"steps": 5},
}


def reads_back(func, args) -> bool:
    """Whether an operation (as `__torch_dispatch__` gets it) would make the host wait for a GPU."""
    if func.overloadpacket in (aten.index, aten.index_put, aten.index_put_):
        return any(index is not None and index.dtype == torch.bool for index in args[1])
    return func.overloadpacket in (aten._local_scalar_dense, aten.nonzero, aten.masked_select)


def short_settings(**overrides) -> FitSettings:
    return load_settings("fit", SHORT | overrides, FitSettings)


def disturbed(truth: Pose, body, turn: float = 0.1, seed: int = 0) -> Pose:
    """The truth with errors of an estimator: slow in time, `turn` radians a joint and axis, 2% of the distance."""
    rng = np.random.default_rng(seed)
    count = len(truth)

    def slow(*shape: int) -> np.ndarray:
        wave = gaussian_filter1d(rng.normal(size=(count, *shape)), 4, axis=0, mode="wrap")
        return wave / wave.std() * np.sqrt(0.5) + rng.normal(size=shape) * np.sqrt(0.5)

    angles = np.concatenate([truth.global_orient, truth.body_pose], axis=1).reshape(-1, 3)
    noise = turn * slow(24, 3).reshape(-1, 3)
    turned = (Rotation.from_rotvec(angles) * Rotation.from_rotvec(noise)).as_rotvec().reshape(count, 72)
    pelvis = body.rest_joints(torch.as_tensor(truth.betas, dtype=torch.float32))[0].numpy()
    transl = (truth.transl + pelvis) * np.exp(0.02 * slow(1)) - pelvis
    return dataclasses.replace(
        truth, global_orient=turned[:, :3], body_pose=turned[:, 3:], transl=transl, source="simulated"
    )


def prepare(studio_clip: StudioClip, body: BodyModel, root: Path) -> VideoDir:
    """A results folder with all that the fit reads: true masks, depth and camera, a disturbed pose, no landmarks."""
    folder = VideoDir(root)
    assert main(["decode", str(studio_clip.video), str(folder.root)]) == 0
    shutil.copytree(studio_clip.truth / "masks", folder.masks)
    shutil.copytree(studio_clip.truth / "depth", folder.depth)
    shutil.copy(studio_clip.truth / "camera.json", folder.camera)
    truth = Pose.load(studio_clip.truth / "pose.npz")
    disturbed(truth, body).save(folder.pose_init)
    Landmarks.none(len(truth)).save(folder.landmarks)
    return folder


def mpjpe(pose: Pose, truth: Pose, body) -> float:
    """Mean distance of the joints, relative to the pelvis, millimetres."""
    found = []
    for each in (pose, truth):
        fields = (each.global_orient, each.body_pose, each.betas, each.transl)
        joints = body(*(torch.as_tensor(value, dtype=torch.float32) for value in fields)).joints
        found.append(joints - joints[:, :1])
    return float((found[0] - found[1]).norm(dim=-1).mean() * 1000)
