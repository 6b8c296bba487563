"""The masks that the fit compares with: the detector's, made better by the background plate (matte.py, plate.py)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.fit.matte import Drawn, Guide, Matte, matte
from pipeline.fit.plate import MOST_FRAMES, Plate, find_plate
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import FrameFolder, MaskFolder, write_mask
from pipeline.formats.paths import VideoDir
from pipeline.runtime.threads import map_parallel

Crop = tuple[int, int, int, int]  # x0, y0, x1, y1 px of a frame
_LONGEST = 960  # px of the plate
_NEAR = 0.012  # of the person's height: what lies as near to the mask may be the person
_EDGE_NOISE = 0.02  # of 1: contrast of the picture that is no edge for an enlarged mask
_CONTRAST = 1.5  # how much sharper that is made
_FAINT = 32  # of 255: so may what the mask only guesses


@dataclass(frozen=True)
class MaskRefiner:
    """Makes the masks of one clip better."""

    plate: Plate
    full: tuple[int, int]  # width and height of a frame, px

    @staticmethod
    def of(directory: VideoDir, frames: FrameFolder, masks: MaskFolder) -> MaskRefiner | None:
        """Find the background plate; None where the camera is not known to stand still, and so has none."""
        path = directory.camera_track
        if not path.is_file() or CameraTrack.load(path).kind != "static":
            return None
        chosen = np.unique(np.linspace(0, len(frames) - 1, MOST_FRAMES).round().astype(int))
        height, width = frames[0].shape[:2]
        factor = min(1.0, _LONGEST / max(width, height))
        size = round(width * factor), round(height * factor)
        pictures = [_shrunk(frames[index], size) for index in chosen]
        people = [hidden(_shrunk(masks[index], size)) for index in chosen]
        return MaskRefiner(find_plate(pictures, people, chosen, len(frames)), (width, height))

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

    def facts(self) -> dict[str, Any]:
        """What the provenance tells of it."""
        gains = self.plate.gains.mean(1)
        return {
            "background plate": f"{100 * self.plate.known.mean():.0f}% of the picture was seen",
            "exposure against the plate": f"{gains.min():.2f} to {gains.max():.2f}",
        }


def hidden(mask: np.ndarray) -> np.ndarray:
    """(h, w) bool: where the person may hide the background, given the detector's mask (h, w) uint8."""
    import cv2

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
    import cv2

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
