"""Results of other tools, written here in the layouts that the tools' sources tell: the truth handed over, and back."""

import json
import pickle
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, load_body
from pipeline.body.anatomy import COCO, H36M, LIMBS, anatomical_joints
from pipeline.exports.trc import write_trc
from pipeline.motion.readers import amass, read_motion
from pipeline.motion.readers.frames import frame_numbers
from pipeline.motion.readers.joint_names import known_name
from pipeline.motion.readers.motion import MEAN_PELVIS, Clip, SourceMotion, Track
from pipeline.motion.readers.place_by_boxes import place_by_boxes
from pipeline.runtime.errors import UserError

BODY = load_body("free")
FRAMES, WIDTH, HEIGHT, FOCAL = 10, 640, 360, 700.0
CENTER = np.array([WIDTH, HEIGHT]) / 2
K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
CLIP = Clip(WIDTH, HEIGHT, Fraction(30), np.arange(FRAMES), FRAMES, seconds=np.arange(FRAMES) / 30)


class Truth:
    """A person who turns and walks, in a camera of K."""

    def __init__(self, seed: int = 0, place: tuple[float, float, float] = (0.2, 0.1, 4.0)) -> None:
        random = np.random.default_rng(seed)
        start, end = random.normal(0, 0.2, (2, 24, 3))
        along = np.linspace(0, 1, FRAMES)[:, None, None]
        self.rotations = start + along * (end - start)
        self.rotations[:, 22:] = 0  # SMPL-X and SMPL-H have fingers there
        self.rotations[:, 0] += [np.pi - 0.3, 0, 0]  # upright in a camera whose y points down
        self.roots = np.array(place) + np.linspace(0, 1, FRAMES)[:, None] * [0.3, 0.0, 0.5]
        self.rotmats = Rotation.from_rotvec(self.rotations.reshape(-1, 3)).as_matrix().reshape(FRAMES, 24, 3, 3)
        self.betas = random.normal(0, 0.5, 10)
        arrays = self.rotations[:, 0], self.rotations[:, 1:].reshape(FRAMES, 69), self.betas, self.roots
        self.arguments = tuple(torch.as_tensor(values, dtype=torch.float32) for values in arrays)  # of the free body

    def transl(self, body: str) -> np.ndarray:
        return self.roots - MEAN_PELVIS[body]

    @cached_property
    def skin(self) -> np.ndarray:
        """(T, V, 3) metres: the free body's vertices."""
        return BODY(*self.arguments).vertices.double().numpy()

    @cached_property
    def places(self) -> dict[str, np.ndarray]:
        """(T, 3) metres of everything on the free body that has a name."""
        names = tuple(dict.fromkeys((*LIMBS, *H36M, *COCO)))
        named = dict(zip(names, anatomical_joints(BODY, *self.arguments, names=names).double().numpy().swapaxes(0, 1)))
        named["mid_hips"] = named.pop("pelvis")
        named |= dict(zip(JOINT_NAMES, BODY(*self.arguments).joints.double().numpy().swapaxes(0, 1)))
        return named | {name: self.skin[:, at] for name, at in BODY.vertex_ids.items()}


def project(points: np.ndarray, camera: np.ndarray = K) -> np.ndarray:
    pixels = (camera @ points[..., None])[..., 0]
    return pixels[..., :2] / pixels[..., 2:]


def same(
    track: Track, truth: Truth, rows: np.ndarray | slice = slice(None), joints: int = 22, pixels: float = 0.05
) -> None:
    """Rotations, and the pixel of the root in the frames as they were."""
    turned = Rotation.from_rotvec(track.rotations[:, :joints].reshape(-1, 3))
    wanted = Rotation.from_rotvec(truth.rotations[rows][:, :joints].reshape(-1, 3))
    assert (turned * wanted.inv()).magnitude().max() < 1e-4
    scale = np.array([1.0, 1.0]) if track.size is None else np.array([WIDTH, HEIGHT]) / track.size
    found = scale * project(track.transl + MEAN_PELVIS[track.body], track.K)
    np.testing.assert_allclose(found, project(truth.roots[rows]), atol=pixels)


def lands(track: Track, truth: Truth, most: float, names: tuple[str, ...] = LIMBS) -> None:
    """The fitted body's limbs are where the truth's are, within `most` metres on average."""
    rotations = torch.as_tensor(track.rotations, dtype=torch.float32)
    betas, transl = (torch.as_tensor(values, dtype=torch.float32) for values in (track.betas, track.transl))
    found = anatomical_joints(BODY, rotations[:, 0], rotations[:, 1:].flatten(1), betas, transl, names).numpy()
    wanted = np.stack([truth.places[name] for name in names], axis=1)
    assert np.linalg.norm(found - wanted, axis=2).mean() < most
    assert track.residual is not None and track.residual < most


def read(path: Path, clip: Clip = CLIP) -> SourceMotion:
    return read_motion(path, clip, BODY)


def pickled(value: Any, path: Path) -> Path:
    path.write_bytes(pickle.dumps(value))
    return path


# SAM 3D Body


MHR70 = {
    0: "nose", 1: "l_eye", 2: "r_eye", 3: "l_ear", 4: "r_ear", 5: "l_shoulder", 6: "r_shoulder", 7: "l_elbow",
    8: "r_elbow", 9: "l_hip", 10: "r_hip", 11: "l_knee", 12: "r_knee", 13: "l_ankle", 14: "r_ankle", 15: "LBigToe",
    16: "LSmallToe", 17: "LHeel", 18: "RBigToe", 19: "RSmallToe", 20: "RHeel", 32: "right_hand", 41: "r_wrist",
    53: "left_hand", 62: "l_wrist",
}  # fmt: skip


def sam3d(truth: Truth, frame: int, focal_length: bool = False) -> dict[str, np.ndarray]:
    points = np.zeros((70, 3)) + truth.roots[frame]
    for number, name in MHR70.items():
        points[number] = truth.places[name][frame]
    told = {"pred_keypoints_3d": points - truth.roots[frame], "pred_cam_t": truth.roots[frame]}
    told = {key: value.astype(np.float32) for key, value in told.items()}
    if focal_length:
        return told | {"focal_length": np.float32(FOCAL)}
    return told | {"pred_keypoints_2d": project(points).astype(np.float32)}


def another_mesh(truth: Truth, vertices: int = 3000) -> np.ndarray:
    """(T, V, 3) metres: points all over the truth's skin, as of a mesh of other vertices."""
    faces, random = BODY.faces.numpy(), np.random.default_rng(7)
    mesh = trimesh.Trimesh(BODY.v_template.numpy(), faces, process=False)
    _, chosen = trimesh.sample.sample_surface(mesh, vertices, seed=7)
    within = random.dirichlet(np.ones(3), vertices)
    return np.einsum("vc,tvcx->tvx", within, truth.skin[:, faces[chosen]])


def with_vertices(truth: Truth, frame: int, vertices: np.ndarray) -> dict[str, np.ndarray]:
    """Keypoints that lie elsewhere in the tool's body, by a centimetre along each axis (sigma), and the vertices."""
    elsewhere = np.random.default_rng(3).normal(0, 0.01, (70, 3)).astype(np.float32)
    told = sam3d(truth, frame, focal_length=True)
    told["pred_keypoints_3d"] = told["pred_keypoints_3d"] + elsewhere
    return told | {"pred_vertices": (vertices[frame] - truth.roots[frame]).astype(np.float32)}


def errors(track: Track, truth: Truth) -> tuple[float, float, float]:
    """Metres on average, of the shape at rest and of the posed joints; radians, of the joints' turns."""
    rotations = torch.as_tensor(track.rotations, dtype=torch.float32)
    betas, transl = (torch.as_tensor(values, dtype=torch.float32) for values in (track.betas, track.transl))
    found, wanted = BODY(rotations[:, 0], rotations[:, 1:].flatten(1), betas, transl), BODY(*truth.arguments)
    turns = (found.transforms[..., :3, :3] @ wanted.transforms[..., :3, :3].mT)[:, :22].numpy()
    shape = torch.linalg.vector_norm(BODY.shaped(betas) - BODY.shaped(truth.arguments[2]), dim=1)
    joints = torch.linalg.vector_norm(found.joints - wanted.joints, dim=2)[:, :22]
    angles = Rotation.from_matrix(turns.reshape(-1, 3, 3)).magnitude()
    return float(shape.mean()), float(joints.mean()), float(angles.mean())


def test_sam_3d_body_a_file_a_frame(tmp_path: Path) -> None:
    truth = Truth()
    for frame in range(FRAMES):
        np.savez(tmp_path / f"img_{frame:05d}.npz", **sam3d(truth, frame))
    motion = read(tmp_path)
    assert (motion.tool, motion.frames, len(motion.tracks)) == ("SAM 3D Body", FRAMES, 1)
    np.testing.assert_allclose(motion.tracks[0].K[3], K, atol=0.5)
    assert motion.tracks[0].size == (WIDTH, HEIGHT)
    lands(motion.tracks[0], truth, 3e-3)


def test_sam_3d_body_in_one_file(tmp_path: Path) -> None:
    """Lists of people in frames, in an order that changes; arrays of one person, with the focal length."""
    near, far = Truth(), Truth(1, (-1.0, 0.1, 5.0))
    frames = [[sam3d(near, k), sam3d(far, k)][:: 1 if k % 2 else -1] for k in range(FRAMES)]
    motion = read(pickled(frames, tmp_path / "list.pkl"))
    assert len(motion.tracks) == 2
    order = (near, far) if motion.tracks[0].transl[0, 0] > 0 else (far, near)
    for track, truth in zip(motion.tracks, order):
        lands(track, truth, 3e-3)
    parts = [sam3d(near, k, focal_length=True) for k in range(FRAMES)]
    np.savez(tmp_path / "stack.npz", **{key: np.stack([part[key] for part in parts]) for key in parts[0]})
    track = read(tmp_path / "stack.npz").tracks[0]
    np.testing.assert_allclose(track.K[0], K)
    lands(track, near, 3e-3)


def test_sam_3d_body_that_is_not_as_written(tmp_path: Path) -> None:
    good = sam3d(Truth(), 0)
    np.savez(tmp_path / "flipped.npz", **good | {"pred_keypoints_3d": good["pred_keypoints_3d"] * [1, -1, -1]})
    with pytest.raises(UserError, match=r"flipped\.npz: .*should project onto pred_keypoints_2d, found \d+ px"):
        read(tmp_path / "flipped.npz")
    np.savez(tmp_path / "blind.npz", **{key: good[key] for key in ("pred_keypoints_3d", "pred_cam_t")})
    with pytest.raises(UserError, match=r"blind\.npz: .*'pred_keypoints_2d' or 'focal_length'"):
        read(tmp_path / "blind.npz")


def test_sam_3d_body_s_vertices_tell_shape_and_pose(tmp_path: Path) -> None:
    truth = Truth(4)
    pictures = [with_vertices(truth, frame, another_mesh(truth)) for frame in range(FRAMES)]
    both = read(pickled(pictures, tmp_path / "both.pkl")).tracks[0]
    for picture in pictures:
        del picture["pred_vertices"]
    alone = read(pickled(pictures, tmp_path / "alone.pkl")).tracks[0]
    ours, theirs = errors(both, truth), errors(alone, truth)
    assert all(new < 0.6 * old for new, old in zip(ours, theirs)), (ours, theirs)
    assert both.skin < 3e-3 and alone.skin is None


def test_sam_3d_body_with_other_vertices(tmp_path: Path) -> None:
    truth = Truth()
    pictures = [with_vertices(truth, frame, another_mesh(truth)) for frame in range(2)]
    first = pictures[0]["pred_vertices"].copy()
    pictures[1]["pred_vertices"] = pictures[1]["pred_vertices"][1:]
    with pytest.raises(UserError, match=r"frame 1: has 2999 pred_vertices, the first picture 3000; expected as many"):
        read(pickled(pictures, tmp_path / "some.pkl"))
    del pictures[1]["pred_vertices"]
    with pytest.raises(UserError, match=r"frame 1: has 0 pred_vertices, the first picture 3000"):
        read(pickled(pictures, tmp_path / "some.pkl"))
    for bad, found in (
        (
            np.where(np.arange(3000)[:, None] == 5, np.nan, first),
            r"frame 0: .*pred_vertices' holds nan at index \(5, 0\)",
        ),
        (first[:, :2], r"frame 0: .*pred_vertices.*\(3000, 2\)"),
        (1000 * first, r"bad\.pkl: vertices: lie \d+\.\d\d m off the body that fits the joints; both should be metres"),
        (first[:40], "vertices: 40 of them lie on the body, at least 100 are needed"),
    ):
        with pytest.raises(UserError, match=found):
            read(pickled([pictures[0] | {"pred_vertices": bad}], tmp_path / "bad.pkl"))


# SMPL and SMPL-X


def test_prompthmr(tmp_path: Path) -> None:
    truth, rows = Truth(), np.arange(2, FRAMES)
    rotmat = np.tile(np.eye(3), (len(rows), 55, 1, 1))
    rotmat[:, :22] = truth.rotmats[rows, :22]
    cam = {"rotmat": torch.tensor(rotmat), "shape": torch.zeros(len(rows), 10), "trans": truth.transl("smplx")[rows]}
    camera = {"img_focal": 2 * FOCAL, "img_center": 2 * CENTER, "pred_cam_R": np.tile(np.eye(3), (FRAMES, 1, 1))}
    results = {"people": {4: {"track_id": 4, "frames": rows, "smplx_cam": cam}}, "camera": camera, "has_slam": True}
    motion = read(pickled(results, tmp_path / "results.pkl"))
    assert (motion.tool, motion.frames, motion.tracks[0].name) == ("PromptHMR", FRAMES, "person 4")
    np.testing.assert_array_equal(motion.tracks[0].frames, rows)
    same(motion.tracks[0], truth, rows)
    del results["people"][4]["smplx_cam"]
    with pytest.raises(UserError, match=r"results\.pkl: person 4: key 'smplx_cam' is missing"):
        read(pickled(results, tmp_path / "results.pkl"))


def test_glamr(tmp_path: Path) -> None:
    truth = Truth()
    seen = np.arange(FRAMES) != 4
    person = {
        "smpl_pose": truth.rotations[:, 1:].reshape(FRAMES, 69),
        "smpl_beta": np.zeros((FRAMES, 10)),
        "smpl_orient_cam": truth.rotations[:, 0],
        "root_trans_cam": torch.tensor(truth.roots),
        "cam_K": np.tile(K, (FRAMES, 1, 1)),
        "vis_frames": torch.tensor(seen),
    }
    motion = read(pickled({"person_data": {0: person}, "seq_len": FRAMES}, tmp_path / "clip_seed1.pkl"))
    np.testing.assert_array_equal(motion.tracks[0].frames, np.flatnonzero(seen))
    same(motion.tracks[0], truth, np.flatnonzero(seen), 24)
    del person["root_trans_cam"]
    with pytest.raises(UserError, match=r"person 0: key 'root_trans_cam' is missing"):
        read(pickled({"person_data": {0: person}}, tmp_path / "clip_seed1.pkl"))


@pytest.mark.parametrize("matrices", [False, True])
def test_cliff(tmp_path: Path, matrices: bool) -> None:
    truth, focal = Truth(), float(np.hypot(2 * WIDTH, 2 * HEIGHT))
    roots = truth.roots * [1, 1, focal / (2 * FOCAL)]  # at the same pixels
    detection = np.zeros((FRAMES, 8))
    detection[:, 0] = np.arange(FRAMES)
    np.savez(
        tmp_path / "clip_cliff_hr48.npz",
        imgname=[f"{k:06d}.jpg" for k in range(FRAMES)],
        pose=truth.rotmats if matrices else truth.rotations.reshape(FRAMES, 72),
        shape=np.zeros((FRAMES, 10)),
        global_t=roots - MEAN_PELVIS["smpl"],
        focal_l=np.full(FRAMES, focal),
        detection_all=detection,
    )
    motion = read(tmp_path / "clip_cliff_hr48.npz")
    track = motion.tracks[0]
    assert (motion.tool, motion.frames, track.size) == ("CLIFF", FRAMES, (2 * WIDTH, 2 * HEIGHT))
    np.testing.assert_allclose(project(roots, track.K) / 2, project(roots * [1, 1, 2 * FOCAL / focal]), atol=1e-3)
    same(track, truth, joints=24)


@pytest.mark.parametrize("quaternions", [False, True])
def test_hybrik(tmp_path: Path, quaternions: bool) -> None:
    truth, rows = Truth(), np.array([0, 1, 2, 5, 6, 7])
    thetas = truth.rotmats.reshape(FRAMES, 216)
    if quaternions:
        xyzw = Rotation.from_matrix(truth.rotmats.reshape(-1, 3, 3)).as_quat()
        thetas = xyzw[:, [3, 0, 1, 2]].reshape(FRAMES, 96)
    side = np.linspace(200, 250, FRAMES)
    depth = truth.roots[:, 2:] * (1000 / 256 * side / FOCAL)[:, None]
    roots = np.concatenate(
        [truth.roots[:, :2] / truth.roots[:, 2:] * FOCAL / (1000 / 256 * side)[:, None], depth * 0 + 1], 1
    )
    result = {
        "pred_thetas": thetas[rows],
        "pred_betas": np.zeros((6, 10)),
        "pred_cam_root": (roots * depth)[rows],
        "bbox": np.stack([side * 0, side * 0, side, side], axis=1)[rows],
        "width": np.full(6, WIDTH),
        "height": np.full(6, HEIGHT),
        "img_path": np.array([f"res_images/clip-{k + 1:06d}.jpg" for k in rows]),
    }
    motion = read(pickled(result, tmp_path / "res.pk"))
    assert motion.frames is None
    np.testing.assert_array_equal(motion.tracks[0].frames, rows)
    same(motion.tracks[0], truth, rows, 24)
    with pytest.raises(UserError, match=r"res\.pk: key 'pred_thetas' should have 216 .* found 495"):
        read(pickled(result | {"pred_thetas": np.zeros((6, 495))}, tmp_path / "res.pk"))


def romp(truth: Truth, frame: int, joints: bool) -> dict[str, np.ndarray]:
    """Scale 1 / z of a distant camera; pixels in [-1, 1] of the square. With joints: a body with a lower pelvis."""
    pelvis = MEAN_PELVIS["smpl"] - [0, 0.018 * joints, 0]
    scale = 2 * FOCAL / truth.roots[frame, 2] / WIDTH
    pixel = (project(truth.roots[frame]) - CENTER) / (WIDTH / 2)
    at = pixel - scale * pelvis[:2]
    told = {"joints": np.tile(pelvis, (1, 71, 1)).astype(np.float32)} if joints else {}
    return told | {
        "smpl_thetas": truth.rotations[frame].reshape(1, 72).astype(np.float32),
        "smpl_betas": np.zeros((1, 10), np.float32),
        "cam": np.array([[scale, *at]], np.float32),
    }


@pytest.mark.parametrize("folder", [False, True])
def test_romp(tmp_path: Path, folder: bool) -> None:
    truth = Truth()
    frames = {f"{k:08d}.jpg": romp(truth, k, folder) if k != 3 else None for k in range(FRAMES)}
    np.savez(tmp_path / "video_results.npz", results=frames, sequence_results={})
    for name, frame in frames.items():
        if folder and frame is not None:
            np.savez(tmp_path / f"{name[:-4]}.npz", results=frame)
    motion = read(tmp_path if folder else tmp_path / "video_results.npz")
    rows = np.delete(np.arange(FRAMES), 3)
    assert (motion.tool, motion.frames) == ("ROMP", None if folder else FRAMES)
    np.testing.assert_array_equal(motion.tracks[0].frames, rows)
    same(motion.tracks[0], truth, rows, 24, 0.2)  # its camera has no perspective


def test_mmhuman3d(tmp_path: Path) -> None:
    truth = Truth()
    half = np.array([40, 100])
    boxes = np.concatenate([project(truth.roots) - half, project(truth.roots) + half, np.ones((FRAMES, 1))], axis=1)
    scale = 2 * FOCAL / truth.roots[:, 2] / 250  # sides of 1.25 boxes
    data = {
        "smpl": {
            "body_pose": truth.rotations[:, 1:],
            "global_orient": truth.rotations[:, 0],
            "betas": np.zeros((FRAMES, 10)),
        },
        "pred_cams": np.concatenate([scale[:, None], np.tile(-MEAN_PELVIS["smpl"][:2], (FRAMES, 1))], axis=1),
        "bboxes_xyxy": boxes,
        "frame_id": np.arange(FRAMES),
        "person_id": np.zeros(FRAMES, int),
    }
    np.savez(tmp_path / "inference_result.npz", **data)
    motion = read(tmp_path / "inference_result.npz")
    assert motion.tool == "MMHuman3D"
    same(motion.tracks[0], truth, joints=24)
    lists = {
        key: {k: v.tolist() for k, v in value.items()} if key == "smpl" else value.tolist()
        for key, value in data.items()
    }
    (tmp_path / "result.json").write_text(json.dumps(lists))
    same(read(tmp_path / "result.json").tracks[0], truth, joints=24)


@pytest.mark.parametrize("camera", [True, False])
def test_smplx_a_file_a_frame(tmp_path: Path, camera: bool) -> None:
    """SMPLer-X: <frame>_<person>.npz."""
    truth = Truth()
    for k in range(FRAMES):
        values = {
            "global_orient": truth.rotations[k, :1],
            "body_pose": truth.rotations[k, 1:22],
            "transl": truth.transl("smplx")[k : k + 1],
            "betas": np.zeros((1, 10)),
            "left_hand_pose": np.zeros((15, 3)),
        }
        lens = {"focal": np.array([FOCAL, FOCAL]), "princpt": CENTER}
        np.savez(tmp_path / f"{k:05}_0.npz", **values | (lens if camera else {}))
    motion = read(tmp_path)
    assert (motion.tool, motion.frames, motion.tracks[0].body) == ("SMPL-X", FRAMES, "smplx")
    if camera:
        same(motion.tracks[0], truth)
    else:
        assert motion.tracks[0].K is None and motion.tracks[0].up is None
    np.savez(tmp_path / f"{3:05}_0.npz", global_orient=np.zeros((1, 3)))
    with pytest.raises(UserError, match=r"00003_0\.npz: expected SMPL-X parameters"):
        read(tmp_path)


def test_smplx_in_one_file(tmp_path: Path) -> None:
    truth = Truth()
    np.savez(
        tmp_path / "smplx.npz",
        global_orient=truth.rotations[:, 0],
        body_pose=truth.rotations[:, 1:22].reshape(FRAMES, 63),
        transl=truth.transl("smplx"),
        betas=np.zeros((1, 10)),
        focal=[FOCAL, FOCAL],
        princpt=CENTER,
    )
    same(read(tmp_path / "smplx.npz").tracks[0], truth)
    np.savez(
        tmp_path / "gmr.npz",
        root_orient=truth.rotations[:, 0],
        pose_body=truth.rotations[:, 1:22].reshape(FRAMES, 63),
        trans=truth.transl("smplx"),
        mocap_frame_rate=30.0,
    )
    track = read(tmp_path / "gmr.npz").tracks[0]
    assert track.body == "smplx"
    np.testing.assert_allclose(track.rotations[:, :22], truth.rotations[:, :22])


SOMA = (0, 67, 72, 1, 68, 73, 2, 69, 74, 3, 70, 75, 4, 11, 39, 6, 12, 40, 13, 41, 14, 42)  # of SMPL's joints


@pytest.mark.parametrize("soma", [True, False])
def test_gem(tmp_path: Path, soma: bool) -> None:
    """GEM-X with SOMA's 77 joints, of which two share the neck's bend; GEM-SMPL with SMPL-X's 22."""
    truth = Truth()
    pose, transl = truth.rotations[:, 1:22].reshape(FRAMES, 63), truth.transl("smplx")
    if soma:
        joints = np.random.default_rng(1).normal(0, 0.2, (FRAMES, 77, 3))  # fingers and face are left alone
        joints[:, SOMA] = truth.rotations[:, :22]
        joints[:, 4] = joints[:, 5] = truth.rotations[:, 12] / 2
        pose, transl = joints[:, 1:].reshape(FRAMES, 228), truth.roots
    params = {"global_orient": truth.rotations[:, 0], "body_pose": pose, "transl": transl}
    params = {key: torch.tensor(value) for key, value in params.items()}
    results = {"body_params_incam": params, "K_fullimg": torch.tensor(K).expand(FRAMES, 3, 3)}
    torch.save(results, tmp_path / "hpe_results.pt")
    motion = read(tmp_path / "hpe_results.pt")
    assert (motion.tool, motion.frames) == ("GEM-X" if soma else "GEM-SMPL", FRAMES)
    same(motion.tracks[0], truth)
    for wrong, told in (
        ({"body_pose": torch.zeros(FRAMES, 99)}, r"key 'body_pose' should have 228 numbers a frame, or 63, found 99"),
        ({"transl": torch.zeros(FRAMES, 2)}, r"key 'transl' should have shape"),
    ):
        torch.save(results | {"body_params_incam": params | wrong}, tmp_path / "wrong.pt")
        with pytest.raises(UserError, match=rf"wrong\.pt: body_params_incam: {told}"):
            read(tmp_path / "wrong.pt")


def test_multi_hmr(tmp_path: Path) -> None:
    """Two people, in another order in every other frame; K is of the picture padded to a square of 896."""
    near, far = Truth(), Truth(1, (-1.0, 0.1, 5.0))
    square = K * [[896 / WIDTH], [896 / WIDTH], [1]]
    square[:2, 2] = 448
    for k in range(FRAMES):
        for person, truth in enumerate((near, far)[:: 1 if k % 2 else -1]):
            rotvec = np.concatenate([truth.rotations[k, :22], np.ones((31, 3))])
            told = {"rotvec": rotvec, "transl_pelvis": truth.roots[k : k + 1], "shape": np.zeros(10), "K": square}
            np.savez(tmp_path / f"{k:05}_{person}.npz", **told)
    motion = read(tmp_path)
    assert (motion.tool, motion.frames, len(motion.tracks)) == ("Multi-HMR", FRAMES, 2)
    for track, truth in zip(motion.tracks, (far, near)):
        np.testing.assert_allclose(track.K[0], K, atol=1e-9)
        same(track, truth)
    with pytest.raises(UserError, match=r"00000_0\.npz: is one person in one frame; set pose\.path to its folder"):
        read(tmp_path / "00000_0.npz")
    np.savez(tmp_path / "00003_0.npz", rotvec=np.zeros((53, 3)), transl_pelvis=np.zeros(3))
    with pytest.raises(UserError, match=r"00003_0\.npz: key 'K' is missing"):
        read(tmp_path)


# EasyMocap


def test_easymocap_smpl(tmp_path: Path) -> None:
    truth, pelvis = Truth(), MEAN_PELVIS["smpl"]
    for k in range(FRAMES):
        pose = truth.rotations[k].copy()
        turn = Rotation.from_rotvec(pose[0])
        pose[0] = 0
        moved = truth.roots[k] - turn.apply(pelvis)
        person = {"id": 3, "Rh": [turn.as_rotvec().tolist()], "Th": [moved.tolist()], "poses": [pose.ravel().tolist()]}
        (tmp_path / f"{k:06d}.json").write_text(json.dumps([person | {"shapes": [[0.0] * 10]}]))
    motion = read(tmp_path)
    track = motion.tracks[0]
    assert (motion.tool, motion.frames, track.name, track.K) == ("EasyMocap", FRAMES, "person 3", None)
    np.testing.assert_array_equal(track.up, [0, -1, 0])
    np.testing.assert_allclose(track.transl + pelvis, truth.roots, atol=1e-9)
    np.testing.assert_allclose(track.rotations, truth.rotations, atol=1e-9)
    with pytest.raises(UserError, match=r"000000\.json: is one frame of EasyMocap's; set pose\.path to its folder"):
        read(tmp_path / "000000.json")


def test_easymocap_keypoints(tmp_path: Path) -> None:
    truth = Truth()
    names = (
        "nose", "thorax", "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist", "mid_hips", "r_hip",
        "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "r_eye", "l_eye", "r_ear", "l_ear", "LBigToe", "LSmallToe",
        "LHeel", "RBigToe", "RSmallToe", "RHeel",
    )  # fmt: skip
    points = np.stack([truth.places[name] for name in names], axis=1)
    for k in range(FRAMES):
        rows = np.concatenate([points[k], np.ones((25, 1))], axis=1)
        rows[4] = 0 if k == 5 else rows[4]  # a wrist that was not seen
        (tmp_path / f"{k:06d}.json").write_text(json.dumps([{"id": 0, "keypoints3d": rows.tolist()}]))
    lands(read(tmp_path).tracks[0], truth, 4e-3)


# Joints


def test_motionbert(tmp_path: Path) -> None:
    """About the pelvis, in no unit; the pose comes back but for the size."""
    truth = Truth()
    order = (
        "mid_hips", "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "spine", "thorax", "nose", "head_top",
        "l_shoulder", "l_elbow", "l_wrist", "r_shoulder", "r_elbow", "r_wrist",
    )  # fmt: skip
    points = np.stack([truth.places[name] for name in order], axis=1)
    np.save(tmp_path / "X3D.npy", 0.37 * (points - points[:, :1]))
    motion = read(tmp_path / "X3D.npy")
    track = motion.tracks[0]
    assert (motion.tool, motion.frames, track.K, track.up) == ("MotionBERT", FRAMES, None, None)
    off = Rotation.from_rotvec(track.rotations[:, 0]) * Rotation.from_rotvec(truth.rotations[:, 0]).inv()
    assert np.degrees(off.magnitude()).max() < 15
    assert track.residual < 0.02


@pytest.mark.parametrize("saved", [False, True], ids=["output_data", "saved_data"])
@pytest.mark.parametrize("table", [False, True])
def test_freemocap(tmp_path: Path, table: bool, saved: bool) -> None:
    truth = Truth()
    names = {
        0: "nose", 2: "left_eye", 5: "right_eye", 7: "left_ear", 8: "right_ear", 11: "left_shoulder",
        12: "right_shoulder", 13: "left_elbow", 14: "right_elbow", 15: "left_wrist", 16: "right_wrist", 23: "left_hip",
        24: "right_hip", 25: "left_knee", 26: "right_knee", 27: "left_ankle", 28: "right_ankle", 29: "left_heel",
        30: "right_heel", 31: "left_foot_index", 32: "right_foot_index",
    }  # fmt: skip
    points = np.full((FRAMES, 33, 3), np.nan)
    for number, name in names.items():
        points[:, number] = truth.places[known_name(name)] * (1 if saved else 1000)
    if table and saved:  # by the Blender add-on: a hash, spaces within a point, a comma at the end
        header = ",".join(", ".join(f"{names.get(k, f'mouth_{k}')}_{axis}" for axis in "xyz") for k in range(33))
        rows = "".join(",".join(map(str, row)) + "\n" for row in points.reshape(FRAMES, 99))
        (tmp_path / "body_trajectories.csv").write_text(f"# {header},\n{rows}")
        motion = read(tmp_path / "body_trajectories.csv")
    elif table:
        header = ",".join(f"{names.get(k, f'mouth_{k}')}_{axis}" for k in range(33) for axis in "xyz")
        np.savetxt(tmp_path / "body.csv", points.reshape(FRAMES, 99), header=header, delimiter=",", comments="")
        motion = read(tmp_path / "body.csv")
    else:
        np.save(tmp_path / "mediapipe_body_3d_xyz.npy", points)
        motion = read(tmp_path / "mediapipe_body_3d_xyz.npy")
    assert motion.tool == "FreeMoCap"
    lands(motion.tracks[0], truth, 4e-3)


def rows_as_trc(path: Path, names: list[str], points: np.ndarray, seconds: np.ndarray, unit: str) -> None:
    header = ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units", "OrigDataRate", "OrigDataStartFrame"]
    values = ["100", "100", str(len(points)), str(len(names)), unit, "100", "1", str(len(points))]
    lines = [f"PathFileType\t4\t(X/Y/Z)\t{path.name}", "\t".join([*header, "OrigNumFrames"]), "\t".join(values)]
    lines += [
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"{a}{k}" for k in range(1, 3) for a in "XYZ"),
    ]
    for k, row in enumerate(points):
        cells = ["" if np.isnan(value) else f"{value:.6f}" for value in row.ravel()]
        lines.append("\t".join([str(k + 1), f"{seconds[k]:.5f}", *cells]))
    path.write_text("\n".join(lines) + "\n")


def test_trc(tmp_path: Path) -> None:
    """In a world with y up, three times as many rows as frames, in millimetres: paired by time."""
    truth = Truth()
    limbs = {f"{name[0].upper()}{name[2:].capitalize()}": name for name in LIMBS}  # RHip
    limbs |= {"Nose": "nose", "Hip": "mid_hips", "RBigToe": "RBigToe", "CHIN": "CHIN"}
    points = np.stack([truth.places.get(name, np.full((FRAMES, 3), np.nan)) for name in limbs.values()], axis=1)
    world = points * [1, -1, -1] * 1000
    every = np.arange(3 * FRAMES - 2) / 3
    rows = np.stack(
        [[np.interp(every, np.arange(FRAMES), world[:, j, a]) for a in range(3)] for j in range(len(limbs))]
    )
    rows_as_trc(tmp_path / "clip.trc", list(limbs), rows.transpose(2, 0, 1), every / 30, "mm")
    motion = read(tmp_path / "clip.trc")
    np.testing.assert_array_equal(motion.tracks[0].up, [0, 1, 0])
    numbers, note = frame_numbers(tmp_path / "clip.trc", motion, CLIP)
    np.testing.assert_array_equal(numbers, 3 * np.arange(FRAMES))
    assert note is None and motion.tracks[0].residual < 5e-3
    text = (tmp_path / "clip.trc").read_text()
    (tmp_path / "inch.trc").write_text(text.replace("\tmm\t", "\tinch\t"))
    with pytest.raises(UserError, match=r"inch\.trc: 'Units' should be m, cm, mm, found 'inch'"):
        read(tmp_path / "inch.trc")
    (tmp_path / "strange.trc").write_text(text.replace("LShoulder", "C7"))
    with pytest.raises(UserError, match=r"strange\.trc: l_shoulder is not among its joints"):
        read(tmp_path / "strange.trc")


def test_a_trc_of_our_own(tmp_path: Path) -> None:
    """Pose2Sim's names, as pipeline/exports/trc.py writes them."""
    truth = Truth()
    names = {"Hip": "mid_hips", "Neck": "thorax", "Head": "head_top", "Nose": "nose", "RHeel": "RHeel"}
    names |= {f"{limb[0].upper()}{limb[2:].capitalize()}": limb for limb in LIMBS}
    places = np.stack([truth.places[name] for name in names.values()], axis=1) * [1, -1, -1]
    write_trc(tmp_path / "motion.trc", tuple(names), places, 30.0)
    motion = read(tmp_path / "motion.trc")
    assert motion.tracks[0].residual < 4e-3
    np.testing.assert_array_equal(frame_numbers(tmp_path / "motion.trc", motion, CLIP)[0], np.arange(FRAMES))


SKEL = {
    "femur_r": "r_hip", "tibia_r": "r_knee", "talus_r": "r_ankle", "femur_l": "l_hip", "tibia_l": "l_knee",
    "talus_l": "l_ankle", "humerus_r": "r_shoulder", "ulna_r": "r_elbow", "humerus_l": "l_shoulder",
    "ulna_l": "l_elbow",
}  # fmt: skip


def test_named_joints_in_a_camera(tmp_path: Path) -> None:
    """SKEL's joints, as docs/import.md tells to write them."""
    truth = Truth()
    joints = np.stack([truth.places[name] for name in SKEL.values()], axis=1)
    np.savez(tmp_path / "skel.npz", joints=joints, names=list(SKEL), K=K, seconds=np.arange(FRAMES) / 30)
    motion = read(tmp_path / "skel.npz")
    np.testing.assert_allclose(motion.tracks[0].K[0], K)
    lands(motion.tracks[0], truth, 4e-3, tuple(SKEL.values()))


def test_named_joints_and_vertices(tmp_path: Path) -> None:
    truth = Truth(4)
    elsewhere = np.random.default_rng(3).normal(0, 0.01, (len(SKEL), 3))  # where the tool's body has its joints
    joints = np.stack([truth.places[name] for name in SKEL.values()], axis=1) + elsewhere
    told = {"joints": joints, "names": list(SKEL)}
    np.savez(tmp_path / "joints.npz", **told)
    np.savez(tmp_path / "both.npz", **told, vertices=another_mesh(truth))
    alone, both = (read(tmp_path / name).tracks[0] for name in ("joints.npz", "both.npz"))
    ours, theirs = errors(both, truth), errors(alone, truth)
    assert ours[0] < 0.6 * theirs[0] and ours[1] < 0.6 * theirs[1] and ours[2] < theirs[2], (ours, theirs)
    np.savez(tmp_path / "short.npz", **told, vertices=another_mesh(truth)[1:])
    with pytest.raises(UserError, match=r"short\.npz: .*vertices.*\(10, V, 3\).*\(9, 3000, 3\)"):
        read(tmp_path / "short.npz")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("RKnee", "r_knee"), ("knee_r", "r_knee"), ("Left Knee", "l_knee"), ("l_knee", "l_knee"), ("RKJC", "r_knee"),
        ("left_shoulder", "l_shoulder"), ("tibia_r", "r_knee"), ("LBigToe", "LBigToe"), ("left_foot_index", "LBigToe"),
        ("RHeel", "RHeel"), ("Hip", "mid_hips"), ("Neck", "thorax"), ("l_uparm", "l_shoulder"), ("LASI", None),
        ("head", None), ("RightHip", "r_hip"), ("Nose", "nose"), ("left_eye_inner", None), ("mouth_left", None),
    ],
)  # fmt: skip
def test_names_of_joints(name: str, ours: str | None) -> None:
    assert known_name(name) == ours


# Pairing and placing


def paired(frames: int | None, clip: Clip, seconds: np.ndarray | None = None, last: int = 0) -> tuple[Any, str | None]:
    rows = frames or last + 1
    track = Track("p", np.arange(rows), np.zeros((rows, 24, 3)), np.zeros((rows, 3)), np.zeros(10), "smpl", None, None)
    return frame_numbers(Path("m.pt"), SourceMotion("T", (track,), frames, seconds), clip)


def test_a_row_too_few_or_too_many() -> None:
    clip = Clip(64, 48, Fraction(30), np.arange(313), 313, seconds=np.arange(313) / 30)
    numbers, note = paired(312, clip)
    np.testing.assert_array_equal(numbers, [*range(312), -1])
    assert note == "m.pt: has 312 rows for 313 frames; paired from the first frame on"
    np.testing.assert_array_equal(paired(315, clip)[0], np.arange(313))
    with pytest.raises(UserError, match=r"m\.pt: T has 309 frames, but 313 frames were decoded of the 313"):
        paired(309, clip)
    part = Clip(64, 48, Fraction(30), 100 + np.arange(50), 313, seconds=(100 + np.arange(50)) / 30)
    np.testing.assert_array_equal(paired(312, part)[0], 100 + np.arange(50))


def test_rows_of_the_frames_before_the_rate_was_made_constant() -> None:
    """Thirty pictures a second, every fifth of them shown for two frames."""
    shown = np.arange(50)
    decoded = np.sort(np.concatenate([shown, shown[::5]]))
    clip = Clip(64, 48, Fraction(30), np.arange(60), 60, seconds=decoded / 25)
    numbers, note = paired(50, clip)
    np.testing.assert_array_equal(numbers, decoded)
    assert note is not None and "each of the 50 frames before the rate was made constant" in note


def test_rows_of_all_frames_of_a_varying_rate() -> None:
    """100 frames in 4 s, and as many at a constant rate: every second one from frame 40 on was decoded."""
    packets = np.linspace(0, 2, 100) ** 2
    at = np.arange(40, 100, 2)
    shown = np.searchsorted(packets, at / 25, side="right") - 1
    clip = Clip(64, 48, Fraction(25), at, 100, seconds=packets[shown], packets=packets)
    for frames in (100, None, 98):
        numbers, note = paired(frames, clip, last=80)
        np.testing.assert_array_equal(numbers, np.where(shown < (frames or 100), shown, -1))
        assert note is not None and note.startswith("m.pt: ")
    np.testing.assert_array_equal(paired(30, clip)[0], np.arange(30))  # as many as were decoded: those
    fewer = replace(clip, in_file=102)
    np.testing.assert_array_equal(paired(102, fewer)[0], at)  # of the constant rate
    np.testing.assert_array_equal(paired(99, fewer)[0], np.where(shown < 99, shown, -1))
    with pytest.raises(UserError, match="T has 97 frames, but 30 frames were decoded of the 100"):
        paired(97, clip)
    np.testing.assert_array_equal(paired(100, replace(clip, packets=None))[0], at)  # an older file


def test_amass_by_time_is_of_the_decoded_frames() -> None:
    """A part of a video of a varying rate: what is resampled to the constant rate counts none of its frames."""
    clip = Clip(
        64, 48, Fraction(25), 10 + 2 * np.arange(30), 80, seconds=np.arange(30) / 10, packets=np.arange(90) / 30
    )
    place = np.stack([np.arange(200) / 100, np.zeros(200), np.ones(200)], axis=1)
    content = {"poses": np.zeros((200, 156)), "trans": place, "mocap_framerate": 100.0}
    motion = amass.read(content, Path("m.npz"), clip)
    numbers, note = frame_numbers(Path("m.npz"), motion, clip)
    assert note is None
    moved = motion.tracks[0].transl[:, 0]
    np.testing.assert_allclose(moved, clip.numbers[: len(moved)] / 25, atol=1e-9)
    assert len(moved) == 20  # the motion ends at 1.99 s
    np.testing.assert_array_equal(numbers, np.arange(30))
    late = replace(clip, numbers=clip.numbers + 50)
    with pytest.raises(UserError, match=r"m\.npz: holds one frame, or ends before the first decoded one"):
        amass.read(content, Path("m.npz"), late)


def test_by_time() -> None:
    clip = Clip(64, 48, Fraction(30), np.arange(60), 60, seconds=np.arange(60) / 30)
    numbers, _ = paired(101, clip, 0.5 + np.arange(101) / 100)
    assert (numbers[:15] == -1).all() and (numbers[46:] == -1).all()
    np.testing.assert_array_equal(numbers[15:46], np.round((np.arange(15, 46) / 30 - 0.5) * 100))


def test_placed_by_boxes() -> None:
    truth = Truth()
    with torch.no_grad():
        vertices = BODY(*truth.arguments).vertices.double().numpy()
        roots = BODY(*truth.arguments).joints[:, 0].double().numpy()
    pixels = project(vertices)
    boxes = np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)
    boxes[4] = np.nan
    found = place_by_boxes(vertices - roots[:, None], boxes, K, (10 * WIDTH, 10 * HEIGHT))
    np.testing.assert_allclose(found, roots, atol=0.03)
    with pytest.raises(ValueError, match="no box"):
        place_by_boxes(vertices, boxes * np.nan, K, (WIDTH, HEIGHT))
