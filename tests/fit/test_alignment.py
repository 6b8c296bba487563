"""Second-order steps: their Jacobians, their prior in time, their solver, and what they do to a disturbed pose."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from helpers_fit import mpjpe, short_settings
from scipy.spatial import cKDTree

from pipeline.body import JOINT_NAMES
from pipeline.body.model import skin
from pipeline.fit.alignment import Alignment
from pipeline.fit.alignment.alignment import counts
from pipeline.fit.alignment.evidence import Evidence, Outline, linearise, projected
from pipeline.fit.alignment.nearest import nearest
from pipeline.fit.alignment.normal import by_kernels, by_torch, normal_equations
from pipeline.fit.alignment.solve import Chain, conjugate_gradients
from pipeline.fit.alignment.surface import Posed, right_jacobian
from pipeline.fit.data import load_clip
from pipeline.fit.pose_rows import PoseRows
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from pipeline.runtime.threads import set_threads

CPU = torch.device("cpu")


@pytest.fixture
def alignment(results, body) -> Alignment:
    return make(results, body, Pose.load(results.pose_init))


def make(results, body, pose: Pose, **overrides) -> Alignment:
    settings = short_settings(**overrides)
    clip = load_clip(results, pose, settings, CPU)
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    rows = PoseRows(pose, body.rest_joints(betas)[0], np.flatnonzero(clip.train), settings.knot_spacing, CPU)
    return Alignment(clip, body, betas, rows, None, None, settings.align, pose.fps, 0)


def found(alignment: Alignment, body, pose: Pose) -> Pose:
    alignment.rows.settle()
    betas = torch.as_tensor(pose.betas, dtype=torch.float32)
    return alignment.rows.pose(pose, body.rest_joints(betas)[0], betas, "test")


def posed_at(alignment: Alignment, frame: int) -> Posed:
    surface = alignment.surface
    return surface.posed(surface.skeletons(alignment.rows, torch.tensor([frame]))[0], alignment.thickness)


def disturb(alignment: Alignment, seed: int = 0) -> None:
    """Away from corrections of zero and from bare skin."""
    rng = np.random.default_rng(seed)
    rows = alignment.rows.params["rows"]
    with torch.no_grad():
        rows += torch.as_tensor(rng.normal(scale=0.1, size=rows.shape), dtype=torch.float32)
        alignment.thickness += torch.as_tensor(rng.uniform(0, 0.02, 24), dtype=torch.float32)


def test_points_move_as_their_jacobian_says(alignment):
    """Against central differences, away from a correction of zero."""
    rng = np.random.default_rng(0)
    frame = alignment.frames[1]
    start = torch.as_tensor(rng.normal(scale=0.1, size=75), dtype=torch.float32)
    with torch.no_grad():
        alignment.rows.params["rows"][frame] = start
        by_correction, by_thickness, by_length = alignment.surface.jacobians(posed_at(alignment, frame))
        for column in [0, 1, 2, 4, 15, 40, 55, 71, 72, 73, 74]:
            moved = []
            for sign in (1, -1):
                alignment.rows.params["rows"][frame] = start
                alignment.rows.params["rows"][frame, column] += sign * 1e-2
                moved.append(posed_at(alignment, frame).means.T)
            numeric = (moved[0] - moved[1]) / 2e-2
            error = (by_correction[:, :, column] - numeric).norm() / numeric.norm().clamp(min=1e-3)
            assert error < 2e-3, column
        alignment.rows.params["rows"][frame] = start
        for joint in (0, 16):
            moved = []
            for sign in (1, -1):
                alignment.thickness = torch.nn.functional.one_hot(torch.tensor(joint), 24) * (sign * 1e-2)
                moved.append(posed_at(alignment, frame).means.T)
            numeric = (moved[0] - moved[1]) / 2e-2
            assert (by_thickness[:, :, joint] - numeric).norm() / numeric.norm() < 1e-2
    joints = posed_at(alignment, frame).skeleton.joints
    elbow, shoulder, hand = (JOINT_NAMES.index(f"left_{name}") for name in ("elbow", "shoulder", "hand"))
    hanging = alignment.surface.points.weights[:, hand] > 0.99
    longer_arm = torch.nn.functional.normalize(joints[elbow] - joints[shoulder], dim=0)
    torch.testing.assert_close(by_length[hanging][:, :, elbow], longer_arm.expand(int(hanging.sum()), 3))
    elsewhere = alignment.surface.points.weights[:, JOINT_NAMES.index("right_knee")] > 0.5
    assert hanging.any() and elsewhere.any() and not by_length[elsewhere][:, :, elbow].any()


@torch.no_grad()
def test_points_are_skinned_as_the_body_is(alignment, results, body):
    disturb(alignment)
    frame, surface = alignment.frames[2], alignment.surface
    posed, points = posed_at(alignment, frame), surface.points
    rotmats, pelvis = alignment.rows.apply(frame, alignment.rows.correction(frame))
    betas = torch.as_tensor(Pose.load(results.pose_init).betas, dtype=torch.float32)
    transforms = body.transforms(rotmats[None], betas, (pelvis - body.rest_joints(betas)[0])[None])
    clothed = points.points + (points.weights @ alignment.thickness)[:, None] * points.normals
    torch.testing.assert_close(posed.means.T, skin(clothed, points.weights, transforms)[0], rtol=1e-5, atol=1e-5)


def doubled(values):
    return type(values)(*(value.double() for value in values))


@pytest.fixture
def evidence(alignment) -> tuple[Posed, Evidence]:
    """Of a disturbed frame, and with evidence from every term: colours known, depth, outline."""
    disturb(alignment)
    generator = torch.Generator().manual_seed(0)
    known = alignment._known
    colours, seen = torch.rand(known.colours.shape, generator=generator), torch.full_like(known.seen, 9.0)
    frame = alignment.frames[3]
    view = alignment.clip.views[frame]["coarse"]
    with torch.no_grad():
        posed = posed_at(alignment, frame)
        plane = torch.tensor([0.02, -0.01, 0.03])
        known = dataclasses.replace(known, colours=colours, seen=seen)
        return posed, linearise(posed, view, Outline.of(view), known, plane, alignment.settings)


def error(value: torch.Tensor, reference: torch.Tensor) -> float:
    """Relative to what the entries could be at most, the roots of the diagonal's products, if it is a matrix."""
    if value.dim() == 1:
        return float((value - reference).abs().max() / reference.abs().max())
    size = reference.diagonal().clamp(min=1e-9).sqrt()
    return float(((value - reference).abs() / (size[:, None] * size)).max())


@torch.no_grad()
def test_the_kernels_normal_equations_are_those_of_the_whole_jacobian(alignment, evidence):
    posed, found = evidence
    surface = alignment.surface
    assert posed.means.dtype == torch.float32
    kernels, single = by_kernels(surface, posed, found), by_torch(surface, posed, found)
    precise_surface = copy.copy(surface)
    precise_surface.points = surface.points.select(torch.arange(len(surface)))
    precise_surface.points = dataclasses.replace(precise_surface.points, weights=surface.points.weights.double())
    precise_surface.rest_joints, precise_surface.subtree = surface.rest_joints.double(), surface.subtree.double()
    precise_posed = Posed(doubled(posed.skeleton), *(value.double() for value in posed[1:]))
    precise_found = Evidence(**{name: value.double() for name, value in vars(found).items()})
    precise = normal_equations(precise_surface, precise_posed, precise_found)
    assert precise[0].dtype == torch.float64
    assert (precise[0].diagonal() > 0).sum() > 90, "the evidence should concern nearly every unknown"
    for value, same, reference in zip(kernels, single, precise):
        assert error(value.double(), reference) < 5e-6
        assert error(same.double(), reference) < 5e-5
    torch.testing.assert_close(kernels[0], kernels[0].T, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_evidence_that_is_no_number_is_seen(alignment, evidence):
    posed, found = evidence
    found.weight[:, :, 100] = torch.nan
    assert by_kernels(alignment.surface, posed, found)[0].isnan().any()


def test_the_nearest_points_are_those_of_a_search():
    rng = np.random.default_rng(2)
    u, v = (torch.as_tensor(rng.uniform(0, 90, 1000), dtype=torch.float32) for _ in range(2))
    places = torch.as_tensor(rng.uniform(-5, 95, (2, 50)), dtype=torch.float32)
    expected = cKDTree(np.stack([u, v], axis=1)).query(places.T)[1]
    assert (nearest(places, u, v).numpy() == expected).all()
    assert (nearest(places.double(), u.double(), v.double()).numpy() == expected).all()
    assert (nearest(places, u[:1], v[:1]) == 0).all()


def test_a_step_is_the_same_on_any_number_of_threads(results, body):
    steps = []
    try:
        for count in (1, 3):
            set_threads(count)
            alignment = make(results, body, Pose.load(results.pose_init))
            for _ in range(2):
                alignment.step("coarse")
            steps.append(alignment.rows.params["rows"].detach())
    finally:
        set_threads(None)
    assert torch.equal(*steps)


def test_pixels_and_depth_move_as_their_jacobian_says():
    K = torch.tensor([[300.0, 0, 80], [0, 310, 60], [0, 0, 1]], dtype=torch.float64)
    point = torch.tensor([0.3, -0.2, 2.5], dtype=torch.float64)
    _, _, jacobian = projected(point[:, None], K)
    numeric = torch.autograd.functional.jacobian(
        lambda p: torch.stack([*(value[0] for value in projected(p[:, None], K)[:2]), p[2]]), point
    )
    torch.testing.assert_close(jacobian[..., 0], numeric)


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


def test_evidence_counts_by_the_second_not_by_the_frame(results, body):
    """Neighbouring masks err alike: a clip at twice the frame rate tells no more of a pose. Slow ones count in full."""
    pose = Pose.load(results.pose_init)

    def told(fps: float) -> torch.Tensor:
        return make(results, body, dataclasses.replace(pose, fps=fps)).equations("coarse")[0].sum(0)

    slow, fast, faster = told(5.0), told(60.0), told(120.0)
    torch.testing.assert_close(told(10.0), slow)
    torch.testing.assert_close(2 * faster, fast)
    assert fast.norm() < 0.8 * slow.norm()


def test_frames_of_twenty_a_second_count_in_full_also_where_nobody_is_seen_for_a_while():
    gaps = torch.full((40,), 1 / 60)
    gaps[20] = 30.0
    assert counts(gaps) == pytest.approx(1 / 3)
    assert counts(torch.full((9,), 1 / 20)) == pytest.approx(1)
    assert counts(torch.full((9,), 1 / 5)) == 1
    assert counts(torch.zeros(0)) == 1
