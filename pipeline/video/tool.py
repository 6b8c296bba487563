"""How this package runs ffmpeg: the binary, and what its failures mean."""

import errno
import re
from functools import cache
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from pipeline.errors import UserError

# Demuxers of files that hold a video themselves. All others are refused: some open what a file names (concat, hls,
# dash, imf, sdp), and some make pictures of any text (tty).
CONTAINERS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2"),  # one demuxer; other builds of ffmpeg may order its names otherwise
    *("matroska", "webm", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv", "mxf", "ogg", "gif", "hevc", "h264"),
)


@cache
def ffmpeg_binary() -> str:
    """Path of the ffmpeg to run: $IMAGEIO_FFMPEG_EXE, or the one inside imageio-ffmpeg, or the system's."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError("ffmpeg: not found; pip install imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE to one") from error


def open_file(path: Path, **options: str | float | None) -> ffmpeg.nodes.FilterableStream:
    """The file as ffmpeg's input: by a name that is never an option, a URL or a pattern, and reaching no other file.

    Args:
        options: further options of the input; None is one without a value.
    """
    return ffmpeg.input(f"file:{path}", protocol_whitelist="file", format_whitelist=",".join(CONTAINERS), **options)


def raise_if_disk_full(messages: str, path: str | Path) -> None:
    """Raise the OSError that ffmpeg met while it wrote `path`, if its messages tell of one."""
    if "No space left on device" in messages:
        raise OSError(errno.ENOSPC, "no space left on the disk", str(path))
    if "Disk quota exceeded" in messages:
        raise OSError(errno.EDQUOT, "disk quota exceeded", str(path))


def plain(message: str) -> str:
    """An ffmpeg message without the name and address of the object that said it."""
    return re.sub(r"^\[[^\]]* @ 0x[0-9a-f]+\] ", "", message.strip())
