"""The length of a travelling camera's path, from feet that stand."""

from dataclasses import replace

import numpy as np
import pytest
from world_motions import camera_looking, on_the_ground, seen_by

from pipeline.body import load_body
from pipeline.camera.feet import Feet, feet_of
from pipeline.camera.pace import paced
from pipeline.camera.world import stand
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.pose import Pose

UNSURE = 0.15


@pytest.fixture(scope="module")
def beside() -> tuple[Pose, CameraTrack, Feet]:
    """Somebody who stands, and a camera that goes by."""
    body = load_body("free")
    cameras = np.tile(camera_looking(8, 0), (60, 1, 1))
    cameras[:, :3, 3] += np.linspace(0, 1.6, 60)[:, None] * [1.0, 0, 0.3]
    pose = seen_by(on_the_ground("wave", 60, body), body, cameras=cameras)
    poses = np.linalg.inv(cameras[0]) @ cameras
    way = np.linalg.norm(poses[:, :3, 3], axis=1)
    return pose, CameraTrack(poses, "travelling", np.stack([0 * way, UNSURE * way], 1), "test"), feet_of(pose, body)


def scaled(track: CameraTrack, factor: float) -> CameraTrack:
    poses = track.world_from_camera.copy()
    poses[:, :3, 3] *= factor
    return replace(track, world_from_camera=poses, sigma=track.sigma * factor)


def length(track: CameraTrack) -> float:
    return float(np.linalg.norm(track.world_from_camera[:, :3, 3], axis=1).sum())


@pytest.mark.parametrize("factor", [0.75, 1.0, 1.3])
def test_standing_feet_tell_how_long_the_path_is(beside: tuple[Pose, CameraTrack, Feet], factor: float) -> None:
    _, track, feet = beside
    found = paced(feet, scaled(track, factor))
    assert abs(length(found) / length(track) - 1) < 0.04
    np.testing.assert_array_equal(found.world_from_camera[:, :3, :3], track.world_from_camera[:, :3, :3])


def test_the_world_takes_it(beside: tuple[Pose, CameraTrack, Feet]) -> None:
    """With a path a quarter too short, who stands would go along with the camera."""
    pose, track, _ = beside
    world = stand(pose, load_body("free"), scaled(track, 0.75), 8.0, 0.0).pose
    assert np.ptp(world.transl_world, axis=0)[[0, 2]].max() < 0.1


def test_what_is_certain_or_does_not_travel_stays(beside: tuple[Pose, CameraTrack, Feet]) -> None:
    _, track, feet = beside
    certain = replace(scaled(track, 0.75), sigma=np.zeros_like(track.sigma))
    for one in (certain, CameraTrack.static(len(track), "test")):
        assert paced(feet, one) is one
    nobody_stands = replace(feet, soles=feet.soles + np.linspace(0, 9, len(track))[:, None, None, None])
    assert abs(length(paced(nobody_stands, scaled(track, 0.75))) / length(track) - 0.75) < 0.02
