"""Gravity, ground, contact and the world, against motions that stand on a ground by construction."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from world_motions import FPS, camera_looking, on_the_ground, seen_by

from pipeline.body import BodyModel, load_body
from pipeline.camera.contact import slow
from pipeline.camera.feet import PARTS, feet_of, sole_vertices
from pipeline.camera.ground import find_ground
from pipeline.camera.planted import planted
from pipeline.camera.settings import CameraSettings
from pipeline.camera.tilt import tilt_of, up_of
from pipeline.camera.world import as_in_world, load_track, stand, with_world
from pipeline.evaluation.in_world import sliding
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.motion.library import Motion, lowest
from pipeline.runtime.errors import UserError

UP = np.array([0.0, 1, 0])


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("free")


@pytest.fixture(scope="module")
def walk(body: BodyModel) -> Motion:
    return on_the_ground("walk", 80, body)


def still(pose: Pose) -> CameraTrack:
    return CameraTrack.static(len(pose), "test")


def world_feet(pose: Pose, body: BodyModel):
    return feet_of(as_in_world(pose), body)


# -- signs -------------------------------------------------------------------------------------------------------------


def test_the_signs_of_pitch_and_roll() -> None:
    """Looking down, the ground lies ahead: up leans back to the camera. A picture turned clockwise: up leans right."""
    np.testing.assert_allclose(up_of(0, 0), [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(up_of(90, 0), [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(up_of(0, 90), [1, 0, 0], atol=1e-12)
    for tilt in ((20, -10), (-35, 60), (0, 170)):
        np.testing.assert_allclose(tilt_of(up_of(*tilt)), tilt, atol=1e-9)


def test_the_studio_has_these_signs(body: BodyModel) -> None:
    from pipeline.studio.cameras import Stance

    world_to_camera = Stance(pitch=-20.0, roll=10.0).rotation  # the studio's pitch is negative where it looks down
    np.testing.assert_allclose(tilt_of(world_to_camera @ UP), [20, 10], atol=1e-9)


def test_soles_are_the_undersides(body: BodyModel) -> None:
    parts = sole_vertices(body, np.zeros(10))
    rest = body.v_template.numpy()
    assert len(parts) == len(PARTS)
    assert (rest[parts, 1] < rest[:, 1].min() + 0.03).all()
    left_heel, left_toes, right_heel, right_toes = rest[parts].mean(axis=1)
    assert left_heel[0] > 0 > right_heel[0] and left_toes[2] > left_heel[2] + 0.1 < right_toes[2] - right_heel[2] + 0.2


# -- gravity -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (20, 0), (-10, 6), (30, -8)])
def test_tilt_and_ground_of_a_walk(walk: Motion, body: BodyModel, pitch: float, roll: float) -> None:
    feet = feet_of(seen_by(walk, body, pitch, roll), body)
    ground = find_ground(feet, slow(feet))
    assert abs(ground.pitch - pitch) < 2 and abs(ground.roll - roll) < 3 and not ground.warnings
    heights = feet.heights(ground.up).min(axis=1) - ground.height
    assert np.quantile(np.abs(heights), 0.9) < 0.025


def test_errors_of_depth_do_not_tilt_the_ground(walk: Motion, body: BodyModel) -> None:
    feet = feet_of(seen_by(walk, body, 15, 0, noise=0.15), body)
    ground = find_ground(feet, slow(feet))
    assert abs(ground.pitch - 15) < 4 and abs(ground.roll) < 4


def test_what_is_given_is_held(walk: Motion, body: BodyModel) -> None:
    feet = feet_of(seen_by(walk, body, 20, 5), body)
    ground = find_ground(feet, slow(feet), pitch=11.0)
    assert ground.pitch == 11 and ground.sigma[0] == 0 and ground.roll != 0
    assert "the settings" in ground.found
    both = find_ground(feet, slow(feet), pitch=11.0, roll=2.0)
    assert (both.pitch, both.roll, both.sigma) == (11, 2, (0, 0))


def test_who_stands_on_one_spot_is_in_balance(body: BodyModel) -> None:
    standing = on_the_ground("wave", 40, body)
    feet = feet_of(seen_by(standing, body, 18, -7), body)
    ground = find_ground(feet, slow(feet))
    assert abs(ground.pitch - 18) < 4 and abs(ground.roll + 7) < 4


def test_who_lies_is_not_made_to_stand(walk: Motion, body: BodyModel) -> None:
    pose = seen_by(walk, body, 0, 0)
    lying = Rotation.from_euler("z", 90, degrees=True)
    pose = replace(pose, global_orient=(lying * Rotation.from_rotvec(pose.global_orient)).as_rotvec())
    world = stand(pose, body, still(pose))
    assert any("hardly ever upright" in warning for warning in world.warnings)
    assert abs(world.ground.pitch) < 5 and abs(world.ground.roll) < 5
    assert world_feet(world.pose, body).joints[..., 1].min() > -0.05  # and not in the ground


def test_a_plane_that_is_not_credible_is_not_believed(walk: Motion, body: BodyModel) -> None:
    """Stairs: upright, and each step far higher than the last."""
    climbing = replace(walk, trans=walk.trans + np.linspace(0, 6, len(walk.trans))[:, None] * [0, 0.6, -1])
    feet = feet_of(seen_by(climbing, body, cameras=camera_looking(0, 0, distance=9.0)), body)
    ground = find_ground(feet, np.ones((len(walk.trans), 4)) * 0.9)
    assert abs(ground.pitch) < 20


# -- the world ---------------------------------------------------------------------------------------------------------


def test_the_world_s_axes_and_origin(walk: Motion, body: BodyModel) -> None:
    pose = seen_by(walk, body, 12, 3)
    world = stand(pose, body, still(pose)).pose
    feet = world_feet(world, body)
    np.testing.assert_allclose(feet.joints[0, 0, [0, 2]], 0, atol=1e-6)
    forward = Rotation.from_rotvec(world.global_orient_world[0]).as_matrix()[:, 2]
    assert abs(forward[0]) < 1e-6 and forward[2] > 0.9
    assert (feet.joints[:, 15, 1] > feet.joints[:, 0, 1]).all()
    camera = world.world_from_camera[0]
    assert abs(camera[1, 3] - 1.4) < 0.1  # its height above the ground


def test_a_moving_camera_leaves_the_world_still(walk: Motion, body: BodyModel) -> None:
    """One motion, seen by a camera at rest and by one that turns and travels: one world."""
    path = np.tile(camera_looking(10, 0), (len(walk.trans), 1, 1))
    turns = Rotation.from_euler("y", np.linspace(0, 40, len(path))[:, None], degrees=True).as_matrix()
    path[:, :3, :3] = turns @ path[:, :3, :3]
    path[:, :3, 3] += np.linspace(0, 1, len(path))[:, None] * [1.0, 0.2, 0.5]
    at_rest = seen_by(walk, body, cameras=path[0])
    moving = seen_by(walk, body, cameras=path)
    track = CameraTrack(np.linalg.inv(path[0]) @ path, "travelling", np.zeros((len(path), 2)), "test")
    one, other = (stand(pose, body, along).pose for pose, along in ((at_rest, still(at_rest)), (moving, track)))
    np.testing.assert_allclose(other.transl_world, one.transl_world, atol=0.03)
    truth = walk.trans - walk.trans[0]
    assert np.abs(np.linalg.norm((other.transl_world - other.transl_world[0])[:, [0, 2]], axis=1) -
                  np.linalg.norm(truth[:, [0, 2]], axis=1)).max() < 0.06  # fmt: skip


def test_feet_are_put_on_the_ground_and_kept_there(walk: Motion, body: BodyModel) -> None:
    pose = seen_by(walk, body, 15, 0, noise=0.4)
    world = stand(pose, body, still(pose), pitch=15.0, roll=0.0)
    before = world_feet(replace(world.pose, transl_world=world.pose.transl_world - world.shift), body)
    after = world_feet(world.pose, body)
    off = [np.abs(feet.heights(UP).min(axis=1)) for feet in (before, after)]
    assert off[0].max() > 0.03
    assert np.quantile(off[1], 0.9) < 0.4 * np.quantile(off[0], 0.9) and off[1].max() < 0.03
    # What slid along the line of sight was an error of depth: the path is nearer to the true one, too.
    root = world.pose.transl_world - world.pose.transl_world[0]
    strayed = [np.ptp(np.linalg.norm(path[:, [0, 2]], axis=1) - _gone(walk)) for path in (root - world.shift, root)]
    assert strayed[1] < 0.9 * strayed[0]


def _gone(moving: Motion) -> np.ndarray:
    """(T,) metres along the ground from where it began."""
    return np.linalg.norm((moving.trans - moving.trans[0])[:, [0, 2]], axis=1)


def test_a_jump_stays_a_jump(body: BodyModel) -> None:
    """Stand, leap by 40 cm, stand."""
    standing = on_the_ground("wave", 60, body)
    time = np.arange(60) / 30
    leap = np.maximum(0, 0.4 * (1 - ((time - 1) / 0.28) ** 2))
    pose = seen_by(replace(standing, trans=standing.trans + leap[:, None] * UP), body, 8, 0)
    world = stand(pose, body, still(pose))
    heights = world_feet(world.pose, body).heights(UP).min(axis=1)
    np.testing.assert_allclose(heights, leap, atol=0.03)
    assert world.pose.contact[30].max() < 0.1 and world.pose.contact[5].min() > 0.5


@pytest.mark.parametrize("seed", range(4))
def test_who_falls_freely_is_carried_by_nothing(body: BodyModel, seed: int) -> None:
    """At the top of a small jump feet are slow, and as low as errors of the root: gravity tells it from standing."""
    moving = on_the_ground("jump", 75, body, seed)
    true = lowest(body, moving.poses, np.zeros(10), moving.trans)
    pose = seen_by(moving, body, 10, 0)
    world = stand(pose, body, still(pose), 10.0, 0.0).pose
    np.testing.assert_allclose(world_feet(world, body).heights(UP).min(axis=1), true, atol=0.03)
    assert world.contact[true > 0.03].max() < 0.5
    assert (world.contact[true < 1e-3].max(axis=1) < 0.5).sum() < 6  # next to the flight


def test_contact_of_a_walk(walk: Motion, body: BodyModel) -> None:
    """A foot that swings does not stand; one foot or the other mostly does."""
    pose = seen_by(walk, body, 10, 0)
    world = stand(pose, body, still(pose)).pose
    heights = world_feet(world, body).heights(UP)
    assert world.contact[heights > 0.1].max() < 0.05
    assert (world.contact.max(axis=1) > 0.5).mean() > 0.5


def test_planted_feet_stay(walk: Motion, body: BodyModel) -> None:
    pose = seen_by(walk, body, 10, 0, noise=0.1)
    world = stand(pose, body, still(pose)).pose
    fixed = planted(world, body)
    slides = []
    for one in (world, fixed):
        middles = world_feet(one, body).middles
        both = (world.contact[1:] > 0.5) & (world.contact[:-1] > 0.5)
        slides.append(np.linalg.norm(np.diff(middles, axis=0)[..., [0, 2]], axis=2)[both].mean())
    assert slides[1] < 0.1 * slides[0] and slides[1] < 0.001
    change = np.abs(fixed.body_pose_world - world.body_pose_world).reshape(len(pose), 23, 3).max(axis=(0, 2))
    assert change[[2, 5, 8, 11, 14, 15, 16, 17, 18, 19]].max() < 1e-6  # only legs are bent
    assert change.max() < np.radians(50)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_clips_have_a_world(body: BodyModel, frames: int) -> None:
    pose = seen_by(on_the_ground("walk", 80, body), body, 5, 0)
    cut = {key: getattr(pose, key)[:frames] for key in ("global_orient", "body_pose", "transl", "valid", "bbox")}
    world = with_world(replace(pose, **cut), body)
    assert np.isfinite(world.transl_world).all() and world.contact.shape == (frames, 4)
    assert np.isfinite(planted(world, body).body_pose_world).all()


# -- files and settings ------------------------------------------------------------------------------------------------


def test_a_missing_track_is_a_camera_at_rest_and_told(tmp_path) -> None:
    told: list[str] = []
    assert load_track(VideoDir(tmp_path), 5, told.append).kind == "static"
    assert len(told) == 1 and "is not there" in told[0] and f"camera_track {tmp_path}" in told[0]
    CameraTrack.static(4, "test").save(tmp_path / "camera_track.npz")
    assert len(load_track(VideoDir(tmp_path), 4, told.append)) == 4 and len(told) == 1
    with pytest.raises(UserError, match="is of 4 frames, expected 5"):
        load_track(VideoDir(tmp_path), 5, told.append)


def test_the_world_s_keys_come_back(walk: Motion, body: BodyModel, tmp_path) -> None:
    pose = seen_by(walk, body)
    pose.save(tmp_path / "old.npz")
    assert not Pose.load(tmp_path / "old.npz").has_world
    world = with_world(pose, body)
    world.save(tmp_path / "new.npz")
    back = Pose.load(tmp_path / "new.npz")
    for key in ("world_from_camera", "global_orient_world", "transl_world", "body_pose_world", "contact", "transl"):
        np.testing.assert_array_equal(getattr(back, key), getattr(world, key))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("world_from_camera", None, "key 'world_from_camera' is missing"),
        ("world_from_camera", np.tile(2 * np.eye(4), (80, 1, 1)), "should hold rigid motions"),
        ("contact", np.full((80, 4), 1.5), "'contact' should be from 0 to 1"),
        ("transl_world", np.zeros((79, 3)), "transl_world"),
    ],
)
def test_a_wrong_world_is_told(walk: Motion, body: BodyModel, key: str, value, told: str) -> None:
    world = with_world(seen_by(walk, body), body)
    with pytest.raises(UserError, match=told):
        replace(world, **{key: value})


def test_a_wrong_tilt_is_told() -> None:
    with pytest.raises(UserError, match="pitch: expected -89 to 89"):
        CameraSettings("tracks", None, pitch=120.0, roll=None)


# -- feet that rest ----------------------------------------------------------------------------------------------------


def slid(pose: Pose, body: BodyModel) -> float:
    """Metres a frame that what stands goes along the ground."""
    return float(np.nanmean(sliding(world_feet(pose, body), pose.contact)))


def test_feet_that_rest_do_not_slide(body: BodyModel) -> None:
    """Errors of each leg, that no shift of the root mends; knees stay as bent as they were."""
    true = seen_by(on_the_ground("wave", 60, body), body, 10, 0)
    time = np.arange(60) / FPS
    body_pose = true.body_pose.copy()
    for joint, rate in ((0, 3.0), (1, 4.0)):  # the hips, each in its own time
        body_pose[:, 3 * joint] += 0.03 * np.sin(2 * np.pi * rate * time)
    wrong = replace(true, body_pose=body_pose)
    root_alone, whole = (stand(wrong, body, still(wrong), 10.0, 0.0, rest=rest).pose for rest in (False, True))
    assert slid(root_alone, body) > 0.004 and slid(whole, body) < 0.0005
    for pose in (root_alone, whole):  # what is seen stays
        np.testing.assert_array_equal(pose.body_pose, wrong.body_pose)
    knees = [np.linalg.norm(as_in_world(pose).body_pose[:, [9, 10, 11]], axis=1) for pose in (root_alone, whole)]
    assert np.abs(knees[1] - knees[0]).max() < np.radians(4)
    joints = [world_feet(pose, body).joints for pose in (root_alone, whole)]
    np.testing.assert_allclose(joints[1][:, [0, 15]], joints[0][:, [0, 15]], atol=1e-6)


def test_feet_that_are_seen_to_slide_may(body: BodyModel) -> None:
    """A skater: both feet stand, and glide across the picture."""
    moving = on_the_ground("wave", 60, body)
    gliding = replace(moving, trans=moving.trans + np.linspace(0, 0.6, 60)[:, None] * [1, 0, 0])
    pose = seen_by(gliding, body, 10, 0)
    root_alone, whole = (stand(pose, body, still(pose), 10.0, 0.0, rest=rest).pose for rest in (False, True))
    assert slid(whole, body) > 0.9 * slid(root_alone, body) > 0.006
