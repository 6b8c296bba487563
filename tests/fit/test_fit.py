"""The joint fit: its losses, its optimiser, and small runs on studio clips."""

import contextlib
import json
import subprocess
import sys
import traceback
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers_fit import SHORT, mpjpe, reads_back, short_settings
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.launches import as_on_gpu
from pipeline.__main__ import main
from pipeline.avatar.binding import BINDINGS
from pipeline.fit import spread
from pipeline.fit.adam import RowAdam
from pipeline.fit.alignment import evidence
from pipeline.fit.checkpoint import load_checkpoint, save_checkpoint
from pipeline.fit.data import FULL, LEVELS, _held_out, load_clip
from pipeline.fit.loop import JointFit
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.schedule import Schedule
from pipeline.fit.settings import FitSettings
from pipeline.fit.shelf import Shelf
from pipeline.fit.terms import PoseTerms
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.images import write_mask
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.losses.depth import back_project, depth_2d, depth_3d
from pipeline.losses.priors import Neighbours, breadth, robust, roughness
from pipeline.losses.silhouette import silhouette
from pipeline.runtime.errors import UserError

CPU = torch.device("cpu")
aten = torch.ops.aten


@pytest.fixture(scope="module")
def run(results, body):
    """Run a short fit on the clip; returns the fit and its result."""

    def run_(settings: FitSettings, checkpoint=None, mark="") -> tuple[JointFit, object]:
        pose = Pose.load(results.pose_init)
        fit = JointFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU)
        return fit, fit.run(checkpoint, mark)

    return run_


# Losses


def test_silhouette_is_the_area_of_difference_over_that_of_the_mask():
    mask, alpha = torch.zeros(10, 10), torch.zeros(10, 10)
    mask[2:6, 2:6], alpha[2:6, 3:7] = 1, 1
    assert silhouette(alpha, mask).item() == pytest.approx(8 / 16)
    assert silhouette(mask, mask) == 0


def test_depth_2d_looks_only_where_told():
    depth, rendered = torch.full((4, 4), 2.0), torch.full((4, 4), 2.5)
    keep = torch.zeros(4, 4, dtype=torch.bool)
    assert depth_2d(rendered, depth, keep) == 0
    keep[1, :] = True
    rendered[2, :] = 9
    assert depth_2d(rendered, depth, keep).item() == pytest.approx(0.5)


def test_back_projection_inverts_projection():
    K = torch.tensor([[50.0, 0, 8], [0, 60, 6], [0, 0, 1]])
    depth = torch.rand(12, 16) + 1
    points = back_project(depth, K, depth > 1.3)
    place = points @ K.T
    rows, columns = torch.nonzero(depth > 1.3, as_tuple=True)
    torch.testing.assert_close(place[:, 0] / place[:, 2], columns + 0.5)
    torch.testing.assert_close(place[:, 1] / place[:, 2], rows + 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_depth_3d_is_quadratic_near_and_linear_far(dtype):
    """A cloud of one point, on the axis one metre away."""
    K = torch.tensor([[10, 0, 0.5], [0, 10, 0.5], [0, 0, 1]], dtype=dtype)
    depth, seen = torch.ones(1, 1, dtype=dtype), torch.tensor([True])
    near = torch.tensor([[0.01, 0, 1.0]], dtype=dtype)
    far = torch.tensor([[3.0, 4.0, 1.0]], dtype=dtype)
    assert depth_3d(near, seen, depth, K, 0.5).item() == pytest.approx(0.5 * 1e-4 / (2 * 0.5), rel=1e-3)
    assert depth_3d(far, seen, depth, K, 0.05).item() == pytest.approx(0.5 * (5 - 0.05), rel=1e-3)
    assert depth_3d(far, ~seen, depth, K, 0.05) == 0


def test_robust_penalty_is_quadratic_then_bounded():
    assert robust(torch.tensor(1e-6), 0.1).item() == pytest.approx(1e-6, rel=1e-3)
    assert robust(torch.tensor(1e4), 0.1).item() == pytest.approx(0.01, rel=1e-3)


def test_gradients_of_the_losses_agree_with_finite_differences():
    rng = np.random.default_rng(0)
    points = torch.tensor(rng.normal(size=(6, 3)), requires_grad=True)
    image = torch.tensor(rng.random((5, 6)), requires_grad=True)
    other, keep = torch.tensor(rng.random((5, 6))), torch.tensor(rng.random((5, 6)) > 0.4)
    K, depth = torch.eye(3, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    assert gradcheck(lambda p: depth_3d(p, torch.ones(6, dtype=torch.bool), depth, K, 0.05), points)
    assert gradcheck(lambda d: depth_2d(d, other, keep), image)
    assert gradcheck(lambda a: silhouette(a, other), image)
    assert gradcheck(lambda a: robust(a.square(), 0.3).sum(), image)


def test_roughness_is_the_distance_from_the_neighbours_mean():
    values = torch.tensor([[0.0], [1.0], [5.0]])
    neighbours = Neighbours.of(torch.tensor([[1, 2], [0, 2], [0, 1]]))
    assert roughness([(2.0, values)], neighbours).item() == pytest.approx(2 * (3.0**2 + 1.5**2 + 4.5**2) / 3)


def test_breadth_is_the_mean_square_of_the_largest_scale():
    assert breadth(torch.tensor([[1.0, 3.0, 2.0], [4.0, 1.0, 1.0]])).item() == pytest.approx((9 + 16) / 2)


def test_frames_that_move_alike_are_not_pulled_at(rows):
    """The temporal term sees a frame's own correction only: neither the initial motion nor the knots."""
    terms = PoseTerms(rows, 15.0, False, short_settings())
    with torch.no_grad():
        rows.params["rows"][:] = torch.arange(14.0)[:, None] * 0.01
        rows.params["knots"][1] = 0.3
    assert terms(3, rows.correction(3))["smooth"].item() == pytest.approx(0, abs=1e-10)
    with torch.no_grad():
        rows.params["rows"][3, 5] += 0.1
    weight = short_settings().weights.smooth_correction
    found = terms(3, rows.correction(3))["smooth"]
    assert found.item() == pytest.approx(weight * 0.1**2 / 2, rel=1e-4), "frames 1 and 4 are 2 and 1 away"
    twice = PoseTerms(rows, 30.0, False, short_settings())(3, rows.correction(3))["smooth"]
    assert twice.item() == pytest.approx(4 * found.item())
    found.backward()
    assert rows.params["knots"].grad is None
    assert torch.nonzero(rows.params["rows"].grad).tolist() == [[3, 5]]


def test_the_mean_distance_is_held_only_without_depth(rows):
    with torch.no_grad():
        rows.params["knots"][1:, -1] = 0.02
    correction = rows.correction(3)
    for has_depth in (False, True):
        terms = PoseTerms(rows, 15.0, has_depth, short_settings())(3, correction)
        assert ("distance" in terms) == (not has_depth)
        if not has_depth:
            assert terms["distance"].item() == pytest.approx(short_settings().weights.initial_distance * 0.02**2)


def test_longer_clips_get_more_steps():
    steps = short_settings().steps
    assert steps.for_frames(10) == steps == steps.for_frames(80)
    assert steps.for_frames(320).coarse == 2 * steps.coarse and steps.for_frames(320).heldout == steps.heldout


# The optimiser and the rows


def test_row_adam_is_adam_when_all_rows_are_stepped():
    ours, theirs = torch.zeros(5, 3, requires_grad=True), torch.zeros(5, 3, requires_grad=True)
    adam, reference = RowAdam({"x": ours}, {"x": 0.01}), torch.optim.Adam([theirs], lr=0.01, eps=1e-15)
    for seed in range(20):
        gradient = torch.as_tensor(np.random.default_rng(seed).normal(size=(5, 3)), dtype=torch.float32)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        adam.step({"x": torch.arange(5)} if seed % 2 else None)
        reference.step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_rows_that_are_not_stepped_stay_and_do_not_age():
    value = torch.zeros(3, 2, requires_grad=True)
    adam = RowAdam({"x": value}, {"x": 0.1})
    for row in (0, 0, 1, 0):
        value.grad = torch.ones(3, 2)
        adam.step({"x": torch.tensor([row])})
    # With a constant gradient, Adam moves by its rate at each step.
    torch.testing.assert_close(value.detach(), torch.tensor([[-0.3, -0.3], [-0.1, -0.1], [0.0, 0.0]]))
    assert adam.counts["x"].tolist() == [3, 1, 0]


def test_row_adam_follows_a_selection_of_rows():
    value = torch.zeros(3, 2, requires_grad=True)
    adam = RowAdam({"x": value}, {"x": 0.1})
    value.grad = torch.tensor([[1.0, 1], [2, 2], [3, 3]])
    adam.step()
    adam.select(torch.tensor([2, 0, 2]), torch.tensor([False, False, True]))
    torch.testing.assert_close(adam.first["x"][:, 0], torch.tensor([0.3, 0.1, 0.0]))
    assert adam.counts["x"].tolist() == [1, 1, 0]


@pytest.fixture
def rows(results, body):
    pose = Pose.load(results.pose_init)
    pelvis = body.rest_joints(torch.as_tensor(pose.betas, dtype=torch.float32))[0]
    return PoseRows(pose, pelvis, np.array([0, 1, 3, 4, 7]), 4, CPU)


def test_a_pose_without_correction_is_the_initial_one(rows, results, body):
    initial = Pose.load(results.pose_init)
    betas = torch.as_tensor(initial.betas, dtype=torch.float32)
    same = rows.pose(initial, body.rest_joints(betas)[0], betas, "test")
    np.testing.assert_allclose(same.transl, initial.transl, atol=1e-5)
    for name in ("global_orient", "body_pose"):
        turns = [Rotation.from_rotvec(getattr(pose, name).reshape(-1, 3)) for pose in (same, initial)]
        assert (turns[0].inv() * turns[1]).magnitude().max() < 1e-4


def test_the_fit_hands_fingers_on(rows, results, body):
    """Fingers are relative to the wrist, which the fit may turn; how sure it is of joints is another fit's."""
    initial = Pose.load(results.pose_init)
    hands = {"hand_pose": np.full((len(initial), 30, 3), 0.1), "hands_seen": np.full((len(initial), 2), 0.8)}
    handy = replace(initial, **hands, sigma=np.ones((len(initial), 24, 2)), told_height=1.8)
    betas = torch.as_tensor(initial.betas, dtype=torch.float32)
    refined = rows.pose(handy, body.rest_joints(betas)[0], betas, "test")
    for name, values in hands.items():
        np.testing.assert_array_equal(getattr(refined, name), values)
    assert refined.sigma is None and refined.told_height == 1.8


def test_another_process_knows_the_checkpoint_as_its_own(results):
    """A run that was killed goes on in a new one; the pose holds None where nothing is known."""
    told = f"""
from pipeline.fit.checkpoint import fingerprint
from pipeline.fit.settings import FitSettings
from pipeline.formats.pose import Pose
from pipeline.runtime.settings import load_settings
print(fingerprint(load_settings("fit", {{}}, FitSettings), Pose.load({str(results.pose_init)!r}), "clip", "code"))
"""
    found = [subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True) for _ in "ab"]
    assert len(found[0].stdout) == 65 and found[0].stdout == found[1].stdout


def test_depthwise_moves_along_the_ray_and_sideways_across(rows):
    correction = torch.zeros(75)
    _, start = rows.apply(0, correction)
    correction[-1] = 0.1
    _, farther = rows.apply(0, correction)
    torch.testing.assert_close(farther[:2] / farther[2], start[:2] / start[2])
    assert (farther[2] / start[2]).item() == pytest.approx(np.exp(0.1), rel=1e-5)
    correction[-1], correction[-3] = 0, 0.02
    _, aside = rows.apply(0, correction)
    torch.testing.assert_close(aside - start, torch.tensor([0.02 * start[2], 0, 0]))


def test_frames_between_are_filled_in(rows):
    with torch.no_grad():
        rows.params["rows"][1], rows.params["rows"][3], rows.params["rows"][7] = 1.0, 3.0, 7.0
    rows.smooth(np.array([1, 3, 7]), 0.0)
    expected = [1, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7, 7, 7]
    assert rows.params["rows"][:, 0].tolist() == pytest.approx(expected)
    assert rows.expected(0) is None and rows.expected(9) is None
    assert rows.expected(5)[1] == 1 * 2, "the rows fixture trains frames 4 and 7"


def test_smoothing_keeps_slow_corrections_and_averages_noise(rows):
    frames = np.arange(14)
    with torch.no_grad():
        rows.params["rows"][:] = torch.arange(14.0)[:, None]
    rows.smooth(frames, 1.0)
    assert rows.params["rows"][4:10, 0].tolist() == pytest.approx(range(4, 10), abs=1e-3)
    with torch.no_grad():
        rows.params["rows"][:] = torch.tensor([1.0, -1.0]).repeat(7)[:, None]
    rows.smooth(frames, 1.0)
    assert rows.params["rows"][4:10].abs().max() < 0.02


def test_knots_are_a_partition_of_unity(rows):
    torch.testing.assert_close(rows.basis[:, 1:].sum(1), torch.ones(len(rows.basis)))
    assert (rows.basis[:, 0] == 1).all(), "the constant"


# Data


def test_crops_see_the_same_rays_at_all_levels(results, body):
    pose = Pose.load(results.pose_init)
    views = load_clip(results, pose, short_settings(), CPU).views[0]
    full = views[FULL]
    for level in LEVELS:
        view = views[level]
        width, height = view.size
        corner = torch.linalg.inv(view.K) @ torch.tensor([float(width), float(height), 1.0])
        expected = torch.linalg.inv(full.K) @ torch.tensor([float(full.size[0]), float(full.size[1]), 1.0])
        torch.testing.assert_close(corner, expected)
        assert (view.mask > 127).float().mean() == pytest.approx((full.mask > 127).float().mean().item(), abs=0.03)


def test_what_is_put_on_a_shelf_comes_back(tmp_path):
    arrays = [np.arange(7, dtype=np.uint8)[:, None], np.ones((3, 5), np.float32), np.zeros((2, 3, 3), np.uint8)[:, 1:]]
    shelf = Shelf(tmp_path / "fit")
    places = [shelf.put(array) for array in arrays]
    for place, array in zip(places, arrays):
        found = shelf.get(place)
        assert found.dtype == array.dtype and found.flags.aligned
        np.testing.assert_array_equal(found, array)
    shelf.get(places[1])[:] = 2  # stays in memory
    del shelf
    assert not list((tmp_path / "fit").iterdir())


def test_no_term_counts_what_is_unknown(results, body, monkeypatch):
    """Depth there is no matter of the loss, nor of second-order steps; colours there tell nothing of a Gaussian's."""
    pose, settings = Pose.load(results.pose_init), short_settings()
    clip = load_clip(results, pose, settings, CPU)
    terms, drawn = [], []
    monkeypatch.setattr(spread, "colour_evidence", lambda draw, *rest: drawn.append(draw) or torch.ones(rest[1]))
    for away in (0.0, 0.3):
        views = []
        for levels in clip.views:
            hidden = {}
            for level, view in levels.items():
                sure, depth = torch.full_like(view.mask, 255), view.depth.clone()
                rows = slice(len(sure) // 3, 2 * len(sure) // 3)
                sure[rows], depth[rows] = 0, depth[rows] + away * (depth[rows] > 0)
                hidden[level] = replace(view, sure=sure, depth=depth)
            views.append(hidden)
        fit = JointFit(replace(clip, views=tuple(views)), body, pose, settings, CPU)
        fit.objective.follow(fit.unknowns)
        plan = fit.schedule.plan(settings.steps.total - 1)
        found = fit.objective(fit.unknowns, int(fit.frames[0]), plan, torch.zeros(3))
        terms.append(dict(zip(found.names, found.terms)))
        trusted = evidence._layers(views[0]["full"], torch.full(views[0]["full"].mask.shape, -10.0))[evidence._TRUSTED]
        assert trusted.any() and not trusted[views[0]["full"].sure == 0].any()
    assert torch.equal(terms[0]["depth"], terms[1]["depth"])
    spread.spread_unseen(fit.unknowns, fit.objective.clip, 0.3, 0)
    view = fit.objective.clip.view(int(fit.frames[0]), "full")
    picture = drawn[0](int(fit.frames[0]), torch.ones(len(fit.unknowns.gaussians), 1, 3))
    assert picture.any() and not picture[view.sure == 0].any()


def test_held_out_frames_far_from_trained_ones_are_fitted_by_themselves(results, monkeypatch):
    """The second-order steps would leave them about where the last trained frame's error puts them."""
    asked = []
    monkeypatch.setattr("pipeline.stages.fit.fit_frozen", lambda *known: asked.append(known[-1].tolist()))
    for split in ({"holdout_every": 5}, {"holdout_every": 0, "holdout_last": 0.3}):
        clip = load_clip(results, Pose.load(results.pose_init), short_settings(**split), CPU)
        settings = json.dumps(SHORT | split | {"align": {"coarse": 1, "middle": 1}, "keep_better": False})
        assert main(["fit", str(results.root), "--settings", settings, "--threads", "1"]) == 0
        assert asked.pop() == np.flatnonzero(clip.heldout)[1:].tolist() * ("holdout_last" in split)
    assert len(clip) == 14 and clip.heldout.sum() == 4


def test_every_fifth_frame_is_held_out_and_lost_frames_are_left_out(results):
    pose = Pose.load(results.pose_init)
    pose.valid[[2, 4]] = False
    clip = load_clip(results, pose, short_settings(), CPU)
    assert np.flatnonzero(clip.heldout).tolist() == [9]
    assert not clip.train[[2, 4, 9]].any() and clip.train.sum() == len(pose) - 3
    assert clip.views[2] is None


def test_a_long_clip_holds_out_no_more_frames_than_asked_for():
    seen = np.ones(1000, bool)
    held = _held_out(seen, short_settings(holdout_every=5, holdout_most=7))
    assert held.sum() == 7 and held[[4, 999]].all()
    assert (np.flatnonzero(held) % 5 == 4).all() and np.diff(np.flatnonzero(held)).max() < 180
    assert _held_out(seen, short_settings(holdout_every=5, holdout_most=0)).sum() == 200
    assert _held_out(seen[:30], short_settings(holdout_every=5, holdout_most=7)).sum() == 6


def test_a_clip_without_person_is_refused(tmp_path, results):
    folder = VideoDir(tmp_path)
    for name in ("frames", "camera"):
        getattr(folder, name).symlink_to(getattr(results, name))
    folder.masks.mkdir()
    pose = Pose.load(results.pose_init)
    for index in range(len(pose)):
        write_mask(folder.masks / f"{index:06d}.png", np.zeros((160, 128), np.uint8))
    with pytest.raises(UserError, match="must be seen in at least 2 frames, found 0"):
        load_clip(folder, pose, short_settings(), CPU)


def test_the_schedule_of_a_short_fit():
    """5 steps of colours, 10 coarse, 5 middle, 20 full; Gaussians grow from a fifth of the last to nine tenths.

    Poses are aligned with the avatar early in the last, and after three fifths of it; held from there on, and aligned
    once more.
    """
    plans = [Schedule(short_settings()).plan(step) for step in range(40)]
    assert [step for step in range(1, 40) if plans[step].level != plans[step - 1].level] == [15, 20]
    assert [step for step, plan in enumerate(plans) if plan.searches] == list(range(0, 40, 5))
    assert [step for step, plan in enumerate(plans) if plan.poses_move] == list(range(5, 32))
    assert [step for step, plan in enumerate(plans) if plan.growing] == list(range(24, 38))
    assert [step + 1 for step, plan in enumerate(plans) if plan.grows] == [25, 30, 35]
    assert [step + 1 for step, plan in enumerate(plans) if plan.spreads] == [38]
    assert [step + 1 for step, plan in enumerate(plans) if plan.smooths] == [15, 20, 32]
    assert [step + 1 for step, plan in enumerate(plans) if plan.refits] == [32]
    assert [step + 1 for step, plan in enumerate(plans) if plan.settles] == [23, 37]
    alone = Schedule(short_settings(align={"coarse": 3, "refit": 0}))
    assert all(plan.poses_move and not plan.refits and not plan.settles for plan in map(alone.plan, range(5, 40)))
    assert alone.plan(39).smooths
    assert [step for step, plan in enumerate(plans) if plan.sh_degree] == list(range(30, 40))
    assert plans[5].pose_factor == 1 > plans[39].pose_factor > 0.1
    held = Schedule(short_settings(optimise_pose=False, spread={"strength": 0.0}))
    assert not any(plan.poses_move or plan.smooths or plan.spreads or plan.refits for plan in map(held.plan, range(40)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("binding", "glue"),
        ("sh_degree", 2),
        ("device", "tpu"),
        ("holdout_every", 1),
        ("pose_start", 1.5),
        ("refiner", "hand"),
        ("corrections", "knots"),
        ("silhouette", "dice"),
        ("spread.at", {"at": 0.1}),  # Gaussians still grow then
        ("align.early_at, refit_at and settle_at", {"settle_at": 0.4}),  # before refit_at
        ("align.early_at, refit_at and settle_at", {"early_at": 0.7}),  # after it
    ],
)
def test_settings_out_of_range_are_refused(key, value):
    with pytest.raises(UserError, match=key):
        short_settings(**{key.split(".")[0]: value})


# Runs


@pytest.mark.parametrize("binding", BINDINGS)
def test_each_binding_reduces_the_loss_and_grows(run, binding):
    alone = {"align": {"coarse": 0, "middle": 0}, "rates": {"root_rotation": 5e-3, "joint_rotations": 1e-2}}
    fit, result = run(
        short_settings(binding=binding, steps=SHORT["steps"] | {"full": 40}, weights={"depth": 1.0}, **alone)
    )
    surface, first, last = result.history  # 20 steps each; the terms of the phases differ
    assert last["total"] < 0.97 * first["total"]
    assert last["psnr_person"] > surface["psnr_person"]
    assert np.isfinite([value for row in result.history for value in row.values()]).all()
    assert 800 < len(result.avatar.means) <= 900
    learnt = "lsw" in binding
    assert ("skinning" in result.history[-1]) == learnt == (fit.unknowns.gaussians.skinning is not None)
    assert ("camel" in result.history[-1]) == ("camel" in binding)
    assert (result.avatar.field is not None and result.avatar.field.moves) == (binding == "field")
    torch.testing.assert_close(result.avatar.weights.sum(1), torch.ones(len(result.avatar.means)))


def test_the_same_seed_gives_the_same_result_and_another_seed_another(run):
    (_, first), (_, second), (_, third) = (run(short_settings(seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first.avatar.means, second.avatar.means)
    assert torch.equal(first.rows.params["rows"], second.rows.params["rows"])
    assert not torch.equal(first.rows.params["rows"], third.rows.params["rows"])


# Step 10 is before, step 33 after growth and the freeing of skinning weights began.
@pytest.mark.parametrize(("stop", "binding"), [(10, "camel"), (33, "camel"), (33, "lsw"), (33, "field")])
def test_a_resumed_run_ends_like_one_that_was_never_stopped(run, results, body, tmp_path, stop, binding):
    settings = short_settings(binding=binding, skinning_start=0.3)
    path, pose = tmp_path / "checkpoint.pt", Pose.load(results.pose_init)
    fit = JointFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU)
    steps = iter(range(stop))
    step = fit.step

    def step_until_killed() -> None:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        step()

    fit.step = step_until_killed
    with pytest.raises(KeyboardInterrupt):
        fit.run(path, "mark")
    assert load_checkpoint(path, "mark", CPU)["step"] == stop // 10 * 10
    (resumed, again), (_, whole) = run(settings, path, "mark"), run(settings)
    assert resumed.step_number == settings.steps.total
    for name in ("means", "quats", "scales", "opacities", "sh", "weights"):
        assert torch.equal(getattr(again.avatar, name), getattr(whole.avatar, name)), name
    for name in ("rows", "knots"):
        assert torch.equal(again.rows.params[name], whole.rows.params[name]), name
    assert [row["total"] for row in again.history] == [row["total"] for row in whole.history]


def test_a_checkpoint_of_another_fit_or_a_broken_one_is_left_alone(tmp_path, caplog):
    path = tmp_path / "checkpoint.pt"
    assert load_checkpoint(path, "mark", CPU) is None
    save_checkpoint(path, "mark", {"step": 3})
    assert load_checkpoint(path, "other", CPU) is None
    assert load_checkpoint(path, "mark", CPU) == {"step": 3}
    path.write_bytes(path.read_bytes()[:100])
    assert load_checkpoint(path, "mark", CPU) is None


class ReadsBack(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU, but in the rasterizer."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if reads_back(func, args):
            refuse(str(func))
        return func(*args, **(kwargs or {}))


def refuse(what):
    frames = traceback.extract_stack()
    if not any("/splatting/" in frame.filename or frame.name == "drawn" for frame in frames):
        raise AssertionError(f"{what}: the host would wait for a GPU")


@pytest.mark.parametrize("binding", ["camel", "gom", "none"])
def test_a_step_by_torch_operations_reads_nothing_back(results, body, monkeypatch, binding):
    """As on a GPU, but for the rasterizer. Neighbours, growth, spreading, history and ends of phases may read."""
    steps = {"colours": 2, "coarse": 2, "middle": 2, "full": 12, "heldout": 0, "clip_frames": 80}
    settings = short_settings(gaussians=300, binding=binding, steps=steps, align={"coarse": 0, "middle": 0})
    pose = Pose.load(results.pose_init)
    fit = JointFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU)
    steps = fit.settings.steps
    reading = {4, 6, steps.surface + round(settings.spread.at * steps.full), steps.total}
    guarded = 0
    with as_on_gpu():
        for number in range(steps.total):
            with contextlib.ExitStack() as stack:
                if number % 5 and number + 1 not in reading:
                    patch = stack.enter_context(monkeypatch.context())
                    for name in ("tolist", "numpy"):
                        whole = getattr(torch.Tensor, name)
                        patch.setattr(torch.Tensor, name, lambda *a, f=whole, n=name, **k: (refuse(n), f(*a, **k))[1])
                    stack.enter_context(ReadsBack())
                    guarded += 1
                fit.step()
    assert guarded > 8


def test_the_pose_error_falls(run, results, studio_clip, body):
    settings = short_settings(
        gaussians=2000,
        use_depth=False,
        holdout_every=0,
        steps={"colours": 30, "coarse": 300, "middle": 60, "full": 10, "heldout": 0, "clip_frames": 80},
    )
    initial, truth = Pose.load(results.pose_init), Pose.load(studio_clip.truth / "pose.npz")
    _, result = run(settings)
    refined = result.rows.pose(initial, body.rest_joints(result.betas)[0], result.betas, "test")
    before, after = mpjpe(initial, truth, body), mpjpe(refined, truth, body)
    assert after < 0.75 * before, f"{before:.1f} -> {after:.1f} mm"


def test_depth_mends_the_distance(run, results, studio_clip, body):
    settings = short_settings(
        gaussians=1500,
        holdout_every=0,
        steps={"colours": 20, "coarse": 200, "middle": 0, "full": 0, "heldout": 0, "clip_frames": 80},
    )
    initial, truth = Pose.load(results.pose_init), Pose.load(studio_clip.truth / "pose.npz")
    _, result = run(settings)
    refined = result.rows.pose(initial, body.rest_joints(result.betas)[0], result.betas, "test")
    before, after = (np.abs(pose.transl - truth.transl)[:, 2].mean() for pose in (initial, refined))
    assert after < 0.5 * before


def test_poses_and_skinning_weights_wait_for_their_share_of_the_run(run, results, body):
    """GART's schedule: no phase on the surface, poses and skinning weights in the second half."""
    steps = {"colours": 0, "coarse": 0, "middle": 0, "full": 20, "heldout": 0, "clip_frames": 80}
    settings = short_settings(binding="lsw", steps=steps, pose_start=0.5, skinning_start=0.75)
    pose = Pose.load(results.pose_init)
    fit = JointFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU)
    moved = []
    for _ in range(20):
        fit.step()
        values = fit.unknowns.rows.params["rows"], fit.unknowns.gaussians.skinning.differences
        moved.append(tuple(bool(value.any()) for value in values))
    assert moved == [(False, False)] * 10 + [(True, False)] * 5 + [(True, True)] * 5
    rates, factor = settings.rates, (settings.rates.skinning_weights_final / settings.rates.skinning_weights)
    expected = [rates.skinning_weights * factor**done for done in (0.0, 0.0, 0.4)]
    assert [fit.schedule.plan(step).shared_rates["skinning_weights"] for step in (0, 15, 17)] == pytest.approx(expected)


def test_without_pose_optimisation_the_pose_stays(run, results):
    fit, _ = run(short_settings(optimise_pose=False))
    params = fit.unknowns.rows.params
    assert not params["rows"].any() and not params["knots"].any()


def test_the_stage_writes_its_files_and_covers_all_frames(results, capsys):
    settings = json.dumps(SHORT)
    assert main(["fit", str(results.root), "--settings", settings, "--threads", "1"]) == 0
    initial, refined = Pose.load(results.pose_init), Pose.load(results.pose_refined)
    assert len(refined) == len(initial)
    assert refined.body_model == "free" and "camel" in refined.source
    moved = np.abs(refined.body_pose - initial.body_pose).max(1)
    assert (moved > 1e-4).all(), "held-out frames are fitted too"
    avatar = AvatarFile.load(results.avatar)
    assert avatar.binding == "camel" and avatar.train_frames.tolist() == [i % 5 != 4 for i in range(len(initial))]
    assert avatar.seen.shape == (len(avatar.means),) and avatar.seen.dtype == np.float32
    assert 0 <= avatar.seen.min() < 0.3 and avatar.seen.max() == 1 and 0.3 < avatar.seen.mean() < 0.95
    lines = results.history.read_text().splitlines()
    assert lines[0].startswith("step,") and lines[0].endswith("total,psnr_person,n_gaussians,seconds")
    assert len(lines) == 1 + 40 // 20
    facts = json.loads(results.provenance("fit").read_text())["facts"]
    assert facts["depth"] is True and facts["frames_held_out"] == 2


def test_an_edited_fit_does_not_go_on_from_what_it_was(results, monkeypatch, capsys):
    """A finished checkpoint stays: the job that runs again for an edited module would take it for its own."""
    arguments = ["fit", str(results.root), "--settings", json.dumps(SHORT), "--threads", "1"]
    assert main(arguments) == main(arguments) == 0
    said = capsys.readouterr().err
    assert "goes on from step 40" in said and "made with other settings, inputs or code" not in said.split("goes on")[1]
    monkeypatch.setattr("pipeline.stages.fit.code_digest", lambda *modules: "edited")
    assert main(arguments) == 0
    assert "made with other settings, inputs or code: starting anew" in capsys.readouterr().err


def test_the_stage_refuses_frames_that_do_not_match(results, tmp_path, caplog):
    folder = VideoDir(tmp_path / "clip")
    folder.root.mkdir()
    for name in ("frames", "camera", "pose_init"):
        getattr(folder, name).symlink_to(getattr(results, name))
    folder.masks.mkdir()
    write_mask(folder.masks / "000000.png", np.full((160, 128), 255, np.uint8))
    assert main(["fit", str(folder.root), "--settings", json.dumps(SHORT)]) == 1
    assert not folder.fit.exists()
