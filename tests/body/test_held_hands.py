"""Hands bent as a person holds them: what moves, where it moves to, and what stays."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, BodyModel, load_body
from pipeline.body.hand import FINGERS, HAND_JOINTS, MIRRORED, flat_hand
from pipeline.body.held_hands import finger_chains, held_hands, with_hands_following, with_held_hands
from pipeline.formats.pose import Pose

FIST = np.deg2rad([0, 60, 80, 50, 5, 65, 85, 55, -5, 70, 85, 55, 0, 65, 85, 55, 10, 20, 30, 30])
BETAS = np.array([1.0, -0.5, *[0.0] * 8])


@pytest.fixture(scope="module")
def free() -> BodyModel:
    return load_body("free", torch.float64)


def pose_of(hand_pose: np.ndarray | None, seen: np.ndarray | None) -> Pose:
    frames = 1 if hand_pose is None else len(hand_pose)
    return Pose(
        global_orient=np.zeros((frames, 3)),
        body_pose=np.zeros((frames, 69)),
        betas=BETAS,
        transl=np.zeros((frames, 3)),
        valid=np.ones(frames, bool),
        bbox=np.zeros((frames, 4)),
        K=np.eye(3),
        fps=25.0,
        body_model="free",
        source="test",
        hand_pose=hand_pose,
        hands_seen=seen,
    )


def both(angles: np.ndarray) -> np.ndarray:
    """(1, 30, 3) of two hands bent alike."""
    left = Rotation.from_matrix(flat_hand(1.0).rotations(angles[None])[0]).as_rotvec()
    return np.concatenate([left, left * MIRRORED])[None]


def rest(body: BodyModel) -> np.ndarray:
    return body.shaped(torch.as_tensor(BETAS)).numpy()


def tips(body: BodyModel, side: str) -> np.ndarray:
    return rest(body)[[body.vertex_ids[side[0] + finger] for finger in FINGERS]]


def wrist_of(body: BodyModel, side: str) -> np.ndarray:
    return body.rest_joints(torch.as_tensor(BETAS)).numpy()[JOINT_NAMES.index(f"{side}_wrist")]


def test_frames_count_by_how_well_they_show_the_hand():
    few = np.zeros((3, 30, 3))
    few[0, :15], few[1, :15], few[2, 15:] = 0.4, 1.0, 5.0
    held = held_hands(pose_of(few, np.array([[0.5, 0.0], [0.25, 0.0], [0.25, 0.0]])))
    np.testing.assert_allclose(held[:15], 0.5 * 0.4 + 0.25 * 1.0)
    assert not held[15:].any()  # never seen: flat


@pytest.mark.parametrize("pose", [pose_of(None, None), pose_of(both(FIST), np.zeros((1, 2)))])
def test_a_body_whose_hands_nobody_saw_keeps_flat_ones(free, pose):
    assert with_held_hands(free, pose) is free


def test_a_fist_moves_the_hands_skin_and_nothing_else(free):
    bent = with_held_hands(free, pose_of(both(FIST), np.ones((1, 2))))
    moved = np.linalg.norm(rest(bent) - rest(free), axis=1)
    hands = [JOINT_NAMES.index(f"{side}_{part}") for side in ("left", "right") for part in ("wrist", "hand")]
    assert moved[free.weights[:, hands].sum(1).numpy() == 0].max() == 0
    torch.testing.assert_close(bent.rest_joints(torch.as_tensor(BETAS)), free.rest_joints(torch.as_tensor(BETAS)))
    # No longer than the palm, with the fingertips below it: the palm looks down at rest.
    for side in ("left", "right"):
        flat, fist = (tips(body, side)[:4] - wrist_of(free, side) for body in (free, bent))
        assert (np.linalg.norm(fist, axis=1) < 0.65 * np.linalg.norm(flat, axis=1)).all()
        assert (fist[:, 1] < flat[:, 1] - 0.01).all()


def test_both_hands_bend_alike(free):
    bent = with_held_hands(free, pose_of(both(FIST), np.ones((1, 2))))
    left, right = (tips(bent, side) - tips(free, side) for side in ("left", "right"))
    np.testing.assert_allclose(left, right * [-1, 1, 1], atol=2e-3)


def test_one_joint_turns_its_finger_about_its_knuckle(free):
    angles = np.zeros(20)
    angles[4 * FINGERS.index("middle") + 1] = np.pi / 2
    pose = pose_of(both(angles) * (np.arange(30) < HAND_JOINTS)[:, None], np.ones((1, 2)))
    bent, flat = tips(with_held_hands(free, pose), "left"), tips(free, "left")
    middle = FINGERS.index("middle")
    knuckle = finger_chains(wrist_of(free, "left"), flat, "left")[middle, 1]
    expected = knuckle + Rotation.from_rotvec(pose.hand_pose[0, 3 * middle]).apply(flat[middle] - knuckle)
    np.testing.assert_allclose(bent[middle], expected, atol=1e-6)
    others = [finger for finger in range(5) if finger != middle]
    np.testing.assert_allclose(bent[others], flat[others], atol=1e-4)
    np.testing.assert_allclose(tips(with_held_hands(free, pose), "right"), tips(free, "right"), atol=1e-12)


def test_the_middle_of_a_bone_keeps_its_shape(free):
    """Skin half way along the first bones is bent by the knuckle alone: distances within it stay."""
    bent = with_held_hands(free, pose_of(both(FIST), np.ones((1, 2))))
    flat, fist = rest(free), rest(bent)
    for chain in finger_chains(wrist_of(free, "left"), tips(free, "left"), "left")[:4]:
        near = np.linalg.norm(flat - (chain[1] + chain[2]) / 2, axis=1) < 0.011
        assert near.sum() >= 6
        apart = [np.linalg.norm(points[near][:, None] - points[near], axis=2) for points in (flat, fist)]
        np.testing.assert_allclose(apart[1], apart[0], atol=2.5e-3)


def test_the_fingers_open_and_close_with_the_frames(free):
    """Knuckles bent by 20 to 60 degrees: held by 40, and the joint of all fingers turns by the difference."""
    degrees = np.linspace(20, 60, 5)
    bends = np.zeros((5, 20))
    bends[:, 1:16:4] = np.deg2rad(degrees)[:, None]
    given = pose_of(np.concatenate([both(angles) for angles in bends]), np.ones((5, 2)))
    pose = with_hands_following(given, free)
    turned = np.rad2deg(pose.body_pose.reshape(5, 23, 3))
    for side, sign in (("left", -1), ("right", 1)):
        hand = turned[:, JOINT_NAMES.index(f"{side}_hand") - 1]
        # Somewhat more than the knuckles themselves: the body's joint lies a little farther from the wrist.
        np.testing.assert_allclose(sign * hand[:, 2], 1.2 * (degrees - 40), atol=4)
        assert np.abs(hand[:, :2]).max() < 6
    others = np.delete(turned, [JOINT_NAMES.index(f"{side}_hand") - 1 for side in ("left", "right")], axis=1)
    assert not others.any()
    # Fingertips come nearer to where the fingers' own joints would bring them.
    body, ids = with_held_hands(free, given), [free.vertex_ids["l" + finger] for finger in FINGERS[:4]]
    rows = (torch.as_tensor(part) for part in (pose.global_orient, pose.body_pose, pose.betas, pose.transl))
    got = body(*rows).vertices[:, ids].numpy()
    wanted = [rest(with_held_hands(free, pose_of(given.hand_pose[t : t + 1], np.ones((1, 2)))))[ids] for t in range(5)]
    away = [np.linalg.norm(tips - wanted, axis=2).mean(1) for tips in (got, rest(body)[ids][None])]
    assert (away[0][[0, 4]] < 0.4 * away[1][[0, 4]]).all()
