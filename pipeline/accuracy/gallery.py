"""The papers' pictures: initial, GART, ours and truth side by side on the same frames, as mesh and as rendering.

Rows, from the top: the mesh over the video; the mesh from the side, coloured by how far each vertex is off with the
pelvis aligned; the avatar in a frame that was held out; how far that is from the frame; the avatar before a side
camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch

from pipeline.accuracy.score import draw_in_frame, in_body_of
from pipeline.accuracy.settings import FULL
from pipeline.avatar import Avatar
from pipeline.body import BodyModel, load_body
from pipeline.evaluation.clip import joints_of
from pipeline.evaluation.image_metrics import over_white
from pipeline.evaluation.pose_metrics import PELVIS, joint_errors
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.render import draw
from pipeline.render.crop import Crop, person_boxes, posed_vertices, tiles_of
from pipeline.render.overlay import mesh_layer

COMPARED = {"no_pose": "initial", "gart": "GART", FULL: "ours"}  # rows, and what their columns are called
_TRUTH = "truth"
_TILE = 250  # px: height of a tile
_GAP = 3
_TINT = (198, 204, 212)
_MESH_SCALE, _PICTURE_SCALE = 0.15, 0.3  # metres, share of the brightest: errors that get the last colour
_COLOURS = matplotlib.colormaps["inferno"]


@dataclass(frozen=True)
class _Subject:
    """What the truth shows of a frame of a clip, and the tiles about the person."""

    frame: int
    pose: Pose
    image: np.ndarray  # (H, W, 3) uint8
    cut_out: np.ndarray  # the same, the person over white
    side_pose: Pose
    side: np.ndarray  # (H, W, 3) uint8, over white
    crop: Crop
    side_crop: Crop


@torch.no_grad()
def draw_gallery(folders: Mapping[str, Path], truth: Path) -> np.ndarray:
    """The picture of one clip, uint8 (H, W, 3).

    Args:
        folders: of the run of each row of COMPARED.
        truth: the clip's truth, with a side camera.
    """
    runs = {row: VideoDir(folder) for row, folder in folders.items()}
    file = AvatarFile.load(runs[FULL].avatar)
    body = load_body(file.body_model)
    subject = _subject(runs[FULL], truth, file, body)
    columns = {label: _of_run(runs[row], subject, body) for row, label in COMPARED.items()}
    columns[_TRUTH] = _of_truth(subject, body)
    return draw.row([_column(tiles, label) for label, tiles in columns.items()], _GAP)


def _column(tiles: list[np.ndarray], label: str) -> np.ndarray:
    """Tiles below each other, in the middle of the widest one's width, under what they are called."""
    width = max(tile.shape[1] for tile in tiles)
    sides = [divmod(width - tile.shape[1], 2) for tile in tiles]
    tiles = [
        np.pad(tile, ((0, 0), (half, half + odd), (0, 0)), constant_values=255)
        for tile, (half, odd) in zip(tiles, sides)
    ]
    return draw.headed(draw.column(tiles, _GAP), label, draw.label_size(2 * _TILE))


def _subject(paths: VideoDir, truth: Path, file: AvatarFile, body: BodyModel) -> _Subject:
    """The held-out frame whose initial pose errs most."""
    pose, view = Pose.load(truth / "pose.npz"), truth / "views" / "0"
    frames = np.flatnonzero(~file.train_frames)
    initial = joints_of(body, Pose.load(paths.pose_init), frames)
    frame = int(frames[joint_errors(initial, joints_of(body, pose, frames)).mean(1).argmax()])
    image, side = FrameFolder(paths.frames)[frame], FrameFolder(view / "frames")[frame]
    side_pose = Pose.load(view / "pose.npz")
    crops = [
        tiles_of(person_boxes([each], body, [frame], *shown.shape[1::-1]), *shown.shape[1::-1], _TILE)[0]
        for each, shown in ((pose, image), (side_pose, side))
    ]
    return _Subject(
        frame,
        pose,
        image,
        _over_white(image, MaskFolder(truth / "masks")[frame]),
        side_pose,
        _over_white(side, MaskFolder(view / "masks")[frame]),
        *crops,
    )


def _of_run(paths: VideoDir, subject: _Subject, body: BodyModel) -> list[np.ndarray]:
    """The tiles of a method, one below the other."""
    pose, avatar = Pose.load(paths.pose_refined), Avatar.from_file(AvatarFile.load(paths.avatar), body)
    rendered = _drawn(avatar, body, pose, subject.frame, subject.cut_out)
    side = _drawn(avatar, body, in_body_of(avatar.betas, subject.side_pose, body), subject.frame, subject.side)
    error = np.abs(rendered.astype(float) - subject.cut_out).mean(2) / 255
    return [
        _mesh_over(subject, pose, body),
        _mesh_from_side(subject, pose, body),
        subject.crop.of(rendered),
        subject.crop.of(_coloured(error / _PICTURE_SCALE)),
        subject.side_crop.of(side),
    ]


def _of_truth(subject: _Subject, body: BodyModel) -> list[np.ndarray]:
    scale = _legend(subject.crop, f"0 to {_PICTURE_SCALE:g} of 1", f"0 to {1000 * _MESH_SCALE:.0f} mm")
    return [
        _mesh_over(subject, subject.pose, body),
        _mesh_from_side(subject, subject.pose, body),
        subject.crop.of(subject.cut_out),
        scale,
        subject.side_crop.of(subject.side),
    ]


def _mesh_over(subject: _Subject, pose: Pose, body: BodyModel) -> np.ndarray:
    crop = subject.crop
    vertices = posed_vertices(body, pose, subject.frame)
    layer = mesh_layer(vertices, body.faces.numpy(), crop.K(pose.K), crop.width, crop.height, draw.AFTER, 0.75)
    return layer.over(draw.muted(crop.of(subject.image)))


def _mesh_from_side(subject: _Subject, pose: Pose, body: BodyModel) -> np.ndarray:
    """Seen from the person's left where they face the camera, which does not show what lies along its own rays."""
    found, true = (
        posed_vertices(body, each, subject.frame) - joints_of(body, each, np.array([subject.frame]))[0, PELVIS]
        for each in (pose, subject.pose)
    )
    error = np.linalg.norm(found - true, axis=1) / _MESH_SCALE
    tint = np.array(_TINT) / 255 if pose is subject.pose else _COLOURS(np.clip(error, 0, 1))[:, :3]
    distance = subject.pose.transl[subject.frame, 2]
    seen = found @ np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]).T + [0, 0, distance]
    crop = subject.crop
    focal = subject.pose.K[1, 1] * crop.scale
    K = np.array([[focal, 0, crop.width / 2], [0, focal, crop.height / 2], [0, 0, 1]])
    tint = np.broadcast_to(tint, found.shape)
    layer = mesh_layer(seen.astype(np.float32), body.faces.numpy(), K, crop.width, crop.height, tint, 1.0)
    return layer.over(np.full((crop.height, crop.width, 3), 255, np.uint8))


def _drawn(avatar: Avatar, body: BodyModel, pose: Pose, frame: int, like: np.ndarray) -> np.ndarray:
    return draw.to_uint8(draw_in_frame(avatar, body, pose, frame, like.shape[:2]).numpy())


def _over_white(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    pair = (torch.from_numpy(values.astype(np.float32) / 255) for values in (image, mask))
    return draw.to_uint8(over_white(*pair).numpy())


def _coloured(values: np.ndarray) -> np.ndarray:
    return draw.to_uint8(_COLOURS(np.clip(values, 0, 1))[..., :3])


def _legend(crop: Crop, picture: str, mesh: str) -> np.ndarray:
    """What the colours mean."""
    tile = np.full((crop.height, crop.width, 3), 255, np.uint8)
    bar = slice(crop.height // 2 - 8, crop.height // 2 + 8)
    tile[bar, 10:-10] = _coloured(np.linspace(0, 1, crop.width - 20))[None]
    size = draw.label_size(_TILE)
    upper, lower = tile[: crop.height // 2 - 8], tile[crop.height // 2 + 8 :]
    draw.label(upper, f"colours, {picture}", size, corner="bottom left")
    draw.label(lower, f"vertices, {mesh}", size)
    return tile
