"""A clip of nine frames, its avatar, and its exports."""

from pathlib import Path

import numpy as np
import pytest
import torch
from export_readers import FPS, FRAMES
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.avatar import Avatar
from pipeline.body import BodyModel
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.pose import Pose


@pytest.fixture(scope="module")
def pose() -> Pose:
    """Someone who walks past the camera, turning, with bent hips and arms; the camera is 1 m above the floor."""
    rng = np.random.default_rng(0)
    turn = Rotation.from_rotvec(np.deg2rad(np.linspace(-40, 200, FRAMES))[:, None] * [0.0, 1.0, 0.0])
    upright = Rotation.from_euler("x", 180, degrees=True)
    body_pose = 0.2 * np.cumsum(rng.normal(size=(FRAMES, 69)), axis=0) / np.sqrt(FRAMES)
    body_pose[:, 0] -= np.linspace(0, 2.0, FRAMES)  # the left thigh, beyond 90 degrees
    return Pose(
        global_orient=(upright * turn).as_rotvec(),
        body_pose=body_pose,
        betas=0.7 * rng.normal(size=10),
        transl=np.stack([np.linspace(-0.5, 0.5, FRAMES), np.full(FRAMES, 0.4), np.full(FRAMES, 3.0)], axis=1),
        valid=np.ones(FRAMES, bool),
        bbox=np.tile([0.0, 0.0, 64.0, 96.0], (FRAMES, 1)),
        K=np.array([[90.0, 0, 32], [0, 90, 48], [0, 0, 1]]),
        fps=FPS,
        body_model="free",
        source="test",
    )


@pytest.fixture(scope="module")
def avatar_file(body: BodyModel, pose: Pose) -> AvatarFile:
    """Gaussians on vertices of the body: red on its left half, blue on its right, with some view dependence."""
    rng = np.random.default_rng(1)
    count = 1500
    chosen = torch.from_numpy(rng.choice(len(body.v_template), count, replace=False))
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    means = body.shaped(betas)[chosen]
    sh = torch.zeros(count, 4, 3)
    left = means[:, 0] > 0
    sh[:, 0] = torch.where(left[:, None], torch.tensor([1.7, -1.7, -1.7]), torch.tensor([-1.7, -1.7, 1.7]))
    sh[:, 1:] = 0.1 * torch.from_numpy(rng.normal(size=(count, 3, 3))).float()
    avatar = Avatar(
        means=means,
        quats=torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(count, 4))).float(), dim=-1),
        scales=torch.from_numpy(rng.uniform(0.005, 0.03, (count, 3))).float(),
        opacities=torch.from_numpy(rng.uniform(0.3, 0.99, count)).float(),
        sh=sh,
        weights=body.weights[chosen],
        betas=betas,
    )
    seen = rng.uniform(0, 1, count).astype(np.float32)
    return avatar.to_file(body, "camel", np.ones(FRAMES, bool), seen=seen)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, pose: Pose, avatar_file: AvatarFile) -> Path:
    """results/<video>/ after `python -m pipeline export`."""
    folder = tmp_path_factory.mktemp("results") / "clip ä"
    (folder / "fit").mkdir(parents=True)
    pose.save(folder / "fit" / "pose_refined.npz")
    avatar_file.save(folder / "fit" / "avatar.npz")
    assert main(["export", str(folder), "--settings", "{posed_frames: 2, viewer: false}"]) == 0
    return folder
