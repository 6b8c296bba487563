"""Numbered images of a clip: frames/%06d.jpg, masks/%06d.png, depth/%06d.png."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.runtime.errors import UserError

JPEG_QUALITY = 95
MOST_PIXELS = 1 << 27  # of an image; a kilobyte of PNG can unpack to gigabytes
Image.MAX_IMAGE_PIXELS = None  # Pillow's limits are a warning and a traceback: read_image has the one above
IMAGE_KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")  # whatever the name says; to read others Pillow may run a program
DEPTH_UNIT = 1e-3  # metres a count: 16-bit millimetres


def read_image(path: Path, advice: str = "", mode: str | None = None) -> tuple[np.ndarray, str]:
    """An image that may come from anywhere: its pixels (H, W) or (H, W, C), and Pillow's name of their mode.

    Args:
        path: the file.
        advice: what to do about a bad one, for the end of the error.
        mode: convert to this one, such as "RGB"; None: as stored.

    Raises:
        UserError: it is no image, is damaged, or has more than MOST_PIXELS.
    """
    try:
        with Image.open(path, formats=IMAGE_KINDS) as image:  # reads the header alone
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it says {image.width}x{image.height}, more than {MOST_PIXELS // 10**6} megapixels")
            image = image if mode is None else image.convert(mode)
            return np.asarray(image), image.mode
    except Exception as error:  # Pillow raises nearly anything where a file is damaged
        raise UserError(f"{path}: not a readable image ({error}){advice}") from error


class ImageFolder:
    """Read-only sequence of the images %06d.<suffix> in a folder; nothing is kept in memory."""

    suffix = ".png"

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.files = sorted(self.path.glob(f"[0-9]*{self.suffix}"))
        if not self.files:
            raise UserError(f"{self.path}: no {self.suffix} image found; run the stage that writes it first")
        for index, file in enumerate(self.files):
            if file.stem != f"{index:06d}":
                raise UserError(
                    f"{self.path}: image {index:06d}{self.suffix} is missing, found {file.name}; "
                    "remove this folder and run again: its stage makes it anew"
                )

    def __len__(self) -> int:
        return len(self.files)

    def _read(self, index: int) -> np.ndarray:
        return read_image(self.files[index], "; delete it and rerun")[0]


class FrameFolder(ImageFolder):
    """frames/: [i] -> uint8 (H, W, 3) RGB."""

    suffix = ".jpg"

    def __getitem__(self, index: int) -> np.ndarray:
        frame = self._read(index)
        if frame.ndim != 3 or frame.shape[2] != 3:
            raise UserError(f"{self.files[index]}: expected an RGB image, found {frame.dtype} {frame.shape}")
        return frame


class MaskFolder(ImageFolder):
    """masks/: [i] -> uint8 (H, W), 255 = person."""

    def __getitem__(self, index: int) -> np.ndarray:
        mask = self._read(index)
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise UserError(f"{self.files[index]}: expected an 8-bit grey image, found {mask.dtype} {mask.shape}")
        return mask


class DepthFolder(ImageFolder):
    """depth/: [i] -> float32 (H, W) metres along z, 0 = unknown."""

    def __getitem__(self, index: int) -> np.ndarray:
        depth = self._read(index)
        if depth.ndim != 2 or depth.dtype not in (np.uint16, np.int32):
            raise UserError(f"{self.files[index]}: expected a 16-bit grey image, found {depth.dtype} {depth.shape}")
        return depth.astype(np.float32) * np.float32(DEPTH_UNIT)


def save_image(image: Image.Image, path: str | Path, **options: Any) -> None:
    """Save an image in the format of the path's suffix.

    By memory: Pillow itself takes a write that a full disk cut short for a whole one, and says nothing.
    """
    buffer = io.BytesIO()
    image.save(buffer, format=Image.registered_extensions()[Path(path).suffix], **options)
    Path(path).write_bytes(buffer.getvalue())


def write_frame(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 (H, W, 3) RGB as JPEG."""
    save_image(Image.fromarray(image), path, quality=JPEG_QUALITY, subsampling=0)


def write_mask(path: str | Path, mask: np.ndarray) -> None:
    """Write uint8 (H, W) as PNG."""
    save_image(Image.fromarray(mask), path, compress_level=3)


def write_depth(path: str | Path, depth: np.ndarray) -> None:
    """Write float metres (H, W), 0 or NaN = unknown, as 16-bit millimetres; beyond 65.5 m is unknown too."""
    counts = np.round(np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0) / DEPTH_UNIT)
    counts[(counts < 0) | (counts > 65535)] = 0
    save_image(Image.fromarray(counts.astype(np.uint16)), path, compress_level=3)
