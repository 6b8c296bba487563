"""Figures of the world, against closed forms."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from world_motions import on_the_ground, seen_by

from pipeline.body import load_body
from pipeline.camera.feet import Feet
from pipeline.evaluation.in_world import path_error, segment_errors, sliding


def joints(frames: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(1, 24, 3)) + np.cumsum(rng.normal(0, 0.05, (frames, 1, 3)), axis=0)


def test_another_world_is_no_error() -> None:
    true = joints(250)
    turn = Rotation.from_rotvec([0.3, -1.0, 0.2])
    moved = turn.apply(1.3 * true.reshape(-1, 3)).reshape(true.shape) + np.array([3.0, -2, 1])
    for first in (2, 100):
        np.testing.assert_allclose(segment_errors(moved, true, first), 0, atol=1e-9)
    assert path_error(turn.apply(true[:, 0]) + 1, true[:, 0]) == pytest.approx(0, abs=1e-9)


def test_a_drift_counts_from_the_first_frames_and_starts_anew_in_each_segment() -> None:
    true = joints(200)
    drifting = true + np.maximum(np.arange(200) % 100 - 1, 0)[:, None, None] * [0.01, 0, 0]
    errors = segment_errors(drifting, true, 2)
    np.testing.assert_allclose(errors[:, 0], 0.01 * np.maximum(np.arange(200) % 100 - 1, 0), atol=1e-9)
    assert segment_errors(drifting, true, 100).mean() < 0.6 * errors.mean()


def test_the_path_error_is_a_share_of_the_path() -> None:
    time = np.linspace(0, 1, 101)
    line = np.outer(time, [10.0, 0, 0])
    zigzag = line + np.where(np.arange(101) % 2, 0.1, -0.1)[:, None] * [0, 1.0, 0]
    assert path_error(zigzag, line) == pytest.approx(1.0, rel=0.01)
    assert np.isnan(path_error(line / 20, line / 20))  # half a metre


def test_sliding_is_along_the_ground_and_of_what_stands() -> None:
    soles = np.zeros((3, 4, 5, 3))
    soles[:, 0, :, 0] = [[0.0], [0.003], [0.006]]
    soles[:, 1, :, 1] = [[0.0], [0.01], [0.0]]
    contact = np.array([[1.0, 1, 0, 0.4], [1, 1, 1, 1], [1, 0, 0, 1]])
    slid = sliding(Feet(soles, np.zeros((3, 24, 3)), np.zeros((3, 3)), 30.0), contact)
    np.testing.assert_allclose(slid[:, 0], 0.003)
    assert slid[0, 1] == 0 and np.isnan(slid[1, 1]) and np.isnan(slid[:, 2]).all()
    assert np.isnan(slid[0, 3]) and slid[1, 3] == 0


def test_a_walk_stands_on_the_ground() -> None:
    from pipeline.camera.world import with_world
    from pipeline.evaluation.in_world import add_feet
    from pipeline.evaluation.table import STUDIO, TRAIN, MetricTable

    body = load_body("free")
    pose = with_world(seen_by(on_the_ground("walk", 80, body), body, 10, 0), body)
    table = MetricTable(STUDIO, np.full(80, TRAIN))
    add_feet(table, "truth", pose, body)
    rows = table.frame()
    found = rows[rows["scope"] == "all"].set_index("metric")["value"]
    assert abs(found["foot_height_p50"]) < 0.5 and found["foot_height_p90"] < 0.5 and found["foot_sinking"] < 1
    assert found["foot_sliding"] < 20 and found["jitter_world"] > 0
