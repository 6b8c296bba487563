"""What counts as a video by its name: asked for by the Snakefile, before anything is opened."""

from pathlib import Path

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".3gp", ".wmv")


def is_image_folder(path: Path) -> bool:
    return False
