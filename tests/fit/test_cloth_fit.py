"""Cloth that moves, found again in pictures of an avatar whose cloth moves."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers_fit import short_settings
from torch import Tensor

from pipeline.avatar.cloth import Cloth, Features
from pipeline.avatar.gaussians import Posable
from pipeline.body import BodyModel
from pipeline.fit.cloth import with_cloth
from pipeline.fit.data import FULL, LEVELS, View, load_clip
from pipeline.fit.loop import FitResult, JointFit
from pipeline.fit.rendering import Rendered, render
from pipeline.formats.pose import Pose

CPU = torch.device("cpu")
SETTINGS = {"cloth": {"steps": 120, "features": 2}, "frame_gains": False, "use_depth": False}


@pytest.fixture(scope="module")
def fitted(results, body) -> FitResult:
    settings, pose = short_settings(**SETTINGS), Pose.load(results.pose_init)
    return JointFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU).run()


def drawn(result: FitResult, body: BodyModel, frame: int, view: View, background: Tensor) -> Rendered:
    avatar, rows = result.avatar, result.rows
    values = Posable(avatar.means, avatar.quats, avatar.scales, avatar.opacities, avatar.sh, avatar.weights)
    with torch.no_grad():
        pose = rows.apply(frame, rows.correction(frame))
        return render(values, body, avatar.betas, *pose, view, background, False, avatar.sh_degree, None, avatar.cloth)


def features_of(result: FitResult, body: BodyModel, count: int) -> Features:
    rows, frames = result.rows, torch.as_tensor(np.flatnonzero(result.clip.train))
    with torch.no_grad():
        rotmats, pelvis = rows.apply(frames, rows.correction(frames))
    return Features.of(body.transforms(rotmats, result.avatar.betas, pelvis), count)


@pytest.fixture(scope="module")
def filmed(fitted, body) -> FitResult:
    """The same fit, whose clip shows an avatar that brightens and slides along the body by the first feature."""
    count = len(fitted.avatar.means)
    offsets, colours = torch.zeros(count, 2, 3), torch.zeros(count, 2, 3)
    offsets[:, 0, 1], colours[:, 0] = 0.01, 0.3
    cloth = Cloth(features_of(fitted, body, 2), offsets, colours)
    moving = dataclasses.replace(fitted, avatar=dataclasses.replace(fitted.avatar, cloth=cloth))

    def shown(frame: int, view: View) -> View:
        picture = drawn(moving, body, frame, view, torch.zeros(3))
        image, mask = (
            (255 * part.clamp(0, 1) + 0.5).byte() for part in (picture.image / picture.alpha[..., None], picture.alpha)
        )
        return dataclasses.replace(view, image=image, mask=mask, sure=None)

    views = tuple(
        each and {level: shown(frame, each[level]) for level in LEVELS} for frame, each in enumerate(fitted.clip.views)
    )
    return dataclasses.replace(fitted, clip=dataclasses.replace(fitted.clip, views=views))


def error(result: FitResult, body: BodyModel, frame: int) -> float:
    """Mean absolute difference of a frame's colours from what is drawn there, over white."""
    view, white = result.clip.view(frame, FULL), torch.ones(3)
    share = view.mask[..., None] / 255
    target = view.image / 255 * share + 1 - share
    return float((drawn(result, body, frame, view, white).image - target).abs().mean())


def test_it_finds_in_trained_frames_what_holds_in_others(filmed, body):
    loose = short_settings(**SETTINGS | {"cloth": {"steps": 200, "features": 2, "size": 1e-3, "smooth": 1e-3}})
    result = with_cloth(filmed, body, loose)
    for split in (filmed.clip.train, filmed.clip.heldout):
        before, after = (
            np.mean([error(each, body, int(frame)) for frame in np.flatnonzero(split)]) for each in (filmed, result)
        )
        assert after < 0.6 * before
    # All else is as it was.
    for name, value in vars(filmed.avatar).items():
        assert name == "cloth" or getattr(result.avatar, name) is value
    assert result.rows is filmed.rows


def test_what_hardly_counts_in_a_picture_does_not_move(filmed, body):
    """Adam steps by its rate, however small a gradient is; the weight of their size holds what nothing is told of."""
    avatar = filmed.avatar
    left = avatar.means[:, 0] > 0
    faint = dataclasses.replace(avatar, opacities=torch.where(left, 0.01, avatar.opacities))
    settings = short_settings(**SETTINGS | {"cloth": {"steps": 120, "features": 2, "smooth": 0.0}})
    cloth = with_cloth(dataclasses.replace(filmed, avatar=faint), body, settings).avatar.cloth
    moved = cloth.offsets.flatten(1).norm(dim=1)
    assert moved[left].mean() < 0.3 * moved[~left].mean()


def test_the_same_seed_gives_the_same_cloth(filmed, body):
    short = short_settings(**SETTINGS | {"cloth": {"steps": 6, "features": 2}})
    first, second = (with_cloth(filmed, body, short).avatar.cloth for _ in range(2))
    assert torch.equal(first.offsets, second.offsets) and torch.equal(first.colours, second.colours)


@pytest.mark.parametrize("change", [{"cloth": {"steps": 0}}, {"binding": "lsw"}, {"binding": "gom"}])
def test_where_it_is_not_wanted_nothing_is_touched(filmed, body, change):
    assert with_cloth(filmed, body, short_settings(**SETTINGS | change)) is filmed
