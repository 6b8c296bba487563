"""avatar.vrm and avatar_splats.glb by their specifications; motion.trc and joint_angles.csv by their definitions."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from export_readers import FPS, FRAMES, Glb, read_ply
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.avatar import Avatar
from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.body.anatomy import anatomical_joints
from pipeline.exports.angles import joint_angles
from pipeline.exports.ply import posed
from pipeline.exports.world import CAMERA_TO_Y_UP, WorldMotion, to_world
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.pose import Pose

# Those without which a model is no humanoid, and the bone that each must hang below (VRM 1.0, humanoid).
REQUIRED = {
    "hips": None, "spine": "hips", "head": "spine",
    "leftUpperLeg": "hips", "leftLowerLeg": "leftUpperLeg", "leftFoot": "leftLowerLeg",
    "rightUpperLeg": "hips", "rightLowerLeg": "rightUpperLeg", "rightFoot": "rightLowerLeg",
    "leftUpperArm": "spine", "leftLowerArm": "leftUpperArm", "leftHand": "leftLowerArm",
    "rightUpperArm": "spine", "rightLowerArm": "rightUpperArm", "rightHand": "rightLowerArm",
}  # fmt: skip


def test_vrm_is_a_humanoid_in_a_t_pose(results: Path) -> None:
    vrm = Glb(results / "exports" / "avatar.vrm")
    assert vrm.json["extensionsUsed"] == ["VRMC_vrm"]
    block = vrm.json["extensions"]["VRMC_vrm"]
    assert block["specVersion"] == "1.0"
    assert block["meta"]["name"] and block["meta"]["authors"] == ["not stated"]
    assert block["meta"]["licenseUrl"] == "https://vrm.dev/licenses/1.0/"
    bones = {bone: entry["node"] for bone, entry in block["humanoid"]["humanBones"].items()}
    assert len(set(bones.values())) == len(bones) == 22
    parents = {child: index for index, node in enumerate(vrm.json["nodes"]) for child in node.get("children", [])}

    def above(node: int) -> set[int]:
        return set() if node not in parents else {parents[node]} | above(parents[node])

    for bone, ancestor in REQUIRED.items():
        assert ancestor is None or bones[ancestor] in above(bones[bone]), bone
    place = {bone: vrm.world_matrices(None)[node, :3, 3] for bone, node in bones.items()}
    assert "animations" not in vrm.json
    for side, sign in (("left", 1), ("right", -1)):  # faces +z: its left is +x; arms level, legs down
        arm = place[f"{side}Hand"] - place[f"{side}UpperArm"]
        assert sign * arm[0] / np.linalg.norm(arm) > 0.97
        assert place[f"{side}Toes"][2] > place[f"{side}Foot"][2] + 0.05
    assert 0 < place["leftFoot"][1] < 0.15 and vrm.skinned(None)[:, 1].min() == pytest.approx(0, abs=1e-6)


def test_the_splat_glb_is_the_ply_in_gltfs_terms(results: Path) -> None:
    glb, ply = Glb(results / "exports" / "avatar_splats.glb"), read_ply(results / "exports" / "avatar.ply")
    assert glb.json["extensionsUsed"] == ["KHR_gaussian_splatting"] and "extensionsRequired" not in glb.json
    primitive = glb.json["meshes"][0]["primitives"][0]
    told = primitive["extensions"]["KHR_gaussian_splatting"]
    assert primitive["mode"] == 0 and told == {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    read = {name.split(":")[-1]: glb.accessor(index) for name, index in primitive["attributes"].items()}
    np.testing.assert_allclose(read["POSITION"], ply["means"].numpy() * [1, -1, -1], atol=1e-6)
    np.testing.assert_allclose(read["SCALE"], ply["scales"].numpy(), rtol=1e-5)
    np.testing.assert_allclose(read["OPACITY"][:, 0], ply["opacities"].numpy(), atol=1e-5)
    turned = Rotation.from_quat(np.roll(ply["quats"].numpy(), -1, axis=1))
    half = Rotation.from_euler("x", 180, degrees=True)
    assert (half * Rotation.from_quat(read["ROTATION"]) * turned.inv()).magnitude().max() < 1e-5

    # The colour that the specification's formula gives, seen along a direction, against that of the PLY's own frame.
    def color(harmonics: list[np.ndarray], direction: np.ndarray) -> np.ndarray:
        x, y, z = direction
        first = -y * harmonics[1] + z * harmonics[2] - x * harmonics[3]
        return 0.5 + 0.2820947917738781 * harmonics[0] + 0.4886025119029199 * first

    theirs = [read["SH_DEGREE_0_COEF_0"], *(read[f"SH_DEGREE_1_COEF_{index}"] for index in range(3))]
    ours = list(ply["sh"][:, :4].double().numpy().transpose(1, 0, 2))
    for direction in np.eye(3):
        np.testing.assert_allclose(color(theirs, direction * [1, -1, -1]), color(ours, direction), atol=1e-5)


def test_the_sequence_is_the_motion_on_the_ground(results: Path, tmp_path: Path, pose: Pose, body: BodyModel) -> None:
    """A PLY a frame with the axes and the look of avatar.ply; the same zip each time."""
    clip = tmp_path / "clip"
    clip.mkdir()
    (clip / "fit").symlink_to(results / "fit")
    packed = []
    for _ in range(2):
        assert main(["export", str(clip), "--settings", "{sequence: true, posed_frames: 0, viewer: false}"]) == 0
        packed.append((clip / "exports" / "avatar_sequence.zip").read_bytes())
    assert packed[0] == packed[1]
    with zipfile.ZipFile(clip / "exports" / "avatar_sequence.zip") as files:
        assert files.namelist() == [f"frame_{index:06d}.ply" for index in range(FRAMES)]
        last = read_ply(Path(files.extract(f"frame_{FRAMES - 1:06d}.ply", tmp_path)))
    world = to_world(pose, body, CAMERA_TO_Y_UP)
    avatar = Avatar.from_file(AvatarFile.load(results / "fit" / "avatar.npz"), body)
    means, _, _ = posed(avatar, body, world.poses[-1].reshape(72), world.transl[-1])
    np.testing.assert_allclose(last["means"].numpy(), means * [1, -1, -1], atol=1e-5)
    standing = read_ply(results / "exports" / "avatar.ply")
    for name in ("scales", "opacities", "sh"):
        np.testing.assert_allclose(last[name].numpy(), standing[name].numpy(), atol=1e-6)


def test_trc_holds_the_anatomical_centres(results: Path, pose: Pose, body: BodyModel) -> None:
    lines = (results / "exports" / "motion.trc").read_text().split("\n")
    assert lines[0].split("\t") == ["PathFileType", "4", "(X/Y/Z)", "motion.trc"]
    told = dict(zip(lines[1].split("\t"), lines[2].split("\t")))
    names = [name for name in lines[3].split("\t")[2:] if name]
    assert float(told["DataRate"]) == FPS and told["Units"] == "m"
    assert (int(told["NumFrames"]), int(told["NumMarkers"])) == (FRAMES, len(names)) == (FRAMES, 22)
    assert len(lines[4].split("\t")) == 2 + 3 * len(names) and lines[5] == ""
    rows = np.array([[float(word) for word in line.split("\t")] for line in lines[6:] if line])
    np.testing.assert_allclose(rows[:, 1], np.arange(FRAMES) / FPS, atol=1e-6)
    found = dict(zip(names, rows[:, 2:].reshape(FRAMES, -1, 3).transpose(1, 0, 2)))
    motion = to_world(pose, body, CAMERA_TO_Y_UP)
    poses, transl, betas = (torch.as_tensor(a).float() for a in (motion.poses, motion.transl, pose.betas))
    args = (poses[:, 0], poses[:, 1:].flatten(1), betas, transl)
    centres = anatomical_joints(body, *args, names=("r_hip", "l_elbow", "pelvis")).double().numpy()
    for index, name in enumerate(("RHip", "LElbow", "Hip")):
        x, y, z = centres[:, index].T
        np.testing.assert_allclose(found[name], np.stack([z, y, -x], 1), atol=1e-5)  # x ahead, z to the right
    toe = body(*args).vertices[:, body.vertex_ids["RBigToe"]].numpy()
    np.testing.assert_allclose(found["RBigToe"], toe[:, [2, 1, 0]] * [1, 1, -1], atol=1e-5)


def one_turn(joint: str, axis: str, degrees: float) -> pd.Series:
    poses = np.zeros((1, 24, 3))
    poses[0, JOINT_NAMES.index(joint), "xyz".index(axis)] = np.deg2rad(degrees)
    return joint_angles(WorldMotion(poses, np.zeros((1, 3)), np.eye(4), 30.0)).iloc[0]


@pytest.mark.parametrize(
    ("joint", "axis", "degrees", "column", "expected"),
    [
        ("left_hip", "x", -40, "hip_flexion_l", 40),
        ("right_hip", "x", -40, "hip_flexion_r", 40),
        ("left_hip", "z", 20, "hip_adduction_l", -20),
        ("right_hip", "z", -20, "hip_adduction_r", -20),
        ("left_hip", "y", -15, "hip_rotation_l", 15),
        ("right_hip", "y", 15, "hip_rotation_r", 15),
        ("left_knee", "x", 70, "knee_flexion_l", 70),
        ("right_ankle", "x", -10, "ankle_dorsiflexion_r", 10),
        ("left_elbow", "y", -90, "elbow_flexion_l", 90),
        ("right_elbow", "y", 90, "elbow_flexion_r", 90),
        ("left_shoulder", "z", -60, "shoulder_elevation_l", 30),
        ("right_shoulder", "z", 60, "shoulder_elevation_r", 30),
        ("left_shoulder", "y", -90, "shoulder_plane_l", 90),
        ("right_shoulder", "y", 90, "shoulder_plane_r", 90),
        ("spine2", "x", 25, "trunk_flexion", 25),
        ("spine2", "z", 25, "trunk_bending", 25),
        ("pelvis", "y", 100, "pelvis_rotation", 100),
        ("pelvis", "z", 10, "pelvis_list", 10),
        ("head", "y", 30, "head_rotation", 30),
    ],
)
def test_angles_are_named_by_what_they_do(
    joint: str, axis: str, degrees: float, column: str, expected: float, body: BodyModel
) -> None:
    """By the signs of the definitions; where the leg or the trunk goes is looked up on the body's own joints below."""
    row = one_turn(joint, axis, degrees)
    assert row[column] == pytest.approx(expected, abs=1e-9)
    others = row.drop([column, "seconds"]).filter(regex="^(?!shoulder)")
    assert np.abs(others).max() < 1e-6


def test_the_signs_are_those_of_the_body(body: BodyModel) -> None:
    """Where a joint goes under an angle that is named positive."""
    for joint, axis, degrees, end, towards in (
        ("left_hip", "x", -40, "left_knee", [0, 0, 1]),  # flexion: ahead
        ("left_hip", "z", -20, "left_knee", [-1, 0, 0]),  # adduction of the left leg: to the right
        ("right_hip", "z", 20, "right_knee", [1, 0, 0]),
        ("right_hip", "y", 15, "right_foot", [1, 0, 0]),  # inward
        ("left_knee", "x", 70, "left_ankle", [0, 0, -1]),  # back
        ("left_elbow", "y", -90, "left_wrist", [0, 0, 1]),  # the forearm ahead
        ("spine2", "z", 25, "head", [-1, 0, 0]),  # bending to the right
        ("right_ankle", "x", -10, "right_foot", [0, 1, 0]),  # toes up
    ):
        poses = torch.zeros(2, 24, 3)
        poses[1, JOINT_NAMES.index(joint), "xyz".index(axis)] = np.deg2rad(degrees)
        joints = body(poses[:, 0], poses[:, 1:].flatten(1), torch.zeros(10), torch.zeros(2, 3)).joints.numpy()
        moved = joints[1, JOINT_NAMES.index(end)] - joints[0, JOINT_NAMES.index(end)]
        assert moved @ towards > 0.5 * np.linalg.norm(moved) > 0, (joint, axis)


def test_the_table_of_angles_has_a_row_a_frame(results: Path) -> None:
    table = pd.read_csv(results / "exports" / "joint_angles.csv")
    assert len(table) == FRAMES and np.isfinite(table.to_numpy()).all()
    assert table["pelvis_rotation"].diff().abs().max() < 90  # full turns are counted
    assert table["hip_flexion_l"].iloc[-1] > 80  # the left thigh, beyond 90 degrees
