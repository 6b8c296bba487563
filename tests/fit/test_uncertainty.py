"""How sure the fit is: the covariance against dense inverses and closed forms, and what the stage writes of it."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from helpers_fit import SHORT, short_settings

from pipeline.__main__ import main
from pipeline.fit.alignment.solve import Chain
from pipeline.fit.alignment.surface import Skeleton, Surface
from pipeline.fit.data import load_clip
from pipeline.fit.loop import FitResult
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.uncertainty import calibrated, chained, joint_jacobian, model_sigma, split
from pipeline.formats.pose import Pose

CPU = torch.device("cpu")
HIP, WRIST = 1, 20


@pytest.fixture(scope="module")
def fitted(results, body) -> FitResult:
    """As a fit would end that moved nothing."""
    pose, settings = Pose.load(results.pose_init), short_settings(use_landmarks=False)
    clip = load_clip(results, pose, settings, CPU)
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    rows = PoseRows(pose, body.rest_joints(betas)[0], np.flatnonzero(clip.train), settings.knot_spacing, CPU)
    return FitResult(None, rows, betas, clip, 1.0, [], None, torch.zeros(24))


def problem(frames: int, unknowns: int, shared: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Evidence of each frame, a prior in time, and what all frames share."""
    generator = torch.Generator().manual_seed(seed)
    slopes = torch.randn(frames, 6, unknowns + shared, generator=generator, dtype=torch.float64)
    evidence = slopes.transpose(1, 2) @ slopes
    chain = Chain(torch.full((frames - 1,), 0.1).double(), 0.3, torch.rand(unknowns, generator=generator).double() + 1)
    return (
        evidence[:, :unknowns, :unknowns] + torch.diag_embed(chain.diagonal()),
        chain.neighbours(),
        evidence[:, :unknowns, unknowns:],
        evidence[:, unknowns:, unknowns:].sum(0) + torch.eye(shared).double(),
    )


def dense(blocks, neighbours, coupling, shared) -> torch.Tensor:
    count, size = blocks.shape[:2]
    whole = torch.block_diag(*blocks, shared)
    for frame in range(count - 1):
        here, there = slice(frame * size, (frame + 1) * size), slice((frame + 1) * size, (frame + 2) * size)
        whole[here, there] = whole[there, here] = torch.diag(neighbours[frame])
    whole[: count * size, count * size :] = coupling.flatten(0, 1)
    whole[count * size :, : count * size] = coupling.flatten(0, 1).T
    return torch.linalg.inv(whole)


def test_blocks_of_the_inverse_are_those_of_the_dense_inverse():
    frames, unknowns, size = 7, 5, 3
    parts = problem(frames, unknowns, size)
    inverse = dense(*parts)
    covariance, shared = chained(*parts)
    torch.testing.assert_close(shared.covariance, inverse[-size:, -size:])
    for frame in range(frames):
        own = slice(frame * unknowns, (frame + 1) * unknowns)
        slope = shared.slopes[frame]
        torch.testing.assert_close(covariance[frame] + slope @ shared.covariance @ slope.T, inverse[own, own])
        torch.testing.assert_close(slope @ shared.covariance, inverse[own, -size:])


def test_one_measurement_of_a_sum_has_its_closed_form():
    """A frame's x and the common h, both with prior 1; x + h is measured with precision 4."""
    precision = torch.tensor([[[4.0]]]).double()
    one = torch.ones(1, 1).double()
    covariance, shared = chained(precision + 1, torch.zeros(0, 1).double(), precision, precision[0] + one)
    slope = shared.slopes[0]
    own = covariance[0] + slope @ shared.covariance @ slope.T
    assert float(own) == pytest.approx(1 - 4 / (1 + 2 * 4))
    total = covariance[0] + (1 + slope) @ shared.covariance @ (1 + slope).T
    assert float(total) == pytest.approx(1 / (1 / 2 + 4)), "prior variance 2, and 1 / 4 of the measurement"


def test_joints_move_as_their_jacobian_says(fitted, body):
    rows, frame = fitted.rows, torch.tensor([3])
    generator = torch.Generator().manual_seed(0)
    start = 0.2 * torch.randn(75, generator=generator)

    def middled(correction: torch.Tensor) -> torch.Tensor:
        rotmats, pelvis = rows.apply(frame, correction[None])
        joints = body.world_joints(rotmats, fitted.betas, pelvis - body.rest_joints(fitted.betas)[0])[0, :, :3, 3]
        return joints - joints[1:3].mean(0)

    surface = Surface(body, fitted.betas, 0)
    with torch.no_grad():
        rows.params["rows"][3] = start
        skeleton = Skeleton(*(part[None] for part in surface.skeletons(rows, frame)[0]))
        rows.params["rows"][3] = 0.0
        by_pose = joint_jacobian(skeleton, surface.subtree)[0]
        for column in (0, 1, 2, 10, 28, 50, 55, 73, 74):
            step = torch.nn.functional.one_hot(torch.tensor(column), 75) * 1e-2
            numeric = (middled(start + step) - middled(start - step)) / 2e-2
            torch.testing.assert_close(by_pose[..., column], numeric, atol=2e-3, rtol=0)


def test_across_and_along_are_those_of_the_ray():
    covariance = torch.diag(torch.tensor([0.04, 0.01, 0.25]))[None, None]
    straight = split(covariance, torch.tensor([[[0.0, 0.0, 3.0]]]))
    torch.testing.assert_close(straight, torch.tensor([[[0.025**0.5, 0.5]]]))
    aside = split(covariance, torch.tensor([[[2.0, 0.0, 0.0]]]))
    torch.testing.assert_close(aside, torch.tensor([[[0.13**0.5, 0.2]]]))


def test_depth_along_the_ray_is_what_an_image_tells_least(fitted, body):
    flat = dataclasses.replace(fitted, clip=dataclasses.replace(fitted.clip, views=without_depth(fitted.clip)))
    sigma = model_sigma(flat, body, 10.0, short_settings(use_landmarks=False))
    seen = flat.clip.train
    assert (sigma[seen][:, 4:, 1].mean() > 1.3 * sigma[seen][:, 4:, 0].mean()).item()


def test_sigma_falls_with_evidence(fitted, body):
    settings = short_settings(use_landmarks=False)
    sigma = model_sigma(fitted, body, 10.0, settings)
    vague = dataclasses.replace(
        settings.align, sigma_mask=10 * settings.align.sigma_mask, sigma_depth=10 * settings.align.sigma_depth
    )
    assert (model_sigma(fitted, body, 10.0, dataclasses.replace(settings, align=vague)) > sigma).all()
    flat = dataclasses.replace(fitted, clip=dataclasses.replace(fitted.clip, views=without_depth(fitted.clip)))
    assert (model_sigma(flat, body, 10.0, settings)[..., 1] > sigma[..., 1]).all()


def test_a_frame_that_nobody_saw_is_less_sure_than_its_neighbours(fitted, body):
    clip, lost = fitted.clip, 6
    views, train, heldout = list(clip.views), clip.train.copy(), clip.heldout.copy()
    views[lost], train[lost], heldout[lost] = None, False, False
    gap = dataclasses.replace(fitted, clip=dataclasses.replace(clip, views=tuple(views), train=train, heldout=heldout))
    sigma = model_sigma(gap, body, 10.0, short_settings(use_landmarks=False))
    assert torch.isfinite(sigma).all()
    assert (sigma[lost, WRIST] > sigma[[lost - 1, lost + 1], WRIST].amax(0)).all()


def test_the_studio_makes_the_model_less_sure():
    model = torch.tensor([[[0.0, 0.0]], [[0.01, 0.02]], [[0.1, 0.2]]]).expand(3, 24, 2)
    sigma = calibrated(model)
    assert sigma.shape == (3, 24, 2)
    assert (np.diff(sigma, axis=0) > 0).all()
    assert (sigma[0] > 0.001).all(), "no joint is known to nothing"
    assert (sigma > model.numpy()).all()


def without_depth(clip) -> tuple:
    return tuple(
        each and {level: dataclasses.replace(view, depth=None) for level, view in each.items()} for each in clip.views
    )


@pytest.mark.parametrize(
    ("overrides", "says"),
    [({}, True), ({"optimise_pose": False}, False), ({"align": {"coarse": 0}}, False)],
)
def test_the_stage_writes_how_sure_it_is(results, overrides, says):
    settings = SHORT | {"use_landmarks": False, "steps": SHORT["steps"] | {"full": 5}} | overrides
    assert main(["fit", str(results.root), "--settings", json.dumps(settings), "--threads", "1"]) == 0
    sigma = Pose.load(results.pose_refined).sigma
    if not says:
        assert sigma is None
        return
    assert sigma.shape == (14, 24, 2)
    assert (sigma > 0).all() and (sigma < 1).all()
    assert np.median(sigma[:, WRIST]) > np.median(sigma[:, HIP]), "what is farther from the hips is less sure"
