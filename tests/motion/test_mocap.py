"""Motion capture on CMU's skeleton, performed by our body: limbs point where the performer's do."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, load_body
from pipeline.motion.library import motion
from pipeline.motion.mocap import read_mocap
from pipeline.runtime.errors import UserError

NAMES = [
    "Hips", "LHipJoint", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToeBase", "RHipJoint", "RightUpLeg", "RightLeg",
    "RightFoot", "RightToeBase", "LowerBack", "Spine", "Spine1", "Neck", "Neck1", "Head", "LeftShoulder", "LeftArm",
    "LeftForeArm", "LeftHand", "RightShoulder", "RightArm", "RightForeArm", "RightHand",
]  # fmt: skip
PARENTS = [-1, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 0, 11, 12, 13, 14, 15, 13, 17, 18, 19, 13, 21, 22, 23]
LEG, FOOT, ARM = (2.4, -6.6, 0), (0.1, -0.4, 2), (4, 0.2, 0)  # legs stand apart at rest, as CMU's do
OFFSETS = [
    (0, 0, 0), (0, 0, 0), (2, -2, 1), LEG, LEG, FOOT, (0, 0, 0), (-2, -2, 1), *[(-LEG[0], *LEG[1:])] * 2, FOOT,
    (0, 0, 0), (0, 2, 0), (0, 2, 0), (0, 0, 0), (0, 1.5, 0), (0, 1.5, 0), (0, 0, 0), (3, 1, 0), ARM, ARM,
    (0, 0, 0), (-3, 1, 0), (-4, 0.2, 0), (-4, 0.2, 0),
]  # fmt: skip


def arrays(frames: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    root = np.stack([np.linspace(3, 4, frames), np.full(frames, 17.0), np.zeros(frames)], 1)
    clip = {"rotvecs": rng.normal(0, 0.3, (frames, len(NAMES), 3)), "root": root, "offsets": np.array(OFFSETS)}
    return {"names": np.array(NAMES), "parents": np.array(PARENTS), **{f"07_01/{k}": v for k, v in clip.items()}}


@pytest.fixture
def file(tmp_path):
    np.savez(tmp_path / "mocap.npz", **arrays())
    return tmp_path / "mocap.npz"


@pytest.fixture(scope="module")
def body():
    return load_body("free")


def performer(data: dict) -> np.ndarray:
    """(T, J, 3) where the captured skeleton's joints are."""
    turns, points = [], []
    for j, parent in enumerate(PARENTS):
        local = Rotation.from_rotvec(data["07_01/rotvecs"][:, j])
        turns.append(local if parent < 0 else turns[parent] * local)
        at = data["07_01/root"] if parent < 0 else points[parent] + turns[parent].apply(data["07_01/offsets"][j])
        points.append(at)
    return np.stack(points, 1)


def test_limbs_point_where_the_performers_do(file, body):
    moving = motion(f"{file}:07_01", 6, 30, 0, body)
    pose, trans = (torch.as_tensor(a, dtype=torch.float32) for a in (moving.poses, moving.trans))
    out = body(pose[:, :3], pose[:, 3:], torch.zeros(10), trans)
    ours, theirs = out.joints.numpy(), performer(arrays())
    for a, b, c, d in (
        ("left_hip", "left_knee", "LeftUpLeg", "LeftLeg"),
        ("left_knee", "left_ankle", "LeftLeg", "LeftFoot"),
        ("right_hip", "right_knee", "RightUpLeg", "RightLeg"),
        ("left_shoulder", "left_elbow", "LeftArm", "LeftForeArm"),
        ("right_elbow", "right_wrist", "RightForeArm", "RightHand"),
    ):
        bone = ours[:, JOINT_NAMES.index(b)] - ours[:, JOINT_NAMES.index(a)]
        want = theirs[:, NAMES.index(d)] - theirs[:, NAMES.index(c)]
        cosine = (bone * want).sum(1) / np.linalg.norm(bone, axis=1) / np.linalg.norm(want, axis=1)
        assert (cosine > 1 - 1e-4).all(), b
    assert out.vertices[..., 1].min().item() == pytest.approx(0, abs=1e-5)
    # The path is as long in legs as theirs.
    legs = np.linalg.norm(ours[0, 4] - ours[0, 1]) + np.linalg.norm(ours[0, 7] - ours[0, 4])
    assert np.ptp(ours[:, 0, 0]) / legs == pytest.approx(1 / (2 * np.linalg.norm(LEG)), rel=1e-3)


def test_a_clip_is_resampled_and_ends_where_it_ends(file):
    mocap, rest = read_mocap(file), load_body("free").rest_joints(torch.zeros(10)).numpy()
    whole, _ = mocap.performed("07_01", rest)
    half, trans = mocap.resampled("07_01", rest, 10, 15)
    np.testing.assert_array_equal(half, whole[::2])
    assert trans.shape == (3, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("parents"), "CMU's skeleton"),
        (lambda data: data.update(names=np.array(["Hips"] * len(NAMES))), "CMU's skeleton"),
        (lambda data: data.pop("07_01/root"), "lacks root"),
        (lambda data: data.update({"07_01/root": np.zeros((2, 3))}), "07_01: expected"),
        (lambda data: [data.pop(f"07_01/{k}") for k in ("root", "rotvecs")], "no clip"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, change, said):
    data = arrays()
    change(data)
    np.savez(tmp_path / "bad.npz", **data)
    with pytest.raises(UserError, match=said):
        read_mocap(tmp_path / "bad.npz")


def test_an_unknown_clip_is_named(file, body):
    with pytest.raises(UserError, match="no clip '99_99'"):
        motion(f"{file}:99_99", 6, 30, 0, body)
