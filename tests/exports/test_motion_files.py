"""Motion files as the programs that read them do: add-ons for Blender, retargeters, biomechanics."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from export_readers import FRAMES, Glb, bvh_joints, in_world
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.body.hand import finger_offsets
from pipeline.exports.amass import write_amass, write_smplx
from pipeline.exports.bvh import body_skeleton, from_rest, with_hands, write_bvh
from pipeline.exports.names import BONE_NAMES
from pipeline.exports.rates import at_rate
from pipeline.exports.world import CAMERA_TO_Y_UP, CAMERA_TO_Z_UP, WorldMotion, to_world
from pipeline.formats.pose import Pose
from pipeline.motion.bvh import read_bvh


def add_on(path: Path, joints: int, target: int = 30) -> list[np.ndarray]:
    """What SMPL-X's and Meshcapade's add-ons do with an AMASS file, told in our words: the rotations of each key.

    A rate that is not whole is cut; one below the target is refused; rows are the skeleton's joints.
    """
    with np.load(path) as data:
        rate = int(data["mocap_frame_rate"]) if "mocap_frame_rate" in data else int(data["mocap_framerate"])
        assert str(data["gender"]) in ("female", "male", "neutral")
        assert data["trans"].shape == (len(data["poses"]), 3) and data["betas"].ndim == 1
        if rate < target:
            raise ValueError(f"{rate} below {target}")
        keys = []
        for row in data["poses"][:: rate // target]:
            rotations = row.reshape(-1, 3)
            keys.append(np.stack([rotations[joint] for joint in range(joints)]))
        return keys


def test_the_add_ons_read_both_layouts(results: Path, pose: Pose, body: BodyModel) -> None:
    expected = to_world(pose, body, CAMERA_TO_Z_UP).poses
    for name, joints in (("motion_smplx.npz", 55), ("motion_amass.npz", 52)):
        keys = add_on(results / "exports" / name, joints, target=25)
        assert len(keys) == FRAMES
        np.testing.assert_allclose([key[:22] for key in keys], expected[:, :22], atol=1e-6)
        assert not np.any([key[22:] for key in keys])  # face and fingers
    with pytest.raises(IndexError):
        add_on(results / "exports" / "motion_amass.npz", 55, target=25)  # why there are two


def test_smplx_parts_are_its_columns(results: Path) -> None:
    with np.load(results / "exports" / "motion_smplx.npz", allow_pickle=False) as data:
        smplx = dict(data)
    parts = ("root_orient", "pose_body", "pose_jaw", "pose_eye", "pose_hand")
    assert [smplx[part].shape[1] for part in parts] == [3, 63, 3, 6, 90]
    np.testing.assert_array_equal(np.concatenate([smplx[part] for part in parts], 1), smplx["poses"])
    # As retargeters (GMR) take it: numbers by .item(), betas as one row of 16.
    assert smplx["mocap_frame_rate"].item() == 25.0 and smplx["betas"].reshape(1, -1).shape == (1, 16)
    assert str(smplx["surface_model_type"]) == "smplx" and smplx["num_betas"].item() == 16
    assert smplx["mocap_time_length"].item() == pytest.approx(FRAMES / 25)


def slow_turn(frames: int, fps: float) -> WorldMotion:
    """Turning and walking at constant speeds, 0.2 rad and 1 m a second."""
    seconds = np.arange(frames) / fps
    poses = np.zeros((frames, 24, 3))
    poses[:, 0, 1] = poses[:, 5, 0] = 0.2 * seconds
    camera = np.tile(np.eye(4), (frames, 1, 1))
    camera[:, :3, :3] = Rotation.from_rotvec(poses[:, 0]).as_matrix()
    camera[:, 0, 3] = seconds
    return WorldMotion(poses, seconds[:, None] * [1.0, 0, 0], camera, fps)


@pytest.mark.parametrize(("before", "after"), [(30000 / 1001, 30.0), (59.94, 60.0), (50.0, 30.0), (24.0, 25.0)])
def test_another_rate_is_the_same_motion(before: float, after: float) -> None:
    motion = at_rate(slow_turn(301, before), after)
    expected = slow_turn(len(motion.poses), after)
    assert motion.fps == after and 0 <= 300 / before - (len(motion.poses) - 1) / after < 1 / after
    for name in ("poses", "transl", "world_from_camera"):
        np.testing.assert_allclose(getattr(motion, name), getattr(expected, name), atol=1e-9, err_msg=name)


def test_2997_frames_a_second_are_written_as_30(tmp_path: Path, pose: Pose, body: BodyModel) -> None:
    motion = to_world(replace(pose, fps=30000 / 1001), body, CAMERA_TO_Z_UP)
    write_smplx(tmp_path / "raw.npz", motion, pose.betas, "free", "as it is")
    with pytest.raises(ValueError, match="29 below 30"):
        add_on(tmp_path / "raw.npz", 55)
    write_smplx(tmp_path / "whole.npz", at_rate(motion, 30.0), pose.betas, "free", "resampled")
    assert len(add_on(tmp_path / "whole.npz", 55)) == FRAMES


def test_bvh_with_mixamos_names_and_a_rest_frame(tmp_path: Path, pose: Pose, body: BodyModel) -> None:
    motion, betas = to_world(pose, body, CAMERA_TO_Y_UP), torch.as_tensor(pose.betas).float()
    rest, soles = body.rest_joints(betas).double().numpy(), float(body.shaped(betas)[:, 1].min())
    write_bvh(tmp_path / "a.bvh", from_rest(replace(motion, fps=30), soles), body_skeleton(rest, BONE_NAMES["mixamo"]))
    text = (tmp_path / "a.bvh").read_text()
    assert "Frame Time: 0.033333333333\n" in text  # Blender makes 30 / 1.0 of it; of eight digits it does not
    found, _ = bvh_joints(text)
    assert {"Hips", "Spine2", "LeftUpLeg", "RightForeArm", "LeftToeBase", "Head"} <= set(found) and len(found) == 24
    expected = in_world(motion, pose.betas, body).joints.numpy()
    for index, name in enumerate(BONE_NAMES["mixamo"]):
        np.testing.assert_allclose(found[name][1:], 100 * expected[:, index], atol=5e-3)
        standing = 100 * (rest[index] - [0, soles, 0]) + 100 * motion.transl[0] * [1, 0, 1]
        np.testing.assert_allclose(found[name][0], standing, atol=5e-3)
    assert JOINT_NAMES[18] == "left_elbow" and BONE_NAMES["mixamo"][18] == "LeftForeArm"


@pytest.fixture(scope="module")
def handy(pose: Pose) -> Pose:
    """The same person, whose left hand closes while the right one is not seen."""
    fingers = np.zeros((FRAMES, 30, 3))
    fingers[:, :12, 2] = -np.linspace(0, 1, FRAMES)[:, None]
    fingers[:, 12, 1] = 0.3
    return replace(pose, hand_pose=fingers, hands_seen=np.tile([0.9, 0.0], (FRAMES, 1)))


def test_fingers_stand_in_the_columns_of_both_layouts(tmp_path: Path, handy: Pose, body: BodyModel) -> None:
    motion = to_world(handy, body, CAMERA_TO_Z_UP)
    write_amass(tmp_path / "h.npz", motion, handy.betas, "free")
    write_smplx(tmp_path / "x.npz", motion, handy.betas, "free", "test")
    with np.load(tmp_path / "h.npz") as smplh, np.load(tmp_path / "x.npz") as smplx:
        assert smplh["poses"].shape == (FRAMES, 156) and smplx["poses"].shape == (FRAMES, 165)
        for columns in (smplh["poses"][:, 66:], smplx["poses"][:, 75:], smplx["pose_hand"]):
            np.testing.assert_array_equal(columns.reshape(FRAMES, 30, 3), handy.hand_pose)


def test_fingers_stand_in_the_bvh(tmp_path: Path, handy: Pose, body: BodyModel) -> None:
    motion, betas = to_world(handy, body, CAMERA_TO_Y_UP), torch.as_tensor(handy.betas).float()
    skeleton = with_hands(body_skeleton(body.rest_joints(betas).double().numpy()), 0.2)
    write_bvh(tmp_path / "a.bvh", motion, skeleton)
    found, _ = bvh_joints((tmp_path / "a.bvh").read_text())
    assert len(found) == 52 and "left_hand" not in found and list(found)[-1] == "right_thumb3"
    posed = in_world(motion, handy.betas, body)
    wrist, place = posed.transforms[:, 20, :3, :3].double().numpy(), posed.joints[:, 20].numpy()
    flat = finger_offsets(0.2, "left")[0]
    reach = np.tile(flat[0], (FRAMES, 1))  # index1, then index2 about it
    np.testing.assert_allclose(found["left_index1"], 100 * (place + turned(wrist, reach)), atol=5e-3)
    reach = reach + Rotation.from_rotvec(handy.hand_pose[:, 0]).apply(flat[1])
    np.testing.assert_allclose(found["left_index2"], 100 * (place + turned(wrist, reach)), atol=5e-3)
    straight = found["right_middle3"] - found["right_middle2"], found["right_middle2"] - found["right_middle1"]
    np.testing.assert_allclose(np.cross(*straight), 0, atol=1e-3)


def turned(matrices: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.einsum("tij,tj->ti", matrices, points)


def test_the_stage_writes_fingers(results: Path, tmp_path: Path, handy: Pose) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(results / "fit", folder / "fit")
    handy.save(folder / "fit" / "pose_refined.npz")
    chosen = "fps: 50, bone_names: mixamo, bvh_rest_frame: true, posed_frames: 0, viewer: false"
    assert main(["export", str(folder), "--settings", f"{{{chosen}}}"]) == 0
    found, _ = bvh_joints((folder / "exports" / "motion.bvh").read_text())
    assert {"LeftHand", "LeftHandIndex1", "RightHandPinky3"} <= set(found) and len(found) == 52
    assert len(found["Hips"]) == 2 * FRAMES
    with np.load(folder / "exports" / "motion_smplx.npz") as data:
        hands = data["pose_hand"].reshape(-1, 30, 3)
        np.testing.assert_allclose(hands[::2], handy.hand_pose, atol=1e-9)
        np.testing.assert_allclose(hands[1], handy.hand_pose[:2].mean(0), atol=1e-9)
    again = read_bvh(folder / "exports" / "motion.bvh")  # the studio's reader, which has no fingers
    assert again.bones["left_wrist"] == "LeftHand"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("bone_names: unreal", "export.bone_names: expected smpl or mixamo, found 'unreal'"),
        ("fps: 0", "export.fps: expected 1 to 1000, or null for the clip's, found 0"),
        ("author: ' '", "export.author: expected some text"),
        ("licence: ''", "export.licence: expected some text"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "nowhere", "--settings", settings]) == 1
    assert said in capsys.readouterr().err


def test_the_stage_writes_another_rate_and_other_names(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(results / "fit", folder / "fit")
    files = "posed_frames: 0, viewer: false"
    chosen = "fps: 50, bone_names: mixamo, bvh_rest_frame: true, author: Ada, licence: 'https://x.org'"
    assert main(["export", str(folder), "--settings", f"{{{chosen}, {files}}}"]) == 0
    frames = 2 * FRAMES - 1  # of 25 a second
    found, frame_time = bvh_joints((folder / "exports" / "motion.bvh").read_text())
    assert found["LeftForeArm"].shape == (1 + frames, 3) and frame_time == pytest.approx(0.02)
    glb, vrm = (Glb(folder / "exports" / name) for name in ("motion.glb", "avatar.vrm"))
    assert glb.json["asset"]["extras"] == {"fps": 50, "frames": frames}
    assert {node["name"] for node in glb.json["nodes"]} >= {"Hips", "RightHand", "camera"}
    meta = vrm.json["extensions"]["VRMC_vrm"]["meta"]
    assert (meta["authors"], meta["licenseUrl"]) == (["Ada"], "https://x.org") and vrm.json["asset"][
        "copyright"
    ] == "Ada"
    with np.load(folder / "exports" / "motion_smplx.npz") as data:
        assert len(data["poses"]) == frames and data["mocap_frame_rate"].item() == 50
        assert str(data["source"]) == "humansplathmr, resampled from 25 to 50 frames a second"
    assert "50.000000" in (folder / "exports" / "motion.trc").read_text().split("\n")[2]
