"""The body's shape from outlines."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers_fit import short_settings

from pipeline.fit.alignment.shape import by_betas, with_shape
from pipeline.fit.alignment.surface import Surface
from pipeline.fit.data import load_clip
from pipeline.fit.loop import JointFit
from pipeline.fit.pose_rows import PoseRows
from pipeline.formats.pose import Pose

CPU = torch.device("cpu")


def posed(surface: Surface, pose: Pose, pelvis: torch.Tensor, clothes: torch.Tensor):
    rows = PoseRows(pose, pelvis, np.arange(len(pose)), 5, CPU)
    return surface.posed(surface.skeletons(rows, torch.tensor([3]))[0], clothes)


def test_points_move_with_betas_as_their_jacobian_says(results, body):
    """Against central differences, of a body with clothes, in a pose."""
    pose = Pose.load(results.pose_init)
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    pelvis = body.rest_joints(betas)[0]
    surface, clothes = Surface(body, betas, 0), torch.full((24,), 0.01)
    found = by_betas(surface, posed(surface, pose, pelvis, clothes), body.joint_dirs)
    for column in range(10):
        moved = []
        for sign in (1, -1):
            other = betas.clone()
            other[column] += 0.5 * sign
            rest = Surface(body, betas, 0)
            rest._points = surface._points + 0.5 * sign * surface.points.shapedirs[..., column].T
            rest._betas, rest.rest_joints = other, body.rest_joints(other)
            moved.append(posed(rest, pose, pelvis, clothes).means.T)
        numeric = moved[0] - moved[1]
        assert (found[..., column] - numeric).norm() / numeric.norm() < 1e-3, column


def test_a_shape_that_is_wrong_is_found_again(results, studio_clip, body):
    """True poses, masks of a clothed person; a start that is broader, then one that is thinner, than the truth."""
    truth = Pose.load(studio_clip.truth / "pose.npz")
    settings = short_settings()
    clip = load_clip(results, truth, settings, CPU)
    clothed = with_shape(clip, body, truth, settings)
    trunk = body.weights[:, [0, 3, 6, 9]].sum(1) > 0.6

    def girth(pose: Pose) -> float:
        return float(body.shaped(torch.as_tensor(pose.betas, dtype=torch.float32))[trunk][:, [0, 2]].std())

    broad = wide_direction(body, trunk)
    for change in (2.0, -2.0):
        betas = (truth.betas + change * broad).astype(np.float32)
        start = dataclasses.replace(truth, betas=betas)
        off = girth(start) - girth(truth)
        left = girth(with_shape(clip, body, start, settings)) - girth(clothed)
        assert abs(off) > 0.005
        assert abs(left) < 0.4 * abs(off)


def stature(body, pose: Pose) -> float:
    return float(body.stature(torch.as_tensor(pose.betas, dtype=torch.float32)))


@pytest.mark.parametrize("distance", [0.95, 1.05])
def test_a_told_height_holds_where_outlines_pull(results, studio_clip, body, distance):
    """A person put 5% too near or too far looks smaller or larger than they are."""
    truth = Pose.load(studio_clip.truth / "pose.npz")
    settings, height = short_settings(shape={"sigma_bones": 0.01}), stature(body, truth)
    start = dataclasses.replace(truth, transl=truth.transl * distance)
    clip = load_clip(results, start, settings, CPU)
    free, told = (
        with_shape(clip, body, dataclasses.replace(start, told_height=each), settings) for each in (None, height)
    )
    assert abs(stature(body, free) - height) > 0.03
    assert abs(stature(body, told) - height) < 0.01
    pelvis = [each.transl + body.rest_joints(torch.as_tensor(each.betas).float())[0].numpy() for each in (start, told)]
    np.testing.assert_allclose(*pelvis, atol=1e-5)


def test_a_told_height_holds_where_the_loop_changes_betas(results, body):
    """The shape moves, and the stature does not."""
    settings = short_settings(refine_betas=True, rates={"betas": 0.1}, align={"coarse": 0}, holdout_every=0)
    start = dataclasses.replace(Pose.load(results.pose_init), told_height=1.8)
    clip = load_clip(results, start, settings, CPU)
    fit = JointFit(clip, body, start, settings, CPU)
    for _ in range(settings.steps.colours + 8):
        fit.step()
    found = dataclasses.replace(start, betas=fit.unknowns.betas.detach().numpy())
    assert np.abs(found.betas - start.betas).max() > 0.05
    assert stature(body, found) == pytest.approx(stature(body, start), abs=1e-3)


def wide_direction(body, trunk) -> np.ndarray:
    """A unit of betas that makes the trunk broad, and moves no joint farther than it must."""
    grows = (body.shapedirs[trunk][:, [0, 2]] * body.v_template[trunk][:, [0, 2], None]).sum((0, 1))
    joints = body.joint_dirs.flatten(0, 1)
    direction = torch.linalg.solve(joints.T @ joints + 1e-4 * torch.eye(10), grows)
    return (direction / direction.norm()).numpy()


def test_the_pelvis_stays_and_bones_as_far_as_they_are_known(results, body):
    pose = Pose.load(results.pose_init)
    joints = {}
    for sigma in (0.001, 1.0):
        settings = short_settings(shape={"sigma_bones": sigma})
        found = with_shape(load_clip(results, pose, settings, CPU), body, pose, settings)
        before, after = (body.rest_joints(torch.as_tensor(each.betas, dtype=torch.float32)) for each in (pose, found))
        np.testing.assert_allclose(found.transl + after[0].numpy(), pose.transl + before[0].numpy(), atol=1e-5)
        np.testing.assert_array_equal(found.body_pose, pose.body_pose)
        assert not np.allclose(found.betas, pose.betas, atol=0.02)
        joints[sigma] = float(((after - after[0]) - (before - before[0])).norm(dim=1).mean())
    assert joints[0.001] < 0.005 < joints[1.0]


@pytest.mark.parametrize("overrides", [{"optimise_pose": False}, {"refiner": "neuhmr"}, {"shape": {"frames": 0}}])
def test_rivals_and_held_poses_keep_their_shape(overrides):
    assert short_settings().shapes
    assert not short_settings(**overrides).shapes
