"""Which frames of a motion no body could be in."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.body import load_body
from pipeline.motion.leaps import LIMBS, astray, body_astray
from pipeline.motion.library import motion
from pipeline.motion.moves import MOTIONS

BODY = load_body("free")


def walk(frames: int, fps: float) -> np.ndarray:
    """Eight joints that go ahead at 1.5 m/s and swing to and fro, (T, 8, 3)."""
    t, joint = np.arange(frames)[:, None] / fps, np.arange(8)
    return np.stack([1.5 * t + 0.2 * np.sin(6 * t + joint), 0.1 * joint + 0 * t, 4 + 0.1 * np.cos(6 * t + joint)], -1)


@given(st.just(0) | st.integers(2, 80), st.integers(1, 8), st.sampled_from([24.0, 30.0, 60.0]), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_moment_elsewhere_is_found_to_the_frame(start, length, fps, seed):
    joints = walk(90, fps)
    shift = np.random.default_rng(seed).normal(size=(8, 3))
    shift *= 0.3 / np.linalg.norm(shift, axis=-1, keepdims=True)  # each joint a foot away
    length = min(length, int(0.3 * fps))
    lost = np.zeros(90, dtype=bool)
    lost[start : start + length] = True
    joints[lost] += shift
    np.testing.assert_array_equal(astray(joints, fps), lost)


@pytest.mark.parametrize("name", MOTIONS)
@pytest.mark.parametrize("fps", [10, 30, 120])
def test_what_people_do_is_left(name, fps):
    made = motion(name, 3 * fps, fps, 1, BODY)
    pose, trans = (torch.as_tensor(a, dtype=torch.float32) for a in (made.poses, made.trans))
    assert not body_astray(BODY, pose[:, :3], pose[:, 3:], torch.zeros(10), trans, fps).any()


def test_two_moments_elsewhere_beside_a_step_that_stays():
    """What lies between is neither: on either side of a leap that stays nothing is known to be wrong."""
    joints = walk(100, 60.0)
    joints[73:] += 0.15
    joints[[62, 81]] += 0.3
    assert np.flatnonzero(astray(joints, 60.0)).tolist() == [62, 81]


def test_an_arm_that_is_thrown_is_left():
    """A third of the joints at 700 m/s^2, as the hands of a boxer."""
    joints = walk(60, 60.0)
    joints[30, :3] += 0.2
    assert not astray(joints, 60.0).any()


@pytest.mark.parametrize("frames", [(0, 1), (20,), (20, 21, 22), (58, 59)])
@pytest.mark.parametrize("name", LIMBS)
def test_a_limb_that_leaps_is_found_by_itself(name, frames):
    made = motion("walk", 60, 30, 1, BODY)
    pose, trans = (torch.as_tensor(a, dtype=torch.float32) for a in (made.poses, made.trans))
    top = LIMBS[name][0]
    pose[list(frames), 3 * top : 3 * top + 3] = torch.tensor([1.2, 0.3, -1.5])
    found = body_astray(BODY, pose[:, :3], pose[:, 3:], torch.zeros(10), trans, 30.0)
    assert not found.whole.any()
    for limb, lost in zip(LIMBS, found.limbs.T):
        assert np.flatnonzero(lost).tolist() == (list(frames) if limb == name else [])


def test_of_two_long_parts_neither_is_called_wrong():
    """A cut, or a person turned round for seconds: what lies on which side of it cannot be told by the leap."""
    joints = walk(60, 30.0)
    joints[30:] += 1.0
    assert not astray(joints, 30.0).any()


@pytest.mark.parametrize("frames", range(4))
def test_so_few_frames_tell_nothing(frames):
    assert not astray(100 * np.random.default_rng(0).normal(size=(frames, 8, 3)), 30.0).any()
