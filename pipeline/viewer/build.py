"""exports/viewer.html out of a clip's results."""

from __future__ import annotations

import base64
import gzip
import io
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
import torch
from markupsafe import Markup
from PIL import Image
from scipy.spatial.transform import Rotation

from pipeline.exports.fitted import Fitted
from pipeline.exports.world import WorldMotion
from pipeline.formats.atomic import atomic_path
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.motion.library import motion
from pipeline.runtime.errors import UserError
from pipeline.viewer.blob import pack
from pipeline.viewer.contents import ClipCamera, Contents, Movement, tables_of
from pipeline.viewer.seen import seen_share

# Motions that the person never did, by their names in motion/library.py.
NEVER_DONE = ("dance", "walk", "run", "squat", "wave", "sit")
_SECONDS, _FPS, _SEED = 5.0, 15.0, 7  # of each; the page interpolates
_PICTURES = 10  # of the clip
_PICTURE_SIDE = 240  # px
_JPEG_QUALITY = 70
# Of page/, in the order in which one builds on another.
_SCRIPTS = (
    "blob.js", "body.js", "splats.js", "shaders.js", "stage.js", "cameras.js", "handles.js",
    "app.js", "controls.js", "main.js",
)  # fmt: skip


def export(fitted: Fitted, paths: VideoDir, folder: Path) -> None:
    """Write viewer.html.

    Args:
        fitted: the person after the fit.
        paths: of the clip: frames/, masks/ and pose_init.npz are read.
        folder: where to write.

    Raises:
        UserError: one of these is missing, damaged, of another length or of another body model.
    """
    write_page(folder / "viewer.html", contents_of(fitted, paths))


def contents_of(fitted: Fitted, paths: VideoDir) -> Contents:
    """What the page of a clip shows. Arguments and errors as `export`."""
    pose, avatar, body = fitted.pose, fitted.avatar, fitted.body
    initial, frames, masks = Pose.load(paths.pose_init), FrameFolder(paths.frames), MaskFolder(paths.masks)
    for path, count in ((paths.pose_init, len(initial)), (paths.frames, len(frames)), (paths.masks, len(masks))):
        if count != len(pose):
            raise UserError(f"{path}: expected {len(pose)} frames as in {paths.pose_refined}, found {count}; run again")
    if initial.body_model != body.name:
        raise UserError(
            f"{paths.pose_init}: was made with the body model {initial.body_model!r}, expected {body.name!r}; "
            "give the same --body-model to every stage, or run its stage again"
        )
    world = fitted.y_up
    rest = body.rest_joints(avatar.betas).double().numpy()
    world_from_camera = np.broadcast_to(world.world_from_camera, (len(pose), 4, 4))
    movements = [
        Movement("After", "after", pose.fps, world.poses, _pelvis(fitted, world)),
        _before(initial, fitted, world_from_camera),
    ]
    for name in NEVER_DONE:
        moving = motion(name, round(_SECONDS * _FPS), _FPS, _SEED, body, avatar.betas.double().numpy())
        movements.append(
            Movement(name.capitalize(), "new", _FPS, moving.poses.reshape(-1, 24, 3), moving.trans + rest[0])
        )
    chosen = np.unique(np.rint(np.linspace(0, len(pose) - 1, _PICTURES)).astype(int)).tolist()
    height, width = frames[0].shape[:2]
    return Contents(
        name=paths.name,
        avatar=avatar,
        seen=seen_share(avatar, body, pose, masks, fitted.file.train_frames),
        body=body,
        movements=movements,
        camera=ClipCamera(
            pose.K, width, height, world_from_camera, [(frame, _small_jpeg(frames[frame])) for frame in chosen]
        ),
        pixels_per_metre=float(np.median(pose.K[1, 1] / np.maximum(pose.transl[:, 2], 0.1))),
    )


def write_page(path: Path, contents: Contents) -> None:
    """Write the page, whole or not at all: template, style and scripts of page/, and the blob in base64."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.viewer", "page"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    blob = gzip.compress(pack(*tables_of(contents)), 9, mtime=0)
    scripts = [resources.files("pipeline.viewer").joinpath("page", name).read_text("utf-8") for name in _SCRIPTS]
    page = environment.get_template("page.html.j2").render(
        scripts=[Markup(script) for script in scripts],
        name=contents.name,
        data=base64.b64encode(blob).decode("ascii"),
        movements=[(index, moving.name, moving.kind) for index, moving in enumerate(contents.movements)],
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _pelvis(fitted: Fitted, world: WorldMotion) -> np.ndarray:
    """(T, 3) metres: where the pelvis goes in the world."""
    return world.transl + fitted.body.rest_joints(fitted.betas)[0].double().numpy()


def _before(initial: Pose, fitted: Fitted, world_from_camera: np.ndarray) -> Movement:
    """The initial motion in the world of the refined one, so that the camera sees both where they are in the video."""
    betas = torch.as_tensor(initial.betas, dtype=torch.float32)
    pelvis = initial.transl + fitted.body.rest_joints(betas)[0].double().numpy()
    rotation, origin = world_from_camera[:, :3, :3], world_from_camera[:, :3, 3]
    orient = (Rotation.from_matrix(rotation) * Rotation.from_rotvec(initial.global_orient)).as_rotvec()
    poses = np.concatenate([orient, initial.body_pose], axis=1).reshape(-1, 24, 3)
    pelvis = np.einsum("tij,tj->ti", rotation, pelvis) + origin
    return Movement("Before", "before", initial.fps, poses, pelvis)


def _small_jpeg(frame: np.ndarray) -> bytes:
    """A frame (H, W, 3) uint8, its longer side `_PICTURE_SIDE`."""
    image, buffer = Image.fromarray(frame), io.BytesIO()
    image.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE), Image.Resampling.LANCZOS)
    image.save(buffer, format="JPEG", quality=_JPEG_QUALITY, optimize=True)
    return buffer.getvalue()
