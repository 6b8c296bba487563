"""Measured joints: what their file may hold, and the joints at any time."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.formats.joint_truth import NAMES, JointTruth
from pipeline.runtime.errors import UserError

ROWS = 5


def arrays(**changed: object) -> dict:
    """Each joint j of row t at (t, j, 0), rows every 20 ms."""
    joints = np.zeros((ROWS, 12, 3), np.float32)
    joints[..., 0], joints[..., 1] = np.arange(ROWS)[:, None], np.arange(12)
    made = {"joints": joints, "names": np.array(NAMES), "seconds": 0.02 * np.arange(ROWS), "frame": np.array("world")}
    return {key: value for key, value in (made | changed).items() if value is not None}


def load(folder: Path, **changed: object) -> JointTruth:
    np.savez(folder / "clip.npz", **arrays(**changed))
    return JointTruth.load(folder / "clip.npz")


def test_joints_are_found_by_name_among_others(tmp_path: Path) -> None:
    names = ["nose", *reversed(NAMES)]
    joints = np.concatenate([np.full((ROWS, 1, 3), 7.0), arrays()["joints"][:, ::-1]], 1)
    truth = load(tmp_path, names=np.array(names), joints=joints, wham=joints + 1)
    np.testing.assert_array_equal(truth.joints, arrays()["joints"])
    assert list(truth.others) == ["wham"] and truth.ok.all() and truth.K is None
    np.testing.assert_array_equal(truth.others["wham"], arrays()["joints"] + 1)


def test_a_joint_may_be_missing_in_a_row(tmp_path: Path) -> None:
    joints = arrays()["joints"].copy()
    joints[2, 3] = np.nan
    truth = load(tmp_path, joints=joints)
    assert not truth.ok[2, 3] and truth.ok.sum() == ROWS * 12 - 1 and np.isfinite(truth.joints).all()
    flags = np.ones((ROWS, 12), bool)
    flags[1, 0] = False
    assert not load(tmp_path, ok=flags).ok[1, 0]


def test_a_time_between_rows_is_on_the_line_between(tmp_path: Path) -> None:
    flags = np.ones((ROWS, 12), bool)
    flags[2, 5] = False
    truth = load(tmp_path, ok=flags, wham=arrays()["joints"] * 2)
    known, paired = truth.at(np.array([-0.02, -0.005, 0.02, 0.025, 0.05, 0.089, 0.1]))
    assert known.tolist() == [False, True, True, True, True, True, False]
    np.testing.assert_allclose(paired.joints[:, 0, 0], [0, 1, 1.25, 2.5, 4])
    np.testing.assert_allclose(paired.others["wham"][:, 0, 0], [0, 2, 2.5, 5, 8])
    assert paired.ok[:, 5].tolist() == [True, True, False, False, True]
    assert paired.ok[:, 4].all()


def test_nothing_is_known_within_a_gap(tmp_path: Path) -> None:
    truth = load(tmp_path, seconds=np.array([0, 0.02, 0.04, 1.0, 1.02]))
    known, _ = truth.at(np.array([0.04, 0.05, 0.5, 1.0]))
    assert known.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seconds": None}, "key 'seconds' is missing"),
        ({"names": np.array(NAMES[:-1])}, "'l_wrist' is missing"),
        ({"joints": np.zeros((ROWS, 11, 3))}, r"key 'joints' should have shape \(5, 12, 3\), found \(5, 11, 3\)"),
        ({"seconds": np.zeros(ROWS)}, "key 'seconds' should rise"),
        ({"seconds": np.array([0, 1, 2, 3, np.nan])}, "key 'seconds' holds nan"),
        ({"joints": np.full((ROWS, 12, 3), np.inf), "ok": np.ones((ROWS, 12), bool)}, "key 'joints' holds inf"),
        ({"ok": np.ones((ROWS, 3), bool)}, "key 'ok' should have shape"),
        ({"K": np.eye(2)}, r"key 'K' should have shape \(3, 3\)"),
        ({"wham": np.full((ROWS, 12, 3), np.nan)}, "key 'wham' holds nan"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changed: dict, told: str) -> None:
    with pytest.raises(UserError, match=told) as raised:
        load(tmp_path, **changed)
    assert "clip.npz" in str(raised.value)
