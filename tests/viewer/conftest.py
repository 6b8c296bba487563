"""A small clip with its avatar, exported as a page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_avatar import seeded_avatar
from helpers_fit import prepare

from pipeline.__main__ import main
from pipeline.body import load_body
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose


@pytest.fixture(scope="session")
def fitted(studio_clip, tmp_path_factory: pytest.TempPathFactory) -> VideoDir:
    """A clip whose refined motion is the truth, and whose avatar is the body in a red shirt, with colours that depend a
    little on the direction. Its page is in exports/."""
    body = load_body("free")
    paths = prepare(studio_clip, body, tmp_path_factory.mktemp("viewer") / "tiny")
    truth = replace(Pose.load(studio_clip.truth / "pose.npz"), betas=np.zeros(10))
    truth.save(paths.pose_refined)
    file = seeded_avatar(body, 6000, len(truth))
    slopes = 0.15 * np.random.default_rng(0).normal(size=(len(file.means), 3, 3))
    replace(file, sh=np.concatenate([file.sh, slopes], axis=1)).save(paths.avatar)
    assert main(["export", str(paths.root)]) == 0
    return paths


@pytest.fixture(scope="session")
def page(fitted: VideoDir) -> Path:
    return fitted.exports / "viewer.html"
