"""Writers of a small sequence in the layout of each public dataset, from a film of the studio with known truth."""

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel, load_body
from pipeline.body.load import FREE_BODY
from pipeline.datasets.smpl import Bodies
from pipeline.formats.images import DepthFolder, MaskFolder
from pipeline.formats.pose import Pose
from pipeline.settings import load_settings
from pipeline.video.decode import DecodeSettings, read_frames
from pipeline.video.probe import probe

SCALE = 0.37  # of COLMAP's world: its units a metre
MONO = 4.0, 0.8  # relative depth = (COLMAP's depth - the second) / the first
MONO_UNIT = 1e-4
SHIFT = np.linspace(-0.6, 0.5, 10)  # betas between the neutral body and the female one; the male's are opposite
LENS = np.array([-0.12, 0.05, 0.003, -0.002, 0.01])  # k1 k2 p1 p2 k3


@dataclass(frozen=True)
class Film:
    """What was filmed, in the camera's frame, and where that camera was in the world at each instant."""

    images: np.ndarray  # (T, H, W, 3) uint8
    masks: np.ndarray  # (T, H, W) bool
    depth: np.ndarray  # (T, H, W) metres
    pose: Pose
    body: BodyModel  # float64
    rotation: np.ndarray  # (T, 3, 3) world to camera
    translation: np.ndarray  # (T, 3) metres

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pelvis(self) -> np.ndarray:
        """J0 (3,)."""
        return self.body.rest_joints(torch.as_tensor(self.pose.betas, dtype=torch.float64))[0].numpy()

    @property
    def orient(self) -> Rotation:
        return Rotation.from_rotvec(self.pose.global_orient)

    def world(self) -> tuple[np.ndarray, np.ndarray]:
        """global_orient and transl (T, 3) in the world."""
        turn = Rotation.from_matrix(self.rotation).inv()
        root = turn.apply(self.pelvis + self.pose.transl - self.translation)
        return (turn * self.orient).as_rotvec(), root - self.pelvis

    def world_poses(self) -> np.ndarray:
        """(T, 72)"""
        return np.concatenate([self.world()[0], self.pose.body_pose], axis=1)


@dataclass(frozen=True)
class World:
    """SMPL's files, made of the free body so that the studio's truth is theirs, and a film."""

    neutral: Path
    female: Path
    male: Path
    film: Film

    @property
    def bodies(self) -> Bodies:
        return Bodies.load(self.neutral, self.female, self.male)


def make_world(folder: Path, video: Path, truth: Path, frames: int) -> World:
    """Write SMPL's files into the folder, and take the first frames of a studio clip for the film."""
    with np.load(FREE_BODY) as archive:
        arrays = {key: archive[key] for key in archive.files} | {"name": np.array("smpl")}
    paths = {}
    for gender, sign in (("neutral", 0), ("female", 1), ("male", -1)):
        template = arrays["v_template"] + arrays["shapedirs"][:, :, :10] @ (sign * SHIFT)
        paths[gender] = folder / f"SMPL_{gender.upper()}.npz"
        np.savez(paths[gender], **arrays | {"v_template": template})
    rows, whole = np.arange(frames), load_settings("video", {"longest_side": None}, DecodeSettings)
    pose = Pose.load(truth / "pose.npz")
    shown = {key: getattr(pose, key)[rows] for key in ("global_orient", "body_pose", "transl", "valid", "bbox")}
    film = Film(
        images=np.stack([frame for frame, _ in zip(read_frames(probe(video), whole, print), rows)]),
        masks=np.stack([MaskFolder(truth / "masks")[row] > 127 for row in rows]),
        depth=np.stack([DepthFolder(truth / "depth")[row] for row in rows]).astype(float),
        pose=replace(pose, **shown, body_model="smpl"),
        body=load_body(paths["neutral"], torch.float64),
        rotation=moving_camera(frames)[0],
        translation=moving_camera(frames)[1],
    )
    return World(**paths, film=film)


def moving_camera(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return Rotation.from_rotvec(rng.normal(size=(frames, 3))).as_matrix(), rng.normal(size=(frames, 3))


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95) if path.suffix == ".jpg" else Image.fromarray(image).save(path)


def dump(path: Path, content: object, protocol: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol))


def save_object(path: Path, content: object) -> None:
    """np.save of a dict, as an array of one object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(content, dtype=object), allow_pickle=True)


# ------------------------------------------------------------------------------------------------------------- NeuMan


def write_colmap(root: Path, film: Film, points: int = 60) -> None:
    rng, K = np.random.default_rng(1), film.pose.K
    height, width = film.images.shape[1:3]
    lines, seen = {"cameras": ["# Camera list"], "images": ["# Image list"], "points3D": ["# 3D point list"]}, 0
    lines["cameras"].append(f"1 PINHOLE {width} {height} {K[0, 0]!r} {K[1, 1]!r} {K[0, 2]!r} {K[1, 2]!r}")
    for index in reversed(range(len(film))):  # COLMAP's order is not that of time
        x, y, z, w = Rotation.from_matrix(film.rotation[index]).as_quat()
        t = SCALE * film.translation[index]
        values = " ".join(repr(float(v)) for v in (w, x, y, z, *t))
        lines["images"].append(f"{index + 1} {values} 1 {index:05d}.png")
        features = []
        for _ in range(points if index != 1 else 0):  # one image sees no point: its second line is empty
            column, row = int(rng.integers(width)), int(rng.integers(height))
            ray = np.linalg.inv(K) @ [column + 0.5, row + 0.5, 1]
            point = film.rotation[index].T @ (SCALE * film.depth[index, row, column] * ray - t)
            seen += 1
            features.append(f"{column + 0.5} {row + 0.5} {seen}")
            lines["points3D"].append(f"{seen} {point[0]!r} {point[1]!r} {point[2]!r} 9 9 9 0.1 {index + 1} 0")
        lines["images"].append(" ".join([*features, "1.5 2.5 -1"] if features else ""))
    (root / "sparse").mkdir(parents=True)
    for name, text in lines.items():
        (root / "sparse" / f"{name}.txt").write_text("\n".join(text) + "\n")


def write_neuman_pictures(root: Path, film: Film) -> None:
    for index in range(len(film)):
        write_image(root / "images" / f"{index:05d}.png", film.images[index])
        write_image(root / "segmentations" / f"{index:05d}.png", np.where(film.masks[index], 0, 255).astype(np.uint8))
        relative = (SCALE * film.depth[index] - MONO[1]) / MONO[0]
        write_image(root / "mono_depth" / f"{index:05d}.png", np.round(relative / MONO_UNIT).astype(np.uint16))
    write_colmap(root, film)


def write_hugs(folder: Path, film: Film, noise: float) -> str:
    root = folder / "bike"
    write_neuman_pictures(root, film)
    for index in range(len(film)):
        mask = np.where(film.masks[index], 255, 0).astype(np.uint8)
        write_image(root / "4d_humans" / "sam_segmentations" / f"mask_{index:04d}.png", mask)
    orient, transl = film.world()
    arrays = {
        "global_orient": orient.astype(np.float32),
        "body_pose": film.pose.body_pose.astype(np.float32),
        "betas": np.tile(film.pose.betas, (len(film), 1)).astype(np.float32),
        "transl": (SCALE * transl).astype(np.float32),
        "scale": np.full(len(film), SCALE, np.float32),
        "bbox": np.zeros((len(film), 4)),
    }
    # HUGS scales SMPL without its translation, root offset included: scale * (J0 + transl) = scale * J0 + "transl".
    np.savez(root / "4d_humans" / "smpl_optimized_aligned_scale.npz", **arrays)
    arrays["body_pose"] = arrays["body_pose"] + np.float32(noise)
    np.savez(root / "4d_humans" / "smpl_aligned_scale.npz", **arrays)
    return "bike"


def write_neuman(folder: Path, film: Film, noise: float) -> str:
    root = folder / "lab"
    write_neuman_pictures(root, film)
    rng = np.random.default_rng(2)
    turns = Rotation.from_rotvec(rng.normal(size=(len(film), 3)))  # of ROMP's frame into the camera's
    poses = np.concatenate([(turns.inv() * film.orient).as_rotvec(), film.pose.body_pose], axis=1)
    alignments = {}
    for index, turn in enumerate(turns.as_matrix()):
        moved = film.pelvis + film.pose.transl[index] - turn @ film.pelvis
        rotation, translation = film.rotation[index], SCALE * film.translation[index]
        matrix = np.zeros((4, 3))
        matrix[:3] = (SCALE * rotation.T @ turn).T
        matrix[3] = rotation.T @ (SCALE * moved - translation)
        alignments[f"{index:05d}.png"] = matrix
    save_object(root / "alignments.npy", alignments)
    for name, change in (("optimized", 0.0), ("romp", noise)):
        changed = poses + np.concatenate([np.zeros(3), np.full(69, change)])
        person = {"pose": changed, "betas": np.tile(film.pose.betas, (len(film), 1)), "verts": np.zeros((len(film), 5))}
        dump(root / f"smpl_output_{name}.pkl", {1: person})  # joblib's own form: tests/test_pose_import.py
    return "lab"


# ------------------------------------------------------------------------------------------------------- InstantAvatar


def write_instant_avatar(root: Path, film: Film, noise: float, mask_suffix: str, refined: str) -> None:
    """A static camera at the origin, as its preparation leaves it. `refined` names the file of the refined motion."""
    height, width = film.images.shape[1:3]
    root.mkdir(parents=True)
    np.savez(root / "cameras.npz", intrinsic=film.pose.K, extrinsic=np.eye(4), height=height, width=width)
    for index in range(len(film)):
        write_image(root / "images" / f"image_{index:04d}.png", film.images[index])
        (root / "masks").mkdir(exist_ok=True)
        if mask_suffix == ".npy":
            np.save(root / "masks" / f"mask_{index:04d}.npy", film.masks[index].astype(np.uint8))
        else:
            write_image(root / "masks" / f"mask_{index:04d}.png", 255 * film.masks[index].astype(np.uint8))
    thetas = np.concatenate([film.pose.global_orient, film.pose.body_pose], axis=1)
    first = {"betas": film.pose.betas, "transl": film.pose.transl}
    np.savez(root / "poses.npz", thetas=thetas + np.r_[np.zeros(3), np.full(69, noise)], **first)
    (root / refined).parent.mkdir(exist_ok=True)
    last = {"betas": film.pose.betas[None], "transl": film.pose.transl}
    np.savez(root / refined, global_orient=thetas[:, :3], body_pose=thetas[:, 3:], **last)


# --------------------------------------------------------------------------------------------- 3DPW, EMDB, Human3.6M


def write_3dpw(folder: Path, film: Film, betas: np.ndarray, lost: int) -> str:
    """The film's person is the second, a woman; the camera of frame `lost` was not found."""
    count, transl = len(film), film.world()[1]
    cameras = np.tile(np.eye(4), (count, 1, 1))
    cameras[:, :3, :3], cameras[:, :3, 3] = film.rotation, film.translation
    valid = np.ones(count, bool)
    cameras[lost], valid[lost] = np.nan, False
    content = {
        "sequence": "downtown_test_00",
        "genders": ["m", "f"],
        "poses": [np.zeros((count, 72)), film.world_poses()],
        "trans": [np.zeros((count, 3)), transl],
        "betas": [np.zeros(10), np.r_[betas, np.zeros(290)]],
        "campose_valid": [np.ones(count, bool), valid.astype(np.int64)],
        "cam_poses": cameras,
        "cam_intrinsics": film.pose.K,
        "img_frame_ids": np.arange(count),
    }
    dump(folder / "sequenceFiles" / "test" / "downtown_test_00.pkl", content)
    for index in range(count):
        write_image(folder / "imageFiles" / "downtown_test_00" / f"image_{index:05d}.jpg", film.images[index])
    return "downtown_test_00:1"


def write_emdb(folder: Path, film: Film, betas: np.ndarray, lost: int) -> str:
    count, (orient, transl) = len(film), film.world()
    cameras = np.tile(np.eye(4), (count, 1, 1))
    cameras[:, :3, :3], cameras[:, :3, 3] = film.rotation, film.translation
    good = np.ones(count, bool)
    good[lost] = False
    height, width = film.images.shape[1:3]
    content = {
        "gender": "male",
        "name": "P1_14_outdoor_test",
        "n_frames": count,
        "emdb1": True,
        "good_frames_mask": good,
        "camera": {"intrinsics": film.pose.K, "extrinsics": cameras, "width": np.int64(width), "height": height},
        "smpl": {"poses_root": orient, "poses_body": film.pose.body_pose, "trans": transl, "betas": betas},
    }
    root = folder / "P1" / "14_outdoor_test"
    dump(root / "P1_14_outdoor_test_data.pkl", content, protocol=4)
    for index in range(count):
        write_image(root / "images" / f"{index:05d}.jpg", film.images[index])
    return "P1/14_outdoor_test"


def write_human36m(folder: Path, film: Film, every: int) -> str:
    """A static camera; SMPL parameters of every n-th frame."""
    transl, poses = film.world()[1], film.world_poses()
    name, K = "s_09_act_02_subact_01_ca_04", film.pose.K
    frames = {
        str(index): {
            "pose": poses[index].tolist(),
            "shape": film.pose.betas.tolist(),
            "trans": transl[index].tolist(),
        }
        for index in range(0, len(film), every)
    }
    camera = {
        "R": film.rotation[0].tolist(),
        "t": (1000 * film.translation[0]).tolist(),
        "f": [K[0, 0], K[1, 1]],
        "c": [K[0, 2], K[1, 2]],
    }
    notes = folder / "annotations"
    notes.mkdir(parents=True)
    (notes / "Human36M_subject9_SMPL_NeuralAnnot.json").write_text(json.dumps({"2": {"1": frames}}))
    (notes / "Human36M_subject9_camera.json").write_text(json.dumps({"4": camera}))
    for index in range(len(film)):
        write_image(folder / "images" / name / f"{name}_{index + 1:06d}.jpg", film.images[index])
    return name


# ---------------------------------------------------------------------------------------------------------- ZJU-MoCap


def distorted(image: np.ndarray, K: np.ndarray, order: int) -> np.ndarray:
    """What a lens makes of a pinhole camera's picture; OpenCV inverts its own model to find each pixel's source."""
    height, width = image.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2)
    sources = cv2.undistortPoints(pixels, K, LENS, P=K).reshape(height, width, 2).astype(np.float32)
    return cv2.remap(image, sources[..., 0], sources[..., 1], order)


def write_zju(folder: Path, film: Film) -> str:
    """A static camera, the second of two, with a lens; K is stored as OpenCV calibrates, pixel centres whole."""
    root, K = folder / "CoreView_377", film.pose.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    cameras = {
        "K": [np.eye(3), K],
        "D": [np.zeros((5, 1)), LENS[:, None]],
        "R": [np.eye(3), np.round(film.rotation[0], 7)],
        "T": [np.zeros((3, 1)), 1000 * film.translation[0][:, None]],
    }
    world = Rotation.from_matrix(film.rotation[0]).inv()
    orient = (world * film.orient).as_rotvec()
    transl = film.world()[1]
    images = []
    for index in range(len(film)):
        names = [f"Camera_B{camera}/{index:06d}.jpg" for camera in (1, 2)]
        images.append({"ims": names})
        write_image(root / names[1], distorted(film.images[index], K, cv2.INTER_LINEAR))
        write_image(root / names[0], film.images[index])
        mask = 7 * film.masks[index].astype(np.uint8)  # a label of a body part
        write_image(root / "mask_cihp" / f"Camera_B2/{index:06d}.png", distorted(mask, K, cv2.INTER_NEAREST))
        # EasyMocap turns the posed body about the origin, not about its pelvis.
        turned = Rotation.from_rotvec(orient[index]).apply(film.pelvis)
        parameters = {
            "poses": np.concatenate([np.zeros(3), film.pose.body_pose[index]])[None],
            "shapes": film.pose.betas[None],
            "Rh": orient[index][None],
            "Th": (film.pelvis + transl[index] - turned)[None],
        }
        save_object(root / "new_params" / f"{index}.npy", parameters)
    save_object(root / "annots.npy", {"cams": cameras, "ims": images})
    return "CoreView_377:1"
