"""What is kept of a fit: good motions, motions made worse by hand, and what is told of it."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from helpers_fit import mpjpe, short_settings

from pipeline.body import JOINT_NAMES
from pipeline.fit.data import load_clip
from pipeline.fit.explained import PARTS, Explained, part_columns
from pipeline.fit.marks import Sighted
from pipeline.fit.motion_field import corrections
from pipeline.fit.verdict import _better, _blended, _stays, keep_better
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import matrix_to_axis_angle
from pipeline.landmarks.on_body import landmark_map

CPU = torch.device("cpu")
ELBOW = slice(*(3 * JOINT_NAMES.index("left_elbow") + k for k in (0, 3)))


def turned(pose: Pose) -> np.ndarray:  # (T, 24, 3)
    return np.concatenate([pose.global_orient, pose.body_pose], axis=1).reshape(len(pose), 24, 3)


def of_part(name: str) -> np.ndarray:
    return np.isin(JOINT_NAMES, PARTS[name])


@pytest.fixture(scope="module")
def judge(results, body, studio_clip):
    """Judge a motion that corrects the disturbed initial pose nine tenths of the way to the truth, after `worsen` has
    changed the corrections [T, 75]; returns the verdict and the poses: initial, before the judgement, kept, true.
    Each landmark lies `apart` metres from where it lies on people."""
    truth, initial = Pose.load(studio_clip.truth / "pose.npz"), Pose.load(results.pose_init)
    betas = torch.as_tensor(initial.betas, dtype=torch.float32)
    rest = body.rest_joints(betas)

    def judge_(worsen=lambda rows: None, detected=True, fps=initial.fps, apart=0.0, **overrides):
        settings = short_settings(**overrides)
        clip = load_clip(results, initial, settings, CPU)
        frames = np.flatnonzero(clip.train)
        rows, goal = (corrections(pose, rest[0], frames, settings, CPU) for pose in (initial, truth))
        turn = matrix_to_axis_angle(rows.initial_rotmats.mT @ goal.initial_rotmats).flatten(1)
        ratio = goal.initial_pelvis[:, 2:] / rows.initial_pelvis[:, 2:]
        sideways = (goal.initial_pelvis / ratio - rows.initial_pelvis)[:, :2] / rows.initial_pelvis[:, 2:]
        with torch.no_grad():
            rows.params["rows"] += 0.9 * torch.cat([turn, sideways, ratio.log()], dim=1)
            worsen(rows.params["rows"])
        if detected:
            where = landmark_map(body)
            world = body.world_joints(goal.initial_rotmats, betas, goal.initial_pelvis - rest[0])
            own = apart * torch.nn.functional.normalize(torch.arange(3.0 * len(where.names)).view(-1, 3).sin(), dim=1)
            points = where.posed(world, rest, where.rest(betas, torch.zeros_like(where.template)) + own)
            K = torch.as_tensor(initial.K, dtype=torch.float32)
            seen = Sighted(where.names, (points @ K.T)[..., :2] / points[..., 2:], torch.ones(points.shape[:2]), K)
            clip = dataclasses.replace(clip, landmarks=seen)
        before = rows.pose(initial, rest[0], betas, "before")
        verdict = keep_better(clip, body, betas, None, rows, None, fps, settings, False)
        return verdict, initial, before, rows.pose(initial, rest[0], betas, "kept"), truth

    return judge_


@pytest.mark.parametrize("overrides", [{}, {"use_depth": False, "holdout_every": 0}, {"corrections": "motion_field"}])
@pytest.mark.parametrize("detected", [True, False])
def test_a_better_motion_is_kept(judge, overrides, detected):
    verdict, _, before, kept, _ = judge(detected=detected, **overrides)
    assert verdict.better and {part.kept for part in verdict.parts.values()} == {1.0}
    np.testing.assert_array_equal(turned(kept), turned(before))
    np.testing.assert_array_equal(kept.transl, before.transl)
    assert verdict.outline[1] < 0.7 * verdict.outline[0] and verdict.colours[1] < verdict.colours[0]
    assert (verdict.landmarks[1] < verdict.landmarks[0]) if detected else verdict.landmarks == (None, None)


def test_landmarks_that_lie_elsewhere_on_this_person_speak_for_no_motion(judge):
    verdict = judge(apart=0.02)[0]
    assert verdict.better and verdict.landmarks[1] < 0.26 * verdict.landmarks[0]


@pytest.mark.parametrize(("fitted", "better"), [(True, True), (False, False)])
def test_noise_that_the_initial_motion_was_fitted_to_does_not_speak_for_it(fitted, better):
    """What a fitted motion leaves and what the true one does, as on a studio clip of a person who sits: landmarks 5.3
    and 15 mm, outline 6 and 5 mm."""

    def left(mark: float, outline: float) -> float:
        found = Explained(
            *(torch.full((1, n), (mm / 1000) ** 2) for n, mm in ((20, mark), (0, 0.0), (250, outline))), None
        )
        return float(found.cost(short_settings().align, fitted))

    assert (left(15.0, 5.0) < 0.95 * left(5.3, 6.0)) == better


@pytest.mark.parametrize(
    ("costs", "colours", "better"),
    [
        ((10.0, 9.0), (0.05, 0.05), True),
        ((10.0, 9.8), (0.05, 0.05), False),
        ((10.0, 9.0), (0.05, 0.052), False),
        ((10.0, 10.5), (0.05, 0.045), True),  # what neither was fitted to speaks for it
        ((10.0, 11.2), (0.05, 0.042), True),  # a studio person who sits: 54 mm before, 32 after
        ((10.0, 12.0), (0.05, 0.045), False),
    ],
)
def test_a_fit_as_a_whole_is_better_by_outline_and_landmarks_or_by_colours(costs, colours, better):
    assert _better(costs, colours) == better


@pytest.mark.parametrize("detected", [True, False])
def test_an_arm_made_worse_gets_its_initial_rotations(judge, body, detected):
    def bend(rows):
        rows[:, ELBOW] += torch.tensor([0.0, 0.9, 0.0])

    verdict, initial, before, kept, truth = judge(bend, detected)
    arm = of_part("left arm")
    assert verdict.better
    assert {name: part.kept for name, part in verdict.parts.items() if part.kept < 1} == {"left arm": 0.0}
    np.testing.assert_allclose(turned(kept)[:, arm], turned(initial)[:, arm], atol=1e-5)
    np.testing.assert_array_equal(turned(kept)[:, ~arm], turned(before)[:, ~arm])
    assert mpjpe(kept, truth, body) < 0.8 * mpjpe(before, truth, body)


def test_a_part_is_given_back_for_the_time_that_it_was_worse(judge):
    """Taken for 4 frames a second, the clip has four stretches."""

    def bend(rows):
        rows[8:, ELBOW] += torch.tensor([0.0, 0.0, 0.9])

    verdict, initial, before, kept, _ = judge(bend, fps=4.0)
    arm = of_part("left arm")
    assert verdict.better and 0.4 < verdict.parts["left arm"].kept < 0.7
    assert [name for name, part in verdict.parts.items() if part.kept < 1] == ["left arm"]
    np.testing.assert_array_equal(turned(kept)[:7], turned(before)[:7])
    np.testing.assert_allclose(turned(kept)[10:, arm], turned(initial)[10:, arm], atol=1e-5)
    assert re.search(r"the motion of the left arm \(1\.[5-9] of 3\.5 s\) is the initial one", verdict.words())


@pytest.mark.parametrize("factor", [0.2, 1, 2])
def test_a_motion_that_is_worse_as_a_whole_is_all_given_back(judge, factor):
    def spoil(rows):
        rows[:] *= -factor

    verdict, initial, _, kept, _ = judge(spoil)
    assert not verdict.better and {part.kept for part in verdict.parts.values()} == {0.0}
    np.testing.assert_allclose(turned(kept), turned(initial), atol=1e-5)
    np.testing.assert_allclose(kept.transl, initial.transl, atol=1e-5)
    assert verdict.outline[1] > verdict.outline[0], "the fit's own figures are told, not those of what is kept"


def test_the_line_says_what_is_kept(judge):
    better = judge()[0]
    words = r"The fit explains the video better than the initial motion: outline \d+ → \d+ mm, landmarks \d+ → \d+ mm, "
    assert re.fullmatch(words + r"colours of held-out frames \d\.\d → \d\.\d%\.", better.words())
    assert "landmarks" not in judge(detected=False)[0].words()
    parts = {name: dataclasses.replace(part, kept=0.0) for name, part in better.parts.items()}
    some = {"left arm": parts["left arm"], "head and neck": dataclasses.replace(parts["head and neck"], kept=0.25)}
    told = dataclasses.replace(better, parts=better.parts | some).words()
    assert "the motion of the head and neck (1.0 of 1.4 s) and the left arm is the initial one" in told
    worse = dataclasses.replace(better, better=False, parts=parts)
    assert worse.words().startswith("Not better: the motion is the initial one")
    assert json.loads(json.dumps(worse.facts()))["parts"]["left arm"]["kept"] == 0


def test_stretches_without_evidence_stay():
    stretches = [np.arange(0, 4), np.arange(4, 8), np.arange(8, 12)]
    frames, worse = np.array([0, 2, 9, 11]), np.array([0.2, -0.1, 3.0, -1.0])
    np.testing.assert_array_equal(_stays(worse, frames, stretches), [1] * 8 + [0] * 4)


def test_one_motion_passes_into_the_other_gradually():
    stays = _blended(np.repeat([1.0, 0.0], 30), 24)
    assert (stays[:27] == 1).all() and (stays[33:] == 0).all()
    assert np.abs(np.diff(stays)).max() < 0.15
    np.testing.assert_array_equal(_blended(np.zeros(20), 30), np.zeros(20))


def test_each_entry_of_a_correction_belongs_to_one_part():
    columns = part_columns(CPU)
    np.testing.assert_array_equal(columns.sum(0), np.ones(75))
    assert columns[list(PARTS).index("trunk"), -3:].tolist() == [1, 1, 1]
