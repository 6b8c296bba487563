"""Masks of the user's own: a folder with one image a frame, from a matting tool, an annotation tool or the studio."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import UserError
from pipeline.estimators.settings import MasksSettings
from pipeline.estimators.user_files import check_aspect, check_path, numbered_files, user_path
from pipeline.formats.images import read_image, write_mask
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.progress import track

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


def check(settings: MasksSettings) -> None:
    """Raise a UserError where masks.path is not set."""
    check_path("masks.path", settings.path)


def estimate(directory: VideoDir, settings: MasksSettings, out: Path, provenance: Provenance) -> None:
    """Write the masks at the frames' size to out/%06d.png, soft edges kept.

    Raises:
        UserError: the folder is missing, does not hold one mask a frame, a mask is no image, or all are empty.
    """
    video = VideoInfo.load(directory.video)
    folder = user_path("masks.path", settings.path, directory.name)
    files = numbered_files(folder, SUFFIXES, video.frames)
    empty = []
    labels = all(read_pixels(file).max(initial=0) <= 1 for file in files)
    for index, file in enumerate(track(files, "import masks", unit="mask")):
        mask = to_eight_bits(read_pixels(file), labels)
        check_aspect(file, mask.shape, video.height, video.width)
        if mask.shape != (video.height, video.width):
            mask = np.asarray(Image.fromarray(mask).resize((video.width, video.height), Image.Resampling.BILINEAR))
        write_mask(out / f"{index:06d}.png", mask)
        if mask.max() < 128:
            empty.append(index)
    if len(empty) == len(files):
        raise UserError(f"{folder}: every mask is empty; expected white (or 1) where the person is")
    provenance.facts |= {"masks": str(folder), "frames": len(files), "lost_frames": empty}
    if empty:
        provenance.warn(f"{folder}: {len(empty)} of {len(files)} masks are empty; nobody is there")


def read_pixels(file: Path) -> np.ndarray:
    """The channel of an image that is its mask: uint8, uint16 or int32 (H, W).

    A cut-out's alpha is the mask. Of a palette (DAVIS annotations) every index but 0 is the person. Of colours the
    brightest channel counts.
    """
    pixels, mode = read_image(file)
    if mode == "P":
        return np.where(pixels > 0, 255, 0).astype(np.uint8)
    if mode == "1":
        return pixels.astype(np.uint8)
    if mode in ("LA", "RGBA"):
        cut_out = pixels[..., -1].min() < 255
        return pixels[..., -1] if cut_out else pixels[..., :-1].max(axis=2)
    if mode == "RGB":
        return pixels.max(axis=2)
    if pixels.ndim != 2 or pixels.dtype.kind not in "iu":
        raise UserError(f"{file}: expected a grey or RGB image of 8 or 16 bits, found {mode}")
    return pixels


def to_eight_bits(pixels: np.ndarray, labels: bool) -> np.ndarray:
    """A mask as uint8, 255 = person.

    Args:
        pixels: (H, W), 8 or 16 bits.
        labels: they are 0 and 1 in the whole clip, not opacities.
    """
    if labels:
        return (pixels > 0).astype(np.uint8) * 255
    if pixels.dtype == np.uint8:
        return pixels
    return np.clip(np.round(pixels / 257.0), 0, 255).astype(np.uint8)
