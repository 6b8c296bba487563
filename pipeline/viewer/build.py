"""exports/viewer.html out of a clip's results."""

from __future__ import annotations

import base64
import gzip
import io
from dataclasses import replace
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
import torch
from markupsafe import Markup
from PIL import Image
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel
from pipeline.exports.fitted import Fitted
from pipeline.formats.atomic import atomic_path
from pipeline.formats.images import FrameFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.motion.library import Motion
from pipeline.motion.loop import looping
from pipeline.runtime.errors import UserError
from pipeline.viewer.blob import pack
from pipeline.viewer.contents import ClipCamera, Contents, Movement, tables_of

# Motions that the person never did, by their names in motion/library.py.
NEVER_DONE = ("dance", "walk", "run", "squat", "wave", "sit")
_SECONDS, _FPS, _SEED = 5.0, 15.0, 7  # of each; the page interpolates
_PICTURES = 10  # of the clip
_PICTURE_SIDE = 240  # px
_JPEG_QUALITY = 70
# Of page/, in the order in which one builds on another.
_SCRIPTS = (
    "blob.js", "body.js", "cloth.js", "splats.js", "shaders.js", "stage.js", "cameras.js", "handles.js",
    "app.js", "controls.js", "main.js",
)  # fmt: skip


def export(fitted: Fitted, paths: VideoDir, folder: Path) -> None:
    """Write viewer.html.

    Args:
        fitted: the person after the fit.
        paths: of the clip: frames/ and pose_init.npz are read.
        folder: where to write.

    Raises:
        UserError: one of these is missing, damaged, of another length or of another body model.
    """
    write_page(folder / "viewer.html", contents_of(fitted, paths))


def driven(contents: Contents, moving: Motion, fps: float) -> Contents:
    """The page of a clip with one motion more, which plays when it opens.

    Args:
        contents: of the clip.
        moving: on the clip's own body.
        fps: frames a second of `moving`.
    """
    root = contents.body.rest_joints(contents.avatar.betas)[0].double().numpy()
    more = _never_done(moving, moving.name.replace("_", " ").capitalize(), fps, root)
    place = sum(other.kind != "new" for other in contents.movements)
    movements = [*contents.movements[:place], more, *contents.movements[place:]]
    return replace(contents, movements=movements, first=place)


def contents_of(fitted: Fitted, paths: VideoDir) -> Contents:
    """What the page of a clip shows. Arguments and errors as `export`."""
    pose, avatar, body = fitted.pose, fitted.avatar, fitted.body
    initial, frames = Pose.load(paths.pose_init), FrameFolder(paths.frames)
    for path, count in ((paths.pose_init, len(initial)), (paths.frames, len(frames))):
        if count != len(pose):
            raise UserError(f"{path}: expected {len(pose)} frames as in {paths.pose_refined}, found {count}; run again")
    if initial.body_model != body.name:
        raise UserError(
            f"{paths.pose_init}: was made with the body model {initial.body_model!r}, expected {body.name!r}; "
            "give the same --body-model to every stage, or run its stage again"
        )
    world = fitted.y_up
    rest = body.rest_joints(avatar.betas).double().numpy()
    pelvis = world.transl + _root(pose, body)
    camera = np.broadcast_to(world.world_from_camera, (len(pose), 4, 4)).copy()
    # Where feet are settled on the ground, the person is not quite where the camera saw them: it moves along.
    camera[:, :3, 3] += pelvis - _in_world(camera, pose.transl + _root(pose, body))
    orient = Rotation.from_matrix(camera[:, :3, :3]) * Rotation.from_rotvec(initial.global_orient)
    poses = np.concatenate([orient.as_rotvec(), initial.body_pose], axis=1).reshape(-1, 24, 3)
    movements = [
        Movement("After", "after", pose.fps, world.poses, pelvis),
        Movement("Before", "before", pose.fps, poses, _in_world(camera, initial.transl + _root(initial, body))),
    ]
    for name in NEVER_DONE:
        moving = looping(name, round(_SECONDS * _FPS), _FPS, _SEED, body, avatar.betas.double().numpy())
        movements.append(_never_done(moving, name.capitalize(), _FPS, rest[0]))
    chosen = np.unique(np.rint(np.linspace(0, len(pose) - 1, _PICTURES)).astype(int)).tolist()
    height, width = frames[0].shape[:2]
    return Contents(
        name=paths.name,
        avatar=avatar,
        seen=fitted.file.seen,
        body=body,
        mesh_colours=fitted.surface_colors,
        movements=movements,
        first=0,
        camera=ClipCamera(pose.K, width, height, camera, [(frame, _small_jpeg(frames[frame])) for frame in chosen]),
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


def _never_done(moving: Motion, name: str, fps: float, root: np.ndarray) -> Movement:
    return Movement(name, "new", fps, moving.poses.reshape(-1, 24, 3), moving.trans + root)


def _root(pose: Pose, body: BodyModel) -> np.ndarray:
    """(3,) metres: the pelvis at rest."""
    return body.rest_joints(torch.as_tensor(pose.betas, dtype=torch.float32))[0].double().numpy()


def _in_world(
    camera: np.ndarray,  # (T, 4, 4)
    points: np.ndarray,  # (T, 3)
) -> np.ndarray:  # (T, 3)
    """Points of the camera's frame in the world."""
    return np.einsum("tij,tj->ti", camera[:, :3, :3], points) + camera[:, :3, 3]


def _small_jpeg(frame: np.ndarray) -> bytes:
    """A frame (H, W, 3) uint8, its longer side `_PICTURE_SIDE`."""
    image, buffer = Image.fromarray(frame), io.BytesIO()
    image.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE), Image.Resampling.LANCZOS)
    image.save(buffer, format="JPEG", quality=_JPEG_QUALITY, optimize=True)
    return buffer.getvalue()
