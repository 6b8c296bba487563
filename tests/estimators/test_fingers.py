"""Wrists and fingers from hand landmarks that a known hand made."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.body.hand import FINGERS, MIRRORED, finger_offsets, flat_hand, hand_length
from pipeline.estimators.fingers import has_hands, with_fingers
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix

FRAMES = 8
K = np.array([[900.0, 0, 400], [0, 900, 500], [0, 0, 1]])
NAMES = ("wrist", *(f"{finger}_{k}" for finger in FINGERS for k in (1, 2, 3, 4)))
FIST = np.deg2rad([0, 60, 80, 50, 5, 65, 85, 55, -5, 70, 85, 55, 0, 65, 85, 55, 10, 20, 30, 30])
HALF = np.deg2rad([8, 30, 40, 25, 0, 35, 45, 30, -8, 25, 40, 25, -3, 30, 45, 30, -10, 5, 15, 10])
OPEN = np.deg2rad([10, 5, 5, 5, 0, 5, 5, 5, -10, 0, 5, 5, -5, 5, 5, 5, -20, -10, 0, 5])


def standing(wrist: tuple[float, float, float] = (0, 0, 0)) -> Pose:
    """Someone 2 m away who faces the camera, arms out, elbows bent so that the hands are up; the wrists are turned."""
    body_pose = np.zeros((FRAMES, 23, 3))
    for sign, side in ((1, "left"), (-1, "right")):
        body_pose[:, JOINT_NAMES.index(f"{side}_elbow") - 1] = [0, -0.6 * sign, 1.2 * sign]
        body_pose[:, JOINT_NAMES.index(f"{side}_wrist") - 1] = np.array(wrist) * ([1, 1, 1] if sign > 0 else MIRRORED)
    return Pose(
        global_orient=np.tile([np.pi, 0, 0], (FRAMES, 1)),
        body_pose=body_pose.reshape(FRAMES, 69),
        betas=np.zeros(10),
        transl=np.tile([0.0, 0.0, 2.0], (FRAMES, 1)),
        valid=np.ones(FRAMES, bool),
        bbox=np.tile([0.0, 0, 800, 1000], (FRAMES, 1)),
        K=K,
        fps=25.0,
        body_model="free",
        source="test",
    )


def wrists(pose: Pose, body: BodyModel, side: str) -> np.ndarray:
    """(T, 4, 4)"""
    turns = np.concatenate([pose.global_orient, pose.body_pose], 1).reshape(FRAMES, 24, 3)
    turns, betas, transl = (torch.as_tensor(a, dtype=torch.float32) for a in (turns, pose.betas, pose.transl))
    world = body.world_joints(axis_angle_to_matrix(turns), betas, transl).double().numpy()
    return world[:, JOINT_NAMES.index(f"{side}_wrist")]


def landmarks(pose: Pose, body: BodyModel, bends: dict[str, np.ndarray], noise: float = 0.0, seen=None) -> Landmarks:
    """What a perfect detector finds of hands bent so; `noise` px, and as much in depth."""
    rng, hand = np.random.default_rng(0), flat_hand(hand_length(body, torch.zeros(10)))
    names, xy, world = (), [], []
    for side, angles in bends.items():
        frames = wrists(pose, body, side)
        flat = hand.places(np.tile(angles, (FRAMES, 1)))[0] * ([1, 1, 1] if side == "left" else [-1, 1, 1])
        points = np.einsum("tij,tkj->tki", frames[:, :3, :3], flat) + frames[:, None, :3, 3]
        # The detector's depths are along the line of sight to the hand.
        z = points.mean(1)
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        x = np.cross([0.0, 1, 0], z)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        local = (points - points[:, :1]) @ np.stack([x, np.cross(z, x), z], 2)
        image = points @ K.T
        xy.append(image[..., :2] / image[..., 2:] + noise * rng.normal(size=(FRAMES, 21, 2)))
        world.append(local + noise * 2 / 900 * rng.normal(size=local.shape))
        names += tuple(f"{side}_hand_{name}" for name in NAMES)
    visibility = (
        np.ones((FRAMES, len(names))) if seen is None else np.repeat(seen[:, None], len(names), 1).astype(float)
    )
    return Landmarks(names, np.concatenate(xy, 1), visibility, np.concatenate(world, 1), "mediapipe as it were")


def expected(angles: np.ndarray, side: str) -> np.ndarray:
    turns = Rotation.from_matrix(flat_hand(1.0).rotations(angles[None])[0]).as_rotvec()
    return turns * (MIRRORED if side == "right" else 1)


def apart(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Degrees between turns (..., 3)."""
    found, truth = np.broadcast_arrays(found, truth)
    both = [Rotation.from_rotvec(turns.reshape(-1, 3)) for turns in (found, truth)]
    return np.rad2deg((both[0].inv() * both[1]).magnitude()).reshape(found.shape[:-1])


@pytest.mark.parametrize("bends", [FIST, HALF, OPEN], ids=["fist", "half", "open"])
def test_a_known_curl_comes_back(bends: np.ndarray, body: BodyModel) -> None:
    pose = standing()
    found = with_fingers(pose, landmarks(pose, body, {"left": bends, "right": HALF}), body, True)
    assert apart(found.hand_pose[:, :15], expected(bends, "left")).max() < 5
    assert apart(found.hand_pose[:, 15:], expected(HALF, "right")).max() < 5
    assert found.hands_seen.min() > 0.98
    assert apart(found.body_pose.reshape(FRAMES, 23, 3), pose.body_pose.reshape(FRAMES, 23, 3)).max() < 3


def test_noise_of_a_pixel_leaves_the_curl(body: BodyModel) -> None:
    pose = standing()
    found = with_fingers(pose, landmarks(pose, body, {"left": HALF}, noise=1.0), body, True)
    errors = apart(found.hand_pose[:, :15], expected(HALF, "left"))
    assert np.median(errors) < 8 and errors.max() < 35
    assert not found.hand_pose[:, 15:].any() and not found.hands_seen[:, 1].any()


def test_pixels_alone_tell_a_curl(body: BodyModel) -> None:
    """The side to which a finger bends is the only one that it can."""
    pose = standing((0.2, 0.1, 0.1))
    seen = replace(landmarks(pose, body, {"left": FIST}), world=None)
    found = with_fingers(standing(), seen, body, True)
    assert np.median(apart(found.hand_pose[:, :12], expected(FIST, "left")[:12])) < 15


def test_a_mirrored_hand_gives_the_mirrored_pose(body: BodyModel) -> None:
    pose = standing((0.2, -0.1, 0.3))
    found = with_fingers(standing(), landmarks(pose, body, {"left": HALF, "right": HALF}), body, True)
    np.testing.assert_allclose(found.hand_pose[:, 15:], found.hand_pose[:, :15] * MIRRORED, atol=0.02)
    turns = found.body_pose.reshape(FRAMES, 23, 3)
    for part in ("elbow", "wrist"):
        left, right = (turns[:, JOINT_NAMES.index(f"{side}_{part}") - 1] for side in ("left", "right"))
        np.testing.assert_allclose(right, left * MIRRORED, atol=0.02)


def test_a_wrist_turns_most_of_the_way_to_the_palm(body: BodyModel) -> None:
    true, start = standing((1.3, 0.2, 0.3)), standing()
    found = with_fingers(start, landmarks(true, body, {"left": OPEN}), body, True)

    def error(pose: Pose) -> float:
        turns = np.swapaxes(wrists(true, body, "left")[:, :3, :3], 1, 2) @ wrists(pose, body, "left")[:, :3, :3]
        return float(np.rad2deg(Rotation.from_matrix(turns).magnitude()).mean())

    assert error(start) > 70 and 2 < error(found) < 0.25 * error(start)  # evidence, not the last word
    np.testing.assert_allclose(wrists(found, body, "left")[..., 3], wrists(start, body, "left")[..., 3], atol=1e-5)
    turned = apart(found.body_pose.reshape(FRAMES, 23, 3), start.body_pose.reshape(FRAMES, 23, 3))[0]
    names = [JOINT_NAMES[1 + k] for k in np.flatnonzero(turned > 0.01)]
    assert names == ["left_elbow", "left_wrist"]  # the forearm takes what a wrist cannot
    kept = with_fingers(start, landmarks(true, body, {"left": OPEN}), body, False)
    np.testing.assert_array_equal(kept.body_pose, start.body_pose)


def test_a_hand_that_is_gone_fades_to_rest(body: BodyModel) -> None:
    pose = replace(standing(), fps=4.0)  # 2 s
    seen = np.arange(FRAMES) < 2
    found = with_fingers(pose, landmarks(pose, body, {"left": FIST}, seen=seen), body, True)
    share = found.hands_seen[:, 0]
    assert share[:2].min() > 0.95 and (np.diff(share[1:]) < 0).all() and share[-1] < 0.1
    assert apart(found.hand_pose[0, :15], expected(FIST, "left")).max() < 8
    assert apart(found.hand_pose[-1, :15], expected(flat_hand(1.0).relaxed, "left")).max() < 10


def test_what_is_no_hand_is_hardly_believed(body: BodyModel) -> None:
    pose = standing()
    marks = landmarks(pose, body, {"left": HALF})
    noise = np.random.default_rng(0).uniform(-60, 60, marks.xy.shape)
    found = with_fingers(pose, replace(marks, xy=marks.xy[:, :1] + noise), body, True)
    assert found.hands_seen[:, 0].max() < 0.3
    hidden = replace(marks, visibility=np.zeros_like(marks.visibility))
    assert has_hands(marks) and not has_hands(hidden) and not has_hands(Landmarks.none(FRAMES))


def test_offsets_and_turns_are_the_hand(body: BodyModel) -> None:
    """A chain of offsets and axis-angles, as a file has them, ends where the hand's own places are."""
    places = flat_hand(0.2).places(HALF[None])[0][0]
    for side, sign in (("left", 1), ("right", -1)):
        joints, tips = finger_offsets(0.2, side)
        turns = Rotation.from_rotvec(expected(HALF, side)).as_matrix()
        for finger in range(5):
            turn, place = np.eye(3), np.zeros(3)
            for k in range(3):
                place = place + turn @ joints[3 * finger + k]
                np.testing.assert_allclose(place, places[1 + 4 * finger + k] * [sign, 1, 1], atol=1e-12)
                turn = turn @ turns[3 * finger + k]
            np.testing.assert_allclose(place + turn @ tips[finger], places[4 + 4 * finger] * [sign, 1, 1], atol=1e-12)


def test_derivatives_are_those_of_finite_differences() -> None:
    hand, step = flat_hand(0.19), 1e-6
    angles = 0.3 * np.random.default_rng(0).normal(size=(2, 20))
    places, slopes = hand.places(angles)
    for k in range(20):
        moved = angles + step * (np.arange(20) == k)
        np.testing.assert_allclose((hand.places(moved)[0] - places) / step, slopes[..., k], atol=1e-5)
    assert (hand.low < hand.relaxed).all() and (hand.relaxed < hand.high).all()
