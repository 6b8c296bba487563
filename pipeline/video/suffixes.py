"""What counts as a video: files by suffix, and folders of images. The Snakefile imports it: standard library alone."""

import re
from pathlib import Path

VIDEO_SUFFIXES: tuple[str, ...] = (
    ".mp4",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ts",
    ".3gp",
    ".wmv",
    ".mts",
    ".m2ts",
    ".flv",
    ".mxf",
    ".ogv",
    ".gif",
    ".hevc",
)  # of files, in lower case
IMAGE_SUFFIXES: tuple[str, ...] = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")


def image_files(folder: Path) -> list[Path]:
    """The images in a folder in the order of the numbers in their names: 2.png before 10.png. Hidden files are none."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."]
    return sorted((path for path in found if path.is_file()), key=_natural)


def is_image_folder(path: Path) -> bool:
    """Whether a folder stands for a video: it holds an image, and is not the truth beside one (NAME.truth)."""
    return path.is_dir() and path.suffix != ".truth" and bool(image_files(path))


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"([0-9]+)", path.name.lower())
    # A number sorts as a number, and before any text; names that differ only in case or zeros keep one order.
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts], path.name
