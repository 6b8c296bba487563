"""What is evaluated: a clip's files, checked against one another, and its body posed and outlined."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.body import BodyModel, BodyOutput, load_body
from pipeline.body.held_hands import with_held_hands
from pipeline.camera.intrinsics import clip_camera
from pipeline.evaluation.table import HELD_OUT, TRAIN, UNSEEN
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.camera import Camera
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.geometry.mesh_raster import rasterize
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track

_BATCH = 32  # frames posed at once


@dataclass(frozen=True)
class Clip:
    """The results of one video, before evaluation."""

    paths: VideoDir
    frames: FrameFolder
    masks: MaskFolder
    masks_refined: MaskFolder | None  # that the fit compared with; None in older results
    masks_unknown: MaskFolder | None  # what no loss of it counted; None where it left the masks as they were
    camera: Camera
    landmarks: Landmarks
    initial: Pose
    refined: Pose
    avatar: AvatarFile
    body: BodyModel

    def __len__(self) -> int:
        return len(self.refined)

    @property
    def splits(self) -> np.ndarray:
        """(T,) str: TRAIN; HELD_OUT, kept from the avatar on purpose; or UNSEEN, where the pose is interpolated."""
        held_out = np.where(self.initial.valid, HELD_OUT, UNSEEN)
        return np.where(self.avatar.train_frames, TRAIN, held_out)

    def poses(self) -> tuple[tuple[str, Pose], tuple[str, Pose]]:
        return ("initial", self.initial), ("refined", self.refined)


def load_clip(directory: Path, body_model: str) -> Clip:
    """Read what the stages before wrote.

    Args:
        directory: results/<video>.
        body_model: "free", "smpl" or the path of an SMPL file.

    Raises:
        UserError: a file is missing or wrong, or the files are not of one clip.
    """
    paths = VideoDir(directory)
    refined = Pose.load(paths.pose_refined)
    clip = Clip(
        paths=paths,
        frames=FrameFolder(paths.frames),
        masks=MaskFolder(paths.masks),
        masks_refined=MaskFolder(paths.masks_refined) if paths.masks_refined.is_dir() else None,
        masks_unknown=MaskFolder(paths.masks_unknown) if paths.masks_unknown.is_dir() else None,
        camera=clip_camera(paths),
        landmarks=Landmarks.load(paths.landmarks),
        initial=Pose.load(paths.pose_init),
        refined=refined,
        avatar=AvatarFile.load(paths.avatar),
        body=with_held_hands(load_body(body_model), refined),
    )
    lengths = {
        paths.masks: len(clip.masks),
        paths.landmarks: len(clip.landmarks.xy),
        paths.masks_refined: len(clip.masks_refined or clip.masks),
        paths.masks_unknown: len(clip.masks_unknown or clip.masks),
        paths.pose_init: len(clip.initial),
        paths.pose_refined: len(clip.refined),
        paths.avatar: len(clip.avatar.train_frames),
    }
    for path, length in lengths.items():
        if length != len(clip.frames):
            count = len(clip.frames)
            raise UserError(f"{path}: is of {length} frames, {paths.frames} holds {count}; run the pipeline again")
    kinds = {paths.pose_init: clip.initial, paths.pose_refined: clip.refined, paths.avatar: clip.avatar}
    for path, file in kinds.items():
        if file.body_model != clip.body.name:
            found = f"{path}: was made with the body {file.body_model!r}, --body-model gives {clip.body.name!r}"
            raise UserError(f"{found}; name the body it was made with")
    return clip


def spread(frames: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` of the frames, evenly spread, the first and the last among them."""
    if len(frames) <= limit:
        return frames
    return frames[np.round(np.linspace(0, len(frames) - 1, limit)).astype(int)]


def posed(body: BodyModel, pose: Pose, frames: np.ndarray) -> Iterator[tuple[np.ndarray, BodyOutput]]:
    """The body in the given frames, a batch at a time: frame numbers (B,) and the body in them."""
    for first in range(0, len(frames), _BATCH):
        batch = frames[first : first + _BATCH]
        rows = (pose.global_orient[batch], pose.body_pose[batch], pose.betas, pose.transl[batch])
        yield batch, body(*(torch.as_tensor(values, dtype=torch.float32) for values in rows))


def joints_of(body: BodyModel, pose: Pose, frames: np.ndarray | None = None) -> np.ndarray:
    """Joints (T, 24, 3) in metres in the camera frame, of all frames or of the given ones."""
    frames = np.arange(len(pose)) if frames is None else frames
    return np.concatenate([out.joints.numpy() for _, out in posed(body, pose, frames)]).astype(np.float64)


@dataclass(frozen=True)
class Raster:
    """A size at which outlines are compared: that of the frames, or less for large frames."""

    width: int
    height: int
    scale_x: float
    scale_y: float

    @staticmethod
    def of(camera: Camera, longest_side: int) -> "Raster":
        scale = min(1.0, longest_side / max(camera.width, camera.height))
        width, height = max(1, round(camera.width * scale)), max(1, round(camera.height * scale))
        return Raster(width, height, width / camera.width, height / camera.height)

    def K(self, K: np.ndarray) -> np.ndarray:
        return np.diag([self.scale_x, self.scale_y, 1.0]) @ K

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """uint8 (H, W) -> bool (height, width): cut at one half after an area-weighted resize."""
        image = Image.fromarray(mask).resize((self.width, self.height), Image.Resampling.BOX)
        return np.asarray(image) > 127


def body_outlines(body: BodyModel, pose: Pose, frames: np.ndarray, raster: Raster, desc: str) -> np.ndarray:
    """Where the body mesh is seen, bool (F, height, width)."""
    outlines = np.zeros((len(frames), raster.height, raster.width), bool)
    faces, K = body.faces.numpy(), raster.K(pose.K)
    meshes = (vertices.numpy() for _, out in posed(body, pose, frames) for vertices in out.vertices)
    for index, vertices in enumerate(track(meshes, desc, total=len(frames), unit="frame")):
        outlines[index] = rasterize(vertices, faces, K, raster.width, raster.height).mask
    return outlines
