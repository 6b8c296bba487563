"""Exports, each read back by another reader or by maths written here, against the body's own joints and vertices."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from export_readers import FPS, FRAMES, Glb, bvh_joints, in_world, posed, read_ply
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from plyfile import PlyData
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.avatar import Avatar, render_avatar
from pipeline.avatar.widening import pixels_per_metre, widened
from pipeline.body import JOINT_NAMES, BodyModel, skin
from pipeline.exports.amass import write_amass
from pipeline.exports.bvh import body_skeleton, continuous_euler, write_bvh
from pipeline.exports.colors import surface_colors, vertex_colors
from pipeline.exports.glb import write_glb
from pipeline.exports.ply import write_ply
from pipeline.exports.rig import Rig, largest_weights
from pipeline.exports.world import CAMERA_TO_Y_UP, CAMERA_TO_Z_UP, WorldMotion, to_world
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.pose import Pose
from pipeline.motion.files import load_motion_file
from pipeline.splatting import rasterization

PELVIS_TO_FLOOR = 0.98  # metres, of the mean body


# ----------------------------------------------------------------------------------------------------- AMASS


def test_amass_gives_the_joints_back(results: Path, pose: Pose, body: BodyModel) -> None:
    with np.load(results / "exports" / "motion_amass.npz", allow_pickle=False) as data:
        amass = dict(data)
    assert {"poses", "trans", "betas", "dmpls", "gender", "mocap_framerate"} <= set(amass)
    assert amass["poses"].shape == (FRAMES, 156) and amass["betas"].shape == (16,)
    assert str(amass["gender"]) == "neutral" and float(amass["mocap_framerate"]) == FPS
    read = replace(
        pose,
        global_orient=amass["poses"][:, :3],
        body_pose=np.concatenate([amass["poses"][:, 3:66], np.zeros((FRAMES, 6))], axis=1),
        betas=amass["body_betas"],
        transl=amass["trans"],
    )
    expected = in_world(to_world(pose, body, CAMERA_TO_Z_UP), pose.betas, body).joints.numpy()
    assert amass["world_from_camera"].shape == (FRAMES, 4, 4)
    np.testing.assert_allclose(posed(read, body).joints.numpy(), expected, atol=2e-5)
    assert expected[0, 0, 2] == pytest.approx(PELVIS_TO_FLOOR, abs=0.25)  # z is up


def test_betas_go_to_amass_only_where_they_mean_the_same(pose: Pose, body: BodyModel, tmp_path: Path) -> None:
    motion = to_world(pose, body, CAMERA_TO_Z_UP)
    for name, expected in (("smpl", pose.betas), ("free", np.zeros(10))):
        write_amass(tmp_path / f"{name}.npz", motion, pose.betas, name)
        with np.load(tmp_path / f"{name}.npz") as data:
            np.testing.assert_array_equal(data["betas"], [*expected, *np.zeros(6)])


def test_the_studio_reads_the_amass_file(results: Path, pose: Pose, body: BodyModel) -> None:
    pelvis = body.rest_joints(torch.as_tensor(pose.betas, dtype=torch.float32))[0].numpy()
    poses, trans = load_motion_file(results / "exports" / "motion_amass.npz", (), FRAMES, FPS, pelvis)
    expected = to_world(pose, body, CAMERA_TO_Y_UP)
    np.testing.assert_allclose(poses[:, 3:66], expected.poses.reshape(FRAMES, 72)[:, 3:66], atol=1e-6)
    turned = Rotation.from_rotvec(poses[:, :3]) * Rotation.from_rotvec(expected.poses[:, 0]).inv()
    assert turned.magnitude().max() < 1e-5
    np.testing.assert_allclose(np.diff(trans, axis=0), np.diff(expected.transl, axis=0), atol=1e-5)


# ------------------------------------------------------------------------------------------------------- BVH


def test_bvh_kinematics_give_the_joints_back(results: Path, pose: Pose, body: BodyModel) -> None:
    found, frame_time = bvh_joints((results / "exports" / "motion.bvh").read_text())
    expected = in_world(to_world(pose, body, CAMERA_TO_Y_UP), pose.betas, body).joints.numpy()
    assert set(found) == set(JOINT_NAMES)
    for index, name in enumerate(JOINT_NAMES):
        np.testing.assert_allclose(found[name], 100 * expected[:, index], atol=5e-3)
    assert frame_time == pytest.approx(1 / FPS)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (4, 2, 3), elements=st.floats(-3.2, 3.2) | st.sampled_from([0.0, np.pi / 2, -np.pi / 2])))
def test_euler_angles_are_the_same_rotations(poses: np.ndarray) -> None:
    angles = continuous_euler(poses).reshape(-1, 3)
    again = Rotation.from_euler("ZXY", angles, degrees=True)
    assert (again * Rotation.from_rotvec(poses.reshape(-1, 3)).inv()).magnitude().max() < 1e-6


def test_euler_angles_do_not_jump_when_a_hip_passes_90_degrees() -> None:
    bend = Rotation.from_euler(
        "XYZ", np.stack([np.linspace(0, -130, 40), np.full(40, 9), np.full(40, 4)], 1), degrees=True
    )
    angles = continuous_euler(bend.as_rotvec()[:, None])[:, 0]
    assert np.abs(np.diff(angles, axis=0)).max() < 60  # the curve is steep there, for any such angles
    assert np.abs(np.diff(bend.as_euler("ZXY", degrees=True), axis=0)).max() > 150  # as they come, they jump


# ------------------------------------------------------------------------------------------------------- GLB


def test_glb_plays_the_motion(results: Path, pose: Pose, body: BodyModel) -> None:
    glb = Glb(results / "exports" / "motion.glb")
    output = in_world(to_world(pose, body, CAMERA_TO_Y_UP), pose.betas, body)
    joints, vertices = output.joints.numpy(), output.vertices.numpy()
    ids, weights = largest_weights(body.weights.double().numpy())
    kept = torch.zeros_like(body.weights)
    kept.scatter_add_(1, torch.from_numpy(ids), torch.from_numpy(weights).float())
    four = skin(body.shaped(torch.as_tensor(pose.betas).float()), kept, output.transforms).numpy()
    for frame in (0, 4, FRAMES - 1):
        np.testing.assert_allclose(glb.world_matrices(frame)[:24, :3, 3], joints[frame], atol=2e-5)
        skinned = glb.skinned(frame)
        assert np.linalg.norm(skinned - four[frame], axis=1).max() < 1e-4
        distance = np.linalg.norm(skinned - vertices[frame], axis=1)
        assert distance.max() < 0.02 and distance.mean() < 1e-4  # only the fifth and later weights are lost
    animation = glb.json["animations"][0]
    times = glb.accessor(animation["samplers"][0]["input"])
    np.testing.assert_allclose(times[:, 0], np.arange(FRAMES) / FPS, atol=1e-6)
    for sampler in animation["samplers"][1:]:
        keys = glb.accessor(sampler["output"])
        assert ((keys[1:] * keys[:-1]).sum(1) >= 0).all()  # the short way between keys


def test_glb_stands_at_rest_with_bones_along_the_limbs(results: Path) -> None:
    glb = Glb(results / "exports" / "motion.glb")
    skinned, matrices = glb.skinned(None), glb.world_matrices(None)
    assert skinned[:, 1].min() == pytest.approx(0, abs=1e-6) and 1.4 < np.ptp(skinned[:, 1]) < 2.1
    positions = glb.accessor(glb.json["meshes"][0]["primitives"][0]["attributes"]["POSITION"])
    np.testing.assert_allclose(skinned, positions, atol=1e-5)
    place = {name: matrices[index, :3, 3] for index, name in enumerate(JOINT_NAMES)}
    for bone, end in (
        ("left_hip", "left_knee"), ("right_knee", "right_ankle"), ("left_shoulder", "left_elbow"),
        ("right_elbow", "right_wrist"), ("spine1", "spine2"), ("neck", "head"), ("pelvis", "spine1"),
    ):  # fmt: skip
        along = place[end] - place[bone]
        y = matrices[JOINT_NAMES.index(bone), :3, 1]
        assert y @ along / np.linalg.norm(along) == pytest.approx(1, abs=1e-5), bone
    np.testing.assert_allclose(np.linalg.det(matrices[:, :3, :3]), 1, atol=1e-5)


@pytest.mark.parametrize("moving", [False, True])
def test_the_glbs_camera_sees_the_person_where_the_video_does(
    pose: Pose, body: BodyModel, tmp_path: Path, moving: bool
) -> None:
    camera = np.tile(np.eye(4), (FRAMES, 1, 1))
    camera[:, :3, :3] = CAMERA_TO_Y_UP
    if moving:  # a camera that walks sideways
        camera[:, 0, 3] = np.linspace(0, 1, FRAMES)
    root = body.rest_joints(torch.as_tensor(pose.betas).float())[0].double().numpy()
    orient = Rotation.from_matrix(CAMERA_TO_Y_UP) * Rotation.from_rotvec(pose.global_orient)
    motion = WorldMotion(
        poses=np.concatenate([orient.as_rotvec(), pose.body_pose], axis=1).reshape(-1, 24, 3),
        transl=(root + pose.transl) @ CAMERA_TO_Y_UP.T + camera[:, :3, 3] - root,
        world_from_camera=camera if moving else camera[0],
        fps=FPS,
    )
    write_glb(tmp_path / "a.glb", motion, body, Rig.of(body, pose.betas), None, pose.K)
    glb = Glb(tmp_path / "a.glb")
    (index,) = [number for number, node in enumerate(glb.json["nodes"]) if "camera" in node]
    lens = glb.json["cameras"][0]["perspective"]
    told = glb.json["animations"][0]
    assert (index in {channel["target"]["node"] for channel in told["channels"]}) == moving
    assert told["extras"] == glb.json["asset"]["extras"] == {"fps": FPS, "frames": FRAMES}
    expected = posed(pose, body).joints.double().numpy()
    for frame in (0, FRAMES - 1):
        matrices = glb.world_matrices(frame)
        view = np.linalg.inv(matrices[index])
        seen = matrices[:24, :3, 3] @ view[:3, :3].T + view[:3, 3]
        high = np.tan(lens["yfov"] / 2)
        ndc = seen[:, :2] / -seen[:, 2:] / [high * lens["aspectRatio"], high]
        pixels = (ndc * [1, -1] + 1) * pose.K[:2, 2]
        projected = expected[frame] @ pose.K.T
        np.testing.assert_allclose(pixels, projected[:, :2] / projected[:, 2:], atol=1e-3)


def open_mesh(path: Path) -> trimesh.Trimesh:
    (mesh,) = trimesh.load_scene(path, process=False).geometry.values()
    return mesh


def test_glb_opens_in_trimesh_with_the_avatars_colours(results: Path, body: BodyModel) -> None:
    mesh = open_mesh(results / "exports" / "motion.glb")
    assert mesh.faces.shape == tuple(body.faces.shape)
    assert 1.4 < mesh.extents[1] < 2.1 and mesh.volume > 0.04
    rgb = mesh.visual.vertex_attributes["color"][:, :3].astype(float)
    left, right = (np.abs(mesh.vertices[:, 0]) > 0.1) & (np.sign(mesh.vertices[:, 0])[None] == [[1], [-1]])
    assert (rgb[left, 0] > 180).mean() > 0.99 and (rgb[left, 2] < 20).mean() > 0.99
    assert (rgb[right, 2] > 180).mean() > 0.99 and (rgb[right, 0] < 20).mean() > 0.99


def test_glb_without_an_avatar_is_grey(pose: Pose, body: BodyModel, tmp_path: Path) -> None:
    motion = to_world(pose, body, CAMERA_TO_Y_UP)
    write_glb(tmp_path / "grey.glb", motion, body, Rig.of(body, pose.betas), None, pose.K)
    rgb = open_mesh(tmp_path / "grey.glb").visual.vertex_attributes["color"][:, :3]
    assert np.ptp(rgb) == 0 and rgb[0, 0] == round(255 * ((0.6 + 0.055) / 1.055) ** 2.4)


def test_vertex_colours_prefer_near_and_opaque_gaussians() -> None:
    def avatar(opacities: list[float]) -> Avatar:
        sh = torch.tensor([[[1.7, -1.7, -1.7]], [[-1.7, -1.7, 1.7]]])
        means = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.01, 0.0]])
        blank = torch.zeros(2, 1)
        return Avatar(means, blank, blank, torch.tensor(opacities), sh, blank, torch.zeros(10))

    points = np.array([[0.0, 0.0, 0.0], [0.0, 0.01, 0.0], [0.0, 5.0, 0.0]])
    even = vertex_colors(points, avatar([0.9, 0.9]))
    assert even[0, 0] > even[0, 2] and even[1, 2] > even[1, 0]
    assert np.isfinite(even).all() and even[2].sum() > 0.5
    np.testing.assert_allclose(vertex_colors(points, avatar([0.9, 1e-9]))[:, 0], 0.5 + 0.28209479 * 1.7, atol=1e-6)


def test_vertex_colours_are_what_is_seen_from_outside() -> None:
    """A red disc on the surface, a blue one 1 cm below it, a green one at the back 20 cm away."""
    flat = torch.tensor([[0.01, 0.01, 1e-4]]).repeat(3, 1)
    quats, blank = torch.tensor([[1.0, 0, 0, 0]]).repeat(3, 1), torch.zeros(3, 1)
    means = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, -0.01], [0.0, 0.0, -0.2]])
    sh = (3.4 * torch.eye(3)[[0, 2, 1]] - 1.7)[:, None]
    stripes = Avatar(means, quats, flat, torch.tensor([0.9, 0.9, 0.9]), sh, blank, torch.zeros(10))
    points, normals = np.array([[0.0, 0, 0], [0, 0, -0.01], [0, 0, -0.2]]), np.array([[0.0, 0, 1]] * 2 + [[0, 0, -1]])
    front, below, back = surface_colors(points, normals, stripes)
    # 0.9 of the red one, and of the tenth that passes it 0.9 of the blue one
    np.testing.assert_allclose(front[0] / front[2], (0.9 * 0.98 + 0.09 * 0.02) / (0.9 * 0.02 + 0.09 * 0.98), rtol=0.01)
    np.testing.assert_allclose(below, front, atol=1e-3)
    assert back[1] > 0.97 and back[0] < 0.03
    aside = surface_colors(np.array([[0.5, 0.0, 0.0]]), normals[:1], stripes)  # meets none
    np.testing.assert_allclose(aside, vertex_colors(np.array([[0.5, 0.0, 0.0]]), stripes))


# ------------------------------------------------------------------------------------------------------- PLY


def test_ply_has_the_standard_properties_in_order(results: Path) -> None:
    ply = PlyData.read(str(results / "exports" / "avatar.ply"))
    expected = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{i}" for i in range(45))]
    expected += ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    assert [prop.name for prop in ply["vertex"].properties] == expected
    assert not ply.text and ply.byte_order == "<"
    assert {prop.val_dtype for prop in ply["vertex"].properties} == {"f4"}


def test_canonical_ply_says_how_well_each_gaussian_was_seen(results: Path, avatar_file: AvatarFile) -> None:
    """In a column of its own behind the standard ones; the other files have those alone."""
    standard = [prop.name for prop in PlyData.read(str(results / "exports" / "avatar.ply"))["vertex"].properties]
    vertex = PlyData.read(str(results / "exports" / "avatar_canonical.ply"))["vertex"]
    assert [prop.name for prop in vertex.properties] == [*standard, "seen"]
    np.testing.assert_array_equal(vertex["seen"], avatar_file.seen)
    assert vertex["seen"].dtype == np.float32
    told = json.loads((results / "provenance" / "export.json").read_text())["facts"]["never filmed, %"]
    assert told == pytest.approx(100 * (1 - avatar_file.seen.mean()), abs=0.06)


def test_canonical_ply_is_the_avatar_facing_the_viewer(results: Path, pose: Pose, avatar_file: AvatarFile) -> None:
    read = read_ply(results / "exports" / "avatar_canonical.ply")
    np.testing.assert_allclose(read["means"].numpy(), avatar_file.means * [1, -1, -1], atol=1e-6)
    thick = np.sqrt(avatar_file.scales**2 + 0.3 / (90 / 3) ** 2)  # 90 px focal length, 3 m away
    np.testing.assert_allclose(read["scales"].numpy(), thick, rtol=1e-5)
    np.testing.assert_allclose(read["opacities"].numpy(), avatar_file.opacities, atol=1e-5)
    np.testing.assert_allclose(read["sh"][:, :4].numpy(), avatar_file.sh, atol=1e-6)
    assert read["sh"][:, 4:].abs().max() == 0
    turned = Rotation.from_quat(np.roll(read["quats"].numpy(), -1, axis=1))
    expected = Rotation.from_euler("x", 180, degrees=True) * Rotation.from_quat(np.roll(avatar_file.quats, -1, axis=1))
    assert (turned * expected.inv()).magnitude().max() < 1e-5


def test_the_avatar_stands_on_the_ground_of_a_viewer(results: Path, avatar_file: AvatarFile) -> None:
    """y points down there: the feet are at 0, the head above, the arms beside the body; the face looks at -z."""
    means = read_ply(results / "exports" / "avatar.ply")["means"].numpy()
    assert -0.01 < means[:, 1].max() < 0.03 and -2.1 < means[:, 1].min() < -1.4
    canonical = read_ply(results / "exports" / "avatar_canonical.ply")["means"].numpy()
    assert np.ptp(means[:, 0]) < 1.1 < 1.3 < np.ptp(canonical[:, 0])
    assert abs(means[:, 0].mean()) < 0.03
    feet = means[means[:, 1] > -0.05]
    assert feet[:, 2].min() < -0.1  # toes


def test_widened_gaussians_are_what_the_fit_saw_enlarged(pose: Pose, avatar_file: AvatarFile, body: BodyModel) -> None:
    """A viewer that enlarges eight times: the thickness in metres does what a widening in pixels, enlarged, does."""
    avatar = Avatar.from_file(avatar_file, body)
    thick = replace(avatar, scales=torch.from_numpy(widened(avatar_file.scales, pixels_per_metre(pose))).float())
    assert pixels_per_metre(pose) == pytest.approx(30)
    zoom, side = 8, 256
    K = torch.tensor([[[90.0 * zoom, 0, side / 2], [0, 90.0 * zoom, side / 2], [0, 0, 1]]])
    pictures = []
    for each, eps2d in ((avatar, 0.3 * zoom**2), (thick, 1e-6)):
        means = each.means * torch.tensor([1, -1, -1]) + torch.tensor([0, 0, 3.0])
        look = (each.scales, each.opacities, each.sh[:, :1])
        spheres = torch.tensor([1.0, 0, 0, 0]).expand(len(means), 4)
        view = (torch.eye(4)[None], K, side, side)
        pictures.append(rasterization(means, spheres, *look, *view, eps2d=eps2d, sh_degree=0)[0])
    assert pictures[0].max() > 0.5
    assert (pictures[0] - pictures[1]).abs().mean() < 2e-3


def test_posed_ply_renders_to_the_same_picture(
    results: Path, pose: Pose, avatar_file: AvatarFile, body: BodyModel
) -> None:
    files = sorted((results / "exports").glob("avatar_posed_*.ply"))
    assert [path.name for path in files] == ["avatar_posed_000003.ply", "avatar_posed_000005.ply"]
    K = torch.as_tensor(pose.K, dtype=torch.float32)
    for path, frame in zip(files, (3, 5)):
        read = read_ply(path)
        picture, alpha, _ = rasterization(
            read["means"],
            read["quats"],
            read["scales"],
            read["opacities"],
            read["sh"][:, :4],
            torch.eye(4)[None],
            K[None],
            64,
            96,
            sh_degree=1,
        )
        motion = (
            torch.as_tensor(a[frame], dtype=torch.float32) for a in (pose.global_orient, pose.body_pose, pose.transl)
        )
        avatar = Avatar.from_file(avatar_file, body)
        thick = replace(avatar, scales=torch.from_numpy(widened(avatar_file.scales, pixels_per_metre(pose))).float())
        expected, expected_alpha = render_avatar(thick, body, *motion, K, 64, 96)
        assert expected_alpha.max() > 0.9
        torch.testing.assert_close(picture[0], expected, atol=2e-4, rtol=0)
        torch.testing.assert_close(alpha[0, ..., 0], expected_alpha, atol=2e-4, rtol=0)


def test_ply_keeps_extreme_opacities_finite(tmp_path: Path) -> None:
    points, opacities = np.zeros((2, 3)), np.array([0.0, 1.0])
    write_ply(tmp_path / "a.ply", points, np.ones((2, 4)), points + 0.1, opacities, np.zeros((2, 1, 3)))
    read = read_ply(tmp_path / "a.ply")
    assert all(torch.isfinite(values).all() for values in read.values())
    np.testing.assert_allclose(read["opacities"].numpy(), opacities, atol=1e-5)
    np.testing.assert_allclose(read["quats"].numpy(), 0.5)


# ----------------------------------------------------------------------------------------------------- stage


def test_the_stage_records_what_it_wrote(results: Path) -> None:
    record = json.loads((results / "provenance" / "export.json").read_text())
    assert set(record["facts"]["bytes"]) == {path.name for path in (results / "exports").iterdir()}
    assert {"avatar.ply", "motion_amass.npz", "motion.bvh", "motion.glb"} <= set(record["facts"]["bytes"])


def test_the_stage_refuses_another_body(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with np.load(Path(__file__).parents[2] / "pipeline/body/data/free_body.npz") as data:
        np.savez(tmp_path / "other.npz", **dict(data) | {"name": np.array("smpl")})
    before = {path: path.stat().st_mtime_ns for path in (results / "exports").iterdir()}
    assert main(["export", str(results), "--body-model", str(tmp_path / "other.npz")]) == 1
    assert "pose_refined.npz: was made with the body model 'free'" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in (results / "exports").iterdir()}


def test_the_stage_needs_a_fit(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["export", str(tmp_path)]) == 1
    assert "pose_refined.npz: not found" in capsys.readouterr().err
    assert not (tmp_path / "exports").exists()


def test_a_clip_of_one_frame_is_exported(pose: Pose, body: BodyModel, tmp_path: Path) -> None:
    first = {key: getattr(pose, key)[:1] for key in ("global_orient", "body_pose", "transl", "valid", "bbox")}
    motion = to_world(replace(pose, **first), body, CAMERA_TO_Y_UP)
    rest = body.rest_joints(torch.as_tensor(pose.betas).float()).double().numpy()
    write_bvh(tmp_path / "one.bvh", motion, body_skeleton(rest))
    found, _ = bvh_joints((tmp_path / "one.bvh").read_text())
    assert found["head"].shape == (1, 3)
    write_glb(tmp_path / "one.glb", motion, body, Rig.of(body, pose.betas), None, pose.K)
    assert Glb(tmp_path / "one.glb").world_matrices(0).shape == (26, 4, 4)
