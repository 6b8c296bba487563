"""Rotations told by the learnt network: mirror-symmetric, none of feet and hands, written and read alike."""

import numpy as np
import pytest
import torch

from pipeline.estimators.smplify.rotations import (
    OTHER,
    SHIPPED,
    TOLD,
    Head,
    RotationTeller,
    expected_pose,
    shipped_teller,
)
from pipeline.estimators.smplify.temporal import shipped_temporal
from pipeline.formats.arrays import read_npz, write_npz
from pipeline.landmarks.detector import LANDMARK_NAMES
from pipeline.landmarks.swaps import mirror_order
from pipeline.runtime.errors import UserError

K = np.array([[500.0, 0, 240], [0, 500, 320], [0, 0, 1]])


def seen(frames: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Landmarks of points that drift: xy, visibility, world."""
    rng = np.random.default_rng(0)
    world = rng.normal(0, 0.3, (33, 3)) + 0.05 * rng.normal(0, 1, (frames, 33, 3)).cumsum(0)
    world -= world[:, [LANDMARK_NAMES.index(f"{side}_hip") for side in ("left", "right")]].mean(1, keepdims=True)
    uvw = (world + np.array([0.4, -0.2, 3.0])) @ K.T
    return uvw[..., :2] / uvw[..., 2:], rng.uniform(0, 1, (frames, 33)), world


def test_a_mirrored_clip_gives_the_mirrored_rotations():
    xy, visibility, world = seen()
    order, flip = mirror_order(), np.array([-1.0, 1, 1])
    pose, error = expected_pose(np.arange(12), 10.0, xy, visibility, world, K)
    mirrored = (xy[:, order] - [480, 0]) * [-1, 1], visibility[:, order], world[:, order] * flip
    theirs, their_error = expected_pose(np.arange(12), 10.0, *mirrored, K)
    assert np.abs(pose).max() > 0.1
    np.testing.assert_allclose(theirs.reshape(12, 23, 3), pose.reshape(12, 23, 3)[:, OTHER] * [1, -1, -1], atol=1e-5)
    np.testing.assert_allclose(their_error.reshape(12, 23, 3), error.reshape(12, 23, 3)[:, OTHER], rtol=1e-4)


def test_of_feet_and_hands_nothing_is_told():
    error = expected_pose(np.arange(12), 10.0, *seen(), K)[1].reshape(12, 23, 3)
    told = np.isin(np.arange(23), TOLD)
    assert len(TOLD) == 19 and np.isinf(error[:, ~told]).all()
    assert (error[:, told] > 0).all() and (error[:, told] < np.pi).all()


def test_what_is_written_tells_the_same_when_it_is_read(tmp_path):
    torch.manual_seed(0)
    head = Head(shipped_temporal().network.leave.in_features).eval()
    torch.nn.init.normal_(head.leave.weight, 0, 0.1)
    teller = RotationTeller(head, shipped_temporal(), "a licence", "somebody's data")
    teller.save(tmp_path / "rotations.npz")
    again = RotationTeller.load(tmp_path / "rotations.npz", shipped_temporal())
    assert (again.licence, again.attribution) == ("a licence", "somebody's data")
    one, other = (expected_pose(np.arange(12), 10.0, *seen(), K, each)[0] for each in (teller, again))
    np.testing.assert_allclose(other, one, atol=2e-3)  # half precision
    arrays = read_npz(tmp_path / "rotations.npz")
    write_npz(tmp_path / "short.npz", {**arrays, "one.weight": arrays["one.weight"][:, 1:]})
    with pytest.raises(UserError, match=r"short\.npz: key 'one\.weight' should be of shape \(384, \d+\), found"):
        RotationTeller.load(tmp_path / "short.npz", shipped_temporal())


def test_the_layers_that_ship_are_small_and_name_whose_motion_they_learnt_from():
    assert SHIPPED.stat().st_size < 800_000
    assert "cmu.edu" in shipped_teller().attribution and shipped_teller().licence == "Apache-2.0"
