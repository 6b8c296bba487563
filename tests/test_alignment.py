"""Second-order steps: their Jacobians, their prior in time, their solver, and what they do to a disturbed pose."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers_fit import mpjpe, prepare, short_settings

from pipeline.body import load_body
from pipeline.fit.alignment import Alignment
from pipeline.fit.alignment.evidence import projected
from pipeline.fit.alignment.solve import Chain, conjugate_gradients
from pipeline.fit.alignment.surface import right_jacobian
from pipeline.fit.data import load_clip
from pipeline.fit.pose_rows import PoseRows
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.rotations import axis_angle_to_matrix, matrix_to_axis_angle

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def body():
    return load_body("free")


@pytest.fixture(scope="module")
def results(studio_clip, body, tmp_path_factory) -> VideoDir:
    return prepare(studio_clip, body, tmp_path_factory.mktemp("results") / "tiny")


@pytest.fixture
def alignment(results, body) -> Alignment:
    return make(results, body, Pose.load(results.pose_init))


def make(results, body, pose: Pose, **overrides) -> Alignment:
    settings = short_settings(**overrides)
    clip = load_clip(results, pose, settings, CPU)
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    rows = PoseRows(pose, body.rest_joints(betas)[0], np.flatnonzero(clip.train), settings.knot_spacing, CPU)
    return Alignment(clip, body, betas, rows, settings.align, pose.fps, 0)


def found(alignment: Alignment, body, pose: Pose) -> Pose:
    alignment.rows.settle()
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    return alignment.rows.pose(pose, body.rest_joints(betas)[0], betas, "test")


def test_points_move_as_their_jacobian_says(alignment):
    """Against central differences, away from a correction of zero."""
    rng = np.random.default_rng(0)
    frame = alignment.frames[1]
    start = torch.as_tensor(rng.normal(scale=0.1, size=75), dtype=torch.float32)
    with torch.no_grad():
        alignment.rows.params["rows"][frame] = start
        posed = alignment.surface.posed(alignment.rows, frame, alignment.thickness)
        for column in [0, 1, 2, 4, 15, 40, 55, 71, 72, 73, 74]:
            moved = []
            for sign in (1, -1):
                alignment.rows.params["rows"][frame] = start
                alignment.rows.params["rows"][frame, column] += sign * 1e-2
                moved.append(alignment.surface.posed(alignment.rows, frame, alignment.thickness).means)
            numeric = (moved[0] - moved[1]) / 2e-2
            error = (posed.by_correction[:, :, column] - numeric).norm() / numeric.norm().clamp(min=1e-3)
            assert error < 2e-3, column
        alignment.rows.params["rows"][frame] = start
        for joint in (0, 16):
            moved = []
            for sign in (1, -1):
                alignment.thickness = torch.nn.functional.one_hot(torch.tensor(joint), 24) * (sign * 1e-2)
                moved.append(alignment.surface.posed(alignment.rows, frame, alignment.thickness).means)
            numeric = (moved[0] - moved[1]) / 2e-2
            assert (posed.by_thickness[:, :, joint] - numeric).norm() / numeric.norm() < 1e-2


def test_pixels_and_depth_move_as_their_jacobian_says():
    K = torch.tensor([[300.0, 0, 80], [0, 310, 60], [0, 0, 1]], dtype=torch.float64)
    point = torch.tensor([0.3, -0.2, 2.5], dtype=torch.float64)
    _, _, jacobian = projected(point[None], K)
    numeric = torch.autograd.functional.jacobian(
        lambda p: torch.stack([*(value[0] for value in projected(p[None], K)[:2]), p[2]]), point
    )
    torch.testing.assert_close(jacobian[0], numeric)


@pytest.mark.parametrize("size", [1e-4, 0.3, 2.0])
def test_right_jacobian_of_rotations(size):
    vector = size * torch.tensor([[0.6, -0.5, 0.62]], dtype=torch.float64)
    step = 1e-6 * torch.tensor([[0.3, 0.8, -0.5]], dtype=torch.float64)
    turned = axis_angle_to_matrix(vector).transpose(1, 2) @ axis_angle_to_matrix(vector + step)
    expected = matrix_to_axis_angle(turned)[0]
    torch.testing.assert_close((right_jacobian(vector)[0] @ step[0]), expected, rtol=1e-3, atol=1e-12)


def test_the_chain_is_the_inverse_of_its_covariance():
    times = torch.tensor([0.0, 0.1, 0.25, 0.3, 0.8], dtype=torch.float64)
    chain = Chain(times.diff(), 0.5, torch.tensor([2.0, 1.0, 1.0, 1.0, 0.5], dtype=torch.float64))
    covariance = torch.exp(-(times[:, None] - times).abs() / 0.5) * chain.inverse**-1
    torch.testing.assert_close(chain(covariance), torch.eye(5, dtype=torch.float64))
    precision = torch.stack([chain(column[:, None].expand(5, 5))[:, 0] for column in torch.eye(5).double()])
    torch.testing.assert_close(chain.diagonal()[:, 0], precision.diagonal())


def test_conjugate_gradients_solve():
    rng = np.random.default_rng(1)
    root = torch.as_tensor(rng.normal(size=(8, 8)))
    matrix, right = root @ root.T + torch.eye(8), torch.as_tensor(rng.normal(size=8))

    def apply(x):
        whole = matrix @ torch.cat(x)
        return whole[:5], whole[5:]

    x = conjugate_gradients(apply, (right[:5], right[5:]), lambda y: y)
    torch.testing.assert_close(torch.cat(x), torch.linalg.solve(matrix, right), rtol=1e-3, atol=1e-4)


def test_steps_bring_a_disturbed_pose_nearer(results, body, studio_clip):
    truth, pose = Pose.load(studio_clip.truth / "pose.npz"), Pose.load(results.pose_init)
    alignment = make(results, body, pose, align={"coarse": 6, "middle": 0})
    alignment.run()
    before, after = mpjpe(pose, truth, body), mpjpe(found(alignment, body, pose), truth, body)
    assert after < 0.8 * before, (before, after)


def test_the_truth_stays(results, body, studio_clip):
    truth = dataclasses.replace(Pose.load(studio_clip.truth / "pose.npz"), source="truth")
    alignment = make(results, body, truth, align={"coarse": 4, "middle": 0})
    alignment.run()
    assert mpjpe(found(alignment, body, truth), truth, body) < 20


def test_a_clip_without_depth_is_aligned_too(results, body, studio_clip):
    truth, pose = Pose.load(studio_clip.truth / "pose.npz"), Pose.load(results.pose_init)
    alignment = make(results, body, pose, use_depth=False, align={"coarse": 4, "middle": 1})
    alignment.run()
    rows = alignment.rows.params["rows"][alignment.rows.frames, -1] + alignment.rows.params["knots"][0, -1]
    assert abs(float(rows.detach().mean())) < 1e-3, "the mean distance stays"
    assert mpjpe(found(alignment, body, pose), truth, body) < mpjpe(pose, truth, body)
    assert (alignment.planes_of_all() == 0).all()


def test_the_focal_length_takes_its_share_of_what_depth_maps_disagree_by(alignment):
    alignment.planes[:, 0] = -0.05
    settings = alignment.settings
    share = settings.sigma_focal**2 / (settings.sigma_focal**2 + settings.sigma_plane**2)
    assert alignment.focal() == pytest.approx(0.95**-share)
    held = dataclasses.replace(settings, sigma_focal=0.0)
    alignment.settings = held
    assert alignment.focal() == 1


def test_another_focal_length_leaves_all_in_its_place_in_the_image(alignment):
    factor, frame = 1.1, alignment.frames[2]
    view = alignment.clip.views[frame]["coarse"]
    with torch.no_grad():
        alignment.rows.params["rows"][:] = 0.01
    alignment.planes[:] = torch.tensor([-0.04, 0.02, -0.03])

    def seen(K: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        _, pelvis = alignment.rows.apply(frame, alignment.rows.correction(frame))
        return (K @ pelvis)[:2] / pelvis[2], pelvis[2]

    place, depth = seen(view.K)
    corrected = view.corrected(alignment.planes[2]).depth
    alignment.zoom(factor)
    zoomed = view.zoomed(factor)
    new_place, new_depth = seen(zoomed.K)
    torch.testing.assert_close(new_place, place, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(new_depth, depth * factor)
    torch.testing.assert_close(zoomed.corrected(alignment.planes[2]).depth, corrected * factor, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(zoomed.K[:2, 2], view.K[:2, 2])
