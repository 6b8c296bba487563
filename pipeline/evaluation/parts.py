"""Where head and hands are in a picture: boxes of their own, for a figure of the whole person hardly counts them."""

from dataclasses import replace

import numpy as np
import torch

from pipeline.body import JOINT_NAMES
from pipeline.evaluation.clip import Clip, posed
from pipeline.evaluation.image_metrics import Box

# The joints that carry each part, and the boxes that it has in a picture
PARTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "head": (("head",),),
    "hands": (("left_wrist", "left_hand"), ("right_wrist", "right_hand")),
}
_CARRIED = 0.5  # share of the skinning weights from which a vertex belongs to a part
_PADDING = 0.25  # of the box's longer side: hair, and landmarks that are a little off
_LEAST = 16  # px a side; SSIM's window needs 11


def part_boxes(clip: Clip, frames: np.ndarray) -> dict[str, list[list[Box]]]:
    """Boxes around head and hands in some frames, where the initial pose has them: the same for every fit. Of hands
    with straight fingers, however they are held.

    Args:
        frames: of the clip. (F,)

    Returns:
        For each part a list a frame of its boxes (left, top, right, bottom), px; a box that does not lie inside the
        picture is left out.
    """
    found: dict[str, list[list[Box]]] = {name: [] for name in PARTS}
    carried = {
        name: [clip.body.weights[:, [JOINT_NAMES.index(joint) for joint in box]].sum(1) > _CARRIED for box in boxes]
        for name, boxes in PARTS.items()
    }
    K = torch.as_tensor(clip.initial.K, dtype=torch.float32)
    for _, bodies in posed(replace(clip.body, hands=None), clip.initial, frames):
        for vertices in bodies.vertices:
            places = vertices @ K.T
            pixels = places[:, :2] / places[:, 2:].clamp(min=1e-6)
            for name, owners in carried.items():
                boxes = (_box(pixels[own].numpy(), clip.camera.width, clip.camera.height) for own in owners)
                found[name].append([box for box in boxes if box is not None])
    return found


def _box(
    pixels: np.ndarray,  # (V, 2)
    width: int,
    height: int,
) -> Box | None:
    low, high = pixels.min(0), pixels.max(0)
    half = np.maximum((0.5 + _PADDING) * (high - low).max(), _LEAST / 2)
    left, top = np.floor((low + high) / 2 - half).astype(int)
    right, bottom = np.ceil((low + high) / 2 + half).astype(int)
    inside = left >= 0 and top >= 0 and right <= width and bottom <= height
    return (int(left), int(top), int(right), int(bottom)) if inside else None
