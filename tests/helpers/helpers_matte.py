"""Clips of somebody round before a wall, and what the mask refiner makes of them."""

from pathlib import Path

import numpy as np

from pipeline.fit.masks import MaskRefiner, crop_box, cut
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import FrameFolder, MaskFolder, write_frame, write_mask
from pipeline.formats.paths import VideoDir

PERSON = np.array([200, 60, 40])


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def write_clip(root: Path, frames: list[np.ndarray], masks: list[np.ndarray], track: CameraTrack | None) -> VideoDir:
    directory = VideoDir(root)
    for folder in (directory.frames, directory.masks):
        folder.mkdir(parents=True)
    for index, (frame, mask) in enumerate(zip(frames, masks)):
        write_frame(directory.frames / f"{index:06d}.jpg", frame)
        write_mask(directory.masks / f"{index:06d}.png", mask)
    if track is not None:
        track.save(directory.camera_track)
    return directory


def refined(
    directory: VideoDir,
    K: np.ndarray | None = None,
    fps: float = 10.0,
) -> tuple[MaskRefiner, list[np.ndarray], list[np.ndarray]]:
    """The refiner of a clip, and for each frame its mask and how sure it is, in the whole frame."""
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    refiner = MaskRefiner.of(directory, frames, masks, np.eye(3) if K is None else K, fps)
    alphas, sures = [], []
    for index in range(len(frames)):
        box = crop_box(masks[index], 0.1)
        x0, y0, x1, y1 = box
        found = refiner(index, box, cut(frames[index], box), cut(masks[index], box))
        alpha, sure = np.zeros(masks[index].shape, np.uint8), np.full(masks[index].shape, 255, np.uint8)
        alpha[y0:y1, x0:x1], sure[y0:y1, x0:x1] = found.alpha, found.sure
        alphas.append(alpha > 127)
        sures.append(sure > 0)
    return refiner, alphas, sures
