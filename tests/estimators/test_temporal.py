"""The temporal network: mirror-symmetric, blind to where frames lie in a file, written and read alike."""

import numpy as np
import pytest
import torch

from pipeline.estimators.smplify.corrector import corrected_world, shipped_corrector
from pipeline.estimators.smplify.temporal import (
    HALF,
    SHIPPED,
    WINDOW,
    Network,
    TemporalCorrector,
    corrected_over_time,
    shipped_temporal,
    window_rows,
)
from pipeline.formats.arrays import read_npz, write_npz
from pipeline.landmarks.detector import LANDMARK_NAMES
from pipeline.landmarks.swaps import mirror_order
from pipeline.runtime.errors import UserError

K = np.array([[500.0, 0, 240], [0, 500, 320], [0, 0, 1]])
HIPS = [LANDMARK_NAMES.index(f"{side}_hip") for side in ("left", "right")]


def seen(frames: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Landmarks of points that drift: xy, visibility, world."""
    rng = np.random.default_rng(0)
    world = rng.normal(0, 0.3, (33, 3)) + 0.05 * rng.normal(0, 1, (frames, 33, 3)).cumsum(0)
    world -= world[:, HIPS].mean(1, keepdims=True)
    uvw = (world + rng.normal(0, 0.02, world.shape) + [0.4, -0.2, 3.0]) @ K.T
    return uvw[..., :2] / uvw[..., 2:], rng.uniform(0, 1, (frames, 33)), world


def test_a_mirrored_clip_gives_the_mirrored_result():
    xy, visibility, world = seen()
    order, flip = mirror_order(), np.array([-1.0, 1, 1])
    ours = corrected_over_time(np.arange(12), 10.0, xy, visibility, world, K)
    mirrored = (xy[:, order] - [480, 0]) * [-1, 1], visibility[:, order], world[:, order] * flip
    theirs = corrected_over_time(np.arange(12), 10.0, *mirrored, K)
    np.testing.assert_allclose(theirs, ours[:, order] * flip, atol=1e-5)


def test_a_window_takes_frames_a_tenth_of_a_second_apart_and_the_nearest_where_one_is_missing():
    rows = window_rows(np.arange(40), 30.0)
    assert rows[20].tolist() == [8, 11, 14, 17, 20, 23, 26, 29, 32]
    assert rows[0].tolist() == [0, 0, 0, 0, 0, 3, 6, 9, 12]
    frames = np.array([0, 1, 2, 3, 9, 10])
    assert frames[window_rows(frames, 10.0)[3]].tolist() == [0, 0, 1, 2, 3, 3, 3, 9, 9]
    assert window_rows(np.array([5]), 24.0).tolist() == [[0] * WINDOW]


def test_a_clip_at_three_times_the_rate_gives_the_same():
    xy, visibility, world = seen()
    slow = corrected_over_time(np.arange(12), 10.0, xy, visibility, world, K)
    often = corrected_over_time(np.arange(36), 30.0, *(np.repeat(a, 3, axis=0) for a in (xy, visibility, world)), K)
    np.testing.assert_allclose(often[::3], slow, atol=1e-6)


def test_other_frames_do_not_matter_and_neighbours_do():
    xy, visibility, world = seen(30)
    before = corrected_over_time(np.arange(30), 10.0, xy, visibility, world, K)
    world[20:] += 0.1 * np.random.default_rng(1).normal(size=world[20:].shape)
    after = corrected_over_time(np.arange(30), 10.0, xy, visibility, world, K)
    np.testing.assert_allclose(after[: 20 - HALF], before[: 20 - HALF], atol=1e-6)
    assert np.abs(after[19] - before[19]).max() > 1e-4


def test_a_network_that_adds_nothing_leaves_the_linear_map():
    nothing = TemporalCorrector(Network(8).eval(), shipped_corrector(), "", "")
    found = corrected_over_time(np.arange(12), 10.0, *seen(), K, nothing)
    np.testing.assert_allclose(found, corrected_world(*seen(), K), atol=1e-9)


def test_the_shipped_network_is_small_and_says_whose_data_it_was_learnt_from():
    corrector = shipped_temporal()
    assert SHIPPED.stat().st_size < 1_100_000
    assert corrector.licence == "Apache-2.0" and "mocap.cs.cmu.edu" in corrector.attribution


def test_what_is_saved_is_loaded(tmp_path):
    torch.manual_seed(0)
    network = Network(8)
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.1)
    corrector = TemporalCorrector(network.eval(), shipped_corrector(), "a licence", "somebody's data")
    corrector.save(tmp_path / "network.npz")
    again = TemporalCorrector.load(tmp_path / "network.npz", shipped_corrector())
    assert (again.licence, again.attribution) == ("a licence", "somebody's data")
    one, other = (corrected_over_time(np.arange(12), 10.0, *seen(), K, c) for c in (corrector, again))
    np.testing.assert_allclose(one, other, atol=5e-3)  # half precision


@pytest.mark.parametrize("key", ["enter.bias", "layers.2.weight"])
def test_a_wrong_file_is_told(tmp_path, key):
    arrays = read_npz(SHIPPED)
    write_npz(tmp_path / "network.npz", {name: value for name, value in arrays.items() if name != key})
    with pytest.raises(UserError, match=f"network.npz.*{key}"):
        TemporalCorrector.load(tmp_path / "network.npz", shipped_corrector())
