"""Errors against measured joints: closed forms."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.evaluation.joint_errors import angles, best_rotation, calibration, joint_errors
from pipeline.evaluation.pose_metrics import within_sigma
from pipeline.formats.joint_truth import NAMES

FRAMES = 6


@pytest.fixture
def truth() -> np.ndarray:
    """A body that moves, four metres before the camera, (T, 12, 3)."""
    rng = np.random.default_rng(0)
    still = rng.normal(0, 0.4, (12, 3))
    return still + rng.normal(0, 0.1, (FRAMES, 12, 3)) + [0.5, -0.2, 4.0]


ALL = np.ones((FRAMES, 12), bool)


def test_the_truth_has_no_error(truth: np.ndarray) -> None:
    for in_camera in (True, False):
        figures = joint_errors(truth, truth, ALL, in_camera)
        assert max(value for value in figures.values() if np.isfinite(value)) < 1e-5
        assert np.isnan(figures["place"]) == (not in_camera)


def test_another_place_is_no_error_of_the_pose(truth: np.ndarray) -> None:
    figures = joint_errors(truth + np.array([0.3, 0.0, 0.4]), truth, ALL, True)
    assert figures["place"] == pytest.approx(0.5)
    assert figures["mpjpe"] == pytest.approx(0, abs=1e-9) and figures["knee"] == pytest.approx(0, abs=1e-9)


def test_an_error_has_a_part_along_the_ray_and_one_across(truth: np.ndarray) -> None:
    wrist = NAMES.index("r_wrist")
    ray = truth[:, wrist] / np.linalg.norm(truth[:, wrist], axis=1, keepdims=True)
    aside = np.cross(ray, [0, 1.0, 0])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    found = truth.copy()
    found[:, wrist] += -0.12 * ray + 0.05 * aside
    figures = joint_errors(found, truth, ALL, True)
    assert figures["along"] == pytest.approx(120 / 12) and figures["across"] == pytest.approx(50 / 12)
    assert figures["mpjpe"] == pytest.approx(130 / 12)


def test_a_world_is_turned_once_for_the_whole_clip(truth: np.ndarray) -> None:
    world = truth @ Rotation.from_euler("xyz", [20, 130, -40], degrees=True).as_matrix().T + [3.0, 1.0, 0.0]
    assert joint_errors(truth, world, ALL, False)["mpjpe"] < 1e-9
    assert joint_errors(truth, world, ALL, True)["mpjpe"] > 300
    # What turns from frame to frame is an error, which a similarity a frame takes away.
    turns = Rotation.from_rotvec(np.radians(np.linspace(-20, 20, FRAMES))[:, None] * [0, 1, 0]).as_matrix()
    figures = joint_errors(np.einsum("tij,tnj->tni", turns, truth), world, ALL, False)
    assert figures["mpjpe"] > 50 and figures["pa_mpjpe"] < 1e-6 and figures["elbow"] < 1e-6


def test_a_mirrored_body_is_not_turned_into_its_picture(truth: np.ndarray) -> None:
    assert joint_errors(truth * [-1, 1, 1], truth, ALL, False)["mpjpe"] > 50
    turn = best_rotation(truth[0] * [-1, 1, 1], truth[0])
    assert np.linalg.det(turn) == pytest.approx(1)


def test_a_body_that_is_turned_round_is_counted(truth: np.ndarray) -> None:
    """By hips or shoulders; what of them was not measured says nothing."""
    assert joint_errors(truth, truth, ALL, True)["turned"] == 0
    hips, shoulders = ([NAMES.index(f"{side}_{part}") for side in "rl"] for part in ("hip", "shoulder"))
    found, ok = truth.copy(), ALL.copy()
    found[0, hips] = truth[0, hips[::-1]]
    for frame in (1, 2):
        found[frame, shoulders] = truth[frame, shoulders[::-1]]
    ok[2, shoulders[0]] = False
    ok[3, hips[0]] = False
    assert joint_errors(found, truth, ok, True)["turned"] == pytest.approx(100 * 2 / 5)


def test_angles_are_those_of_the_limbs() -> None:
    joints = np.zeros((1, 12, 3))
    place = {
        "hip": [0, 0, 0], "knee": [0, 0.4, 0], "ankle": [0, 0.4, 0.4],
        "shoulder": [0, -0.5, 0], "elbow": [0, -0.2, 0], "wrist": [0, 0.1, 0],
    }  # fmt: skip
    for name, at in place.items():
        for side in "rl":
            joints[0, NAMES.index(f"{side}_{name}")] = at
    found = angles(joints)
    assert [found[name][0, 0] for name in ("knee", "hip", "elbow", "shoulder")] == pytest.approx([90, 180, 180, 0])
    bent = joints.copy()
    bent[0, NAMES.index("r_ankle")] = [0, 0.4 + 0.4 * np.sin(np.radians(30)), 0.4 * np.cos(np.radians(30))]
    assert joint_errors(bent, joints, np.ones((1, 12), bool), True)["knee"] == pytest.approx(15)  # mean of 30 and 0


def test_what_was_not_measured_does_not_count(truth: np.ndarray) -> None:
    found, ok = truth.copy(), ALL.copy()
    found[:, NAMES.index("l_wrist")] += 1.0
    ok[:, NAMES.index("l_wrist")] = False
    found[2] += np.random.default_rng(1).normal(0, 1, (12, 3))
    ok[2] = False
    figures = joint_errors(found, truth, ok, True)
    assert max(figures.values()) < 1e-5
    ok[:, NAMES.index("l_hip")] = False
    figures = joint_errors(found, truth, ok, True)
    assert np.isnan(figures["mpjpe"]) and np.isnan(figures["place"]) and figures["pa_mpjpe"] < 1e-5


def test_two_of_three_gaussian_errors_lie_within_one_sigma() -> None:
    rng = np.random.default_rng(0)
    rays = np.tile([0.9, -0.4, 3.0], (20000, 1))
    turn = Rotation.align_vectors([[0, 0, 1.0]], rays[:1])[0].as_matrix()  # rows: two axes across, and the ray
    errors = (rng.normal(size=(20000, 3)) * [0.02, 0.02, 0.07]) @ turn
    for across, along, expected in ((0.02, 0.07, 68.3), (0.04, 0.14, 95.4)):
        found = within_sigma(errors, rays, np.tile([across, along], (20000, 1)))
        assert [100 * part.mean() for part in found] == pytest.approx([expected] * 2, abs=1)


@pytest.mark.parametrize("in_camera", [True, False])
def test_calibration_counts_what_is_about_the_hips(truth: np.ndarray, in_camera: bool) -> None:
    """Both wrists are off along the ray, and all else by nothing but place."""
    found = truth.copy()
    wrists = [NAMES.index("l_wrist"), NAMES.index("r_wrist")]
    found[:, wrists] += 0.3 * found[:, wrists] / np.linalg.norm(found[:, wrists], axis=2, keepdims=True)
    world = truth if in_camera else truth @ Rotation.from_euler("y", 70, degrees=True).as_matrix().T + 2.0
    sigma = np.full((FRAMES, 12, 2), 0.2)
    moved = found + (0 if in_camera else [0.1, 0.0, 0.5])
    figures = calibration(moved, world, ALL, in_camera, sigma)
    assert figures["within_across"] == pytest.approx(100)
    assert figures["within_along"] == pytest.approx(100 * 10 / 12)
    assert calibration(moved, world, ALL, in_camera, sigma * 2)["within_along"] == pytest.approx(100)
