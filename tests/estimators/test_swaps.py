"""Left and right put right, on landmarks of known motions in which a detector's exchanges were made."""

import functools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from pipeline.body import load_body
from pipeline.estimators.settings import LandmarksSettings
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.landmarks.detector import LANDMARK_NAMES
from pipeline.landmarks.on_body import landmark_map
from pipeline.landmarks.swaps import find_swaps, mirror_order, swapped, swapped_world
from pipeline.motion.library import motion
from pipeline.runtime.settings import load_settings

SETTINGS = load_settings("landmarks", {}, LandmarksSettings)
FOCAL, DISTANCE = 1000.0, 4.5  # px, m
ALL, ARMS, LEGS = range(33), range(11, 23), range(23, 33)


@functools.cache
def perform(name: str, fps: float, facing: str, seed: int = 0, pitch: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    """Two seconds of a motion as a noisy detector sees it: xy (T, 33, 2) px, world (T, 33, 3) m.

    `facing` tells how the person is turned in addition, 0 = towards the camera: a key of FACING. The camera looks down
    by `pitch` degrees.
    """
    body = load_body("free")
    marks = landmark_map(body)
    frames = round(2 * fps)
    made = motion(name, frames, fps, seed, body)
    turned = Rotation.from_rotvec(np.outer(FACING[facing](np.arange(frames) / fps), [0, 1, 0]))
    camera = Rotation.from_euler("x", 180 + pitch, degrees=True)
    poses = made.poses.reshape(frames, 24, 3).copy()
    poses[:, 0] = (camera * turned * Rotation.from_rotvec(poses[:, 0])).as_rotvec()
    betas = torch.zeros(10)
    rotmats = axis_angle_to_matrix(torch.as_tensor(poses, dtype=torch.float32))
    joints = body.world_joints(rotmats, betas, torch.zeros(frames, 3))
    points = marks.posed(joints, body.rest_joints(betas), marks.rest(betas, torch.zeros(len(marks.names), 3)))
    every = torch.zeros(frames, 33, 3) + points[:, marks.names.index("nose"), None]  # mouth and inner eyes
    every[:, marks.index] = points
    every = every.double().numpy()
    placed = every + (camera.apply(made.trans) + np.array([0, 0, DISTANCE]))[:, None]
    random = np.random.default_rng(seed)
    height = FOCAL * 1.7 / DISTANCE

    def noise(shape):  # wanders over a third of a second, of unit size
        wandering = gaussian_filter1d(random.standard_normal(shape), 0.2 * fps, axis=0, mode="wrap")
        return wandering / wandering.std() + 0.3 * random.standard_normal(shape)

    xy = FOCAL * placed[..., :2] / placed[..., 2:] + 0.012 * height * noise(every[..., :2].shape)
    world = every - every[:, 23:25].mean(1, keepdims=True) + np.array([0.025, 0.025, 0.05]) * noise(every.shape)
    return xy, world


def smooth(seconds, start, length):
    """From 0 to 1, at rest before and after."""
    u = np.clip((seconds - start) / length, 0, 1)
    return u**3 * (10 - 15 * u + 6 * u**2)


FACING = {
    "front": lambda t: 0 * t,
    "oblique": lambda t: 0 * t + 0.7,
    "back": lambda t: 0 * t + np.pi,
    "spin": lambda t: 2 * np.pi * smooth(t, 0.6, 0.8),
    "spin-back": lambda t: np.pi - 2 * np.pi * smooth(t, 0.6, 0.8),
    "half-turn": lambda t: np.pi / 2 + np.pi * smooth(t, 0.7, 0.4),
    "away-and-round": lambda t: np.pi + np.pi * smooth(t, 0.7, 0.5),
    "turning": lambda t: 2 * np.pi * t / 1.5,
}


def find(xy, world, fps, visibility=None):
    visibility = np.ones(xy.shape[:2]) if visibility is None else visibility
    return find_swaps(xy, world, visibility, np.arange(len(xy)) / fps, SETTINGS.swap_change, SETTINGS.swap_doubt)


def exchanges(xy, spans, members, fps):
    """(T, 33) bool: these members during these seconds."""
    chosen = np.zeros(xy.shape[:2], bool)
    for start, stop in spans:
        first = round(start * fps)
        chosen[first : max(first + 1, round(stop * fps)), list(members)] = True
    return chosen


def limbs(chosen):
    return chosen[:, 11:]


SPANS = {
    "one frame": [(1.0, 1.0)],
    "short": [(0.3, 0.4), (1.0, 1.2)],
    "34 frames of 60": [(0.7, 0.7 + 34 / 60)],
    "beginning": [(0, 0.7)],
    "end": [(1.3, 2)],
    "many": [(0.2, 0.35), (0.5, 0.55), (0.8, 1.2), (1.5, 1.5)],
}


@pytest.mark.parametrize("fps", [24.0, 60.0])
@pytest.mark.parametrize("spans", SPANS)
@pytest.mark.parametrize("name, facing", [("walk", "front"), ("squat", "oblique"), ("wave", "back")])
def test_whole_bodies_are_put_right(name, facing, spans, fps):
    xy, world = perform(name, fps, facing)
    chosen = exchanges(xy, SPANS[spans], ALL, fps)
    found = find(swapped(xy, chosen), swapped_world(world, chosen), fps)
    assert (found == chosen)[:, 11:].mean() > 0.99


@pytest.mark.parametrize("members", [ARMS, LEGS], ids=["arms", "legs"])
@pytest.mark.parametrize("spans", ["short", "34 frames of 60", "end"])
def test_limbs_alone_are_put_right(members, spans):
    xy, world = perform("walk", 60.0, "front")
    chosen = exchanges(xy, SPANS[spans], members, 60.0)
    found = find(swapped(xy, chosen), swapped_world(world, chosen), 60.0)
    assert (limbs(found) == limbs(chosen)).mean() > 0.99


def test_labels_may_be_exchanged_without_the_depth():
    """As where the body faces the camera, and its depth is the picture's."""
    xy, world = perform("wave", 60.0, "front")
    chosen = exchanges(xy, SPANS["34 frames of 60"], ALL, 60.0)
    found = find(swapped(xy, chosen), swapped(world, chosen), 60.0)
    assert (limbs(found) == limbs(chosen)).mean() > 0.99


def test_feet_tell_which_of_two_halves_is_right():
    """Somebody who walks away is taken for one who comes near for more than half of the clip."""
    xy, world = perform("wave", 60.0, "back", pitch=25.0)
    chosen = exchanges(xy, [(0.3, 1.5)], ALL, 60.0)
    found = find(swapped(xy, chosen), swapped_world(world, chosen), 60.0)
    assert (limbs(found) == limbs(chosen)).mean() > 0.99
    hidden = np.ones(xy.shape[:2])
    hidden[:, 29:] = 0  # without feet the more frequent one is believed
    found = find(swapped(xy, chosen), swapped_world(world, chosen), 60.0, hidden)
    assert (limbs(found) == ~limbs(chosen)).mean() > 0.99


@pytest.mark.parametrize("name, yaw, told", [("wave", "front", "camera"), ("wave", "back", "away")])
def test_the_user_says_which_of_two_halves_is_right(name, yaw, told):
    """A blurred face: for most of the clip who looks here is taken for one who looks away, or the other way."""
    xy, world = perform(name, 60.0, yaw, pitch=25.0)
    chosen = exchanges(xy, [(0.0, 0.2), (0.5, 2.0)], ALL, 60.0)
    given = swapped(xy, chosen), swapped_world(world, chosen)
    seconds, hidden = np.arange(len(xy)) / 60.0, np.ones(xy.shape[:2])
    hidden[:, 29:] = 0
    settings = SETTINGS.swap_change, SETTINGS.swap_doubt
    assert (limbs(find_swaps(*given, hidden, seconds, *settings)) == ~limbs(chosen)).mean() > 0.99  # most frames decide
    assert (limbs(find_swaps(*given, hidden, seconds, *settings, told)) == limbs(chosen)).mean() > 0.99


def test_who_turns_later_looks_first_as_the_user_says():
    xy, world = perform("wave", 60.0, "half-turn")
    for told in ("auto", "camera", "away"):  # at first from the side: both are right
        seen = np.ones(xy.shape[:2])
        assert not find_swaps(
            xy, world, seen, np.arange(len(xy)) / 60.0, SETTINGS.swap_change, SETTINGS.swap_doubt, told
        ).any()


@pytest.mark.parametrize("name", ["wave", "squat"])
def test_a_turning_body_goes_on_turning(name):
    """The back is taken for the front from profile to profile: nothing jumps, but the turning seems to go back."""
    xy, world = perform(name, 60.0, "turning")
    back = (world[:, 11] - world[:, 12] + world[:, 23] - world[:, 24])[:, 0] < 0
    first, last = np.flatnonzero(back)[0], np.flatnonzero(~back & (np.arange(len(back)) > 30))[0]
    chosen = np.zeros(xy.shape[:2], bool)
    chosen[first:last] = True
    assert last - first > 30
    found = find(swapped(xy, chosen), swapped_world(world, chosen), 60.0)
    assert (limbs(found) == limbs(chosen)).mean() > 0.95


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0])
@pytest.mark.parametrize("facing", ["spin", "spin-back", "half-turn", "away-and-round", "turning"])
@pytest.mark.parametrize("name", ["dance", "run", "wave"])
def test_fast_turns_are_kept(name, facing, fps):
    assert not find(*perform(name, fps, facing), fps).any()


@pytest.mark.parametrize("name", ["walk", "squat", "sit", "turn", "dance"])
@pytest.mark.parametrize("facing", ["front", "oblique", "back"])
@pytest.mark.parametrize("pitch", [-10.0, 20.0], ids=["from the floor", "from above"])
def test_nothing_is_exchanged_without_reason(name, facing, pitch):
    assert not limbs(find(*perform(name, 30.0, facing, seed=2, pitch=pitch), 30.0)).any()


def test_gaps_and_single_frames():
    xy, world = perform("walk", 60.0, "front")
    kept = np.r_[0:50, 80:120]
    chosen = exchanges(xy, [(1.4, 2)], ALL, 60.0)
    xy, world = swapped(xy, chosen)[kept], swapped_world(world, chosen)[kept]
    seen = np.ones(xy.shape[:2])
    found = find_swaps(xy, world, seen, kept / 60.0, SETTINGS.swap_change, SETTINGS.swap_doubt)
    assert (limbs(found) == limbs(chosen[kept])).mean() > 0.99
    assert not find_swaps(xy[:1], world[:1], seen[:1], kept[:1] / 60.0, 0.02, 0.02).any()


# --- What is guessed -------------------------------------------------------------------------------------------------

HEAD = range(11)


def guessed(xy, members):
    """Visibility of landmarks of which these are guesses."""
    visibility = np.ones(xy.shape[:2])
    visibility[:, list(members)] = 0.02
    return visibility


def test_guessed_ears_say_nothing_against_the_torso():
    xy, world = perform("wave", 30.0, "front")
    chosen = exchanges(xy, [(0, 2)], HEAD, 30.0)  # ears of somebody who looks away, over a torso that looks here
    xy, world = swapped(xy, chosen), swapped_world(world, chosen)
    assert (find(xy, world, 30.0) == chosen).all(), "ears that are seen are put right"
    assert not find(xy, world, 30.0, guessed(xy, HEAD)).any()


def test_a_guessed_head_goes_with_the_shoulders():
    """It is no more right than the torso that it was guessed to."""
    xy, world = perform("walk", 60.0, "front")
    chosen = exchanges(xy, SPANS["34 frames of 60"], ALL, 60.0)
    xy, world = swapped(xy, chosen), swapped_world(world, chosen)
    found = find(xy, world, 60.0, guessed(xy, HEAD))
    assert (limbs(found) == limbs(chosen)).mean() > 0.99
    assert (found[:, list(HEAD)] == found[:, [11]]).all()


def test_guessed_hips_say_nothing_against_the_shoulders():
    """Who sits at a table: legs are guessed, and seem to look away."""
    xy, world = perform("wave", 30.0, "front")
    chosen = exchanges(xy, [(0, 2)], LEGS, 30.0)
    xy, world = swapped(xy, chosen), swapped_world(world, chosen)
    assert (find(xy, world, 30.0) == chosen).all()
    assert not find(xy, world, 30.0, guessed(xy, LEGS)).any()


def test_feet_tell_nothing_of_guessed_hips():
    """As `test_feet_tell_which_of_two_halves_is_right`: there the feet that are seen stand under hips that are."""
    xy, world = perform("wave", 60.0, "back", pitch=25.0)
    chosen = exchanges(xy, [(0.3, 1.5)], ALL, 60.0)
    found = find(swapped(xy, chosen), swapped_world(world, chosen), 60.0, guessed(xy, [23, 24]))
    assert (limbs(found) == ~limbs(chosen)).mean() > 0.99


@pytest.mark.parametrize("name", ["wave", "squat"])
def test_guessed_shoulders_do_not_turn_back_a_turning_body(name):
    xy, world = perform(name, 60.0, "turning")
    back = (world[:, 11] - world[:, 12])[:, 0] < 0
    chosen = exchanges(xy, [(0, 0)], [11, 12], 60.0)
    chosen[:, [11, 12]] = back[:, None]  # they look here all the time
    xy, world = swapped(xy, chosen), swapped_world(world, chosen)
    assert find(xy, world, 60.0).any()
    assert not find(xy, world, 60.0, guessed(xy, [11, 12])).any()


def test_limbs_that_are_seen_do_not_go_with_a_torso_that_is_guessed():
    xy, world = perform("walk", 60.0, "front")
    chosen = exchanges(xy, SPANS["34 frames of 60"], ARMS, 60.0)
    found = find(swapped(xy, chosen), swapped_world(world, chosen), 60.0, guessed(xy, [11, 12]))
    assert (limbs(found) == limbs(chosen)).mean() > 0.99


# --- Exchanging ------------------------------------------------------------------------------------------------------


def test_mirror_order_is_its_own_inverse():
    order = mirror_order()
    assert (order[order] == np.arange(33)).all()
    assert order[LANDMARK_NAMES.index("mouth_left")] == LANDMARK_NAMES.index("mouth_right")


@pytest.mark.parametrize("members", [ALL, range(11), ARMS, LEGS], ids=["all", "head", "arms", "legs"])
def test_exchanged_landmarks_keep_the_picture_and_turn_the_facing(members):
    _, world = perform("wave", 60.0, "oblique")
    chosen = exchanges(world, [(0.5, 1.0)], members, 60.0)
    result = swapped_world(world, chosen)
    np.testing.assert_array_equal(result[..., :2], swapped(world, chosen)[..., :2])
    np.testing.assert_array_equal(result[~chosen], world[~chosen])
    np.testing.assert_allclose(swapped_world(result, chosen), world, atol=1e-12)
    for pair in {(7, 8), (11, 12), (23, 24)}:
        before, after = (values[:, pair[0]] - values[:, pair[1]] for values in (world, result))
        turned = chosen[:, pair[0]]
        np.testing.assert_allclose(after[turned], before[turned] * [-1, -1, 1], atol=1e-12)


def test_a_back_becomes_a_front():
    """Somebody who looks away, taken for one who looks here: toes, nose and shoulders look away again."""
    world = np.zeros((1, 33, 3))
    world[0, [11, 12, 23, 24, 13, 14]] = (
        [0.2, -0.5, 0.05], [-0.2, -0.5, -0.05], [0.1, 0, 0.02], [-0.1, 0, -0.02], [0.3, -0.3, 0.15], [-0.3, -0.3, 0],
    )  # fmt: skip
    world[0, 0] = 0, -0.7, -0.15
    world[0, [29, 30, 31, 32]] = [0.1, 0.9, 0.1], [-0.1, 0.9, 0.1], [0.1, 0.95, -0.1], [-0.1, 0.95, -0.1]
    result = swapped_world(world, np.ones((1, 33), bool))[0]
    np.testing.assert_allclose(result[11], [-0.2, -0.5, 0.05], atol=1e-12)
    np.testing.assert_allclose(result[13, 2] - result[11, 2], 0 + 0.05, atol=1e-12)  # the right elbow's depth stays
    assert result[0, 2] == pytest.approx(0.15)
    assert result[31, 2] - result[29, 2] == pytest.approx(0.2)
