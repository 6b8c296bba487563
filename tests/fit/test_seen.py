"""How well the trained frames show each Gaussian (pipeline/fit/seen.py)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers_avatar import seeded_avatar
from scipy.spatial.transform import Rotation

from pipeline.avatar import Avatar
from pipeline.body import BodyModel
from pipeline.fit.data import MIDDLE, Clip, View
from pipeline.fit.seen import seen_share
from pipeline.formats.pose import Pose

FRAMES, WIDTH, HEIGHT = 4, 120, 160


@pytest.fixture(scope="module")
def avatar(body: BodyModel) -> Avatar:
    return Avatar.from_file(seeded_avatar(body, 6000, FRAMES), body)


def standing(*degrees: float) -> Pose:
    """Somebody upright 3 m before the camera; in each frame turned so far from facing it."""
    upright = Rotation.from_euler("x", 180, degrees=True)
    turned = [(upright * Rotation.from_euler("y", turn, degrees=True)).as_rotvec() for turn in degrees]
    count = len(degrees)
    return Pose(
        global_orient=np.array(turned), body_pose=np.zeros((count, 69)), betas=np.zeros(10),
        transl=np.tile([0.0, 0.0, 3.0], (count, 1)), valid=np.ones(count, bool),
        bbox=np.tile([0.0, 0, WIDTH, HEIGHT], (count, 1)), K=np.array([[200.0, 0, 60], [0, 200, 80], [0, 0, 1]]),
        fps=10.0, body_model="free", source="test",
    )  # fmt: skip


def filmed(pose: Pose, mask: torch.Tensor, sure: torch.Tensor | None = None) -> Clip:
    """The clip of a pose, its mask [H, W] the same in all frames, all of which are trained on."""
    image = torch.zeros(HEIGHT, WIDTH, 3, dtype=torch.uint8)
    view = View(image, mask, None, torch.as_tensor(pose.K, dtype=torch.float32), sure)
    train = np.ones(len(pose), bool)
    return Clip(tuple({MIDDLE: view} for _ in train), train, ~train, False, "")


def person() -> torch.Tensor:
    return torch.full((HEIGHT, WIDTH), 255, dtype=torch.uint8)


def above(row: int) -> torch.Tensor:
    mask = person()
    mask[row:] = 0
    return mask


def sides(avatar: Avatar, body: BodyModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) bool each: front and back of the chest, and what is below the hips."""
    x, y, z = avatar.means.T.numpy()
    hips = float(body.rest_joints(torch.zeros(10))[0, 1])
    chest = (np.abs(x) < 0.1) & (y > hips + 0.15) & (y < hips + 0.4)
    middle = float(z[chest].mean())
    return chest & (z > middle + 0.03), chest & (z < middle - 0.03), y < hips - 0.1


def test_of_somebody_filmed_from_the_front_the_back_was_not_seen(avatar: Avatar, body: BodyModel) -> None:
    pose = standing(*[0.0] * FRAMES)
    seen = seen_share(avatar, body, pose, filmed(pose, person()))
    front, back, legs = sides(avatar, body)
    assert seen.dtype == np.float32 and seen.shape == (len(avatar.means),)
    assert seen[front].mean() > 0.95 and seen[back].mean() < 0.05
    assert 0.3 < seen[legs].mean() < 0.7  # their front half


def test_of_somebody_who_turns_round_both_were(avatar: Avatar, body: BodyModel) -> None:
    pose = standing(0, 0, 180, 180)
    seen = seen_share(avatar, body, pose, filmed(pose, person()))
    front, back, _ = sides(avatar, body)
    assert seen[front].mean() > 0.95 and seen[back].mean() > 0.95
    once = seen_share(avatar, body, standing(0, 0, 0, 180), filmed(pose, person()))
    assert once[back].mean() == pytest.approx(0.5, abs=0.05)  # one frame is half of what is enough


@pytest.mark.parametrize("by", ["mask", "unknown"])
def test_what_lies_outside_of_the_mask_or_is_unknown_was_not_seen(avatar: Avatar, body: BodyModel, by: str) -> None:
    pose, (front, _, legs) = standing(*[0.0] * FRAMES), sides(avatar, body)
    hips = above(round(80 + 200 * float(body.rest_joints(torch.zeros(10))[0, 1]) / 3) + 1)
    seen = seen_share(avatar, body, pose, filmed(pose, *((hips,) if by == "mask" else (person(), hips))))
    assert seen[front].mean() > 0.95 and seen[legs].max() == 0


def test_frames_that_were_held_out_show_nothing(avatar: Avatar, body: BodyModel) -> None:
    pose = standing(0, 0, 180, 180)
    clip = filmed(pose, person())
    front, back, _ = sides(avatar, body)
    seen = seen_share(avatar, body, pose, replace(clip, train=np.array([True, True, False, False])))
    assert seen[front].mean() > 0.95 and seen[back].mean() < 0.05
    assert seen_share(avatar, body, pose, replace(clip, train=np.zeros(FRAMES, bool))).max() == 0
