"""A folder of images in place of a video."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.formats.images import IMAGE_KINDS, MOST_PIXELS
from pipeline.runtime.errors import UserError
from pipeline.video.lens import focal_in_exif
from pipeline.video.source import VideoSource
from pipeline.video.suffixes import image_files

_ORIENTATION = 0x0112  # EXIF's tag; 5 to 8 lie on their side


def probe_images(folder: Path, fps: Fraction) -> VideoSource:
    """Look into a folder that holds an image. Raises a UserError where the first is damaged or too large."""
    files = image_files(folder)
    width, height = _size(files[0])
    with _opened(files[0]) as image:
        focal_mm = focal_in_exif(image)
    return VideoSource(folder, fps, True, len(files), width, height, images=tuple(files), focal_mm=focal_mm)


def read_images(files: Sequence[Path], longest_side: int | None) -> Iterator[np.ndarray]:
    """The images in order, uint8 (H, W, 3) RGB, upright, no larger than asked.

    Raises:
        UserError: one is damaged, too large, or of another size than the first.
    """
    wanted = _size(files[0])
    for file in files:
        found = _size(file)
        if found != wanted:
            raise UserError(
                f"{file}: expected {wanted[0]}x{wanted[1]} px as {files[0].name}, found {found[0]}x{found[1]}; "
                "make all images of the folder one size"
            )
        yield _read(file, longest_side)


def _size(file: Path) -> tuple[int, int]:
    """Width and height of an image when upright, by its header alone."""
    with _opened(file) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8) else (width, height)


def _read(file: Path, longest_side: int | None) -> np.ndarray:
    with _opened(file) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith(("I", "F")):
            upright = Image.fromarray(_eight_bits(file, np.asarray(upright)))
        upright = upright.convert("RGB")
    shrink = 1 if longest_side is None else min(1, longest_side / max(upright.size))
    if shrink < 1:
        width, height = (max(1, round(side * shrink)) for side in upright.size)
        upright = upright.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(upright)


def _eight_bits(file: Path, grey: np.ndarray) -> np.ndarray:
    """Grey levels of 16 bits as 8."""
    if grey.dtype.kind not in "iu" or grey.min() < 0 or grey.max() > 65535:
        raise UserError(f"{file}: expected 8 or 16 bits a colour, found {grey.dtype} values; save it as 8-bit PNG")
    return (grey // 257).astype(np.uint8)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """The image with its header read and its size checked; what is wrong with it, also later, is a UserError."""
    try:
        with Image.open(file, formats=IMAGE_KINDS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UserError(
                    f"{file}: expected at most {MOST_PIXELS // 10**6} megapixels, found "
                    f"{image.width}x{image.height}; make the images smaller"
                )
            yield image
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{file}: not a readable image ({error}); make it again, or take it away") from error
