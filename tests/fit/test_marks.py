"""Landmarks as evidence: where they lie on the body, their normal equations, and what they do to a disturbed pose."""

import dataclasses

import numpy as np
import pytest
import torch
from clip_files import ideal_landmarks
from helpers_fit import mpjpe, short_settings
from torch.autograd import gradcheck

from pipeline.fit.alignment import Alignment
from pipeline.fit.alignment.landmarks import landmark_equations
from pipeline.fit.data import load_clip
from pipeline.fit.loop import JointFit
from pipeline.fit.marks import Marks, Sighted, mark_loss
from pipeline.fit.pose_rows import PoseRows
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.pose import Pose
from pipeline.landmarks.on_body import landmark_map
from pipeline.runtime.errors import UserError

CPU = torch.device("cpu")
K = torch.tensor([[500.0, 0, 160], [0, 500, 200], [0, 0, 1]])


@pytest.fixture(scope="module")
def seen(results, body, studio_clip) -> Landmarks:
    """What a perfect detector finds; written where the fit reads it."""
    landmarks = ideal_landmarks(body, Pose.load(studio_clip.truth / "pose.npz"), landmark_map(body).names)
    landmarks.save(results.landmarks)
    return landmarks


def rows_of(pose: Pose, body) -> PoseRows:
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    return PoseRows(pose, body.rest_joints(betas)[0], np.arange(len(pose)), 16, CPU)


def sighted(found: Landmarks, pose: Pose) -> Sighted:
    parts = (torch.as_tensor(np.asarray(part), dtype=torch.float32) for part in (found.xy, found.visibility, pose.K))
    return Sighted(found.names, *parts)


def test_an_error_is_in_metres_at_the_distance_of_the_landmark():
    joint, place = torch.zeros(1, dtype=torch.int64), torch.zeros(1, 3)
    marks = Marks(joint, place, place, torch.zeros(1, 1, 2), torch.ones(1, 1), K)
    error, _ = marks.errors(torch.tensor([[0.0, 0.0, 4.0]]), torch.tensor([[160.0 + 25, 200.0]]))
    torch.testing.assert_close(error, torch.tensor([[-25 / 500 * 4, 0.0]]))


def test_the_jacobian_is_that_of_the_error_with_its_scale_held():
    marks = Marks(*(torch.zeros(1),) * 5, K.double())
    point = torch.tensor([[0.3, -0.2, 3.5]], dtype=torch.float64, requires_grad=True)
    xy = torch.tensor([[210.0, 150.0]], dtype=torch.float64)
    error, slope = marks.errors(point, xy)
    rows = [torch.autograd.grad(error[0, k], point, retain_graph=True)[0][0] for k in range(2)]
    torch.testing.assert_close(torch.stack(rows), slope[0])


def test_the_loss_levels_off_and_ignores_what_is_not_seen():
    error = torch.tensor([[0.01, 0.0], [5.0, 0.0], [3.0, 3.0]], dtype=torch.float64)
    weights = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    assert mark_loss(error, weights, 0.1).item() == pytest.approx((1e-4 * 1e-2 / (1e-4 + 1e-2) + 1e-2) / 2, rel=1e-3)
    assert gradcheck(lambda e: mark_loss(e, weights, 0.1), error.requires_grad_())


def test_landmarks_of_the_true_pose_are_where_the_body_has_them(body, studio_clip, seen):
    pose = Pose.load(studio_clip.truth / "pose.npz")
    betas, rows = torch.as_tensor(pose.betas, dtype=torch.float32), rows_of(pose, body)
    marks = Marks.of(sighted(seen, pose), body, betas, rows)
    world = body.world_joints(rows.initial_rotmats, betas, rows.initial_pelvis - body.rest_joints(betas)[0])
    error, _ = marks.errors(marks.posed(world, body.rest_joints(betas)), marks.xy)
    assert (marks.weights[..., None] * error).abs().max() < 1e-4


def test_where_a_persons_landmarks_lie_apart_is_found_once_for_the_clip(body, studio_clip, seen):
    pose = Pose.load(studio_clip.truth / "pose.npz")
    betas, rows = torch.as_tensor(pose.betas, dtype=torch.float32), rows_of(pose, body)
    plain = Marks.of(sighted(seen, pose), body, betas, rows)
    wrist = landmark_map(body).names.index("left_wrist")
    apart = torch.zeros_like(plain.rest)
    apart[wrist] = torch.tensor([0.0, 0.012, 0.0])
    world = body.world_joints(rows.initial_rotmats, betas, rows.initial_pelvis - body.rest_joints(betas)[0])
    points = dataclasses.replace(plain, rest=plain.rest + apart).posed(world, body.rest_joints(betas))
    image = points @ torch.as_tensor(pose.K, dtype=torch.float32).T
    xy = (image[..., :2] / image[..., 2:]).numpy()
    shift = Marks.of(sighted(dataclasses.replace(seen, xy=xy), pose), body, betas, rows).rest - plain.rest
    others = torch.arange(len(shift)) != wrist
    # A few frames do not overrule the belief that a person's landmarks lie where those of others do.
    assert 0.002 < shift[wrist] @ torch.tensor([0.0, 1.0, 0.0]) < 0.012
    assert shift[others].norm(dim=-1).max() < 1e-4


def test_names_without_a_place_on_the_body_are_left_out(body, studio_clip, seen):
    pose = Pose.load(studio_clip.truth / "pose.npz")
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    names = ("tail", *seen.names[1:])
    marks = Marks.of(sighted(dataclasses.replace(seen, names=names), pose), body, betas, rows_of(pose, body))
    assert len(marks.joint) == len(seen.names) - 1


def test_normal_equations_are_those_of_autograd(results, body, seen):
    """Gradient and Hessian of half the weighted squared errors, by autograd through the posed body."""
    pose = Pose.load(results.pose_init)
    settings = short_settings()
    clip = load_clip(results, pose, settings, CPU)
    betas, rows = torch.as_tensor(pose.betas, dtype=torch.float32), rows_of(pose, body)
    marks = Marks.of(clip.landmarks, body, betas, rows)
    alignment = Alignment(clip, body, betas, rows, marks, None, settings.align, pose.fps, 0)
    frames = torch.tensor([1, 4])
    with torch.no_grad():
        rows.params["rows"] += 0.05 * torch.randn(rows.params["rows"].shape, generator=torch.Generator().manual_seed(0))
    surface = alignment.surface
    skeletons = surface.skeletons(rows, frames)
    hessian, gradient = landmark_equations(
        marks, frames, skeletons, surface.rest_joints, surface.subtree, settings.align
    )
    for position, frame in enumerate(frames.tolist()):
        start = rows.correction(frame).detach()

        def errors(correction, frame=frame):
            rotmats, pelvis = rows.apply(frame, correction)
            world = body.world_joints(rotmats[None], betas, (pelvis - surface.rest_joints[0])[None])[0]
            return marks.errors(marks.posed(world, surface.rest_joints), marks.xy[frame])[0]

        error = errors(start)
        squared = error.square().sum(-1)
        weight = marks.weights[frame] * (0.01 / (0.01 + squared)) ** 2 / settings.align.sigma_landmark**2
        jacobian = torch.autograd.functional.jacobian(errors, start)  # [L, 2, 75]
        expected = torch.einsum("lic,l,li->c", jacobian, weight, error)
        torch.testing.assert_close(
            gradient[position, :75], expected, rtol=2e-3, atol=2e-3 * expected.abs().max().item()
        )
        expected = torch.einsum("lic,l,lid->cd", jacobian, weight, jacobian)
        torch.testing.assert_close(
            hessian[position, :75, :75], expected, rtol=2e-3, atol=1e-3 * expected.abs().max().item()
        )
    assert not hessian[:, 75:].any() and not gradient[:, 75:].any()


def test_landmarks_bring_the_pose_nearer(results, body, studio_clip, seen):
    truth, pose = Pose.load(studio_clip.truth / "pose.npz"), Pose.load(results.pose_init)

    def aligned(use: bool) -> float:
        settings = short_settings(use_landmarks=use)
        fit = JointFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU)
        fit.align()
        betas = fit.unknowns.betas.detach()
        return mpjpe(fit.unknowns.rows.pose(pose, body.rest_joints(betas)[0], betas, "test"), truth, body)

    assert aligned(True) < 0.97 * aligned(False)


def test_the_joint_fit_counts_them(results, body, seen):
    pose, settings = Pose.load(results.pose_init), short_settings()
    fit = JointFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU)
    result = fit.run()
    assert result.marks is not None and "landmarks" in result.history[-1]


def test_a_clip_in_which_none_were_detected_has_none(results, body, seen):
    pose, settings = Pose.load(results.pose_init), short_settings()
    Landmarks.none(len(pose)).save(results.landmarks)
    try:
        assert load_clip(results, pose, settings, CPU).landmarks is None
        results.landmarks.unlink()
        with pytest.raises(UserError, match=r"landmarks\.npz: not found"):
            load_clip(results, pose, settings, CPU)
    finally:
        seen.save(results.landmarks)
