"""Named places of a known motion, given back to the fit."""

import numpy as np
import pytest
import torch

from pipeline.body import JOINT_NAMES, load_body
from pipeline.body.anatomy import H36M, LIMBS, anatomical_joints
from pipeline.motion.fit_points import MID_HIPS, fit_points
from pipeline.runtime.errors import UserError

BODY = load_body("free")
FRAMES = 20


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float32)


def motion(seed: int, turned: float = 3.0) -> tuple[torch.Tensor, ...]:
    """Arguments of the body: joints turn by some tenths of a radian about any axis, elbows and knees as they can."""
    random = np.random.default_rng(seed)
    start, end = random.normal(0, 0.25, (2, 24, 3))
    rotations = start + np.linspace(0, 1, FRAMES)[:, None, None] * (end - start)
    rotations[:, [10, 11, 22, 23]] = 0  # toes and fingers
    rotations[:, 0] = [turned, 0.2, 0.1]
    transl = np.array([0.1, 0.2, 4.0]) + np.linspace(0, 1, FRAMES)[:, None] * [0.3, 0.0, 0.5]
    return (
        tensor(rotations[:, 0]),
        tensor(rotations[:, 1:].reshape(FRAMES, 69)),
        tensor(random.normal(0, 0.7, 10)),
        tensor(transl),
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_all_joints_come_back(seed: int) -> None:
    given = motion(seed)
    joints = BODY(*given).joints.numpy()
    fitted = fit_points(joints, JOINT_NAMES, BODY)
    rotations = tensor(fitted.rotations)
    found = BODY(rotations[:, 0], rotations[:, 1:].flatten(1), tensor(fitted.betas), tensor(fitted.transl)).joints
    assert np.linalg.norm(found.numpy() - joints, axis=2).mean() < 1e-3
    assert fitted.residual == pytest.approx(np.linalg.norm(found.numpy() - joints, axis=2).mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("names", "told"), [(LIMBS, LIMBS), (H36M, tuple(MID_HIPS if name == "pelvis" else name for name in H36M))]
)
def test_anatomical_centres_come_back(names: tuple[str, ...], told: tuple[str, ...]) -> None:
    given = motion(2)
    points = anatomical_joints(BODY, *given, names=names).numpy()
    fitted = fit_points(points, told, BODY)
    assert fitted.residual < 2e-3
    stature = float(BODY.stature(tensor(fitted.betas)))
    assert stature == pytest.approx(float(BODY.stature(given[2])), abs=0.06)


def test_landmark_vertices_and_strange_names(names: tuple[str, ...] = (*LIMBS, "LBigToe", "RHeel", "ball")) -> None:
    given = motion(3)
    limbs = anatomical_joints(BODY, *given).numpy()
    feet = BODY(*given).vertices[:, [BODY.vertex_ids["LBigToe"], BODY.vertex_ids["RHeel"]]].numpy()
    points = np.concatenate([limbs, feet, np.full((FRAMES, 1, 3), 99.0)], axis=1)
    assert fit_points(points, names, BODY).residual < 5e-3


def test_gaps_and_an_outlier() -> None:
    """A wrist that is not seen for some frames, and one that is somewhere else in one frame."""
    given = motion(4)
    truth = anatomical_joints(BODY, *given).numpy()
    points = truth.copy()
    points[5:9, LIMBS.index("l_wrist")] = np.nan
    points[12, LIMBS.index("r_ankle")] += 3.0
    points[15] = np.nan
    fitted = fit_points(points, LIMBS, BODY)
    rotations = tensor(fitted.rotations)
    found = anatomical_joints(
        BODY, rotations[:, 0], rotations[:, 1:].flatten(1), tensor(fitted.betas), tensor(fitted.transl)
    ).numpy()
    off = np.linalg.norm(found - truth, axis=2)
    assert off[5:9, LIMBS.index("l_wrist")].max() < 0.05
    assert off[12, LIMBS.index("r_knee")] < 0.03
    assert np.delete(off, [12, 15], axis=0).mean() < 5e-3


def test_arms_up_and_upside_down() -> None:
    """Far from the relaxed pose that holds what is not seen."""
    given = list(motion(5, turned=0.2))
    pose = given[1].reshape(FRAMES, 23, 3)
    pose[:, JOINT_NAMES.index("left_shoulder") - 1] = torch.tensor([0.0, 0.0, 1.3])
    pose[:, JOINT_NAMES.index("right_shoulder") - 1] = torch.tensor([0.0, 0.0, -1.3])
    given[1] = pose.flatten(1)
    points = anatomical_joints(BODY, *given).numpy()
    assert fit_points(points, LIMBS, BODY).residual < 2e-3


def test_one_frame() -> None:
    given = motion(6)
    points = BODY(*given).joints.numpy()[:1]
    assert fit_points(points, JOINT_NAMES, BODY).residual < 2e-3


def test_a_place_that_is_needed() -> None:
    with pytest.raises(UserError, match=r"l_shoulder is not among r_hip.*hips and shoulders are needed"):
        fit_points(np.zeros((3, 8, 3)), LIMBS[:8], BODY)
