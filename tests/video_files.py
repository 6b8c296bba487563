"""Small clips made by ffmpeg and by our own writer, and what decoding makes of them."""

import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.__main__ import main
from pipeline.formats.images import FrameFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.video.encode import write_video
from pipeline.video.tool import ffmpeg_binary


def ffmpeg(*arguments: str | Path) -> None:
    command = [ffmpeg_binary(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def pattern(path: Path, rate: str = "25", size: str = "64x48", frames: int = 12, *options: str) -> Path:
    """A moving test pattern."""
    source = f"testsrc2=s={size}:r={rate}"
    ffmpeg("-f", "lavfi", "-i", source, "-frames:v", str(frames), "-pix_fmt", "yuv420p", *options, path)
    return path


def counting_clip(path: Path, frames: int, fps: Fraction | float = 25) -> Path:
    """A clip whose frame i has the grey level 40 + 4 i, so that a decoded frame tells its number."""
    write_video(path, (np.full((32, 48, 3), 40 + 4 * i, np.uint8) for i in range(frames)), fps, crf=8)
    return path


def numbers(folder: Path) -> list[int]:
    """Which frames of a counting clip are in a folder."""
    return [round((float(frame.mean()) - 40) / 4) for frame in FrameFolder(folder)]


def decode(video: Path, directory: Path, *options: str) -> VideoInfo:
    assert main(["decode", str(video), str(directory), *options]) == 0
    info = VideoInfo.load(VideoDir(directory).video)
    frames = FrameFolder(VideoDir(directory).frames)
    assert len(frames) == info.frames
    assert frames[0].shape == frames[info.frames - 1].shape == (info.height, info.width, 3)
    return info


def warnings(directory: Path) -> list[str]:
    return read_provenance(VideoDir(directory).provenance("decode"))["warnings"]


def record(directory: Path) -> dict:
    """The provenance of decode."""
    return read_provenance(VideoDir(directory).provenance("decode"))
