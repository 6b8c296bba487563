"""A small clip with its avatar, exported as a page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_avatar import seeded_avatar
from helpers_fit import prepare

from pipeline.__main__ import main
from pipeline.avatar.cloth import Cloth, Features
from pipeline.body import load_body
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix


@pytest.fixture(scope="session")
def fitted(studio_clip, tmp_path_factory: pytest.TempPathFactory) -> VideoDir:
    """A clip whose refined motion is the truth, and whose avatar is the body in a red shirt, with colours that depend a
    little on the direction, and on the pose as its places do. Its last frames count as poses that were never seen, and
    what is low and behind as never filmed. Its page is in exports/."""
    body = load_body("free")
    paths = prepare(studio_clip, body, tmp_path_factory.mktemp("viewer") / "tiny")
    truth = replace(Pose.load(studio_clip.truth / "pose.npz"), betas=np.zeros(10))
    truth.save(paths.pose_refined)
    file = seeded_avatar(body, 6000, len(truth))
    poses = np.concatenate([truth.global_orient, truth.body_pose], axis=1)
    turns = axis_angle_to_matrix(torch.as_tensor(poses, dtype=torch.float32).view(-1, 24, 3))
    features = Features.of(body.transforms(turns, torch.zeros(10), torch.zeros(len(truth), 3))[:-4], 3)
    random = torch.randn(2, len(file.means), 3, 3, generator=torch.Generator().manual_seed(0))
    cloth = Cloth(features, 0.002 * random[0], 0.03 * random[1])  # three times what fits find
    slopes = 0.15 * np.random.default_rng(0).normal(size=(len(file.means), 3, 3))
    seen = np.where((file.means[:, 1] < -0.5) & (file.means[:, 2] < 0), 0, 1)
    file = replace(file, seen=seen.astype(np.float32))
    replace(file, sh=np.concatenate([file.sh, slopes], axis=1), cloth=cloth.to_file()).save(paths.avatar)
    assert main(["export", str(paths.root)]) == 0
    return paths


@pytest.fixture(scope="session")
def page(fitted: VideoDir) -> Path:
    return fitted.exports / "viewer.html"
