"""Which way a motion of another world faces, and how its path drifts, by landmarks alone."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.estimators.facing import turned_to_landmarks

FRAMES, MARKS, TALL = 20, 12, 90.0
K = np.array([[200.0, 0, 80], [0, 200, 80], [0, 0, 1]])


@pytest.fixture
def truth() -> np.ndarray:
    """Points of somebody on the spot who swings, (T, L, 3): their boxes would say nothing of the heading."""
    rng = np.random.default_rng(2)
    about = rng.normal(0, 1, (MARKS, 3)) * [0.15, 0.5, 0.15]
    swing = 0.05 * np.sin(np.linspace(0, 6, FRAMES))[:, None, None] * rng.normal(0, 1, (MARKS, 3))
    return about + swing + [0.1, 0.0, 4.0]


def project(points: np.ndarray) -> np.ndarray:
    seen = points @ K.T
    return seen[..., :2] / seen[..., 2:]


def told(truth: np.ndarray, heading: float, drift: float) -> np.ndarray:
    """As a tool tells it that faces elsewhere by so many degrees and walks away by so many metres."""
    middle = truth.mean(axis=(0, 1))
    turned = Rotation.from_euler("y", heading, degrees=True).apply((truth - middle).reshape(-1, 3)).reshape(truth.shape)
    return turned + middle + (drift * np.linspace(-0.5, 0.5, FRAMES))[:, None, None] * [1.0, 0.0, 0.5]


@pytest.mark.parametrize("drift", [0.0, 0.6])
@pytest.mark.parametrize("heading", [0, 75, 180, -110])
def test_turn_and_drift_are_taken_back(truth: np.ndarray, heading: float, drift: float) -> None:
    points = told(truth, heading, drift)
    found = turned_to_landmarks(points, project(truth), np.ones((FRAMES, MARKS)), TALL, K)
    assert found is not None
    turn, moves, error = found
    off = turn * Rotation.from_euler("y", heading, degrees=True)
    assert np.degrees(off.magnitude()) < 1
    assert np.abs(np.diff(moves, n=2, axis=0)).max() < 1e-9  # of one speed
    back = turn.apply(points.reshape(-1, 3)).reshape(points.shape) + moves[:, None]
    np.testing.assert_allclose(back, truth, atol=0.02)
    assert error < 0.005


def test_landmarks_that_are_not_seen_and_some_that_are_wrong_do_not_turn_it(truth: np.ndarray) -> None:
    xy, trusted = project(truth), np.ones((FRAMES, MARKS))
    xy[:5], trusted[:5] = 0.0, 0.0
    xy[8:10, :3] += 60.0  # a detector's slips
    found = turned_to_landmarks(told(truth, 150, 0.0), xy, trusted, TALL, K)
    assert found is not None
    assert np.degrees((found[0] * Rotation.from_euler("y", 150, degrees=True)).magnitude()) < 3


def test_too_few_landmarks_tell_nothing(truth: np.ndarray) -> None:
    trusted = np.zeros((FRAMES, MARKS))
    trusted[:, :5] = 1.0
    trusted[0] = 1.0
    assert turned_to_landmarks(truth, project(truth), trusted, TALL, K) is None
