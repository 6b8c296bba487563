"""Crops about the person: what is looked at fills the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from pipeline.body import BodyModel
from pipeline.formats.pose import Pose

# A small clip is shown at most this much enlarged: enough to judge a thin mesh edge, without a blurred wall of pixels.
MAX_ENLARGEMENT = 2.0
_MARGIN = 0.18  # of the person's size, kept around the person
_WIDEST, _NARROWEST = 1.3, 0.6  # width over height of a tile
_NEAR = 0.05  # metres: what is nearer to the camera has no place in the picture


@dataclass(frozen=True)
class Crop:
    """A part of a frame shown as a tile: pixels of the frame from (left, top), `scale` times enlarged."""

    left: float
    top: float
    scale: float
    width: int  # px of the tile
    height: int

    def of(self, frame: np.ndarray) -> np.ndarray:
        """The tile, uint8 (height, width, 3), a new array."""
        tall, wide = frame.shape[:2]
        right = min(self.left + self.width / self.scale, wide)
        bottom = min(self.top + self.height / self.scale, tall)
        resample = Image.Resampling.LANCZOS
        box = (self.left, self.top, right, bottom)
        return np.array(Image.fromarray(frame).resize((self.width, self.height), resample, box=box))

    def K(self, K: np.ndarray) -> np.ndarray:
        """Intrinsics of the tile, for the frame's `K`."""
        moved = np.array([[1, 0, -self.left], [0, 1, -self.top], [0, 0, 1.0]]) @ K
        return np.diag([self.scale, self.scale, 1.0]) @ moved


def posed_vertices(body: BodyModel, pose: Pose, frame: int) -> np.ndarray:
    """(V, 3) float32 vertices of one frame, metres in the camera frame."""
    one = slice(frame, frame + 1)
    rows = (pose.global_orient[one], pose.body_pose[one], pose.betas, pose.transl[one])
    return body(*(torch.from_numpy(np.asarray(row, np.float32)) for row in rows)).vertices[0].numpy()


def person_boxes(
    poses: Sequence[Pose], body: BodyModel, frames: Sequence[int], width: int, height: int
) -> np.ndarray:  # (F, 4) xyxy px
    """The box that holds the body in every one of the poses, for each frame; the whole image where it is not seen."""
    boxes = np.tile([0.0, 0.0, width, height], (len(frames), 1))
    for row, frame in enumerate(frames):
        vertices = np.concatenate([posed_vertices(body, pose, frame) @ pose.K.T for pose in poses])
        seen = vertices[vertices[:, 2] > _NEAR]
        xy = seen[:, :2] / seen[:, 2:]
        xy = xy[((xy > 0) & (xy < (width, height))).all(1)]
        if len(xy):
            boxes[row] = [*xy.min(0), *xy.max(0)]
    return boxes


def tiles_of(boxes: np.ndarray, width: int, height: int, tile_height: int) -> list[Crop]:
    """Crops of one size and scale that hold each of the boxes (B, 4) xyxy px with a margin, inside the frame."""
    sizes = (boxes[:, 2:] - boxes[:, :2]).max(0) * (1 + 2 * _MARGIN)
    tall = min(max(sizes[1], sizes[0] / _WIDEST), height)
    wide = min(max(sizes[0], tall * _NARROWEST), width)
    scale = tile_height / tall
    tile = (round(wide * scale), tile_height)
    return [_inside(box, wide, tall, scale, tile, width, height) for box in boxes]


def clip_crop(boxes: np.ndarray, width: int, height: int, longest_side: int) -> Crop:
    """The one crop that holds all boxes (B, 4) xyxy px with a margin; its tile has even sides, as videos want."""
    box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    wide, tall = (box[2:] - box[:2]) + 2 * _MARGIN * (box[3] - box[1])
    tall = min(tall, height)
    wide = min(max(wide, tall * _NARROWEST), width)
    scale = min(longest_side / max(wide, tall), MAX_ENLARGEMENT)
    tile = (max(2, int(wide * scale / 2) * 2), max(2, int(tall * scale / 2) * 2))
    return _inside(box, tile[0] / scale, tile[1] / scale, scale, tile, width, height)


def _inside(
    box: np.ndarray, wide: float, tall: float, scale: float, tile: tuple[int, int], width: int, height: int
) -> Crop:
    """The crop of wide x tall px about the middle of the box, moved into the frame."""
    left = np.clip((box[0] + box[2] - wide) / 2, 0, max(0.0, width - wide))
    top = np.clip((box[1] + box[3] - tall) / 2, 0, max(0.0, height - tall))
    return Crop(float(left), float(top), scale, *tile)
