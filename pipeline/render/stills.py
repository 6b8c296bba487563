"""Pictures for pages and papers: before and after in strips, the avatar from all sides, the avatar beside the video."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from pipeline.body import BodyModel
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.pose import Pose
from pipeline.motion.library import Motion
from pipeline.render import draw
from pipeline.render.crop import Crop, person_boxes, posed_vertices, tiles_of
from pipeline.render.novel_pose import novel_pose_scene
from pipeline.render.overlay import before_after, label_panels, mesh_layer
from pipeline.render.performer import Performer
from pipeline.render.turntable import standing, turntable_scene

_TILE = 360  # px: height of a tile of a strip
_CLOSE_UP = 620  # px: height of a tile of the close-up
_GAP = 4
_SUPERSAMPLE = 3  # rays a pixel side
_PLAIN = 0.9  # grey behind the avatar where it is set beside the video
_BEHIND = np.float32([0, 150, 70])  # behind a person cut out: what belongs to the background shows against it


def overlay_strip(
    frames: FrameFolder, before: Pose, after: Pose, body: BodyModel, opacity: float, count: int
) -> np.ndarray:
    """Columns are `count` frames across the clip; rows are the video, the mesh before and the mesh after."""
    chosen = spread(np.flatnonzero(before.valid), count)
    columns = []
    for index, crop in zip(chosen, _person_tiles(frames, (before, after), body, chosen, _TILE)):
        tiles = before_after(frames[index], before, after, body, index, crop, opacity, _SUPERSAMPLE)
        if not columns:
            label_panels(tiles, draw.label_size(_TILE))
        columns.append(draw.headed(draw.column(tiles, _GAP), _when(index, before.fps), draw.label_size(_TILE)))
    return draw.row(columns, _GAP)


def close_up(frames: FrameFolder, before: Pose, after: Pose, body: BodyModel, opacity: float) -> np.ndarray:
    """The frame that the refinement changed most: the mesh before, after, and both outlines over the video."""
    change = _mean_change(before, after, body)
    index = int(np.where(before.valid, change, -1).argmax())
    (crop,) = _person_tiles(frames, (before, after), body, [index], _CLOSE_UP)
    tiles = before_after(frames[index], before, after, body, index, crop, opacity, _SUPERSAMPLE)
    outlines = (tiles[0].astype(np.float32) * 0.6).astype(np.uint8)
    for pose, tint in ((before, draw.BEFORE), (after, draw.AFTER)):
        K = crop.K(pose.K)
        layer = mesh_layer(posed_vertices(body, pose, index), body.faces.numpy(), K, crop.width, crop.height, tint, 1.0)
        outlines = _outlined(outlines, layer.full_alpha(crop.width, crop.height), tint)
    size = draw.label_size(_CLOSE_UP)
    label_panels(tiles, draw.label_size(_CLOSE_UP))
    draw.label(outlines, "outlines of both", size)
    heading = f"{_when(index, before.fps)}: the pose that the refinement changed most, by {change[index] * 1000:.0f} mm"
    return draw.headed(draw.row([*tiles, outlines], _GAP), heading, size)


def avatar_sides(performer: Performer, width: int, height: int) -> np.ndarray:
    """The avatar at ease: front, three quarters, side and back."""
    scene = turntable_scene(performer, width, height)
    sides = (("front", 0), ("three quarters", 45), ("side", 90), ("back", 180))
    tiles = []
    for name, degrees in sides:
        tile = performer.perform(scene, *standing(performer, np.deg2rad(degrees)))
        draw.label(tile, name, draw.label_size(height))
        tiles.append(tile)
    return draw.row(tiles, _GAP)


def novel_pose_strip(performer: Performer, moving: Motion, side: int, count: int) -> np.ndarray:
    """Moments of the motion that the person never did."""
    scene = novel_pose_scene(performer, moving, side, side)
    chosen = spread(np.arange(len(moving.poses)), count)
    return draw.row([performer.perform(scene, moving.poses[i], moving.trans[i]) for i in chosen], _GAP)


def video_and_avatar(
    frames: FrameFolder, refined: Pose, performer: Performer, train_frames: np.ndarray, count: int
) -> np.ndarray:
    """Frames of the video above the avatar in the same pose: frames it was not trained on, where there are any."""
    held_out = np.flatnonzero(~train_frames & refined.valid)
    chosen = spread(held_out if len(held_out) else np.flatnonzero(refined.valid), count)
    columns = []
    for index, crop in zip(chosen, _person_tiles(frames, (refined,), performer.body, chosen, _TILE)):
        video = crop.of(frames[index])
        pose = np.concatenate([refined.global_orient[index], refined.body_pose[index]])
        colour, alpha = performer.drawn(pose, refined.transl[index], crop.K(refined.K), crop.width, crop.height)
        avatar = draw.to_uint8(colour + (1 - alpha) * _PLAIN)
        size = draw.label_size(_TILE)
        if not columns:
            draw.label(video, "video", size)
            draw.label(avatar, "avatar, frames not trained on" if len(held_out) else "avatar, frames trained on", size)
        columns.append(draw.headed(draw.column([video, avatar], _GAP), _when(index, refined.fps), size))
    return draw.row(columns, _GAP)


def masks_strip(
    frames: FrameFolder,
    masks: tuple[MaskFolder, MaskFolder],
    poses: tuple[Pose, Pose],
    body: BodyModel,
    count: int,
) -> np.ndarray:
    """The person cut out of frames across the clip: above by the masks as found, below by the refined ones."""
    chosen = spread(np.flatnonzero(poses[0].valid), count)
    size, columns = draw.label_size(_TILE), []
    for index, crop in zip(chosen, _person_tiles(frames, poses, body, chosen, _TILE)):
        tiles = []
        for folder in masks:
            share = folder[index][..., None] / np.float32(255)
            tiles.append(crop.of(np.rint(frames[index] * share + _BEHIND * (1 - share)).astype(np.uint8)))
        if not columns:
            for tile, name in zip(tiles, ("masks as found", "refined")):
                draw.label(tile, name, size)
        columns.append(draw.headed(draw.column(tiles, _GAP), _when(index, poses[0].fps), size))
    return draw.row(columns, _GAP)


def spread(indices: np.ndarray, count: int) -> list[int]:
    """At most `count` of the indices, evenly spread, the ends a little inside."""
    if len(indices) == 0:
        return [0]
    positions = (np.arange(min(count, len(indices))) + 0.5) / min(count, len(indices)) * len(indices)
    return [int(indices[int(position)]) for position in positions]


def _person_tiles(
    frames: FrameFolder, poses: tuple[Pose, ...], body: BodyModel, chosen: list[int], tile_height: int
) -> list[Crop]:
    """Crops of one size about the body in each of the chosen frames."""
    height, width = frames[0].shape[:2]
    return tiles_of(person_boxes(poses, body, chosen, width, height), width, height, tile_height)


def _mean_change(before: Pose, after: Pose, body: BodyModel) -> np.ndarray:
    """(T,) metres: mean distance of the vertices before and after, the root joint's own shift left out."""
    here = replace(before, transl=np.zeros_like(before.transl))
    there = replace(after, transl=np.zeros_like(after.transl))
    distances = []
    for i in range(len(before)):
        moved = posed_vertices(body, there, i) - posed_vertices(body, here, i)
        distances.append(np.linalg.norm(moved, axis=1).mean())
    return np.array(distances)


def _outlined(image: np.ndarray, alpha: np.ndarray, colour: draw.Colour) -> np.ndarray:
    """The image with a line along the edge of the silhouette."""
    soft = gaussian_filter((alpha > 0).astype(np.float32) * np.minimum(alpha * 2, 1), 1.6)
    line = np.clip(4 * soft * (1 - soft) * 1.6 - 0.45, 0, 1)[..., None]
    return draw.to_uint8((image * (1 - line) + np.array(colour) * line) / 255)


def _when(index: int, fps: float) -> str:
    return f"frame {index}, {index / fps:.1f} s"
