"""BVH files by the names of their bones: what we write comes back, others stand and walk alike."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.exports.bvh import body_skeleton, write_bvh
from pipeline.exports.names import BONE_NAMES
from pipeline.exports.world import WorldMotion
from pipeline.motion.bvh import CLIP, read_bvh
from pipeline.motion.library import Motion, motion, rest_joints
from pipeline.runtime.errors import UserError


@pytest.fixture(scope="module")
def walk(body: BodyModel) -> Motion:
    return motion("walk", 12, 30, 0, body)


def write(path: Path, walk: Motion, body: BodyModel, names: str = "smpl") -> Path:
    world = WorldMotion(walk.poses.reshape(-1, 24, 3), walk.trans, np.eye(4), 30.0)
    write_bvh(path, world, body_skeleton(rest_joints(body, np.zeros(10)), BONE_NAMES[names]))
    return path


@pytest.mark.parametrize("names", ["smpl", "mixamo"])
@pytest.mark.parametrize("prefix", ["", "mixamorig:"])
def test_what_we_write_comes_back(tmp_path: Path, walk: Motion, body: BodyModel, names: str, prefix: str) -> None:
    path = write(tmp_path / "a.bvh", walk, body, names)
    path.write_text(re.sub(r"(ROOT|JOINT) ", rf"\1 {prefix}", path.read_text()))
    found = motion(str(path), None, 30, 0, body)
    turns, expected = (Rotation.from_rotvec(m.poses.reshape(-1, 3)) for m in (found, walk))
    moved = (turns * expected.inv()).magnitude().reshape(12, 24)
    wrists = [JOINT_NAMES.index(f"{side}_{end}") for side in ("left", "right") for end in ("wrist", "hand")]
    assert np.delete(moved, wrists, axis=1).max() < 1e-4
    if names == "smpl":
        assert moved.max() < 1e-4
    np.testing.assert_allclose(found.trans, walk.trans, atol=1e-4)
    twice = motion(str(path), None, 60, 0, body)  # its own rate is known
    assert len(twice.poses) == 23
    np.testing.assert_allclose(twice.trans[1] - twice.trans[0], (found.trans[1] - found.trans[0]) / 2, atol=1e-4)


def test_another_file_of_axes_is_turned_upright(tmp_path: Path, walk: Motion, body: BodyModel) -> None:
    """z up, facing x: offsets, places and turns alike (x y z -> z x y)."""
    path = write(tmp_path / "a.bvh", walk, body)
    lines = path.read_text().splitlines()
    for index, line in enumerate(lines):
        if (found := re.match(r"(\s*OFFSET )(\S+) (\S+) (\S+)", line)) is not None:
            lines[index] = f"{found[1]}{found[4]} {found[2]} {found[3]}"
        elif "CHANNELS" in line:
            lines[index] = line.translate(str.maketrans("XYZ", "YZX"))
    (tmp_path / "b.bvh").write_text("\n".join(lines))
    straight, turned = (motion(str(tmp_path / name), None, 30, 0, body) for name in ("a.bvh", "b.bvh"))
    np.testing.assert_allclose(turned.poses, straight.poses, atol=1e-5)
    np.testing.assert_allclose(turned.trans, straight.trans, atol=1e-5)


def test_toes_and_collars_may_lack(tmp_path: Path, walk: Motion, body: BodyModel) -> None:
    path = write(tmp_path / "a.bvh", walk, body, "mixamo")
    text = re.sub(r"(Left|Right)(ToeBase|Shoulder)", r"\1Whatever\2", path.read_text())
    path.write_text(text)
    mocap = read_bvh(path)
    assert "left_foot" not in mocap.bones and mocap.rate == pytest.approx(30)
    poses, _ = mocap.performed(CLIP, rest_joints(body, np.zeros(10)))
    assert np.abs(poses.reshape(-1, 24, 3)[:, JOINT_NAMES.index("left_foot")]).max() < 1e-9
    knee, ankle = JOINT_NAMES.index("left_knee"), JOINT_NAMES.index("left_ankle")
    shins = []
    for angles in (poses, walk.poses):
        orient, body_pose, betas, transl = (
            torch.as_tensor(a).float() for a in (angles[:, :3], angles[:, 3:], np.zeros(10), walk.trans)
        )
        joints = body(orient, body_pose, betas, transl).joints
        shins.append(joints[:, ankle] - joints[:, knee])
    torch.testing.assert_close(shins[0], shins[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("HIERARCHY", "HIERARCHIE"), "does not begin with HIERARCHY"),
        (("Frames: 12", "Frames: 13"), "values for 13 frames"),
        (("Frame Time: ", "Frame Time: -"), "frames of -"),
        (("left_hip", "bone_17"), "knows no bone for pelvis; expected SMPL's, Mixamo's or CMU's names, found pelvis"),
        (("OFFSET", "OFFSET x"), "could not convert"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, walk: Motion, body: BodyModel, change: tuple[str, str], said: str
) -> None:
    path = write(tmp_path / "bad.bvh", walk, body)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UserError, match=said) as error:
        read_bvh(path)
    assert "bad.bvh" in str(error.value)
    with pytest.raises(UserError, match="not read"):
        read_bvh(tmp_path / "none.bvh")


def test_a_rest_pose_that_does_not_stand_is_refused(tmp_path: Path, walk: Motion, body: BodyModel) -> None:
    """As of files whose bones all point along x at rest."""
    path = write(tmp_path / "lying.bvh", walk, body)
    path.write_text(re.sub(r"OFFSET \S+ \S+ \S+", "OFFSET 10 0 0", path.read_text()))
    with pytest.raises(UserError, match="rest pose"):
        read_bvh(path)
