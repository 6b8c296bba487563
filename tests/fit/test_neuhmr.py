"""NeuHMR: its losses, anchors and features, the motion field, and small runs on a studio clip."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from helpers_fit import SHORT, mpjpe, short_settings
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from pipeline.__main__ import main
from pipeline.fit.data import load_clip
from pipeline.fit.heldout import fit_frozen
from pipeline.fit.loop import JointFit
from pipeline.fit.motion_field import MotionField, radial_basis
from pipeline.fit.neuhmr import NeuHMRFit
from pipeline.fit.neuhmr.anchors import count_anchors, facing, farthest_points
from pipeline.fit.neuhmr.features import ConvNeXtFeatures, FeatureMap, GradientFeatures, choose_features
from pipeline.fit.neuhmr.joint_matching import MATCHED, match, matching_loss, project, register, visible
from pipeline.fit.settings import FitSettings
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.losses.silhouette import jaccard
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import DEFAULT_CONFIG, default_config, merged
from pipeline.setup.weights import wanted

CPU = torch.device("cpu")
NEUHMR = {"candidate_steps": 10, "anchor_steps": 10, "epochs": 2, "samples": 16}


# The silhouette loss


def test_jaccard_is_one_minus_intersection_over_union():
    mask, alpha = torch.zeros(10, 10), torch.zeros(10, 10)
    mask[2:6, 2:6], alpha[2:6, 3:7] = 1, 1
    assert jaccard(alpha, mask).item() == pytest.approx(1 - 12 / 20)
    assert jaccard(mask, mask) == 0
    assert jaccard(torch.zeros(10, 10), mask) == 1
    half = 0.5 * mask
    assert jaccard(half, mask).item() == pytest.approx(0.5), "soft: 8 / (8 + 16 - 8)"


def test_the_gradient_of_jaccard_agrees_with_finite_differences():
    rng = np.random.default_rng(0)
    alpha, mask = torch.tensor(rng.random((5, 6)), requires_grad=True), torch.tensor(rng.random((5, 6)))
    assert gradcheck(lambda a: jaccard(a, mask), alpha)


# Anchors


def test_the_front_of_an_upright_person_who_turns_goes_round_the_horizon():
    turns = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    upright = Rotation.from_rotvec([np.pi, 0, 0])  # SMPL's y is up, the camera's down
    found = facing((Rotation.from_rotvec(np.outer(turns, [0, 1, 0])) * upright).as_rotvec())
    np.testing.assert_allclose(found, np.stack([-np.sin(turns), 0 * turns, -np.cos(turns)], axis=1), atol=1e-12)


def test_farthest_points_spread_over_a_circle():
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    chosen = np.sort(angles[farthest_points(points, 4)])
    np.testing.assert_allclose(np.diff(chosen), np.pi / 2, atol=1e-9)


def test_farthest_points_repeat_none_even_where_points_are_equal():
    assert sorted(farthest_points(np.zeros((5, 3)), 5)) == [0, 1, 2, 3, 4]
    assert len(farthest_points(np.zeros((3, 3)), 9)) == 3


def test_a_tenth_of_the_frames_are_anchors_and_a_few_of_a_short_clip():
    assert count_anchors(200, 0.1, 2.0) == (20, 40)
    assert count_anchors(12, 0.1, 2.0) == (4, 8)
    assert count_anchors(3, 0.1, 2.0) == (3, 3)


# Matching


def test_a_joint_is_visible_within_the_tolerance_of_the_surface():
    depth, alpha = torch.full((4, 6), 2.0), torch.ones(4, 6)
    alpha[0, 0] = 0.2
    places = torch.tensor([[2.5, 1.5], [2.5, 1.5], [2.5, 1.5], [0.5, 0.5], [6.2, 1.0], [-0.1, 1.0]])
    distances = torch.tensor([2.19, 2.21, 1.79, 2.0, 2.0, 2.0])
    assert visible(depth, alpha, places, distances, 0.2).tolist() == [True, False, False, False, False, False]


def test_projection_has_the_first_pixel_centre_at_a_half():
    K = torch.tensor([[50.0, 0, 8], [0, 60, 6], [0, 0, 1]])
    torch.testing.assert_close(project(torch.tensor([[0.0, 0, 2], [1, 1, 2]]), K), torch.tensor([[8.0, 6], [33, 36]]))


def test_registration_is_the_mean_over_the_frames_that_show_a_joint():
    features = torch.tensor([[[1.0, 0], [5, 5]], [[3, 2], [7, 7]], [[9, 9], [1, 1]]])
    seen = torch.tensor([[True, False], [True, False], [False, False]])
    registered, known = register(features, seen)
    assert registered[0].tolist() == [2, 1]
    assert known.tolist() == [True, False]


def test_a_known_feature_is_found_where_it_was_moved_to():
    grid = torch.stack(torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="xy"), -1) + 0.5
    bump = torch.exp(-(grid - torch.tensor([23.0, 17.0])).square().sum(-1) / 18)
    features = FeatureMap(torch.nn.functional.normalize(torch.stack([bump, 1 - bump]), dim=0), 1)
    generator = torch.Generator().manual_seed(0)
    found = match(features, torch.tensor([[1.0, 0.0]]), torch.tensor([[20.0, 20.0]]), 4.0, 128, generator)
    assert (found[0] - torch.tensor([23.0, 17.0])).norm() < 1


def test_the_matching_loss_is_the_mean_squared_distance_of_those_that_count():
    places, targets = (
        torch.zeros(3, 2, dtype=torch.float64, requires_grad=True),
        torch.tensor([[3.0, 4], [1, 0], [9, 9]]),
    )
    counted = torch.tensor([True, True, False])
    assert matching_loss(places, targets, counted).item() == pytest.approx((25 + 1) / 2)
    assert matching_loss(places, targets, torch.zeros(3, dtype=torch.bool)) == 0
    assert gradcheck(lambda p: matching_loss(p, targets.double(), counted), places)


def test_sixteen_joints_are_matched():
    assert len(MATCHED) == 16


# Features


def texture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    small = torch.rand(1, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, (height, width), mode="bicubic")[0].clamp(0, 1).permute(1, 2, 0)


def test_the_hand_made_descriptor_moves_with_the_image_and_tells_places_apart():
    extract, image = GradientFeatures(), texture(96, 96)
    first, second = extract(image[:, :80]), extract(image[:, 8:88])
    places = torch.rand(40, 2, generator=torch.Generator().manual_seed(1)) * 40 + torch.tensor([24.0, 24.0])
    here, moved = first.at(places), second.at(places - torch.tensor([8.0, 0.0]))
    torch.testing.assert_close(here, moved, atol=1e-2, rtol=0)
    likeness = torch.nn.functional.normalize(here, dim=1) @ torch.nn.functional.normalize(moved, dim=1).T
    assert (likeness.argmax(1) == torch.arange(40)).all()
    found = match(second, here, places - torch.tensor([8.0, 0.0]) + 2.5, 4.0, 256, torch.Generator().manual_seed(2))
    assert (found + torch.tensor([8.0, 0.0]) - places).norm(dim=1).median() < 1.2


def test_features_have_unit_length_and_a_value_everywhere():
    features = GradientFeatures()(texture(50, 38))
    assert features.values.shape[1:] == (13, 10)
    torch.testing.assert_close(features.values.float().norm(dim=0), torch.ones(13, 10), atol=1e-2, rtol=0)
    assert torch.isfinite(features.at(torch.tensor([[-5.0, 900.0]]))).all()


def convnext_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of stem and first stage, and one of a later stage, laid out as torchvision's."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"0.0.weight": (96, 3, 4, 4), "0.0.bias": (96,), "0.1.weight": (96,), "0.1.bias": (96,)}
    for block in range(3):
        shapes |= {
            f"1.{block}.layer_scale": (96, 1, 1),
            f"1.{block}.block.0.weight": (96, 1, 7, 7),
            f"1.{block}.block.0.bias": (96,),
            f"1.{block}.block.2.weight": (96,),
            f"1.{block}.block.2.bias": (96,),
            f"1.{block}.block.3.weight": (384, 96),
            f"1.{block}.block.3.bias": (384,),
            f"1.{block}.block.5.weight": (96, 384),
            f"1.{block}.block.5.bias": (96,),
        }
    shapes["2.1.weight"] = (192, 96, 2, 2)
    return {f"features.{name}": 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_convnext_is_taken_where_its_weights_are(tmp_path):
    path = tmp_path / "convnext.pth"
    assert isinstance(choose_features(path, CPU), GradientFeatures)
    torch.save(convnext_state(), path)
    features = choose_features(path, CPU)(texture(50, 38))
    assert features.values.shape == (96, 13, 10) and features.stride == 4
    torch.testing.assert_close(features.values.float().norm(dim=0), torch.ones(13, 10), atol=1e-2, rtol=0)
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"convnext\.pth: expected torchvision's weights of ConvNeXt-tiny"):
        choose_features(path, CPU)
    torch.save({"other": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="expected torchvision's weights"):
        choose_features(path, CPU)


def test_a_convnext_block_is_the_one_of_the_paper():
    """The same computed with torch's modules, one after the other (figure 4 of Liu et al. 2022)."""
    state, image = convnext_state(), texture(32, 32)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

    def module(made: torch.nn.Module, name: str) -> torch.nn.Module:
        made.load_state_dict({key: state[f"features.{name}.{key}"] for key in ("weight", "bias")})
        return made

    values = module(torch.nn.Conv2d(3, 96, 4, stride=4), "0.0")(((image - mean) / std).permute(2, 0, 1)[None])
    values = module(torch.nn.LayerNorm(96, eps=1e-6), "0.1")(values.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    for block in range(3):
        name = f"1.{block}.block"
        change = module(torch.nn.Conv2d(96, 96, 7, padding=3, groups=96), f"{name}.0")(values).permute(0, 2, 3, 1)
        change = module(torch.nn.LayerNorm(96, eps=1e-6), f"{name}.2")(change)
        change = module(torch.nn.Linear(96, 384), f"{name}.3")(change)
        change = module(torch.nn.Linear(384, 96), f"{name}.5")(torch.nn.functional.gelu(change)).permute(0, 3, 1, 2)
        values = values + state[f"features.1.{block}.layer_scale"] * change
    expected = torch.nn.functional.normalize(values[0], dim=0)
    torch.testing.assert_close(ConvNeXtFeatures(state)(image).values.float(), expected, atol=1e-3, rtol=0)


def test_the_weights_command_knows_the_features():
    weight = wanted(default_config())[-1]
    assert weight.addresses[0].endswith(f"/{weight.files[0].name}")
    own = merged(default_config(), {"fit": {"neuhmr": {"features": "mine.pth"}}})
    assert wanted(own)[-1].addresses == ()


# The motion field


@pytest.fixture
def field(results, body) -> MotionField:
    pose, settings = Pose.load(results.pose_init), short_settings()
    pelvis = body.rest_joints(torch.as_tensor(pose.betas, dtype=torch.float32))[0]
    return MotionField(pose, pelvis, np.arange(len(pose)), settings.motion_field, settings.rates, 0, CPU)


def test_radial_bases_are_highest_at_their_own_time():
    basis = radial_basis(50, 100, 2.0)
    assert basis.shape == (50, 100)
    assert (basis.argmax(1) - torch.linspace(0, 99, 50)).abs().max() < 1
    assert basis[20, 40].item() == pytest.approx(np.exp(-0.5 * ((20 / 49 - 40 / 99) / (2 / 49)) ** 2), rel=1e-4)


def test_the_motion_field_begins_with_no_correction_and_learns_one(field):
    assert not field.correction(3).any()
    times = torch.linspace(0, 6, len(field.basis))
    wanted_turn = 0.2 * torch.stack([times.sin(), times.cos(), 0 * times], dim=1)
    adam = field.optimiser(short_settings().rates)
    for _ in range(150):
        apart = field.field(slice(None))[:, 12:15] - wanted_turn
        apart.square().sum().backward()
        adam.step(field.touched(0))
        adam.zero_grad()
    assert apart.abs().max() < 0.03
    assert not field.params["rows"].any(), "a frame has no part of its own"
    field.smooth(np.arange(3), 1.0)
    torch.testing.assert_close(field.correction(5), field.field(slice(5, 6))[0])


def test_what_moves_the_whole_person_moves_at_its_own_rate(field):
    rates = short_settings().rates
    with torch.no_grad():
        field.params["bias3"].fill_(1.0)
    found = field.correction(0)
    assert found[3].item() == 1 and found[0].item() == pytest.approx(rates.root_rotation / rates.joint_rotations)
    assert found[-2].item() == pytest.approx(rates.sideways / rates.joint_rotations)
    assert field.mean_depthwise().item() == pytest.approx(rates.depthwise / rates.joint_rotations)


# Runs


def fit_with(results: VideoDir, body, settings: FitSettings, truth: Pose, checkpoint=None):
    """Run a fit; its result, and the errors of the pose before and after, mm."""
    initial = Pose.load(results.pose_init)
    clip = load_clip(results, initial, settings, CPU)
    if settings.refiner == "neuhmr":
        fit = NeuHMRFit(clip, body, initial, settings, CPU)
        result = fit.run()
    else:
        fit = JointFit(clip, body, initial, settings, CPU)
        result = fit.run(checkpoint, "mark")
    refined = result.rows.pose(initial, body.rest_joints(result.betas)[0], result.betas, "test")
    return fit, result, mpjpe(initial, truth, body), mpjpe(refined, truth, body)


def test_neuhmr_lowers_the_pose_error_and_leaves_the_avatar(results, body, studio_clip):
    settings = short_settings(
        gaussians=1500,
        crop_sides={"coarse": 64, "middle": 96, "full": 96},
        refiner="neuhmr",
        neuhmr=NEUHMR | {"candidate_steps": 60, "anchor_steps": 40, "epochs": 25, "samples": 64, "rate": 1e-3},
    )
    truth = Pose.load(studio_clip.truth / "pose.npz")
    fit, result, before, after = fit_with(results, body, settings, truth)
    assert after < 0.9 * before, f"{before:.1f} -> {after:.1f} mm"
    assert "hand-made" in fit.facts["features"] and len(fit.facts["anchor_frames"]) == 4
    assert not fit.clip.heldout[fit.facts["anchor_frames"]].any()
    assert not fit.clip.has_depth
    first, last = (next(row for row in rows if "geo" in row) for rows in (result.history, result.history[::-1]))
    assert last["total"] < first["total"]
    assert np.isfinite([value for row in result.history for value in row.values()]).all()


def test_fitting_frames_held_out_leaves_the_field_alone(results, body, studio_clip):
    settings, truth = short_settings(refiner="neuhmr", neuhmr=NEUHMR), Pose.load(studio_clip.truth / "pose.npz")
    fit, result, *_ = fit_with(results, body, settings, truth)
    before = result.rows.field(slice(None)).detach()
    heldout = np.flatnonzero(fit.clip.heldout)
    fit_frozen(result, body, 10.0, settings, heldout)
    assert torch.equal(result.rows.field(slice(None)), before)
    assert torch.nonzero(result.rows.params["rows"].abs().sum(1)).flatten().tolist() == heldout.tolist()


def test_neuhmr_gives_the_same_result_again(results, body, studio_clip):
    truth = Pose.load(studio_clip.truth / "pose.npz")
    runs = [fit_with(results, body, short_settings(refiner="neuhmr", neuhmr=NEUHMR), truth) for _ in range(2)]
    for name, value in runs[0][1].rows.params.items():
        assert torch.equal(value, runs[1][1].rows.params[name]), name


def test_without_registered_features_joints_are_found_as_the_avatar_shows_them(results, body, studio_clip):
    """NeuHMR's ablation: where frame and rendering are one picture, a joint is found where it is."""
    settings = short_settings(refiner="neuhmr", neuhmr=NEUHMR | {"registered": False})
    pose = Pose.load(results.pose_init)
    fit = NeuHMRFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU)
    frame, black = int(fit.frames[0]), torch.zeros(3)
    rendered, joints = fit._render(fit._avatar(fit.frames, 0), frame, fit.field.correction(frame), black)
    seen = rendered.image.detach() + 0.5 * (1 - rendered.alpha.detach()[..., None])
    fit._maps[frame] = fit.extract(seen.clamp(0, 1))
    none = torch.zeros(len(joints), 1)
    loss = fit._matching(frame, rendered, black, joints, none, torch.zeros(len(joints), dtype=torch.bool))
    assert loss.item() < 8, "px^2; a random one of the samples has 2 sigma^2 = 32"
    fit._maps.clear()
    assert fit._matching(frame, rendered, black, joints, none, none[:, 0] > 0).item() > loss.item()


@pytest.mark.parametrize("change", [{"corrections": "motion_field"}, {"silhouette": "jaccard"}])
def test_the_joint_fit_takes_parts_of_neuhmr(results, body, studio_clip, change):
    settings = short_settings(
        gaussians=1500,
        use_depth=False,
        steps={"colours": 30, "coarse": 200, "middle": 20, "full": 10, "heldout": 0, "clip_frames": 80},
        **change,
    )
    truth = Pose.load(studio_clip.truth / "pose.npz")
    _, result, before, after = fit_with(results, body, settings, truth)
    assert after < 0.9 * before, f"{before:.1f} -> {after:.1f} mm"
    assert isinstance(result.rows, MotionField) == ("corrections" in change)


def test_a_fit_with_a_motion_field_goes_on_from_its_checkpoint(results, body, studio_clip, tmp_path):
    settings, truth = short_settings(corrections="motion_field"), Pose.load(studio_clip.truth / "pose.npz")
    initial = Pose.load(results.pose_init)
    begun = JointFit(load_clip(results, initial, settings, CPU), body, initial, settings, CPU)
    steps = iter(range(20))
    step = begun.step

    def step_until_killed() -> None:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        step()

    begun.step = step_until_killed
    with pytest.raises(KeyboardInterrupt):
        begun.run(tmp_path / "checkpoint.pt", "mark")
    _, resumed, *_ = fit_with(results, body, settings, truth, tmp_path / "checkpoint.pt")
    _, whole, *_ = fit_with(results, body, settings, truth)
    for name, value in whole.rows.params.items():
        assert torch.equal(value, resumed.rows.params[name]), name


def test_the_stage_writes_the_same_files_with_neuhmr(results):
    settings = SHORT | {"refiner": "neuhmr", "neuhmr": NEUHMR}
    assert main(["fit", str(results.root), "--settings", json.dumps(settings), "--threads", "1"]) == 0
    initial, refined = Pose.load(results.pose_init), Pose.load(results.pose_refined)
    assert refined.source.startswith("NeuHMR (camel) of: ")
    assert (np.abs(refined.body_pose - initial.body_pose).max(1) > 1e-5).all(), "held-out frames move, too"
    avatar = AvatarFile.load(results.avatar)
    assert avatar.train_frames.tolist() == [i % 5 != 4 for i in range(len(initial))] and avatar.seen.max() == 1
    assert results.history.read_text().splitlines()[0].endswith("total,psnr_person,n_gaussians,seconds")
    facts = json.loads(results.provenance("fit").read_text())["facts"]
    assert "hand-made" in facts["features"] and facts["depth"] is False
    assert facts["seconds of registration"] > 0 and facts["seconds of refinement"] > 0


def test_neuhmr_refuses_to_hold_poses_or_to_change_the_shape():
    for change in ({"optimise_pose": False}, {"refine_betas": True}):
        with pytest.raises(UserError, match="neuhmr refines the pose alone"):
            short_settings(refiner="neuhmr", **change)


def test_defaults_of_the_config_are_the_joint_fit():
    fit = default_config()["fit"]
    assert (fit["refiner"], fit["corrections"], fit["silhouette"]) == ("joint", "rows", "area"), DEFAULT_CONFIG
    assert dataclasses.asdict(short_settings().neuhmr).keys() == fit["neuhmr"].keys()
