"""The masks that the fit compares with: the detector's, made better by the background plate (matte.py, plate.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.fit.matte import Drawn, Guide, Matte, matte
from pipeline.fit.moving_plate import MovingPlate, Shot
from pipeline.fit.plate import MOST_FRAMES, Crop, Plate, Size, find_plate
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import FrameFolder, MaskFolder, write_mask
from pipeline.formats.paths import VideoDir
from pipeline.runtime.threads import map_parallel

_LONGEST = 960  # px of the plate
_NEAR = 0.012  # of the person's height: what lies as near to the mask may be the person
_EDGE_NOISE = 0.02  # of 1: contrast of the picture that is no edge for an enlarged mask
_CONTRAST = 1.5  # how much sharper that is made
_FAINT = 32  # of 255: so may what the mask only guesses


@dataclass(frozen=True)
class MaskRefiner:
    """Makes the masks of one clip better."""

    plate: Plate | MovingPlate
    full: Size  # of a frame

    @staticmethod
    def of(
        directory: VideoDir,
        frames: FrameFolder,
        masks: MaskFolder,
        K: np.ndarray,
        fps: float,
    ) -> MaskRefiner | None:
        """Find the background plate; None without camera_track.npz.

        Args:
            K: (3, 3) px of the frames.
            fps: frames a second.
        """
        path = directory.camera_track
        if not path.is_file():
            return None
        track, count = CameraTrack.load(path), len(frames)
        height, width = frames[0].shape[:2]
        factor = min(1.0, _LONGEST / max(width, height))
        size = round(width * factor), round(height * factor)

        def shot(index: int) -> Shot:
            return Shot(_shrunk(frames[index], size), hidden(_shrunk(masks[index], size)))

        if track.kind != "static":
            turns, scaled = track.world_from_camera[:, :3, :3], np.diag([factor, factor, 1.0]) @ K
            return MaskRefiner(MovingPlate(shot, turns, scaled, fps), (width, height))
        chosen = np.unique(np.linspace(0, count - 1, MOST_FRAMES).round().astype(int))
        shots = [shot(index) for index in chosen]
        plate = find_plate([each.image for each in shots], [each.hidden for each in shots], chosen, count)
        return MaskRefiner(plate, (width, height))

    def __call__(
        self,
        frame: int,
        box: Crop,
        image: np.ndarray,  # (h, w, 3) uint8
        mask: np.ndarray,  # (h, w) uint8
        drawn: Drawn | None = None,
    ) -> Matte:
        """The person in a frame's crop, of any resolution; `drawn` is the avatar there, once there is one."""
        return matte(image, mask, self.plate.crop(frame, box, self.full, (image.shape[1], image.shape[0])), drawn)


def hidden(mask: np.ndarray) -> np.ndarray:
    """(h, w) bool: where the person may hide the background, given the detector's mask (h, w) uint8."""
    rows = np.flatnonzero((mask > 127).any(1))
    reach = max(2, round(_NEAR * (rows[-1] - rows[0]))) if len(rows) else 2
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    return cv2.dilate((mask > _FAINT).astype(np.uint8), disc) > 0


def crop_box(mask: np.ndarray, padding: float, smallest: int = 12) -> Crop | None:
    """The box of the mask, padded; None where the mask is empty or too small to see anything (`smallest` px a side)."""
    rows, columns = np.flatnonzero((mask > 127).any(1)), np.flatnonzero((mask > 127).any(0))
    if len(rows) == 0:
        return None
    pad = max(8, round(padding * max(rows[-1] - rows[0], columns[-1] - columns[0])))
    x0, y0 = max(0, columns[0] - pad), max(0, rows[0] - pad)
    x1, y1 = min(mask.shape[1], columns[-1] + 1 + pad), min(mask.shape[0], rows[-1] + 1 + pad)
    if min(x1 - x0, y1 - y0) < smallest:
        return None
    return int(x0), int(y0), int(x1), int(y1)


def cut(layer: np.ndarray, box: Crop) -> np.ndarray:
    """A box of a picture, contiguous."""
    x0, y0, x1, y1 = box
    return np.ascontiguousarray(layer[y0:y1, x0:x1])


def write_refined(
    directory: VideoDir,
    out: Path,
    refined: list[Matte | None],
    padding: float,
) -> None:
    """Write out/%06d.png for each frame: the mask that the fit compared with, enlarged along the picture's edges. And
    out/unknown/%06d.png, 255 where nothing is known, unless all masks stay.

    Args:
        refined: of each frame what its crop shows; None where the detector's mask stays.
        padding: of the crops.
    """
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    some = any(refined)
    if some:
        (out / "unknown").mkdir()

    def write(index: int) -> None:
        mask, found = masks[index], refined[index]
        box, unknown = None if found is None else crop_box(mask, padding), np.zeros_like(mask)
        if box is not None:
            x0, y0, x1, y1 = box
            mask = np.zeros_like(mask)
            mask[y0:y1, x0:x1] = enlarged(found.alpha, cut(frames[index], box))
            unknown[y0:y1, x0:x1] = 255 - _enlarged_evenly(found.sure, (x1 - x0, y1 - y0))
        write_mask(out / f"{index:06d}.png", mask)
        if some:
            write_mask(out / "unknown" / f"{index:06d}.png", unknown)

    for _ in map_parallel(write, range(len(refined))):
        pass


def enlarged(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A mask (h, w) uint8 at the size of an image (H, W, 3), with its edges where the image's are."""
    height, width = image.shape[:2]
    if mask.shape == (height, width):
        return mask
    large = cv2.resize(mask, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    soft = Guide(image.astype(np.float32) / 255, 1 + round(height / mask.shape[0]), _EDGE_NOISE)(large)
    return np.rint(255 * np.clip(_CONTRAST * (soft - 0.5) + 0.5, 0, 1)).astype(np.uint8)


def _enlarged_evenly(layer: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A layer (h, w) uint8 at a size (width, height), with values that it has."""
    return np.asarray(Image.fromarray(layer).resize(size, Image.Resampling.NEAREST))


def _shrunk(layer: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (layer.shape[1], layer.shape[0]) == size:
        return layer
    return np.asarray(Image.fromarray(layer).resize(size, Image.Resampling.BOX))
