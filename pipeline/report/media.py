"""Pictures and videos as data URIs, so that the page needs no other file."""

import base64
import io
import subprocess
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pipeline.runtime.errors import UserError
from pipeline.video.tool import ffmpeg_binary, open_file

_MEGABYTE = 1e6
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class Medium:
    """A picture or video in the page, or a link to one that is too large for it."""

    title: str
    text: str
    source: str  # data URI, or a path relative to the page
    embedded: bool
    link: str = ""  # of a video: its path from the page's folder
    poster: str = ""  # of a video: its first frame as a data URI, where nothing moves and on paper


def picture(path: Path, title: str, text: str) -> Medium:
    """A still as an embedded JPEG: a tenth of the PNG's size, and nobody measures on the page."""
    with Image.open(path) as image:
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, format="JPEG", quality=_JPEG_QUALITY, optimize=True, subsampling=0)
        return Medium(title, text, _data_uri("image/jpeg", buffer.getvalue()), True)


def thumbnail(path: Path, height: int) -> str:
    """A still, `height` px high, as a data URI."""
    with Image.open(path) as image:
        buffer = io.BytesIO()
        image = image.convert("RGB").resize((round(image.width * height / image.height), height))
        image.save(buffer, format="JPEG", quality=_JPEG_QUALITY, optimize=True)
        return _data_uri("image/jpeg", buffer.getvalue())


def video(path: Path, page: Path, title: str, text: str, limit: float) -> Medium:
    """A video, embedded if it has at most `limit` MB, else linked by its path from the page's folder.

    Raises:
        UserError: one that is to be embedded holds no video.
    """
    link = path.relative_to(page.parent).as_posix()
    if path.stat().st_size > limit * _MEGABYTE:
        return Medium(title, text, link, False)
    return Medium(title, text, _data_uri("video/mp4", path.read_bytes()), True, link, _first_frame(path))


def _first_frame(path: Path) -> str:
    """A video's first frame as a data URI. Raises UserError where the file holds no video."""
    words = open_file(path).output("pipe:", vframes=1, format="image2pipe", vcodec="mjpeg", **{"q:v": 6})
    done = subprocess.run(words.compile(ffmpeg_binary()), capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise UserError(f"{path}: expected a video that the stage render made, could not read it; run render again")
    return _data_uri("image/jpeg", done.stdout)


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
