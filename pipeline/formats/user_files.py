"""Folders that the user brings: one file a frame, in the order of the numbers in their names."""

import re
from pathlib import Path

import numpy as np

from pipeline.runtime.errors import UserError


def check_path(key: str, path: str | None) -> None:
    """Raise a UserError where the setting `key` ("masks.path") that an import backend needs is not set."""
    if not path:
        raise UserError(
            f'settings {key}: backend "import" needs the path of your files here; {{video}} stands for a name'
        )


def user_path(key: str, path: str, video: str) -> Path:
    """The path that the setting `key` means for a video: `{video}` is replaced by its name.

    Raises:
        UserError: nothing is there.
    """
    found = Path(path.replace("{video}", video))
    if not found.exists():
        raise UserError(f"{found}: not found; settings {key} ({path}) names it for the video {video!r}")
    return found


def numbered_files(folder: Path, suffixes: tuple[str, ...], count: int) -> list[Path]:
    """The files of a folder, one a frame, by the numbers in their names: frame2 comes before frame10.

    Raises:
        UserError: it is no folder, or holds files of several kinds, or not `count` of them.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder with one file a frame, found a file")
    files = [file for file in folder.iterdir() if file.suffix.lower() in suffixes and not file.name.startswith(".")]
    kinds = sorted({file.suffix.lower() for file in files})
    if len(kinds) > 1:
        raise UserError(f"{folder}: expected files of one kind, found {' and '.join(kinds)}; leave one kind there")
    if len(files) != count:
        raise UserError(
            f"{folder}: expected {count} files ({', '.join(suffixes)}), one for each decoded frame, found "
            f"{len(files)}; video.start, video.stop and video.step choose the frames"
        )
    return sorted(files, key=lambda file: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", file.stem)])


def check_aspect(file: Path, shape: tuple[int, int], height: int, width: int) -> None:
    """Raise a UserError where an image (H, W) is no scaled version of the frames: off by more than 2% and a pixel."""
    found_height, found_width = shape
    off = abs(found_width * height / found_height - width)
    if off > 0.02 * width + 1:
        raise UserError(
            f"{file}: expected the shape of the frames, {width}x{height} or a scaled one, "
            f"found {found_width}x{found_height}"
        )


def resize_nearest(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image (H, W) at another size, each pixel the one of `image` that lies under its centre."""
    if image.shape == (height, width):
        return image
    rows = ((np.arange(height) + 0.5) * image.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * image.shape[1] / width).astype(int)
    return image[rows[:, None], columns]
