"""Frames to which no body leaps, of any estimator's motion."""

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import load_body
from pipeline.estimators.steady import steadied
from pipeline.formats.pose import Pose
from pipeline.motion.leaps import LIMBS
from pipeline.motion.library import motion

BODY, FPS, FRAMES = load_body("free"), 30.0, 40
STILL = np.tile(np.eye(4), (FRAMES, 1, 1))


def walking() -> Pose:
    made = motion("walk", FRAMES, int(FPS), 1, BODY)
    return Pose(
        global_orient=made.poses[:, :3].astype(np.float32),
        body_pose=made.poses[:, 3:].astype(np.float32),
        betas=np.zeros(10, np.float32),
        transl=(made.trans + np.array([0, 0, 4])).astype(np.float32),
        valid=np.arange(FRAMES) != 3,
        bbox=np.tile([0.0, 0.0, 10.0, 10.0], (FRAMES, 1)),
        K=np.diag([500.0, 500.0, 1.0]),
        fps=FPS,
        body_model="free",
        source="made",
    )


def joints(pose: Pose) -> np.ndarray:
    return BODY(*(torch.as_tensor(a) for a in (pose.global_orient, pose.body_pose, pose.betas, pose.transl))).joints


def test_a_person_turned_round_for_two_frames_is_filled_in():
    pose, said = walking(), []
    assert steadied(pose, BODY, STILL, said.append) is pose and not said
    turned = pose.global_orient.copy()
    turn = Rotation.from_rotvec([0, np.pi, 0])
    turned[20:22] = (Rotation.from_rotvec(turned[20:22]) * turn).as_rotvec()
    moved = pose.transl.copy()
    moved[20:22, 2] += 0.3  # who is turned is seen at another distance
    mended = steadied(replace(pose, global_orient=turned, transl=moved), BODY, STILL, said.append)
    assert np.flatnonzero(~mended.valid).tolist() == [3, 20, 21]
    assert "at frame 20, 21:" in said[0]
    assert (joints(mended) - joints(pose)).norm(dim=-1).max() < 0.05


def test_an_arm_that_is_thrown_up_for_a_frame_is_filled_in_by_itself():
    pose, said = walking(), []
    thrown = pose.body_pose.copy()
    shoulder = 3 * (LIMBS["right arm"][0] - 1)
    thrown[20, shoulder : shoulder + 3] = [0.0, 0.5, -1.4]
    away = replace(pose, body_pose=thrown)
    assert (joints(away) - joints(pose)).norm(dim=-1).max() > 0.4
    mended = steadied(away, BODY, STILL, said.append)
    assert said == ["no right arm moves as the pose does at frame 20: filled in from the neighbours"]
    assert (joints(mended) - joints(pose)).norm(dim=-1).max() < 0.03
    np.testing.assert_array_equal(mended.valid, pose.valid)  # the rest of the body was seen
    np.testing.assert_array_equal(mended.body_pose[21:], pose.body_pose[21:])


def test_a_camera_that_is_jolted_moves_nobody():
    """What leaps in the picture alone is the camera, and its track knows."""
    pose, said = walking(), []
    jolted = STILL.copy()
    jolted[20, :3, :3] = Rotation.from_rotvec([0, 0.1, 0]).as_matrix()
    seen = Rotation.from_matrix(jolted[:, :3, :3]).inv()
    roots = BODY.rest_joints(torch.zeros(10)).numpy()[0]
    shaken = replace(
        pose,
        global_orient=(seen * Rotation.from_rotvec(pose.global_orient)).as_rotvec().astype(np.float32),
        transl=(seen.apply(pose.transl + roots) - roots).astype(np.float32),
    )
    assert steadied(shaken, BODY, jolted, said.append) is shaken and not said
    assert not steadied(shaken, BODY, STILL, said.append).valid[20]
