"""The world of the motion files: where up is, where the ground, and where the person faces."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from world_motions import on_the_ground, seen_by

from pipeline.body import BodyModel, load_body
from pipeline.camera.world import as_in_world, stand
from pipeline.exports.world import CAMERA_TO_Y_UP, CAMERA_TO_Z_UP, to_world
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.pose import Pose
from pipeline.motion.library import lowest


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("free")


@pytest.fixture(scope="module")
def pose(body: BodyModel) -> Pose:
    """A walk in a circle, seen by a camera that looks down by 15 degrees; without a world."""
    return seen_by(on_the_ground("walk", 80, body), body, pitch=15.0, roll=-4.0)


@pytest.mark.parametrize(("axes", "up", "ahead"), [(CAMERA_TO_Y_UP, 1, [0, 0, 1]), (CAMERA_TO_Z_UP, 2, [0, -1, 0])])
def test_the_world_stands_on_the_ground(pose: Pose, body: BodyModel, axes: np.ndarray, up: int, ahead: list) -> None:
    motion = to_world(pose, body, axes)
    one = replace(
        pose,
        global_orient=motion.poses[:, 0],
        body_pose=motion.poses[:, 1:].reshape(len(pose), 69),
        transl=motion.transl,
    )
    rows = (torch.as_tensor(a, dtype=torch.float32) for a in (one.global_orient, one.body_pose, one.betas, one.transl))
    posed = body(*rows)
    heights = posed.vertices[..., up].amin(1).numpy()
    assert np.quantile(np.abs(heights), 0.9) < 0.005
    across = [axis for axis in range(3) if axis != up]
    np.testing.assert_allclose(posed.joints[0, 0, across].numpy(), 0, atol=1e-5)
    forward = posed.transforms[0, 0, :3, 2].numpy()
    forward[up] = 0
    np.testing.assert_allclose(forward / np.linalg.norm(forward), ahead, atol=1e-4)
    assert motion.world_from_camera.shape == (len(pose), 4, 4)


def test_both_worlds_are_one(pose: Pose, body: BodyModel) -> None:
    y, z = to_world(pose, body, CAMERA_TO_Y_UP), to_world(pose, body, CAMERA_TO_Z_UP)
    root = body.rest_joints(torch.as_tensor(pose.betas).float())[0].double().numpy()
    places = [motion.transl + root for motion in (y, z)]
    np.testing.assert_allclose(places[1], places[0][:, [0, 2, 1]] * [1, -1, 1], atol=1e-9)
    np.testing.assert_allclose(z.world_from_camera[:, 2], y.world_from_camera[:, 1], atol=1e-9)


def test_the_file_s_world_is_taken(pose: Pose, body: BodyModel) -> None:
    stood = stand(pose, body, CameraTrack.static(len(pose), "test"), pitch=15.0, roll=-4.0).pose
    moved = replace(stood, transl_world=stood.transl_world + np.array([0, 0.5, 0]))
    motion = to_world(moved, body, CAMERA_TO_Y_UP)
    np.testing.assert_allclose(motion.transl, moved.transl_world, atol=1e-9)


def test_planted_feet_do_not_slide(pose: Pose, body: BodyModel) -> None:
    planted = to_world(pose, body, CAMERA_TO_Y_UP, feet="planted")
    stood = stand(pose, body, CameraTrack.static(len(pose), "test"))
    free = as_in_world(stood.pose)
    assert np.abs(planted.transl - free.transl).max() < 0.06
    poses = planted.poses.reshape(len(pose), 72)
    assert lowest(body, poses, pose.betas, planted.transl).min() > -0.04
