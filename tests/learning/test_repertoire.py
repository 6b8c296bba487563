"""What people perform in the films: poses that they strike are people's, and captured feet do not turn over."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.body import JOINT_NAMES, load_body
from pipeline.body.model import PARENTS
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.learning import struck as striking
from pipeline.learning.repertoire import Repertoire, with_possible_ankles
from pipeline.learning.struck import struck
from pipeline.motion.library import lowest, rest_joints
from pipeline.motion.mocap import Mocap
from pipeline.motion.priors import beyond_limits, pose_prior

FRAMES, FPS = 20, 10.0
ANKLES = [JOINT_NAMES.index("left_ankle"), JOINT_NAMES.index("right_ankle")]


@pytest.fixture(scope="module")
def body():
    return load_body("free")


@pytest.fixture(scope="module")
def many(body):
    return [struck(np.random.default_rng(seed), FRAMES, FPS, body, np.zeros(10)) for seed in range(30)]


def joints(body, moving) -> np.ndarray:
    """(T, 24, 3)"""
    matrices = axis_angle_to_matrix(torch.as_tensor(moving.poses, dtype=torch.float32).reshape(-1, 24, 3))
    moved = torch.as_tensor(moving.trans, dtype=torch.float32)
    return body.world_joints(matrices, torch.zeros(10), moved)[..., :3, 3].numpy()


def test_struck_poses_stand_on_the_ground_within_peoples_limits(body, many):
    for moving in many[:6]:
        assert moving.poses.shape == (FRAMES, 72) and moving.trans.shape == (FRAMES, 3)
        heights = lowest(body, moving.poses, np.zeros(10), moving.trans)
        np.testing.assert_allclose(heights, 0, atol=1e-4)
    poses = torch.as_tensor(np.concatenate([moving.poses for moving in many]), dtype=torch.float32)
    assert (beyond_limits(poses[:, 3:], pose_prior()) > np.radians(10)).float().mean() < 0.01
    steps = np.abs(np.diff(np.stack([moving.poses[:, 3:] for moving in many]), axis=1))
    assert np.degrees(steps.max()) * FPS < 700  # degrees a second


def test_struck_poses_are_of_many_kinds(body, many):
    at = JOINT_NAMES.index
    places = np.stack([joints(body, moving) for moving in many])
    foot = places[:, :, [at("left_ankle"), at("right_ankle")], 1]
    assert (np.abs(foot[..., 0] - foot[..., 1]) > 0.2).any(1).mean() > 0.1  # a leg raised
    assert (places[:, :, at("pelvis"), 1] < 0.6).any(1).mean() > 0.1  # down
    hands = places[:, :, [at("left_wrist"), at("right_wrist")], 1].max(-1)
    assert 0.2 < (hands > places[:, :, at("head"), 1]).any(1).mean() < 0.9  # a hand above the head
    again = struck(np.random.default_rng(0), FRAMES, FPS, body, np.zeros(10))
    np.testing.assert_array_equal(again.poses, many[0].poses)


def test_who_stands_on_one_leg_stands_above_it(body, monkeypatch):
    monkeypatch.setattr(striking, "_KINDS", ("one leg", "one leg"))
    at = JOINT_NAMES.index
    for seed in range(6):
        places = joints(body, struck(np.random.default_rng(seed), FRAMES, FPS, body, np.zeros(10)))
        feet = (places[:, [at("left_ankle"), at("right_ankle")]] + places[:, [at("left_foot"), at("right_foot")]]) / 2
        lower = feet[np.arange(FRAMES), feet[..., 1].argmin(1)]
        trunk = (places[:, at("pelvis")] + places[:, at("spine3")]) / 2
        assert np.median(np.linalg.norm((trunk - lower)[:, [0, 2]], axis=1)) < 0.2


def test_who_lies_lies_on_the_floor_all_the_time(body, monkeypatch):
    monkeypatch.setattr(striking, "_KINDS", ("lie", "lie"))
    at = JOINT_NAMES.index
    trunk = [at(name) for name in ("pelvis", "spine3", "left_hip", "right_hip")]
    for seed in range(6):
        moving = struck(np.random.default_rng(seed), FRAMES, FPS, body, np.zeros(10))
        places = joints(body, moving)
        # From one pose to the next an arm may go below, and lift it.
        assert places[:, trunk, 1].max() < 0.8 and np.median(places[:, trunk, 1]) < 0.35
        np.testing.assert_allclose(lowest(body, moving.poses, np.zeros(10), moving.trans), 0, atol=1e-4)


def test_crossed_arms_are_before_the_chest(body, monkeypatch):
    monkeypatch.setattr(striking, "_CROSSED", 1.0)
    monkeypatch.setattr(striking, "_KINDS", ("stand", "stand"))
    at = JOINT_NAMES.index
    crossed = []
    for seed in range(6):
        places = joints(body, struck(np.random.default_rng(seed), FRAMES, FPS, body, np.zeros(10)))
        left = places[:, at("left_shoulder")] - places[:, at("right_shoulder")]
        left /= np.linalg.norm(left, axis=1, keepdims=True)
        wrists, elbows = (places[:, at(f"left_{part}")] - places[:, at(f"right_{part}")] for part in ("wrist", "elbow"))
        crossed.append((wrists * left).sum(1) - (elbows * left).sum(1))
        assert np.abs(places[:, at("left_wrist")] - places[:, at("spine3")]).max() < 0.75
    assert np.median(np.concatenate(crossed)) < -0.25  # wrists lie nearer to each other's side than elbows do


def test_an_ankle_that_turns_over_stays_at_rest():
    poses = np.full((3, 24, 3), 0.1)
    poses[1, ANKLES[0]] = [0, 0, np.radians(150)]
    kept = with_possible_ankles(poses)
    assert (kept[:, ANKLES[0]] == 0).all()
    others = np.delete(np.arange(24), ANKLES[0])
    np.testing.assert_array_equal(kept[:, others], poses[:, others])
    assert poses[1, ANKLES[0], 2] > 2  # the given ones stay as they are


def test_captured_feet_that_turn_over_are_not_performed(body):
    rotvecs = np.zeros((60, 24, 3))
    rotvecs[30:, ANKLES[0], 2] = np.radians(170)
    rest = rest_joints(body, np.zeros(10))
    offsets = rest - rest[list(PARENTS)]
    own = {name: name for name in JOINT_NAMES}
    clips = {"fall": (rotvecs, np.zeros((60, 3)), offsets)}
    repertoire = Repertoire(body, Mocap(Path("a.npz"), JOINT_NAMES, np.array(PARENTS), clips, own))
    rng = np.random.default_rng(0)
    captured = [piece for _ in range(12) if (piece := repertoire.piece(rng, np.zeros(10), 16, FPS)).name == "fall"]
    assert len(captured) > 2
    assert all(np.linalg.norm(piece.poses[:, ANKLES], axis=-1).max() < np.radians(70) for piece in captured)
