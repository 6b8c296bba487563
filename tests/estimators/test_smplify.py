"""The landmark fit against landmarks made from known poses: exact, noisy, hidden, with gaps."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, load_body
from pipeline.estimators.settings import PoseSettings
from pipeline.estimators.smplify.doubt import fit_surely
from pipeline.estimators.smplify.fit import Observations, fit_pose
from pipeline.estimators.smplify.gaps import fill_rotations, fill_values
from pipeline.estimators.smplify.start import linear_translation, picture_world
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.landmarks.detector import LANDMARK_NAMES
from pipeline.landmarks.on_body import landmark_map
from pipeline.motion.leaps import LIMBS
from pipeline.motion.limbs import limb_poses, torso_rotation
from pipeline.motion.priors import beyond_limits, pose_prior
from pipeline.runtime.settings import load_settings

BODY = load_body("free")
MARKS = landmark_map(BODY)
SETTINGS = load_settings("pose", {}, PoseSettings).smplify
K = torch.tensor([[800.0, 0.0, 320.0], [0.0, 800.0, 240.0], [0.0, 0.0, 1.0]])
FPS = 30.0
J = {name: k for k, name in enumerate(JOINT_NAMES)}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclasses.dataclass
class Motion:
    """A known motion and the landmarks that a perfect detector would give."""

    global_orient: torch.Tensor
    body_pose: torch.Tensor
    betas: torch.Tensor
    transl: torch.Tensor
    xy: np.ndarray
    world: np.ndarray
    joints: np.ndarray


def motion(frames=30, facing=None, arm=0.0, seed=0) -> Motion:
    """Walking on the spot, one stride a second.

    `facing` (frames,) turns the body about the vertical, radians, 0 = towards the camera; by default to and fro.
    `arm` raises the left arm sideways, radians above level.
    """
    t = torch.arange(frames) / FPS
    phase = 2 * np.pi * t
    pose = torch.zeros(frames, 24, 3)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        swing = sign * torch.sin(phase)
        pose[:, J[f"{side}_hip"], 0] = -0.4 * swing - 0.15
        pose[:, J[f"{side}_knee"], 0] = 0.5 + 0.4 * swing
        pose[:, J[f"{side}_shoulder"], 2] = -1.1 * sign
        pose[:, J[f"{side}_shoulder"], 1] = -0.3 * sign
        pose[:, J[f"{side}_elbow"], 1] = -sign * (0.6 - 0.2 * swing)
    if arm:
        pose[:, J["left_shoulder"]] = torch.tensor([0.0, 0.0, arm])
        pose[:, J["left_elbow"], 1] = -0.3
    facing = 0.6 * np.sin(phase.numpy() / 2) if facing is None else facing
    upright = Rotation.from_euler("x", np.pi) * Rotation.from_rotvec(np.outer(facing, [0.0, 1.0, 0.0]))
    pose[:, 0] = torch.tensor(upright.as_rotvec())
    betas = torch.zeros(10)
    betas[1:4] = torch.randn(3, generator=torch.Generator().manual_seed(seed))  # the first is stature: not to be seen
    transl = torch.stack([0.2 * torch.sin(phase / 3), -0.1 + 0 * t, 3.5 + 0.3 * t], dim=1).float()
    return detected(pose, betas, transl)


def detected(pose: torch.Tensor, betas: torch.Tensor, transl: torch.Tensor) -> Motion:
    """A motion of rotations (T, 24, 3) and its landmarks."""
    frames = len(pose)
    rotmats = axis_angle_to_matrix(pose)
    world = BODY.world_joints(rotmats, betas, transl)
    points = MARKS.posed(world, BODY.rest_joints(betas), MARKS.rest(betas, torch.zeros(len(MARKS.names), 3)))
    every = torch.zeros(frames, 33, 3) + points[:, MARKS.names.index("nose"), None]  # mouth and inner eyes are unused
    every[:, MARKS.index] = points
    image = every @ K.T
    return Motion(
        global_orient=pose[:, 0],
        body_pose=pose[:, 1:].flatten(1),
        betas=betas,
        transl=transl,
        xy=(image[..., :2] / image[..., 2:]).numpy(),
        world=(every - every[:, 23:25].mean(1, keepdim=True)).numpy(),
        joints=world[..., :3, 3].numpy(),
    )


def observe(made: Motion, frames=None, visibility=None, pixels=0.0, metres=0.0, seed=0) -> Observations:
    random = np.random.default_rng(seed)
    frames = np.arange(len(made.xy)) if frames is None else frames
    visibility = np.ones(made.xy.shape[:2]) if visibility is None else visibility
    xy = made.xy + pixels * random.standard_normal(made.xy.shape)
    world = made.world + metres * random.standard_normal(made.world.shape)
    return Observations(
        frames=torch.as_tensor(frames),
        xy=torch.as_tensor(xy[frames], dtype=torch.float32),
        visibility=torch.as_tensor(visibility[frames], dtype=torch.float32),
        world=torch.as_tensor(world[frames], dtype=torch.float32),
        K=K,
        fps=FPS,
    )


def joints_of(fitted) -> np.ndarray:
    return BODY(fitted.global_orient, fitted.body_pose, fitted.betas, fitted.transl).joints.numpy()


def mpjpe(joints: np.ndarray, target: np.ndarray) -> float:
    """Pelvis-aligned, in millimetres."""
    difference = (joints - joints[:, :1]) - (target - target[:, :1])
    return 1000 * float(np.linalg.norm(difference, axis=-1).mean())


# --- The fit ---------------------------------------------------------------------------------------------------------


def test_exact_landmarks_give_the_pose():
    made = motion()
    fitted = fit_pose(BODY, observe(made), SETTINGS)
    assert mpjpe(joints_of(fitted), made.joints) < 20
    assert fitted.residual[fitted.weights > 0].median() < 1.5  # px
    # The distance follows from the size, which the shape prior tells to some percent.
    assert np.abs(fitted.transl.numpy() - made.transl.numpy())[:, :2].mean() < 0.03
    assert np.abs(fitted.transl[:, 2].numpy() / made.transl[:, 2].numpy() - 1).max() < 0.08


@pytest.mark.parametrize(("turned", "most"), [(0.0, 45), (0.7, 45), (np.pi / 2, 60), (np.pi, 45), (-2.4, 45)])
def test_pixels_alone_give_the_pose_of_a_walk(turned, most):
    """Which way the person looks, and which way knees and elbows bend, is told by the picture."""
    made = motion(facing=np.full(30, turned))
    seen = dataclasses.replace(observe(made), world=None)
    assert mpjpe(joints_of(fit_pose(BODY, seen, SETTINGS)), made.joints) < most


def test_the_picture_tells_what_bends_towards_the_camera():
    """Sitting, seen from the front: knees come forward, and hands; shoulders of who is turned to the right go back."""
    xy, seen = torch.zeros(1, 33, 2), torch.ones(1, 33)
    places = {
        "shoulder": (0.17, 0.0),
        "elbow": (0.2, 0.24),
        "wrist": (0.2, 0.3),
        "hip": (0.1, 0.45),
        "knee": (0.12, 0.5),
        "ankle": (0.12, 0.9),
    }
    for name, (x, y) in places.items():
        for side, sign in (("left", 1), ("right", -1)):
            xy[0, LANDMARK_NAMES.index(f"{side}_{name}")] = 500 * torch.tensor([sign * x, y])
    world = picture_world(xy.expand(4, -1, -1), seen.expand(4, -1))[0]
    at = {name: world[LANDMARK_NAMES.index(name)] for name in LANDMARK_NAMES}
    for side in ("left", "right"):
        assert at[f"{side}_knee"][2] < at[f"{side}_hip"][2] - 0.25
        assert at[f"{side}_wrist"][2] < at[f"{side}_elbow"][2] - 0.15
        assert abs(at[f"{side}_ankle"][2] - at[f"{side}_knee"][2]) < 0.1
    back = xy * torch.tensor([-1.0, 1.0])
    assert picture_world(back.expand(4, -1, -1), seen.expand(4, -1))[0][LANDMARK_NAMES.index("left_knee"), 2] > 0.25
    xy[0, LANDMARK_NAMES.index("nose")] = torch.tensor([60.0, -100])  # beside the shoulders' middle, to the right
    xy[0, 11:13, 0] *= 0.5
    turned = picture_world(xy.expand(4, -1, -1), seen.expand(4, -1))[0]
    assert turned[11, 2] > 0.05 > -0.05 > turned[12, 2]


@pytest.mark.parametrize(("sigma_lean", "most"), [(1e-4, 25), (SETTINGS.sigma_lean, 26)])
def test_noise_of_a_detector_is_smoothed(sigma_lean, most):
    """A lean of the whole clip that may be found is found in the noise, too: 21.7 mm without one, 25.2 with it."""
    made = motion(seed=1)
    settings = dataclasses.replace(SETTINGS, sigma_lean=sigma_lean)
    assert mpjpe(joints_of(fit_pose(BODY, observe(made, pixels=3.0, metres=0.03), settings)), made.joints) < most


@pytest.mark.parametrize(("hertz", "least"), [(2, 0.85), (3, 0.75)])
def test_a_fast_arm_does_not_lag(hertz, least):
    """A forearm that swings by 80 degrees: its fundamental, as the fit has it against the truth.

    Amplitudes are 0.88 and 0.80 of the true ones: `sigma_angular` holds the elbow, whose true acceleration is 110 and
    250 rad/s^2.
    """
    made = motion(facing=np.zeros(30))
    turns, pose = 2 * np.pi * hertz * np.arange(30) / FPS, made.body_pose.reshape(-1, 23, 3).clone()
    pose[:, J["left_elbow"] - 1] = 0
    pose[:, J["left_elbow"] - 1, 1] = -torch.as_tensor(0.9 + 0.7 * np.sin(turns)).float()
    made = detected(torch.cat([made.global_orient[:, None], pose], 1), made.betas, made.transl)
    fitted, _ = fit_surely(BODY, observe(made), SETTINGS)
    arms = [joints[:, J["left_wrist"]] - joints[:, J["left_elbow"]] for joints in (made.joints, joints_of(fitted))]
    along = np.linalg.svd(arms[0] - arms[0].mean(0))[2][0]  # where the true wrist goes
    waves = np.stack([np.sin(turns), np.cos(turns), np.ones(30)], 1)
    sines = np.stack([np.linalg.lstsq(waves, arm @ along, rcond=None)[0] for arm in arms])
    true, found = sines[:, 0] + 1j * sines[:, 1]
    lag = np.angle(found / true) / (2 * np.pi * hertz) * FPS
    assert abs(lag) < 0.5  # frames
    assert least < abs(found / true) < 1.1


@pytest.mark.parametrize(("facing", "pixels"), [(None, 80.0), (2.5, 0.0)], ids=["elsewhere", "turned-round"])
def test_nobody_leaps_for_one_frame(facing, pixels):
    """Landmarks that fit a body, but not where this one can be in a frame at 60 a second: it is not there."""
    made = motion()
    other = made if facing is None else motion(facing=np.full(30, facing), arm=1.0)
    made.xy[14], made.world[14] = other.xy[14] + pixels, other.world[14]
    fitted, believed = fit_surely(BODY, dataclasses.replace(observe(made), fps=60.0), SETTINGS)
    assert np.flatnonzero(~believed.numpy()).tolist() == [14]
    joints = joints_of(fitted)
    assert np.linalg.norm(joints[14] - joints[[13, 15]].mean(0), axis=-1).max() < 0.05


@pytest.mark.parametrize("frames", [[0, 1], [28, 29]], ids=["at-first", "at-last"])
def test_no_arm_leaps_for_a_moment(frames):
    """The detector sees one arm hang for a moment in a clip in which it is raised; all else it sees as it is.

    Amid the clip the fit does not follow it, anyway; at its ends nothing lies beyond to hold the arm.
    """
    made, other = motion(arm=1.0), motion(arm=-1.0)
    arm = [LANDMARK_NAMES.index(f"left_{part}") for part in ("elbow", "wrist", "pinky", "index", "thumb")]
    for kept, given in ((made.xy, other.xy), (made.world, other.world)):
        kept[np.ix_(frames, arm)] = given[np.ix_(frames, arm)]
    seen = observe(made)
    fitted, believed = fit_surely(BODY, seen, SETTINGS)
    wrists = [joints_of(each)[:, J["left_wrist"]] for each in (fit_pose(BODY, seen, SETTINGS), fitted)]
    off = [np.linalg.norm(wrist - made.joints[:, J["left_wrist"]], axis=-1)[frames].max() for wrist in wrists]
    assert off[0] > 0.5 and off[1] < 0.1  # metres
    assert believed.all()  # the rest of the body was seen


def test_wild_landmarks_do_not_pull_the_pose():
    made = motion()
    clean = joints_of(fit_pose(BODY, observe(made), SETTINGS))
    made.xy[10:13, LANDMARK_NAMES.index("left_wrist")] += 150  # px, half a metre
    spoilt = joints_of(fit_pose(BODY, observe(made), SETTINGS))
    assert np.linalg.norm(spoilt - clean, axis=-1)[10:13, J["left_wrist"]].max() < 0.06


@pytest.mark.parametrize("hidden", [False, True], ids=["seen", "hidden-for-a-while"])
def test_a_raised_arm_stays_raised(hidden):
    made = motion(arm=1.0)
    visibility = np.ones(made.xy.shape[:2])
    if hidden:  # elbow, wrist and hand
        visibility[10:18, [[13], [15], [17], [19], [21]]] = 0.0
        made.xy[10:18, [[13], [15], [17], [19], [21]]] = 0.0
    joints = joints_of(fit_pose(BODY, observe(made, visibility=visibility, pixels=2.0), SETTINGS))
    above = joints[:, J["left_shoulder"], 1] - joints[:, J["left_wrist"], 1]  # y points down
    wanted = made.joints[:, J["left_shoulder"], 1] - made.joints[:, J["left_wrist"], 1]
    assert wanted.min() > 0.3
    assert above.min() > wanted.min() - 0.08


def test_a_hidden_arm_points_where_corrected_landmarks_say():
    made = motion(arm=1.0)
    visibility = np.ones(made.xy.shape[:2])
    visibility[:, [13, 15, 17, 19, 21]] = 0.01
    seen = observe(made, visibility=visibility)
    plain, corrected = (
        np.linalg.norm(joints_of(fit_pose(BODY, some, SETTINGS)) - made.joints, axis=-1)[:, J["left_wrist"]].mean()
        for some in (seen, dataclasses.replace(seen, corrected=True))
    )
    assert corrected < 0.12 and corrected < 0.5 * plain, (plain, corrected)


@pytest.mark.parametrize("corrected", [False, True])
def test_legs_outside_the_image_take_a_relaxed_pose(corrected):
    made = motion()
    visibility = np.ones(made.xy.shape[:2])
    visibility[:, 25:] = 0.0
    seen = dataclasses.replace(observe(made, visibility=visibility), corrected=corrected)
    fitted = fit_pose(BODY, seen, SETTINGS)
    prior = pose_prior()
    legs = [3 * (J[name] - 1) + axis for name in ("left_knee", "right_knee") for axis in range(3)]
    assert (fitted.body_pose[:, legs] - prior.relaxed[legs]).abs().max() < 0.6
    assert beyond_limits(fitted.body_pose, prior).max() < 0.05
    upper = [0, 12, 15, 16, 17, 18, 19, 20, 21]
    assert mpjpe(joints_of(fitted)[:, upper], made.joints[:, upper]) < 30


def test_rotations_that_are_told_decide_what_landmarks_do_not():
    """Legs that nobody sees: without the network they are relaxed."""
    made = motion(frames=12)
    visibility = np.ones(made.xy.shape[:2])
    visibility[:, LANDMARK_NAMES.index("left_knee") :] = 0  # and all below
    plain = observe(made, visibility=visibility)
    legs = [
        3 * (J[f"{side}_{name}"] - 1) + axis
        for side in ("left", "right")
        for name in ("hip", "knee")
        for axis in range(3)
    ]
    error = torch.full((12, 69), torch.inf)
    error[:, legs] = 0.05
    told = dataclasses.replace(plain, expected=made.body_pose, expected_error=error)
    off = [(fit_pose(BODY, seen, SETTINGS).body_pose - made.body_pose)[:, legs].abs().mean() for seen in (plain, told)]
    assert off[0] > 0.05 and off[1] < 0.5 * off[0]
    nothing = dataclasses.replace(told, expected_error=torch.full((12, 69), torch.inf))
    torch.testing.assert_close(
        fit_pose(BODY, nothing, SETTINGS).body_pose, fit_pose(BODY, plain, SETTINGS).body_pose, atol=1e-5, rtol=0
    )
    lost, limbs = torch.arange(12) < 3, torch.zeros(12, 4, dtype=torch.bool)
    limbs[5, [list(LIMBS).index(limb) for limb in ("left arm", "left leg")]] = True
    left = told.without(lost, limbs)
    assert left.expected_error[:3].isinf().all() and left.visibility[:3].eq(0).all()
    newly = (left.visibility[5] == 0) & (told.visibility[5] > 0)
    hidden = {name for name, new in zip(left.names, newly) if new}
    assert hidden == {f"left_{part}" for part in ("elbow", "wrist", "pinky", "index", "thumb")}  # legs nobody sees
    right = [k for k in legs if k // 3 + 1 in LIMBS["right leg"]]
    assert left.expected_error[5, right].eq(0.05).all() and left.expected_error[5].isfinite().sum() == len(right)
    assert told.rows(torch.arange(12) < 3).expected.shape == (3, 69)


def test_a_full_turn_has_no_seam():
    made = motion(frames=40, facing=np.linspace(0, 2 * np.pi, 40))
    fitted = fit_pose(BODY, observe(made), SETTINGS)
    assert mpjpe(joints_of(fitted), made.joints) < 20
    turned = Rotation.from_rotvec(fitted.global_orient.numpy()).inv() * Rotation.from_rotvec(made.global_orient.numpy())
    assert np.degrees(turned.magnitude()).max() < 12


def test_a_gap_breaks_the_ties_between_frames():
    made = motion(frames=40)
    frames = np.r_[0:14, 26:40]
    fitted = fit_pose(BODY, observe(made, frames=frames), SETTINGS)
    assert mpjpe(joints_of(fitted), made.joints[frames]) < 20


def test_what_is_not_seen_is_filled_as_people_move():
    """A walker lost for a third of a second: nearer to the truth than straight lines between his last and next pose."""
    made = motion(frames=40)
    hidden = np.arange(18, 28)
    visibility = np.ones(made.xy.shape[:2])
    visibility[hidden] = 0.0
    made.xy[hidden], made.world[hidden] = 0.0, 0.0
    fitted = fit_pose(BODY, observe(made, visibility=visibility), SETTINGS)
    seen = np.setdiff1d(np.arange(40), hidden)
    rotvecs = torch.cat([fitted.global_orient, fitted.body_pose], 1).view(40, 24, 3).numpy()
    straight = torch.tensor(fill_rotations(rotvecs[seen], seen, 40), dtype=torch.float32)
    transl = torch.tensor(fill_values(fitted.transl.numpy()[seen], seen, 40), dtype=torch.float32)
    lines = BODY(straight[:, 0], straight[:, 1:].flatten(1), fitted.betas, transl).joints.numpy()
    filled = joints_of(fitted)
    assert mpjpe(filled[hidden], made.joints[hidden]) < 0.95 * mpjpe(lines[hidden], made.joints[hidden])
    assert mpjpe(filled[seen], made.joints[seen]) < 20


@pytest.mark.parametrize("wrong", [np.arange(12, 22), np.arange(40)], ids=["a while", "all along"])
def test_who_is_taken_for_turned_round_is_started_the_other_way(wrong):
    """World landmarks face away from the camera, pixels do not."""
    made = motion(frames=40, facing=np.zeros(40))
    made.world[wrong] *= [-1.0, 1.0, -1.0]
    plain = joints_of(fit_pose(BODY, observe(made), SETTINGS))
    assert mpjpe(plain[wrong], made.joints[wrong]) > 100
    fitted, believed = fit_surely(BODY, observe(made), SETTINGS)
    assert believed.all()
    assert mpjpe(joints_of(fitted)[wrong], made.joints[wrong]) < 60


def test_landmarks_that_are_no_person_are_not_believed():
    made = motion(frames=40)
    wild = np.arange(18, 21)
    made.xy[wild] = np.random.default_rng(0).uniform(100, 500, (3, 33, 2))
    fitted, believed = fit_surely(BODY, observe(made), SETTINGS)
    assert list(np.flatnonzero(~believed)) == list(wild)
    assert mpjpe(joints_of(fitted), made.joints) < 25


def test_a_shaking_camera_does_not_shake_the_person():
    """The camera nods to and fro ten times a second, by 0.06 rad; the track says so."""
    made = motion(frames=40)
    nods = 0.06 * np.sin(2 * np.pi * 10 * np.arange(40) / FPS)
    to_camera = Rotation.from_rotvec(np.outer(nods, [1.0, 0.0, 0.0])).as_matrix()
    joints = np.einsum("tij,tkj->tki", to_camera, made.joints)
    made.world = np.einsum("tij,tkj->tki", to_camera, made.world)
    rays = np.concatenate([(made.xy - K[:2, 2].numpy()) / 800.0, np.ones((*made.xy.shape[:2], 1))], axis=2)
    image = np.einsum("tij,tkj->tki", to_camera, rays) @ K.numpy().T
    made.xy = image[..., :2] / image[..., 2:]
    seen = observe(made, pixels=3.0, metres=0.03)
    told = dataclasses.replace(
        seen, world_from_camera=torch.as_tensor(to_camera.transpose(0, 2, 1), dtype=torch.float32)
    )
    blind, steady = (joints_of(fit_pose(BODY, each, SETTINGS)) for each in (seen, told))

    def shaking(found):  # metres, of joints in the world, between frames more than the truth
        apart = np.einsum("tij,tkj->tki", to_camera.transpose(0, 2, 1), found - joints)
        return np.abs(np.diff(apart, axis=0)).mean()

    assert shaking(steady) < 0.8 * shaking(blind)


# --- Its parts -------------------------------------------------------------------------------------------------------


def test_the_map_is_symmetric_and_lies_on_the_body():
    mirrored = MARKS.template[MARKS.mirror] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(MARKS.template, mirrored, atol=4e-3, rtol=0)
    distance = torch.cdist(MARKS.template, BODY.v_template).min(1).values
    assert distance.max() < 0.08  # joints lie inside
    assert len(MARKS.bones) == len({frozenset(pair) for pair in MARKS.bones.tolist()})


def test_landmarks_move_with_the_body():
    """At rest with a shape, the posed landmarks are the rest landmarks moved by the translation."""
    betas, transl = torch.linspace(-1, 1, 10), torch.tensor([[0.1, 0.2, 3.0]])
    rotmats = torch.eye(3).expand(1, 24, 3, 3)
    offsets = torch.zeros(len(MARKS.names), 3)
    rest = MARKS.rest(betas, offsets)
    posed = MARKS.posed(BODY.world_joints(rotmats, betas, transl), BODY.rest_joints(betas), rest)
    torch.testing.assert_close(posed[0], rest + transl, atol=1e-5, rtol=0)


@pytest.mark.parametrize("joint, vector, inside", [
    ("left_knee", (2.0, 0, 0), True), ("left_knee", (-0.5, 0, 0), False), ("right_knee", (2.0, 0, 0), True),
    ("left_elbow", (0, -2.0, 0), True), ("left_elbow", (0, 0.5, 0), False),
    ("right_elbow", (0, 2.0, 0), True), ("right_elbow", (0, -0.5, 0), False),
    ("left_shoulder", (0, 0, 1.5), True), ("right_shoulder", (0, 0, -1.5), True),
    ("left_hip", (-1.8, 0, 0), True), ("left_hip", (1.5, 0, 0), False),
])  # fmt: skip
def test_joints_bend_the_way_they_do(joint, vector, inside):
    pose = torch.zeros(1, 69)
    start = 3 * (J[joint] - 1)
    pose[0, start : start + 3] = torch.tensor(vector)
    assert bool((beyond_limits(pose, pose_prior()) == 0).all()) is inside


def test_the_relaxed_pose_is_within_the_ranges():
    prior = pose_prior()
    assert beyond_limits(prior.relaxed[None], prior).max() == 0


def test_the_first_pose_points_the_limbs_as_the_landmarks():
    made = motion(arm=0.7)
    world = torch.as_tensor(made.world, dtype=torch.float32)
    root = torso_rotation(world)
    pose = torch.cat([torch.zeros(len(world), 3), limb_poses(world, root)], dim=1).unflatten(1, (24, 3))
    rotmats = axis_angle_to_matrix(pose)
    rotmats[:, 0] = root
    joints = BODY.world_joints(rotmats, made.betas, made.transl)[..., :3, 3]
    for a, b in (("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("right_hip", "right_knee"),
                 ("right_knee", "right_ankle")):  # fmt: skip
        found = torch.nn.functional.normalize(joints[:, J[b]] - joints[:, J[a]], dim=-1).numpy()
        wanted = made.joints[:, J[b]] - made.joints[:, J[a]]
        wanted /= np.linalg.norm(wanted, axis=-1, keepdims=True)
        assert np.degrees(np.arccos(np.clip((found * wanted).sum(-1), -1, 1))).max() < 8, (a, b)
    assert beyond_limits(pose[:, 1:].flatten(1), pose_prior()).max() < 0.1


def test_linear_translation_is_exact_for_exact_pixels():
    made = motion()
    points = torch.as_tensor(made.world, dtype=torch.float32)
    moved = points + torch.tensor([0.3, -0.2, 4.0])
    image = moved @ K.T
    weights = torch.rand(points.shape[:2], generator=torch.Generator().manual_seed(0)) + 0.1
    found = linear_translation(points, image[..., :2] / image[..., 2:], weights, K)
    torch.testing.assert_close(found, torch.tensor([0.3, -0.2, 4.0]).expand_as(found), atol=1e-3, rtol=0)


# --- Gaps ------------------------------------------------------------------------------------------------------------


def test_gaps_turn_at_a_steady_rate_and_ends_hold():
    rotvecs = np.zeros((2, 24, 3))
    rotvecs[1, :, 1] = 1.2
    known = np.array([3, 7])
    filled = fill_rotations(rotvecs, known, 10)
    expected = np.interp(np.arange(10), known, [0.0, 1.2])
    np.testing.assert_allclose(filled[:, 5, 1], expected, atol=1e-9)
    np.testing.assert_allclose(filled[:, 5, [0, 2]], 0, atol=1e-9)
    values = fill_values(np.array([[1.0, 2.0], [3.0, 6.0]]), known, 10)
    np.testing.assert_allclose(values[:, 1], 2 * values[:, 0])
    np.testing.assert_allclose(values[[0, 5, 9], 0], [1, 2, 3])


def test_gaps_take_the_short_way_round():
    rotvecs = np.zeros((2, 1, 3))
    rotvecs[0, 0, 1], rotvecs[1, 0, 1] = np.radians(170), np.radians(-170)
    middle = fill_rotations(rotvecs, np.array([0, 2]), 3)[1, 0]
    assert np.degrees(np.linalg.norm(middle)) == pytest.approx(180, abs=1e-6)


def test_a_detector_that_leans_is_turned_back():
    """Its people lean by 8 degrees away from the camera, all along; the picture, by perspective, says otherwise."""
    made = motion(seed=1)
    seen = observe(made)
    angle = torch.tensor(0.14)
    turn = torch.stack(
        [torch.tensor([1.0, 0.0, 0.0]), torch.stack([torch.tensor(0.0), angle.cos(), -angle.sin()]),
         torch.stack([torch.tensor(0.0), angle.sin(), angle.cos()])]
    )  # fmt: skip
    leaning = dataclasses.replace(seen, world=seen.world @ turn.T)
    stiff = fit_pose(BODY, leaning, dataclasses.replace(SETTINGS, sigma_lean=1e-4))
    free = fit_pose(BODY, leaning, SETTINGS)
    assert mpjpe(joints_of(free), made.joints) < 0.8 * mpjpe(joints_of(stiff), made.joints)
