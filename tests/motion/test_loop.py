"""Motions that are played over and over: the last frame leads to the first."""

import numpy as np
import pytest
import torch

from pipeline.body import BodyModel
from pipeline.motion.library import Motion, motion
from pipeline.motion.loop import looping

FRAMES, FPS, BETAS = 40, 20, np.zeros(10)


def shape(body: BodyModel, moving: Motion) -> np.ndarray:
    """(T, V, 3) vertices."""
    pose, trans = (torch.as_tensor(a, dtype=torch.float32) for a in (moving.poses, moving.trans))
    return body(pose[:, :3], pose[:, 3:], torch.zeros(10), trans).vertices.double().numpy()


@pytest.mark.parametrize("name", ["dance", "squat", "wave", "sit"])
def test_the_last_frame_leads_to_the_first(body: BodyModel, name: str) -> None:
    moving = looping(name, FRAMES, FPS, 7, body, BETAS)
    assert moving.poses.shape == (FRAMES, 72) and moving.trans.shape == (FRAMES, 3)
    vertices = shape(body, moving)
    steps = np.linalg.norm(np.roll(vertices, -1, axis=0) - vertices, axis=2).max(1)
    assert steps[-1] < 1.5 * steps[:-1].max()
    assert abs(vertices[..., 1].min(1)).max() < 1e-4  # the lowest point stays on the ground
    once = motion(name, FRAMES + FPS // 2, FPS, 7, body, BETAS)
    np.testing.assert_allclose(moving.poses[FPS // 2 :], once.poses[FPS // 2 : FRAMES], atol=1e-12)
    assert steps.max() < 2 * np.linalg.norm(np.diff(shape(body, once), axis=0), axis=2).max()


def test_a_run_ends_where_it_ends(body: BodyModel) -> None:
    once = motion("run", FRAMES, FPS, 7, body, BETAS)
    np.testing.assert_array_equal(looping("run", FRAMES, FPS, 7, body, BETAS).trans, once.trans)


def test_what_is_too_short_is_left_alone(body: BodyModel) -> None:
    short = looping("dance", 3, FPS, 7, body, BETAS)
    np.testing.assert_array_equal(short.poses, motion("dance", 3, FPS, 7, body, BETAS).poses)
