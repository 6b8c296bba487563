"""A small results folder and its truth, as the stages before evaluation leave them, made without running them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from pipeline.avatar import Avatar, render_avatar
from pipeline.body import load_body
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import write_frame, write_mask
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.records import write_json
from pipeline.formats.video import VideoInfo
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.landmarks.on_body import landmark_map

FPS = Fraction(30)
DISTANCE = 3.0  # metres


def motion(frames: int, size: int, source: str = "studio: walk") -> Pose:
    """A body before the camera that swings arms and legs and turns."""
    phase = np.linspace(0, 2 * np.pi, frames, endpoint=False)
    global_orient = np.zeros((frames, 3))
    global_orient[:, 0] = np.pi  # SMPL's y is up, the camera's is down
    body_pose = np.zeros((frames, 23, 3))
    for joint, amount in ((0, 0.5), (1, -0.5), (15, 0.4), (16, -0.4)):
        body_pose[:, joint, 0] = amount * np.sin(phase)
    body_pose[:, 15, 2], body_pose[:, 16, 2] = -1.1, 1.1
    transl = np.zeros((frames, 3))
    transl[:, 1], transl[:, 2] = 0.2, DISTANCE
    transl[:, 0] = 0.1 * np.sin(phase)
    K = np.array([[1.1 * size, 0, size / 2], [0, 1.1 * size, size / 2], [0, 0, 1]])
    valid = np.ones(frames, bool)
    bbox = np.tile([0.0, 0.0, size, size], (frames, 1))
    return Pose(
        global_orient, body_pose.reshape(frames, 69), np.zeros(10), transl, valid, bbox, K, float(FPS), "free", source
    )


def noisy(pose: Pose, amount: float, source: str, seed: int = 0) -> Pose:
    """The pose with noise of `amount` radians a joint and as many metres."""
    rng = np.random.default_rng(seed)
    changed = {name: getattr(pose, name) for name in Pose.__dataclass_fields__} | {"source": source}
    for name in ("global_orient", "body_pose", "transl"):
        changed[name] = changed[name] + amount * rng.standard_normal(changed[name].shape)
    return Pose(**changed)


def avatar_file(body, count: int, train_frames: np.ndarray) -> AvatarFile:
    """Gaussians at vertices of the body, coloured by height."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(body.v_template), count, replace=False)
    means = body.shaped(torch.zeros(10)).numpy()[chosen]
    colours = np.stack(
        [0.2 + 0.3 * (means[:, 1] > 0.1), 0.3 + 0.2 * np.sin(4 * means[:, 1]), 0.5 - 0.3 * means[:, 1]], 1
    )
    fields = {
        "means": means,
        "quats": np.tile([1.0, 0, 0, 0], (count, 1)),
        "scales": np.full((count, 3), 0.02),
        "opacities": np.full(count, 0.95),
        "sh": ((colours - 0.5) / 0.28209479177387814)[:, None, :],
        "weights": body.weights.numpy()[chosen],
        "canonical_pose": np.zeros((24, 3)),
        "betas": np.zeros(10),
        "train_frames": train_frames,
        "body_model": "free",
        "binding": "camel",
    }
    return AvatarFile(**fields)


def make_clip(
    root: Path, frames: int = 10, size: int = 64, gaussians: int = 3000, name: str = "clip"
) -> tuple[Path, Path]:
    """Write results/<name> and videos/<name>.truth under `root`; returns both folders.

    The frames show the avatar in the true pose, so that in the true pose its pictures are right.
    """
    paths, truth_folder = VideoDir(root / "results" / name), root / "videos" / f"{name}.truth"
    body = load_body("free")
    truth = motion(frames, size)
    file = avatar_file(body, gaussians, np.arange(frames) % 5 != 4)
    avatar = Avatar.from_file(file, body)
    for folder in (paths.frames, paths.masks, truth_folder / "masks"):
        folder.mkdir(parents=True)
    for frame in range(frames):
        rows = (truth.global_orient[frame], truth.body_pose[frame], truth.transl[frame], truth.K)
        tensors = (torch.as_tensor(row, dtype=torch.float32) for row in rows)
        image, alpha = render_avatar(avatar, body, *tensors, size, size, background=torch.tensor([0.4, 0.5, 0.4]))
        mask = (alpha.clamp(0, 1).numpy() * 255).round().astype(np.uint8)
        write_frame(paths.frames / f"{frame:06d}.jpg", (image.clamp(0, 1).numpy() * 255).round().astype(np.uint8))
        write_mask(paths.masks / f"{frame:06d}.png", mask)
        write_mask(truth_folder / "masks" / f"{frame:06d}.png", mask)
    truth.save(truth_folder / "pose.npz")
    Camera(truth.K, size, size, "image diagonal", False, "guess").save(paths.camera)
    CameraTrack.static(frames, "a test").save(paths.camera_track)
    VideoInfo(f"videos/{name}.mp4", "0" * 64, FPS, size, size, frames, 0).save(paths.video)
    noisy(truth, 0.10, "mediapipe", 1).save(paths.pose_init)
    noisy(truth, 0.02, "fit", 2).save(paths.pose_refined)
    file.save(paths.avatar)
    detected_landmarks(body, truth).save(paths.landmarks)
    provenance(paths, "decode", {"start": 0, "stop": None, "step": 1, "longest_side": None})
    provenance(paths, "fit", {"optimise_pose": True})
    return paths.root, truth_folder


def detected_landmarks(body, pose: Pose) -> Landmarks:
    """What a perfect detector finds of four landmarks; the last is never visible."""
    found = ideal_landmarks(body, pose, ("left_knee", "right_elbow", "left_wrist", "right_ankle"))
    found.visibility[:, -1], found.xy[:, -1] = 0.2, 0
    return found


def ideal_landmarks(body, pose: Pose, names: tuple[str, ...]) -> Landmarks:
    """What a perfect detector finds."""
    map_ = landmark_map(body)
    orient, body_pose, betas, transl = (
        torch.as_tensor(row, dtype=torch.float32)
        for row in (pose.global_orient, pose.body_pose, pose.betas, pose.transl)
    )
    world = body.world_joints(axis_angle_to_matrix(torch.cat([orient, body_pose], 1).view(-1, 24, 3)), betas, transl)
    rest = map_.rest(betas, torch.zeros(len(map_.names), 3))
    points = map_.posed(world, body.rest_joints(betas), rest).double().numpy()
    points = points[:, [map_.names.index(name) for name in names]]
    homogeneous = points @ pose.K.T
    xy = homogeneous[..., :2] / homogeneous[..., 2:]
    return Landmarks(names, xy, np.ones(xy.shape[:2]), points - points[:, :1])


def provenance(
    paths: VideoDir,
    stage: str,
    settings: dict,
    warnings: tuple[str, ...] = (),
    seconds: float = 1.5,
    facts: dict | None = None,
) -> None:
    versions = {"python": "3.11.4", "torch": "2.13.0"}
    record = {"stage": stage, "seconds": seconds, "settings": settings, "facts": facts or {}}
    write_json(paths.provenance(stage), record | {"warnings": list(warnings), "versions": versions})
