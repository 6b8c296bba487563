"""Poses aligned with the avatar's picture, their prior in time, and masks that a checkpoint keeps."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers_fit import short_settings

from pipeline.body import JOINT_NAMES
from pipeline.fit.alignment.solve import Bend
from pipeline.fit.alignment.surface import Surface
from pipeline.fit.data import FULL, LEVELS, load_clip
from pipeline.fit.loop import JointFit
from pipeline.fit.refit import Refit, refit_poses
from pipeline.fit.remask import packed, unpacked
from pipeline.fit.settings import FitSettings
from pipeline.formats.pose import Pose
from pipeline.losses.search import Searchable

CPU = torch.device("cpu")
LIMBS = [JOINT_NAMES.index(f"{side}_{end}") for side in ("left", "right") for end in ("wrist", "ankle")]


@pytest.fixture(scope="module")
def fitted(results, body) -> JointFit:
    pose, settings = Pose.load(results.pose_init), short_settings()
    fit = JointFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU)
    fit.run()
    return fit


def filmed(fit: JointFit, stand_off: float = 0.0, longer: float = 0.0):
    """The clip as if the avatar were the person: each frame shows it in the pose that it has now.

    Args:
        stand_off: metres that the person's clothes stand off farther than the avatar's.
        longer: metres that the person's forearms and shanks are longer.
    """
    clip, person = fit.objective.clip, copy.copy(fit.unknowns)
    person.gaussians = lengthened(fit, loosened(person.gaussians, stand_off), longer)
    draw = person.artist(1)
    views = list(clip.views)
    for frame, levels in enumerate(views):
        if levels is None:
            continue
        views[frame] = {}
        for level, view in levels.items():
            colour, alpha = draw(frame, view, torch.zeros(3))
            image = (255 * colour / alpha.clamp(min=1e-3)[..., None]).clamp(0, 255).round().byte()
            views[frame][level] = replace(view, image=image, mask=(255 * alpha).round().byte())
    return replace(clip, views=tuple(views), log_gains=None)


def loosened(gaussians, stand_off: float):
    """The same, farther from the body, metres."""
    loose = copy.copy(gaussians)
    outward = torch.tensor([0, 0, stand_off])
    loose.params = gaussians.params | {"offsets": gaussians.params["offsets"].detach() + outward}
    return loose


def lengthened(fit: JointFit, gaussians, longer: float):
    """The same with longer forearms and shanks, metres."""
    surface = Surface(fit.unknowns.body, fit.unknowns.betas.detach(), 0)
    stretch = surface.stretch(surface.rest_joints)[:, LIMBS].sum(1)
    tall, anchors = copy.copy(gaussians), gaussians.anchors
    tall.anchors = replace(anchors, points=anchors.points + longer * anchors.weights @ stretch)
    return tall


def posed(fit: JointFit, rows) -> torch.Tensor:
    """Vertices [T, V, 3] in all frames."""
    body, betas = fit.unknowns.body, fit.unknowns.betas.detach()
    with torch.no_grad():
        rotmats, pelvis = rows.apply(slice(None), rows.correction(slice(None)))
        return body.world_joints(rotmats, betas, pelvis - body.rest_joints(betas)[0])[:, :, :3, 3]


def test_a_disturbed_pose_comes_back_to_where_the_avatar_was_filmed(fitted) -> None:
    fit = copy.copy(fitted)
    clip, rows = filmed(fit), fit.unknowns.rows
    kept = {name: value.detach().clone() for name, value in rows.params.items()}
    true = posed(fit, rows)
    frames = np.flatnonzero(clip.train | clip.heldout)
    shift = torch.zeros(75)
    shift[:3], shift[72] = torch.tensor([0.0, 0.0, 0.04]), 0.006  # across the line of sight
    with torch.no_grad():
        rows.params["rows"] += shift
    before = (posed(fit, rows) - true)[frames][..., :2].norm(dim=-1).mean()
    known = fit.unknowns.body, fit.unknowns.betas.detach(), fit.unknowns.gaussians
    refit_poses(fit.unknowns.artist(1), clip, *known, rows, None, frames, fit.fps, fit.settings, False)
    after = (posed(fit, rows) - true)[frames][..., :2].norm(dim=-1).mean()
    with torch.no_grad():
        for name, value in kept.items():
            rows.params[name].copy_(value)
    assert after < 0.3 * before


def moved_along_the_ray(fit: JointFit, settings: FitSettings, **wrong: float) -> torch.Tensor:
    """How far the steps move wrists and ankles along the ray for what the film shows otherwise, metres. [4]"""
    rows = fit.unknowns.rows
    kept = {name: value.detach().clone() for name, value in rows.params.items()}
    frames = np.flatnonzero(fit.objective.clip.train | fit.objective.clip.heldout)
    known = fit.unknowns.body, fit.unknowns.betas.detach(), fit.unknowns.gaussians
    found = []
    for other in ({}, wrong):
        clip = filmed(fit, **other)
        refit_poses(fit.unknowns.artist(1), clip, *known, rows, None, frames, fit.fps, settings, True)
        joints = posed(fit, rows)[frames]
        found.append(joints - joints[:, :1])
        with torch.no_grad():
            for name, value in kept.items():
                rows.params[name].copy_(value)
    return (found[1] - found[0])[:, LIMBS, 2].mean(0).abs()


def test_limbs_are_not_turned_for_their_breadth(fitted) -> None:
    """Sleeves and trousers a little wider than the avatar's, in all frames: no limb is nearer for that."""
    assert moved_along_the_ray(fitted, fitted.settings, stand_off=0.006).max() < 0.01


def test_limbs_are_turned_less_for_their_length(fitted) -> None:
    """Bones a little longer than the avatar's, in all frames."""
    settings = fitted.settings
    certain = replace(settings, align=replace(settings.align, sigma_length=1e-5))
    asked, taken = (moved_along_the_ray(fitted, each, longer=0.008).sum() for each in (settings, certain))
    assert asked < 0.75 * taken


def test_points_lie_where_the_clothes_are(fitted) -> None:
    """Loose ones: the outline that the avatar is drawn with is far from the body's surface."""
    fit = fitted
    gaussians, rows, betas = fit.unknowns.gaussians, fit.unknowns.rows, fit.unknowns.betas.detach()
    loose = loosened(gaussians, 0.05)
    align = fit.settings.align
    refit = Refit(fit.objective.clip, fit.unknowns.body, betas, rows, None, None, align, fit.fps, 0, False)
    refit.begin(fit.unknowns.artist(1), loose, fit.fps)
    skeleton = refit.surface.skeletons(rows, rows.frames[:1])[0]
    points = refit.surface.posed(skeleton, refit.thickness).rest.T
    with torch.no_grad():
        places = loose.posable(sh_degree=0).means
    apart = (points - places[Searchable(places).nearest(points)]).norm(dim=-1)
    assert apart.median() < 0.02 < 0.04 < loose.stand_off().norm(dim=-1).median()


def test_gathered_rows_hold_what_the_knots_held(fitted) -> None:
    rows = copy.copy(fitted.unknowns.rows)
    rows.params = {name: torch.randn_like(value) for name, value in rows.params.items()}
    before = rows.correction(slice(None))
    rows.gather()
    torch.testing.assert_close(rows.correction(slice(None)), before)
    assert not rows.params["knots"][1:].any()


def test_only_what_bends_is_held() -> None:
    """A frame more or less between: second derivatives are in seconds, and what is linear in time costs nothing."""
    seconds = torch.tensor([0.0, 0.1, 0.2, 0.4, 0.5, 0.8])
    bend = Bend(seconds, torch.tensor([2.0, 5.0]))
    linear = seconds[:, None] * torch.tensor([3.0, -7.0]) + 1
    torch.testing.assert_close(bend(linear), torch.zeros(6, 2), atol=2e-3, rtol=0)
    curved = seconds[:, None] ** 2 * torch.tensor([1.0, 0.5])  # second derivatives of 2 and 1
    cost = (curved * bend(curved)).sum(0)
    torch.testing.assert_close(cost, 4 * torch.tensor([2.0, 1.0]) ** 2 / torch.tensor([2.0, 5.0]) ** 2)
    whole = torch.stack([bend(column[:, None].expand(-1, 2))[:, 0] for column in torch.eye(6)], dim=1)
    torch.testing.assert_close(whole, whole.T)
    torch.testing.assert_close(bend.diagonal(curved)[:, 0], whole.diagonal())


def test_a_checkpoint_keeps_the_masks(fitted) -> None:
    clip = fitted.objective.clip
    generator = torch.Generator().manual_seed(0)
    views = [
        levels
        and {
            level: replace(view, mask=random(view, generator), sure=random(view, generator))
            for level, view in levels.items()
        }
        for levels in clip.views
    ]
    other = replace(clip, views=tuple(views))
    again = unpacked(clip, packed(other))
    for levels, expected in zip(again.views, other.views):
        if levels is not None:
            assert torch.equal(levels[FULL].mask, expected[FULL].mask)
            assert torch.equal(levels[FULL].sure, expected[FULL].sure)
            assert all(levels[level].sure.shape == levels[level].mask.shape for level in LEVELS)


def random(view, generator) -> torch.Tensor:
    return torch.randint(0, 256, view.mask.shape, generator=generator, dtype=torch.uint8)
