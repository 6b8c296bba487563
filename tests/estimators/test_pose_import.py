"""Motions of other tools as the initial pose: files written here in the layouts that the tools' sources tell."""

import base64
import collections
import io
import lzma
import os
import pickle
import shutil
import sys
import types
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_files import ideal_landmarks, motion
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.body import BodyModel, load_body
from pipeline.body.anatomy import H36M, LIMBS, anatomical_joints
from pipeline.body.load import FREE_BODY
from pipeline.camera.world import with_world
from pipeline.estimators import load_backend
from pipeline.estimators.settings import PoseSettings
from pipeline.exports.amass import write_amass
from pipeline.exports.world import CAMERA_TO_Z_UP, to_world
from pipeline.formats.camera import Camera
from pipeline.formats.images import write_frame, write_mask
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance, read_provenance
from pipeline.formats.records import write_json
from pipeline.formats.video import VideoInfo
from pipeline.geometry.mesh_raster import rasterize
from pipeline.landmarks.on_body import landmark_map
from pipeline.motion.readers.content import as_array, read_content
from pipeline.motion.readers.people import reanchored
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings

FRAMES, WIDTH, HEIGHT = 12, 96, 128
K = np.array([[150.0, 0, 45], [0, 150, 70], [0, 0, 1]])
SMPL_PELVIS = np.array([-0.00179506, -0.22333382, 0.02821918])
SMPLX_PELVIS = np.array([0.0031, -0.3514, 0.0120])
DIAGONAL = float(np.hypot(WIDTH, HEIGHT))


class Motion:
    """A known motion in a source's camera."""

    def __init__(self, frames: int = FRAMES, seed: int = 0, root: tuple[float, float, float] = (0.1, 0.2, 4.0)) -> None:
        random = np.random.default_rng(seed)
        start, end = random.normal(0, 0.4, (2, 24, 3))
        along = np.linspace(0, 1, frames)[:, None, None]
        self.rotations = start + along * (end - start)  # (T, 24, 3)
        self.roots = np.array(root) + np.linspace(0, 1, frames)[:, None] * [0.2, -0.1, 0.5]
        self.rotmats = Rotation.from_rotvec(self.rotations.reshape(-1, 3)).as_matrix().reshape(frames, 24, 3, 3)

    def pixels(self, focal: float, scale: float = 1.0) -> np.ndarray:
        """(T, 2) of the pelvis in the decoded frames, seen by a source whose images are `scale` times larger."""
        center = np.array([WIDTH, HEIGHT]) / 2
        return focal / scale * self.roots[:, :2] / self.roots[:, 2:] + center


# Files as the tools write them


class NumpyArrayWrapper:
    """joblib's, for the pickler below; see joblib/numpy_pickle.py."""


NumpyArrayWrapper.__module__, NumpyArrayWrapper.__qualname__ = "joblib.numpy_pickle", "NumpyArrayWrapper"


class JoblibPickler(pickle._Pickler):
    def __init__(self, file: Any, protocol: int, aligned: bool) -> None:
        super().__init__(file, protocol)
        self.file, self.aligned = file, aligned

    def save(self, obj: Any, *args: Any, **kwargs: Any) -> None:
        if type(obj) is not np.ndarray:
            super().save(obj, *args, **kwargs)
            return
        wrapper = NumpyArrayWrapper()
        order = "F" if obj.flags.f_contiguous and not obj.flags.c_contiguous else "C"
        wrapper.__dict__ = {"subclass": np.ndarray, "shape": obj.shape, "order": order, "dtype": obj.dtype}
        wrapper.allow_mmap = self.aligned
        wrapper.numpy_array_alignment_bytes = 16 if self.aligned else None
        super().save(wrapper)
        if self.proto >= 4:
            self.framer.commit_frame(force=True)
        if self.aligned:
            filling = 16 - (self.file.tell() + 1) % 16
            self.file.write(bytes([filling]) + b"\xff" * filling)
        self.file.write(obj.tobytes(order))


@pytest.fixture
def joblib(monkeypatch: pytest.MonkeyPatch) -> Any:
    """joblib.dump(value, path, compress), without joblib."""
    module = types.ModuleType("joblib.numpy_pickle")
    module.NumpyArrayWrapper = NumpyArrayWrapper
    monkeypatch.setitem(sys.modules, "joblib", types.ModuleType("joblib"))
    monkeypatch.setitem(sys.modules, "joblib.numpy_pickle", module)

    def dump(value: Any, path: Path, compress: Any = None, protocol: int = 4, aligned: bool = True) -> Path:
        raw = io.BytesIO()
        JoblibPickler(raw, protocol, aligned).dump(value)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(compress(raw.getvalue()) if compress else raw.getvalue())
        return path

    return dump


def wham_person(motion: Motion, frame_ids: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """demo.py, results[_id], without the vertices."""
    ids = np.arange(len(motion.roots)) if frame_ids is None else frame_ids
    pose = motion.rotations.reshape(-1, 72)[: len(ids)].astype(np.float32)
    trans = (motion.roots - SMPL_PELVIS)[: len(ids)].astype(np.float32)
    betas = np.full((len(ids), 10), 0.5, np.float32)
    return {
        "pose": pose,
        "trans": trans,
        "pose_world": pose,
        "trans_world": np.zeros_like(trans),
        "betas": betas,
        "frame_ids": ids,
    }


def wham(*people: dict[str, np.ndarray]) -> dict[int, dict[str, np.ndarray]]:
    results: dict[int, dict[str, np.ndarray]] = collections.defaultdict(dict)
    for number, person in enumerate(people):
        for key, value in person.items():
            results[number][key] = value
    return results


def phalp(motion: Motion, scale: int = 2) -> dict[str, dict[str, Any]]:
    """PHALP.track's final_visuals_dic: person 3 in every frame, person 7, lost since long, in the second half."""
    frames = {}
    for index in range(len(motion.roots)):
        smpl = {
            "global_orient": motion.rotmats[index, :1].astype(np.float32),
            "body_pose": motion.rotmats[index, 1:].astype(np.float32),
            "betas": np.full(10, 0.5, np.float32),
        }
        people = [(3, 0)] if index < len(motion.roots) / 2 else [(7, 5), (3, 0)]
        camera = (motion.roots[index] - SMPL_PELVIS).astype(np.float32)
        name = f"outputs/_DEMO/clip/img/{index + 1:06d}.jpg"
        frames[name] = {
            "time": index,
            "shot": 0,
            "frame_path": name,
            "tid": [number for number, _ in people],
            "bbox": [np.array([1.0, 2, 30, 60]) for _ in people],
            "tracked_ids": [3],
            "tracked_bbox": [np.array([1.0, 2, 30, 60])],
            "tracked_time": [unseen for _, unseen in people],
            "size": [[HEIGHT * scale, WIDTH * scale] for _ in people],
            "conf": [np.float32(0.9) for _ in people],
            "smpl": [smpl for _ in people],
            "camera": [camera for _ in people],
            "mask": [{"size": [HEIGHT, WIDTH], "counts": b"rle"} for _ in people],
        }
    return frames


def gvhmr(motion: Motion, scale: int = 2) -> dict[str, Any]:
    """tools/demo/demo.py, pred; SMPL-X has no hand joints."""
    count = len(motion.roots)
    intrinsics = [[DIAGONAL * scale, 0, WIDTH * scale / 2], [0, DIAGONAL * scale, HEIGHT * scale / 2], [0, 0, 1]]
    params = {
        "body_pose": torch.tensor(motion.rotations[:, 1:22].reshape(count, 63)).float(),
        "betas": torch.full((count, 10), 0.5),
        "global_orient": torch.tensor(motion.rotations[:, 0]).float(),
        "transl": torch.tensor(motion.roots - SMPLX_PELVIS).float(),
    }
    return {
        "smpl_params_global": params,
        "smpl_params_incam": params,
        "K_fullimg": torch.tensor(intrinsics).repeat(count, 1, 1),
        "net_outputs": {"static_conf_logits": torch.zeros(1, count, 6)},
    }


def write_tram(folder: Path, motion: Motion, focal: float, track: int = 0, scale: int = 2) -> Path:
    """scripts/estimate_humans.py and estimate_camera.py."""
    count = len(motion.roots)
    (folder / "hps").mkdir(parents=True, exist_ok=True)
    results = {
        "pred_cam": torch.zeros(count, 3),
        "pred_pose": torch.zeros(count, 144),
        "pred_shape": torch.full((count, 10), 0.5),
        "pred_rotmat": torch.tensor(motion.rotmats).float(),
        "pred_trans": torch.tensor(motion.roots - SMPL_PELVIS).float()[:, None],
        "frame": torch.arange(count),
    }
    path = folder / "hps" / f"hps_track_{track}.npy"
    np.save(path, results)
    center = np.array([WIDTH, HEIGHT]) * scale / 2
    np.save(folder / "camera.npy", {"pred_cam_R": np.zeros((count, 3, 3)), "img_focal": focal, "img_center": center})
    return path


# A decoded video


@pytest.fixture
def directory(tmp_path: Path) -> VideoDir:
    return make_directory(tmp_path, Motion().pixels(DIAGONAL))


def make_directory(tmp_path: Path, centers: np.ndarray) -> VideoDir:
    """results/clip/ with masks that show a person about these pixels."""
    directory = VideoDir(tmp_path / "results" / "clip")
    directory.masks.mkdir(parents=True)
    for index, (x, y) in enumerate(centers):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[max(0, int(y) - 12) : int(y) + 12, max(0, int(x) - 6) : int(x) + 6] = 255
        write_mask(directory.masks / f"{index:06d}.png", mask)
    VideoInfo("clip.mp4", "0" * 64, Fraction(30), WIDTH, HEIGHT, len(centers), 0).save(directory.video)
    Camera(K, WIDTH, HEIGHT, "test", True).save(directory.camera)
    Landmarks.none(len(centers)).save(directory.landmarks)
    return directory


def decoded(directory: VideoDir, in_file: int, start: int | str = 0, step: int = 1) -> None:
    """What the decode stage tells."""
    record = {"settings": {"start": start, "stop": None, "step": step}, "facts": {"frames in the file": in_file}}
    write_json(
        directory.provenance("decode"), {"stage": "decode", "seconds": 1, "warnings": [], "versions": {}, **record}
    )


def imported(directory: VideoDir, path: Path, body: str = "free", person: int | None = None) -> tuple[Pose, Provenance]:
    settings = load_settings("pose", {"backend": "import", "path": str(path), "person": person}, PoseSettings)
    provenance = Provenance("pose", settings)
    return load_backend("pose", "import").estimate(directory, settings, body, provenance), provenance


def pelvis(pose: Pose, body: BodyModel | None = None) -> np.ndarray:
    """(T, 3) metres, posed."""
    body = body or load_body("free")
    values = (pose.global_orient, pose.body_pose, pose.betas, pose.transl)
    return body(*(torch.as_tensor(value, dtype=torch.float32) for value in values)).joints[:, 0].numpy()


def project(points: np.ndarray) -> np.ndarray:
    pixels = points @ K.T
    return pixels[..., :2] / pixels[..., 2:]


def assert_same_motion(pose: Pose, motion: Motion, focal: float, scale: float = 1.0, joints: int = 24) -> None:
    """The root at its pixel, its depth in the ratio of the focal lengths, and the same rotations."""
    roots = pelvis(pose)
    np.testing.assert_allclose(project(roots), motion.pixels(focal, scale), atol=0.01)
    np.testing.assert_allclose(roots[:, 2], motion.roots[:, 2] * K[0, 0] * scale / focal, rtol=1e-5)
    found = np.concatenate([pose.global_orient, pose.body_pose], axis=1).reshape(-1, 24, 3)
    turn = Rotation.from_rotvec(found[:, :joints].reshape(-1, 3)).inv()
    off = turn * Rotation.from_rotvec(motion.rotations[:, :joints].reshape(-1, 3))
    assert off.magnitude().max() < 1e-3
    assert (found[:, joints:] == 0).all()


# Each tool's file


@pytest.mark.parametrize("compress", [None, lambda raw: zlib.compress(raw, 3)])
def test_wham(directory: VideoDir, tmp_path: Path, joblib: Any, compress: Any) -> None:
    motion = Motion()
    path = joblib(wham(wham_person(motion)), tmp_path / "wham_output.pkl", compress)
    pose, provenance = imported(directory, path)
    assert_same_motion(pose, motion, DIAGONAL)
    assert pose.valid.all()
    assert (pose.betas == 0).all()
    assert any("mean shape" in warning for warning in provenance.warnings)
    assert provenance.facts["frames_with_pelvis_on_mask"] == FRAMES
    assert provenance.facts["distance_factor"] == pytest.approx(150 / DIAGONAL, abs=1e-4)


def test_phalp_without_the_poses_kept_of_who_is_lost(tmp_path: Path, joblib: Any) -> None:
    focal, motion = 5000 / 256 * 2 * HEIGHT, Motion(root=(0.1, 0.2, 40.0))
    directory = make_directory(tmp_path, motion.pixels(focal, 2))
    path = joblib(phalp(motion), tmp_path / "demo_clip.pkl", lambda raw: zlib.compress(raw, 3))
    pose, provenance = imported(directory, path)
    assert_same_motion(pose, motion, focal, 2)
    assert provenance.facts["people in the file"] == 1


def test_tram_one_file_and_its_folder(tmp_path: Path) -> None:
    motion, other, focal = Motion(), Motion(seed=1, root=(-1.0, 1.0, 5.0)), 300.0
    directory = make_directory(tmp_path, motion.pixels(focal, 2))
    path = write_tram(tmp_path / "tram", motion, focal, 1)
    assert_same_motion(imported(directory, path)[0], motion, focal, 2)
    write_tram(tmp_path / "tram", other, focal, 0)
    for folder in (path.parent, path.parent.parent):
        pose, provenance = imported(directory, folder)
        assert_same_motion(pose, motion, focal, 2)
        assert provenance.facts["person"] == "hps_track_1"


def test_gvhmr_has_no_hands(directory: VideoDir, tmp_path: Path) -> None:
    motion, path = Motion(), tmp_path / "hmr4d_results.pt"
    torch.save(gvhmr(motion), path)
    pose, provenance = imported(directory, path)
    assert_same_motion(pose, motion, DIAGONAL, joints=22)
    assert any("smplx" in warning for warning in provenance.warnings)


def own_pose(motion: Motion, valid: np.ndarray, body: str = "free") -> Pose:
    source_K = np.array([[120.0, 0, WIDTH / 2], [0, 120, HEIGHT / 2], [0, 0, 1]])
    betas = np.linspace(-1, 1, 10)
    rest = load_body("free").rest_joints(torch.as_tensor(betas).float())[0].numpy()
    return Pose(
        global_orient=motion.rotations[:, 0],
        body_pose=motion.rotations[:, 1:].reshape(-1, 69),
        betas=betas,
        transl=motion.roots - rest,
        valid=valid,
        bbox=np.zeros((len(valid), 4)),
        K=source_K,
        fps=30.0,
        body_model=body,
        source="test",
    )


def test_own_pose_file_keeps_its_shape(tmp_path: Path) -> None:
    motion = Motion()
    directory = make_directory(tmp_path, motion.pixels(120))
    own_pose(motion, np.ones(FRAMES, bool)).save(tmp_path / "pose.npz")
    pose, provenance = imported(directory, tmp_path / "pose.npz")
    assert_same_motion(pose, motion, 120)
    np.testing.assert_allclose(pose.betas, np.linspace(-1, 1, 10), atol=1e-6)
    assert provenance.warnings == []


@pytest.fixture(scope="module")
def seen_walker(tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoDir, Pose]:
    """A tall person with true masks and landmarks, and the truth."""
    body, truth = load_body("free"), motion(FRAMES, 160)
    truth = replace(truth, betas=np.array([2.0, -1.0, 0.5, 0, 0, 0, 0, 0, 0, 0]))
    directory = VideoDir(tmp_path_factory.mktemp("seen") / "clip")
    directory.masks.mkdir(parents=True)
    rows = (truth.global_orient, truth.body_pose, truth.betas, truth.transl)
    for index, vertices in enumerate(body(*(torch.as_tensor(row).float() for row in rows)).vertices.double().numpy()):
        mask = rasterize(vertices, body.faces.numpy(), truth.K, 160, 160).mask
        write_mask(directory.masks / f"{index:06d}.png", 255 * mask.astype(np.uint8))
    VideoInfo("clip.mp4", "0" * 64, Fraction(30), 160, 160, FRAMES, 0).save(directory.video)
    Camera(truth.K, 160, 160, "test", True).save(directory.camera)
    ideal_landmarks(body, truth, landmark_map(body).names).save(directory.landmarks)
    return directory, truth


def of_another_body(truth: Pose, path: Path) -> Path:
    """The truth as a tool tells it whose body has other proportions, and its pelvis elsewhere."""
    betas, transl = np.full(10, 0.5), truth.transl * 1.08 + [0, 0.07, 0]
    replace(truth, betas=betas, transl=transl, body_model="smpl", source="a test").save(path)
    return path


def test_a_motion_of_another_body_is_set_down_on_the_landmarks(seen_walker: tuple, tmp_path: Path) -> None:
    directory, truth = seen_walker
    pose, provenance = imported(directory, of_another_body(truth, tmp_path / "pose.npz"))
    before, after = (provenance.facts[f"outline overlap, {when}"] for when in ("as imported", "set down"))
    assert before < 0.8 and after > 0.9
    assert "set down on" in pose.source
    assert np.linalg.norm(pelvis(pose) - pelvis(truth), axis=1).max() < 0.25  # how far off is anybody's guess
    across = (pelvis(pose) / pelvis(pose)[:, 2:] - pelvis(truth) / pelvis(truth)[:, 2:])[:, :2]
    assert np.abs(across).max() < 0.01
    assert not any("not kept" in warning for warning in provenance.warnings)


def test_joints_in_no_unit_are_set_down_too(seen_walker: tuple, tmp_path: Path) -> None:
    """MotionBERT's: neither the place nor the size is told."""
    directory, truth = seen_walker
    rows = (truth.global_orient, truth.body_pose, truth.betas, truth.transl)
    arguments = (torch.as_tensor(row).float() for row in rows)
    joints = anatomical_joints(load_body("free"), *arguments, names=H36M).numpy()
    np.save(tmp_path / "X3D.npy", 0.4 * (joints - joints[:, :1]))
    pose, provenance = imported(directory, tmp_path / "X3D.npy")
    before, after = (provenance.facts[f"outline overlap, {when}"] for when in ("as imported", "set down"))
    assert before > 0.7 and after > 0.85
    across = (pelvis(pose) / pelvis(pose)[:, 2:] - pelvis(truth) / pelvis(truth)[:, 2:])[:, :2]
    assert np.abs(across).max() < 0.015


@pytest.mark.parametrize("drift", [0.4, 0.8])
def test_of_a_world_without_a_camera_the_landmarks_tell_where_the_person_faces(
    seen_walker: tuple, tmp_path: Path, drift: float
) -> None:
    """The boxes of a person who squats, or walks on the spot, tell next to nothing of it; WHAM's path drifts."""
    directory, truth = seen_walker
    rows = (truth.global_orient, truth.body_pose, truth.betas, truth.transl)
    joints = anatomical_joints(load_body("free"), *(torch.as_tensor(row).float() for row in rows), names=LIMBS).numpy()
    turn = Rotation.from_euler("yx", [130, 180], degrees=True)
    world = turn.apply(joints.reshape(-1, 3)).reshape(joints.shape)
    world[..., 0] += drift * np.linspace(0, 1, len(world))[:, None]
    np.savez(tmp_path / "world.npz", joints=world, names=LIMBS)
    pose, provenance = imported(directory, tmp_path / "world.npz")
    off = Rotation.from_rotvec(pose.global_orient).inv() * Rotation.from_rotvec(truth.global_orient)
    assert np.degrees(off.magnitude()).max() < 15
    assert provenance.facts["outline overlap, set down"] > 0.85
    assert any("found by the landmarks" in warning for warning in provenance.warnings)
    statures = [float(load_body("free").stature(torch.as_tensor(each.betas).float())) for each in (pose, truth)]
    assert statures[0] == pytest.approx(statures[1], abs=0.03)  # the joints tell it, in metres


def test_the_size_that_joints_in_metres_tell_is_kept(seen_walker: tuple, tmp_path: Path) -> None:
    """Landmarks of a person who looks a tenth larger than their joints say: nearer, then, not taller."""
    directory, truth = seen_walker
    rows = (truth.global_orient, truth.body_pose, truth.betas, truth.transl)
    joints = anatomical_joints(load_body("free"), *(torch.as_tensor(row).float() for row in rows), names=LIMBS).numpy()
    np.savez(tmp_path / "world.npz", joints=0.9 * joints * [1, -1, -1], names=LIMBS)
    pose, _ = imported(directory, tmp_path / "world.npz")
    betas = (torch.as_tensor(each.betas).float() for each in (pose, truth))
    small, tall = (float(load_body("free").stature(each)) for each in betas)
    assert small == pytest.approx(0.9 * tall, abs=0.03)


def test_landmarks_that_make_it_worse_are_not_believed(seen_walker: tuple, tmp_path: Path) -> None:
    directory, truth = seen_walker
    elsewhere = VideoDir(tmp_path / "clip")
    shutil.copytree(directory.root, elsewhere.root)
    found = Landmarks.load(elsewhere.landmarks)
    replace(found, xy=found.xy + np.array([60, 0])).save(elsewhere.landmarks)
    pose, provenance = imported(elsewhere, of_another_body(truth, tmp_path / "pose.npz"))
    assert (pose.betas == 0).all() and "set down" not in pose.source
    assert any("overlaps the masks less" in warning for warning in provenance.warnings)


def test_shape_and_root_are_exact_on_the_source_s_own_body(tmp_path: Path, joblib: Any) -> None:
    """With SMPL at hand betas are kept, and the pelvis is where they put it."""
    with np.load(FREE_BODY) as archive:
        np.savez(tmp_path / "smpl.npz", **{**archive, "name": np.array("smpl")})
    body, motion = load_body(tmp_path / "smpl.npz"), Motion()
    directory = make_directory(tmp_path, motion.pixels(DIAGONAL))
    person = wham_person(motion)
    person["trans"] = (motion.roots - body.rest_joints(torch.full((10,), 0.5))[0].numpy()).astype(np.float32)
    path = joblib(wham(person), tmp_path / "wham_output.pkl")
    pose, provenance = imported(directory, path, str(tmp_path / "smpl.npz"))
    np.testing.assert_allclose(pose.betas, 0.5)
    np.testing.assert_allclose(project(pelvis(pose, body)), motion.pixels(DIAGONAL), atol=0.01)
    assert pose.body_model == "smpl"
    assert provenance.warnings == []


def test_exported_amass_comes_back(tmp_path: Path) -> None:
    motion, body = Motion(), load_body("free")
    pose = own_pose(motion, np.ones(FRAMES, bool))
    directory = make_directory(tmp_path, project(pelvis(pose)))
    write_amass(tmp_path / "motion.npz", to_world(pose, body, CAMERA_TO_Z_UP), pose.betas, "free")
    back, _ = imported(directory, tmp_path / "motion.npz")
    # The world's motion, back in the camera's axes: its root is moved a little, to keep the feet on the ground.
    world, root = with_world(pose, body), body.rest_joints(torch.as_tensor(pose.betas).float())[0].numpy()
    turn, place = world.world_from_camera[:, :3, :3], world.world_from_camera[:, :3, 3]
    expected = np.einsum("tji,tj->ti", turn, world.transl_world + root - place) - root
    assert np.linalg.norm(expected - pose.transl, axis=1).max() < 0.3
    np.testing.assert_allclose(back.transl, expected, atol=1e-4)
    np.testing.assert_allclose(back.global_orient, pose.global_orient, atol=1e-4)
    # Its legs, too, where feet rest.
    np.testing.assert_allclose(back.body_pose[:, :63], world.body_pose_world[:, :63], atol=1e-4)
    np.testing.assert_allclose(world.body_pose_world[:, 24:], pose.body_pose[:, 24:], atol=1e-4)
    np.testing.assert_allclose(back.betas, pose.betas, atol=1e-5)


def walker() -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T, 24, 3) and pelvis (T, 3), z up: upright, arms down, walking an arc while turning."""
    time = np.linspace(0, 1, 24)
    rotations = np.zeros((24, 24, 3))
    upright = Rotation.from_euler("x", 90, degrees=True)
    turn = Rotation.from_euler("z", 20 + 70 * time[:, None], degrees=True)
    rotations[:, 0] = (turn * upright).as_rotvec()
    rotations[:, 16, 2], rotations[:, 17, 2] = -1.2, 1.2
    rotations[:, 1, 0], rotations[:, 2, 0] = 0.4 * np.sin(12 * time), -0.4 * np.sin(12 * time)
    place = np.stack([0.8 * np.sin(1.5 * time), 1.6 * time**2, np.full(24, 0.9)], axis=1)
    return rotations, place


@pytest.mark.parametrize(("rate", "columns"), [(30, 156), (120, 165)])
def test_amass_without_a_camera_is_placed_by_the_masks(tmp_path: Path, rate: int, columns: int) -> None:
    """A camera that stands 1.4 m high, tilted, 4.5 m away, of which the file tells nothing."""
    body = load_body("free")
    rotations, place = walker()
    camera = Rotation.from_euler("xyz", [-98, 0, 25], degrees=True)
    to_camera = camera.inv()
    eye = np.array([2.2, -4.2, 1.4])
    roots = to_camera.apply(place - eye)
    orient = (to_camera * Rotation.from_rotvec(rotations[:, 0])).as_rotvec()
    rest = body.rest_joints(torch.zeros(10))[0].numpy()
    posed = body(
        *(
            torch.as_tensor(value).float()
            for value in (orient, rotations[:, 1:].reshape(-1, 69), np.zeros(10), roots - rest)
        )
    ).vertices.numpy()
    outline = project(posed)
    directory = VideoDir(tmp_path / "clip")
    directory.masks.mkdir(parents=True)
    for index, points in enumerate(outline):
        (left, top), (right, bottom) = points.min(0).astype(int), points.max(0).astype(int) + 1
        assert min(left, top) > 1 and right < WIDTH - 1 and bottom < HEIGHT - 1
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[top:bottom, left:right] = 255
        write_mask(directory.masks / f"{index:06d}.png", mask)
    VideoInfo("clip.mp4", "0" * 64, Fraction(30), WIDTH, HEIGHT, 24, 0).save(directory.video)
    Camera(K, WIDTH, HEIGHT, "test", True).save(directory.camera)
    Landmarks.none(24).save(directory.landmarks)

    every = np.arange(24 * rate // 30) * 30 / rate  # the capture's frames, in frames of the video
    poses = np.zeros((len(every), columns))
    for joint in range(22):
        for axis in range(3):
            poses[:, 3 * joint + axis] = np.interp(every, np.arange(24), rotations[:, joint, axis])
    pelvis_at = np.stack([np.interp(every, np.arange(24), place[:, axis]) for axis in range(3)], axis=1)
    rest_source = SMPL_PELVIS if columns == 156 else SMPLX_PELVIS
    latent = np.array({"markers": 1}, dtype=object)  # AMASS pickles some
    np.savez(
        tmp_path / "amass.npz",
        poses=poses,
        trans=pelvis_at - rest_source,
        betas=np.ones(16),
        mocap_frame_rate=rate,
        latent=latent,
    )
    pose, provenance = imported(directory, tmp_path / "amass.npz")
    found = pelvis(pose)
    assert np.abs(project(found) - project(roots)).max() < 2
    np.testing.assert_allclose(found[:, 2], roots[:, 2], rtol=0.04)
    off = Rotation.from_rotvec(pose.global_orient).inv() * Rotation.from_rotvec(orient)
    assert np.degrees(off.magnitude()).max() < 10
    assert any("tells no camera" in warning for warning in provenance.warnings)


# People and frames


def test_of_several_people_the_one_on_the_masks_is_taken(directory: VideoDir, tmp_path: Path, joblib: Any) -> None:
    wanted, other = Motion(), Motion(seed=1, root=(-1.0, 0.9, 4.0))
    file = wham(wham_person(other), wham_person(wanted, np.arange(2, 12)))
    pose, provenance = imported(directory, joblib(file, tmp_path / "wham.pkl"))
    assert provenance.facts["person"] == "person 1"
    assert any("2 people; person 1" in warning for warning in provenance.warnings)
    np.testing.assert_array_equal(pose.valid, np.arange(FRAMES) >= 2)


def test_the_person_that_is_wanted(directory: VideoDir, tmp_path: Path, joblib: Any) -> None:
    on_masks, other = Motion(), Motion(seed=1, root=(-1.0, 0.9, 4.0))
    path = joblib(wham(wham_person(other), wham_person(on_masks)), tmp_path / "wham.pkl")
    pose, provenance = imported(directory, path, person=0)
    np.testing.assert_allclose(pose.body_pose, other.rotations[:, 1:].reshape(-1, 69), atol=1e-5)
    assert provenance.facts["person"] == "person 0"
    with pytest.raises(UserError, match=r"pose\.person: .*wham\.pkl has no person 2; it has 0: person 0, 1: person 1"):
        imported(directory, path, person=2)


def joints_npz(path: Path, motion: Motion, **told: np.ndarray) -> Path:
    """The free body's limbs in the camera's axes."""
    body = load_body("free")
    transl = motion.roots - body.rest_joints(torch.zeros(10))[0].numpy()
    arrays = motion.rotations[:, 0], motion.rotations[:, 1:].reshape(-1, 69), np.zeros(10), transl
    limbs = anatomical_joints(body, *(torch.as_tensor(values, dtype=torch.float32) for values in arrays)).numpy()
    np.savez(path, joints=limbs, names=LIMBS, **told)
    return path


def test_joints_alone(directory: VideoDir, tmp_path: Path) -> None:
    """Of whom only joints are told, the body is fitted to them; its shape is kept."""
    source = np.array([[DIAGONAL, 0, WIDTH / 2], [0, DIAGONAL, HEIGHT / 2], [0, 0, 1]])
    pose, provenance = imported(directory, joints_npz(tmp_path / "joints.npz", Motion(), K=source))
    assert provenance.facts["off the file's joints, mm"] < 10
    np.testing.assert_allclose(project(pelvis(pose)), Motion().pixels(DIAGONAL), atol=1.0)
    assert (pose.betas != 0).any() and not any("mean shape" in warning for warning in provenance.warnings)


def test_a_person_whose_place_is_not_told(tmp_path: Path) -> None:
    """SMPLer-X without its camera: placed by the masks."""
    motion = Motion()
    directory = make_directory(tmp_path, motion.pixels(DIAGONAL))
    folder = tmp_path / "smplx"
    folder.mkdir()
    for k in range(FRAMES):
        turn, pose = motion.rotations[k, :1], motion.rotations[k, 1:22]
        np.savez(
            folder / f"{k:05}_0.npz",
            global_orient=turn,
            body_pose=pose,
            transl=np.zeros((1, 3)),
            betas=np.zeros((1, 10)),
        )
    pose, provenance = imported(directory, folder)
    assert any("does not tell where the person is" in warning for warning in provenance.warnings)
    assert provenance.facts["frames_with_pelvis_on_mask"] == FRAMES
    np.testing.assert_allclose(pose.body_pose[:, :63], motion.rotations[:, 1:22].reshape(-1, 63), atol=1e-5)


def test_a_row_too_few(directory: VideoDir, tmp_path: Path) -> None:
    torch.save(gvhmr(Motion(frames=FRAMES - 1)), tmp_path / "short.pt")
    pose, provenance = imported(directory, tmp_path / "short.pt")
    assert any("has 11 rows for 12 frames" in warning for warning in provenance.warnings)
    np.testing.assert_array_equal(np.flatnonzero(~pose.valid), [11])


def test_someone_elsewhere_is_told(directory: VideoDir, tmp_path: Path, joblib: Any) -> None:
    path = joblib(wham(wham_person(Motion(root=(-1.0, 0.9, 4.0)))), tmp_path / "wham.pkl")
    assert any("on the masks in 0 of 12" in warning for warning in imported(directory, path)[1].warnings)


def test_missing_frames_are_interpolated(directory: VideoDir, tmp_path: Path, joblib: Any) -> None:
    motion = Motion()
    person = {key: np.delete(value, 5, axis=0) for key, value in wham_person(motion).items()}
    pose, provenance = imported(directory, joblib(wham(person), tmp_path / "wham.pkl"))
    np.testing.assert_array_equal(np.flatnonzero(~pose.valid), [5])
    np.testing.assert_allclose(pose.transl[5], (pose.transl[4] + pose.transl[6]) / 2, atol=1e-5)
    half = Rotation.from_rotvec(pose.body_pose[[4, 6], 30:33]).mean().as_rotvec()
    np.testing.assert_allclose(pose.body_pose[5, 30:33], half, atol=1e-3)
    assert any("1 of 12 frames is interpolated" in warning for warning in provenance.warnings)
    assert provenance.facts["invalid_frames"] == [5]


@pytest.mark.parametrize(("start", "shot"), [(6, None), ("0.1s", None), (1, 6)])
def test_rows_are_those_of_the_decoded_frames(tmp_path: Path, joblib: Any, start: int | str, shot: int | None) -> None:
    """Every second frame from the sixth on; 0.1 s is frame 6 of the file at 60 frames a second; a shot begins later
    than the selection."""
    motion = Motion(frames=40)
    numbers = 6 + 2 * np.arange(FRAMES)
    directory = make_directory(tmp_path, motion.pixels(DIAGONAL)[numbers])
    decoded(directory, 40, start, 2)
    replace(VideoInfo.load(directory.video), start=shot).save(directory.video)
    torch.save(gvhmr(motion), tmp_path / "all.pt")
    torch.save(gvhmr(Motion()), tmp_path / "decoded.pt")
    files = (tmp_path / "all.pt", joblib(wham(wham_person(motion)), tmp_path / "wham.pkl"))
    for path in files:
        pose, _ = imported(directory, path)
        np.testing.assert_allclose(project(pelvis(pose)), motion.pixels(DIAGONAL)[numbers], atol=0.01)
        np.testing.assert_allclose(pose.body_pose[:, :63], motion.rotations[numbers, 1:22].reshape(-1, 63), atol=1e-5)
    pose, _ = imported(directory, tmp_path / "decoded.pt")  # as many as were decoded: those
    np.testing.assert_allclose(project(pelvis(pose)), Motion().pixels(DIAGONAL), atol=0.01)


def test_another_number_of_frames_is_told(directory: VideoDir, tmp_path: Path, joblib: Any) -> None:
    decoded(directory, 24, 0, 2)
    torch.save(gvhmr(Motion(frames=20)), tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt: GVHMR has 20 frames, but 12 .* of the 24 .*video\.start"):
        imported(directory, tmp_path / "other.pt")
    path = joblib(wham(wham_person(Motion(), 20 + np.arange(12))), tmp_path / "wham.pkl")
    with pytest.raises(UserError, match=r"wham\.pkl: WHAM has a frame 31, but 12 frames were decoded of the 24"):
        imported(directory, path)


def test_too_few_frames_are_told(directory: VideoDir, tmp_path: Path, joblib: Any) -> None:
    path = joblib(wham(wham_person(Motion(), np.arange(5))), tmp_path / "wham.pkl")
    with pytest.raises(UserError, match=r"pose of 5 of the 12 decoded frames, at least 8 are needed"):
        imported(directory, path)


def test_images_of_another_shape_are_told(directory: VideoDir, tmp_path: Path) -> None:
    path = write_tram(tmp_path, Motion(), 300.0)
    np.save(tmp_path / "camera.npy", {"img_focal": 300.0, "img_center": np.array([320.0, 180.0])})
    with pytest.raises(UserError, match="expected the shape of the frames, 96x128 or a scaled one, found 640x360"):
        imported(directory, path)


# Files that are not what they should be


class Wicked:
    """Runs a command when it is unpickled by pickle.load."""

    def __reduce__(self) -> Any:
        return os.system, ("echo wicked > wicked.txt",)


def wicked_storage() -> bytes:
    """A torch tensor whose bytes are themselves a wicked pickle."""

    class Bytes:
        def __reduce__(self) -> Any:
            return torch.storage._load_from_bytes, (pickle.dumps(Wicked(), protocol=2),)

    return pickle.dumps({"pred_rotmat": Bytes()})


@pytest.mark.parametrize("kind", ["pickle", "zlib", "joblib", "objects", "npy", "npz", "torch", "storage"])
def test_wicked_files_are_refused_and_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, joblib: Any, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path, content = tmp_path / "motion.bin", {0: {"pose": Wicked(), "trans": np.zeros(3)}}
    if kind in ("pickle", "zlib"):
        raw = pickle.dumps(content)
        path.write_bytes(raw if kind == "pickle" else zlib.compress(raw))
    elif kind == "joblib":
        joblib(content, path)
    elif kind == "objects":  # joblib pickles arrays of objects after the wrapper
        joblib({"pose": np.array([Wicked()], dtype=object)}, path)
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, content)
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, poses=np.array([Wicked()], dtype=object), trans=np.zeros((1, 3)))
    elif kind == "torch":
        torch.save({"smpl_params_incam": Wicked()}, path)
    else:
        path.write_bytes(wicked_storage())
    if kind == "npz":
        assert set(read_content(path)) == {"trans"}
    else:
        named = "array of object" if kind == "objects" else r"names (posix|nt)\.system, which no motion file needs"
        with pytest.raises(UserError, match=rf"motion\.bin: not read: it .*{named}"):
            read_content(path)
    assert not (tmp_path / "wicked.txt").exists()


def test_other_packings_are_refused_by_name(tmp_path: Path, joblib: Any) -> None:
    path = joblib(wham(wham_person(Motion())), tmp_path / "wham.pkl", lzma.compress)
    with pytest.raises(UserError, match=r"wham\.pkl: is xz, which is not read; write it again"):
        read_content(path)


@pytest.mark.parametrize("keep", [0, 3, 40, 200, 0.5, 0.99])
@pytest.mark.parametrize("compress", [None, zlib.compress])
def test_cut_files_are_told(tmp_path: Path, joblib: Any, compress: Any, keep: float) -> None:
    path = joblib(wham(wham_person(Motion())), tmp_path / "wham.pkl", compress)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(keep if keep >= 1 else keep * len(raw))])
    with pytest.raises(UserError, match=r"wham\.pkl: not") as caught:
        read_content(path)
    assert "\n" not in str(caught.value)


def test_wrong_files_are_told_in_one_line(directory: VideoDir, tmp_path: Path, joblib: Any) -> None:
    short = wham_person(Motion())
    short["trans"] = short["trans"][:-1]
    nameless = {key: value for key, value in wham_person(Motion()).items() if key != "betas"}
    nobody = {"img/1.jpg": {key: [] for key in ("tid", "tracked_time", "smpl", "camera", "size")}}
    skewed = phalp(Motion())
    next(iter(skewed.values()))["smpl"][0]["body_pose"] = np.zeros((23, 3, 3))
    params = gvhmr(Motion())
    params["smpl_params_incam"]["transl"][3, 1] = np.nan
    (tmp_path / "text.pkl").write_text("hello there")
    np.save(tmp_path / "numbers.npy", np.zeros(3))
    np.savez(tmp_path / "keys.npz", vertices=np.zeros(3))
    np.savez(tmp_path / "narrow.npz", poses=np.zeros((FRAMES, 99)), trans=np.zeros((FRAMES, 3)))
    torch.save(params, tmp_path / "nan.pt")
    (tmp_path / "empty").mkdir()
    tram = write_tram(tmp_path / "tram", Motion(), 300.0)
    (tmp_path / "tram" / "camera.npy").unlink()
    for path, told in (
        (tmp_path / "text.pkl", "not a motion file: expected a pickle"),
        (tmp_path / "numbers.npy", r"found an array of float64, shape \(3,\)"),
        (tmp_path / "keys.npz", "expected PHALP's .* AMASS .* found vertices"),
        (tmp_path / "narrow.npz", "'poses' should have 72, 156, 165 columns, found 99"),
        (tmp_path / "nan.pt", r"smpl_params_incam: key 'transl' holds nan at index \(3, 1\)"),
        (tmp_path / "empty", "TRAM's folder with hps_track_"),
        (tram, "camera.npy: not found; TRAM's focal length is in it"),
        (
            joblib(wham(short), tmp_path / "a.pkl"),
            r"person 0: key 'trans' should have shape \(N=12, 3\), found \(11, 3",
        ),
        (joblib(wham(nameless), tmp_path / "b.pkl"), "person 0: key 'betas' is missing"),
        (joblib(nobody, tmp_path / "c.pkl"), "nobody is tracked in any of its 1 frames"),
        (joblib(skewed, tmp_path / "d.pkl"), "person 3: expected rotation matrices"),
        (tmp_path / "absent.pkl", "not found; settings pose.path"),
    ):
        with pytest.raises(UserError, match=told) as caught:
            imported(directory, path)
        assert "\n" not in str(caught.value)


# The parts


@settings(deadline=None)  # a busy machine stops anybody for a while
@given(
    st.lists(st.floats(50, 5000), min_size=2, max_size=2),
    st.lists(st.floats(50, 5000), min_size=2, max_size=2),
    st.lists(st.floats(-3, 3), min_size=2, max_size=2),
    st.floats(0.5, 100),
)
def test_reanchoring_keeps_pixel_and_size(f_source: list, f_ours: list, xy: list, z: float) -> None:
    source, ours = (np.array([[f[0], 0, 320], [0, f[1], 200], [0, 0, 1.0]]) for f in (f_source, f_ours))
    point = np.array([[*xy, z]])
    moved = reanchored(point, source[None], ours)
    before, after = point @ source.T, moved @ ours.T
    np.testing.assert_allclose(after[:, :2] / after[:, 2:], before[:, :2] / before[:, 2:], rtol=1e-6, atol=1e-6)
    sizes = [np.sqrt(k[0, 0] * k[1, 1]) / p[0, 2] for k, p in ((source, point), (ours, moved))]
    assert sizes[0] == pytest.approx(sizes[1])


# What joblib 1.5.1 wrote, at compress=3: {'c': int16 (2, 3) 0..5, 'f': the same in Fortran order, 'n': float64 7}.
REAL_JOBLIB = """
eF5lkD1LxEAQhjdf3hGR89BDQX/AiZDCysJCObAwkMLGRgibXM6Jbj7IB5JC0OaMMJ1zf84/o5vs6RVOscyw8z4z77yaqy+m4oWm
qIWEe49ZIOLASeskb/w8Dp9ERDj2uvKqKHhzV/A8jwr6pJM36lTDsg5CwcuS0OpVhIN0zrte2YRWCTyPyNVdYymrrJhLMWozmc+r
Rv7A8DeT3Xp8Rh/tO93S1DVQuyDP826+ZfSPyyoK0OZCZM9+kvCcWjxSm/bzfC7ihzSJ0soPmioqyd2tA7tTqmBMYzozmMkstjpd
O0dtQWAqMzAAG7bVrrCD2jXBCPbhoIXDDjXaoNY8QxJNyZS8+z9eSjjpt3LCrIicpBZVrO6BW2XIBe+uB2PUF+cbszD5b3U2VMzj
S1rKk9TOD0rdqs4=
"""


def test_a_file_that_joblib_wrote(tmp_path: Path) -> None:
    path = tmp_path / "real.pkl"
    path.write_bytes(base64.b64decode(REAL_JOBLIB))
    content = read_content(path)
    expected = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(as_array(content["c"]), expected)
    np.testing.assert_array_equal(as_array(content["f"]), expected)
    assert content["n"] == 7


@pytest.mark.parametrize(("protocol", "aligned"), [(2, False), (3, True), (4, False), (5, True)])
@pytest.mark.parametrize("compress", [None, zlib.compress])
def test_joblib_of_all_ages(tmp_path: Path, joblib: Any, protocol: int, aligned: bool, compress: Any) -> None:
    value = {"a": np.arange(6.0), "b": np.arange(6).reshape(2, 3).T, "none": np.zeros((0, 3)), "text": "x" * 100}
    value["again"] = value["a"]
    value["bytes"] = b"\x00\xff"
    value = collections.defaultdict(dict, value)
    content = read_content(joblib(value, tmp_path / "file", compress, protocol, aligned))
    for key in ("a", "b", "none", "again"):
        np.testing.assert_array_equal(as_array(content[key]), value[key])
    assert (content["text"], content["bytes"]) == (value["text"], value["bytes"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_pickles(tmp_path: Path, protocol: int) -> None:
    """As those who convert a result write it; tensors in it too."""
    value = {"a": np.arange(6).reshape(2, 3).T, "number": np.float32(2), "t": torch.arange(4.0)[1:]}
    (tmp_path / "file").write_bytes(pickle.dumps(value, protocol))
    content = read_content(tmp_path / "file")
    for key in value:
        np.testing.assert_array_equal(as_array(content[key]), value[key])


def test_the_command(directory: VideoDir, tmp_path: Path, joblib: Any, capsys: pytest.CaptureFixture) -> None:
    """{video} in the path is the video's name; files as any pose backend writes them; errors in one line."""
    joblib(wham(wham_person(Motion())), tmp_path / "mine" / "clip" / "wham_output.pkl")
    settings = f"{{backend: import, path: '{tmp_path}/mine/{{video}}/wham_output.pkl'}}"
    directory.frames.mkdir()
    for index in range(FRAMES):
        write_frame(directory.frames / f"{index:06d}.jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    assert main(["pose", str(directory.root), "--camera", "pitch: 12", "--settings", settings]) == 0
    assert_same_motion(Pose.load(directory.pose_init), Motion(), DIAGONAL)
    camera = Pose.load(directory.pose_init).world_from_camera[0, :3, :3]
    assert np.degrees(np.arcsin(-camera[1, 2])) == pytest.approx(12)  # the world's up, along the camera's axis
    assert read_provenance(directory.provenance("pose"))["facts"]["world"]["pitch"] == 12
    record = read_provenance(directory.provenance("pose"))
    assert record["facts"]["tool"] == "WHAM"
    capsys.readouterr()
    assert main(["pose", str(directory.root), "--settings", "{backend: import}"]) == 1
    assert "pose.path" in capsys.readouterr().err
