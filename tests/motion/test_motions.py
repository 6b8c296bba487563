"""Procedural motions stand on the ground, move smoothly and as people can; files of each layout are read alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, load_body
from pipeline.motion.library import Motion, motion
from pipeline.motion.moves import MOTIONS
from pipeline.runtime.errors import UserError

FPS = 30
FRAMES = 60


@pytest.fixture(scope="module")
def body():
    return load_body("free")


def posed(body, moving: Motion):
    pose, trans = (torch.as_tensor(a, dtype=torch.float32) for a in (moving.poses, moving.trans))
    return body(pose[:, :3], pose[:, 3:], torch.zeros(10), trans)


def angles(moving: Motion) -> np.ndarray:
    """(T, 24) radians."""
    return np.linalg.norm(moving.poses.reshape(-1, 24, 3), axis=2)


@pytest.fixture(scope="module", params=MOTIONS)
def performed(request, body):
    return motion(request.param, FRAMES, FPS, 1, body)


def test_feet_are_on_the_ground(body, performed):
    lowest = posed(body, performed).vertices[..., 1].amin(1).numpy()
    allowed = {"run": 0.06, "jump": 0.2}.get(performed.name, 1e-4)  # these have flights
    assert (lowest > -1e-4).all() and (lowest < allowed).all()
    assert lowest.min() < 1e-4


def test_the_standing_foot_does_not_slide(body, performed):
    points = [JOINT_NAMES.index(f"{side}_{name}") for side in ("left", "right") for name in ("ankle", "foot")]
    feet = posed(body, performed).joints.numpy()[:, points]
    flat = body.rest_joints(torch.zeros(10)).numpy()[points, 1]
    lowest = np.argmin(feet[..., 1] - flat, axis=1)
    at = np.arange(FRAMES - 1)
    still = lowest[1:] == lowest[:-1]
    slide = np.linalg.norm(feet[at + 1, lowest[1:]] - feet[at, lowest[1:]], axis=1)[still]
    path = np.linalg.norm(np.diff(performed.trans, axis=0), axis=1)
    assert np.median(slide) < max(0.01, 0.25 * np.median(path))
    assert np.percentile(slide, 75) < (0.03 if performed.name == "run" else 0.012)  # a runner's feet fly


def test_the_motion_is_smooth_and_within_limits(performed):
    assert performed.poses.shape == (FRAMES, 72) and performed.trans.shape == (FRAMES, 3)
    rotations = Rotation.from_rotvec(performed.poses.reshape(-1, 3))
    frames = rotations.as_matrix().reshape(FRAMES, 24, 3, 3)
    turned = np.einsum("tkji,tkjl->tkil", frames[:-1], frames[1:])
    step = np.arccos(np.clip((np.trace(turned, axis1=2, axis2=3) - 1) / 2, -1, 1))
    assert np.rad2deg(step).max() * FPS < 700  # the fastest joint of a sprint
    assert np.abs(np.diff(step, axis=0)).max() < np.deg2rad(10)
    assert np.linalg.norm(np.diff(performed.trans, axis=0), axis=1).max() * FPS < 5  # m/s
    flexion = angles(performed)
    for side in ("left", "right"):
        knee = performed.poses.reshape(-1, 24, 3)[:, JOINT_NAMES.index(f"{side}_knee"), 0]
        assert (knee > np.deg2rad(-8)).all(), "a knee bends backwards"
        assert flexion[:, JOINT_NAMES.index(f"{side}_knee")].max() < np.deg2rad(130)
        assert flexion[:, JOINT_NAMES.index(f"{side}_elbow")].max() < np.deg2rad(140)


def test_arms_hang_when_nothing_else_is_asked_of_them(body):
    joints = posed(body, motion("walk", FRAMES, FPS, 4, body)).joints.numpy()
    for side in ("left", "right"):
        shoulder, elbow = (joints[:, JOINT_NAMES.index(f"{side}_{name}")] for name in ("shoulder", "elbow"))
        upper = (elbow - shoulder) / np.linalg.norm(elbow - shoulder, axis=1, keepdims=True)
        assert (upper[:, 1] < -0.75).all()


@pytest.mark.parametrize("name", ["walk", "turn", "run"])
def test_all_sides_are_seen(body, name):
    facing = Rotation.from_rotvec(motion(name, FRAMES, FPS, 2, body).poses[:, :3]).apply([0, 0, 1])
    heading = np.unwrap(np.arctan2(facing[:, 0], facing[:, 2]))
    assert 330 < abs(np.rad2deg(heading[-1] - heading[0])) < 385


def test_a_wave_raises_one_hand_over_the_head(body):
    joints = posed(body, motion("wave", FRAMES, FPS, 0, body)).joints.numpy()[FRAMES // 2]
    hands = sorted(joints[JOINT_NAMES.index(f"{side}_hand"), 1] for side in ("left", "right"))
    head = joints[JOINT_NAMES.index("head"), 1]
    assert hands[1] > head and hands[0] < head - 0.5


def test_a_squat_goes_down(body):
    pelvis = posed(body, motion("squat", FRAMES, FPS, 0, body)).joints.numpy()[:, 0, 1]
    assert np.ptp(pelvis) > 0.25


@pytest.mark.parametrize("seed", range(4))
def test_a_jump_flies_and_lands(body, seed):
    """In flight the root falls freely and both feet are off the ground; they stand on it before and after."""
    fps = 60
    posture = posed(body, motion("jump", 3 * fps, fps, seed, body))
    root, lowest = posture.joints.numpy()[:, 0, 1], posture.vertices[..., 1].amin(1).numpy()
    flies = lowest > 1e-4
    first, last = np.flatnonzero(flies)[[0, -1]]
    assert flies[first : last + 1].all() and 0.3 < (last - first + 2) / fps < 0.45
    fall = np.diff(root[first - 1 : last + 2], 2) * fps**2
    np.testing.assert_allclose(fall, -9.81, atol=0.02)
    assert lowest[first:last].max() > 0.06 and lowest.min() > -1e-4
    assert root[:first].min() < root[0] - 0.15 and root[last:].min() < root[0] - 0.1  # crouches, lands on bent knees
    np.testing.assert_allclose(root[-1], root[0], atol=0.01)


@pytest.mark.parametrize("frames", [1, 2, 5, 12])
def test_a_clip_too_short_for_a_jump_has_a_motion(body, frames):
    assert np.isfinite(motion("jump", frames, FPS, 0, body).trans).all()


def test_seeds_make_styles(body):
    first, again, other = (motion("dance", 20, FPS, seed, body) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.poses, again.poses)
    assert np.abs(first.poses - other.poses).max() > 0.05


def test_betas_move_the_ground_not_the_pose(body):
    betas = np.array([1.5, *np.zeros(9)])
    small, tall = motion("squat", 10, FPS, 0, body), motion("squat", 10, FPS, 0, body, betas)
    np.testing.assert_array_equal(small.poses, tall.poses)
    assert abs(tall.trans[0, 1] - small.trans[0, 1]) > 0.01


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def walk(body):
    return motion("walk", 24, FPS, 0, body)


def same(first: Motion, second: Motion, atol: float = 1e-5) -> None:
    """Equal as rotations (an axis-angle has many faces) and in path, but for where the path is centred."""
    a, b = (Rotation.from_rotvec(m.poses.reshape(-1, 3)) for m in (first, second))
    assert (a * b.inv()).magnitude().max() < atol
    np.testing.assert_allclose(first.trans, second.trans, atol=max(atol, 1e-4))


def test_poses_with_trans(tmp_path, body, walk):
    np.savez(tmp_path / "m.npz", poses=walk.poses, trans=walk.trans + np.array([5, 2, -3]))
    same(motion(str(tmp_path / "m.npz"), 24, FPS, 0, body), walk)


def test_poses_alone_are_put_on_the_ground(tmp_path, body, walk):
    np.savez(tmp_path / "m.npz", poses=walk.poses)
    same(motion(str(tmp_path / "m.npz"), 24, FPS, 0, body), walk)


@pytest.mark.parametrize("width", [156, 165])
def test_amass_is_z_up_and_wide(tmp_path, body, walk, width):
    to_z_up = Rotation.from_rotvec([np.pi / 2, 0, 0])
    pelvis = body.rest_joints(torch.zeros(10))[0].numpy()
    poses = np.zeros((24, width))
    poses[:, :66] = walk.poses[:, :66]
    poses[:, :3] = (to_z_up * Rotation.from_rotvec(walk.poses[:, :3])).as_rotvec()
    poses[:, 66:] = 0.3  # fingers and face
    trans = to_z_up.apply(walk.trans + pelvis) - pelvis
    np.savez(tmp_path / "m.npz", poses=poses, trans=trans, mocap_framerate=30.0, betas=np.ones(16), gender="neutral")
    read = motion(str(tmp_path / "m.npz"), 24, FPS, 0, body)
    assert (read.poses[:, 66:] == 0).all()
    same(read, Motion(np.concatenate([walk.poses[:, :66], np.zeros((24, 6))], 1), walk.trans, "walk"))


def test_camera_frame_keys_are_y_down(tmp_path, body, walk):
    to_camera = Rotation.from_rotvec([np.pi, 0, 0])
    pelvis = body.rest_joints(torch.zeros(10))[0].numpy()
    np.savez(
        tmp_path / "m.npz",
        global_orient=(to_camera * Rotation.from_rotvec(walk.poses[:, :3])).as_rotvec(),
        body_pose=walk.poses[:, 3:],
        betas=np.zeros(10),
        transl=to_camera.apply(walk.trans + pelvis) - pelvis + [0, 0, 3],
    )
    same(motion(str(tmp_path / "m.npz"), 24, FPS, 0, body), walk)


def test_a_stated_rate_is_resampled(tmp_path, body):
    fast = motion("squat", 61, 60, 0, body)
    np.savez(tmp_path / "m.npz", poses=fast.poses, trans=fast.trans, mocap_framerate=60)
    half = motion(str(tmp_path / "m.npz"), 100, 30, 0, body)
    assert len(half.poses) == 31
    expected = Rotation.from_rotvec(fast.poses[::2].reshape(-1, 3))
    assert (Rotation.from_rotvec(half.poses.reshape(-1, 3)) * expected.inv()).magnitude().max() < 1e-6
    between = motion(str(tmp_path / "m.npz"), 100, 45, 0, body)
    assert len(between.poses) == 46
    assert angles(between).max() <= angles(fast).max() + 1e-3


def test_a_long_file_is_cut_and_a_short_one_kept(tmp_path, body, walk):
    np.savez(tmp_path / "m.npz", poses=walk.poses)
    assert len(motion(str(tmp_path / "m.npz"), 7, FPS, 0, body).poses) == 7
    assert len(motion(str(tmp_path / "m.npz"), 99, FPS, 0, body).poses) == 24


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pose": np.zeros((4, 72))}, "found pose"),
        ({"poses": np.zeros((4, 63))}, r"\(4, 63\)"),
        ({"poses": np.zeros((0, 72))}, r"\(0, 72\)"),
        ({"poses": np.full((4, 72), np.nan)}, "finite"),
        ({"poses": np.full((4, 72), 90.0)}, "degrees"),
        ({"poses": np.zeros((4, 72)), "trans": np.zeros((3, 3))}, r"\(3, 3\)"),
        ({"poses": np.zeros((4, 72)), "fps": 0.0}, "frame rate"),
        ({"poses": np.array(["a"])}, "poses"),
        ({"global_orient": np.zeros((4, 3)), "body_pose": np.zeros((4, 66)), "transl": np.zeros((4, 3))}, "body_pose"),
        ({"global_orient": np.zeros((4, 3)), "body_pose": np.zeros((4, 69))}, "transl"),
    ],
)
def test_files_that_hold_no_motion_are_refused(tmp_path, body, arrays, said):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=said) as error:
        motion(str(path), 4, FPS, 0, body)
    assert "bad.npz" in str(error.value)


@pytest.mark.parametrize("keys", [("global_orient", "body_pose", "transl"), ("root_orient", "pose_body", "trans")])
def test_smplx_parts_have_63_columns(tmp_path, body, walk, keys):
    np.savez(tmp_path / "m.npz", **dict(zip(keys, (walk.poses[:, :3], walk.poses[:, 3:66], walk.trans))))
    straight = np.concatenate([walk.poses[:, :66], np.zeros((24, 6))], axis=1)
    same(motion(str(tmp_path / "m.npz"), None, FPS, 0, body), Motion(straight, walk.trans, "m"))


def test_a_pose_file_is_read_in_its_world(tmp_path, body, walk):
    camera = {"global_orient": np.full((24, 3), 0.3), "transl": np.zeros((24, 3))}
    world = {"global_orient_world": walk.poses[:, :3], "transl_world": walk.trans}
    np.savez(tmp_path / "m.npz", body_pose=walk.poses[:, 3:], fps=FPS, **camera, **world)
    same(motion(str(tmp_path / "m.npz"), 24, FPS, 0, body), walk)


def test_a_pose_file_whose_feet_rest_is_read_with_the_legs_of_its_world(tmp_path, body, walk):
    world = {"global_orient_world": walk.poses[:, :3], "transl_world": walk.trans, "body_pose_world": walk.poses[:, 3:]}
    camera = {"global_orient": walk.poses[:, :3], "transl": walk.trans, "body_pose": np.zeros((24, 69))}
    np.savez(tmp_path / "m.npz", fps=FPS, **camera, **world)
    same(motion(str(tmp_path / "m.npz"), 24, FPS, 0, body), walk)


def test_files_of_other_tools_are_read(tmp_path, body, walk):
    """GVHMR's: a camera's frame, y down."""
    half = Rotation.from_euler("x", 180, degrees=True)
    pelvis = body.rest_joints(torch.zeros(10))[0].numpy()
    params = {
        "global_orient": (half * Rotation.from_rotvec(walk.poses[:, :3])).as_rotvec(),
        "body_pose": walk.poses[:, 3:66],
        "betas": np.zeros((24, 10)),
        "transl": half.apply(walk.trans + pelvis) - pelvis + [0, 0.3, 4],
    }
    K = np.tile([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]], (24, 1, 1))
    content = {"smpl_params_incam": {key: torch.from_numpy(value) for key, value in params.items()}}
    torch.save(content | {"K_fullimg": torch.from_numpy(K)}, tmp_path / "hmr4d_results.pt")
    straight = np.concatenate([walk.poses[:, :66], np.zeros((24, 6))], axis=1)
    found = motion(str(tmp_path / "hmr4d_results.pt"), None, FPS, 0, body)
    same(replace(found, trans=found.trans - found.trans[0]), Motion(straight, walk.trans - walk.trans[0], "m"), 1e-4)


def test_what_is_no_file_or_no_npz_is_refused(tmp_path, body):
    with pytest.raises(UserError, match="walk, run"):
        motion("moonwalk", 4, FPS, 0, body)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UserError, match=r"text\.npz"):
        motion(str(tmp_path / "text.npz"), 4, FPS, 0, body)
