"""Pictures and videos as data URIs, so that the page needs no other file."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

_MEGABYTE = 1e6
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class Medium:
    """A picture or video in the page, or a link to one that is too large for it."""

    title: str
    text: str
    source: str  # data URI, or a path relative to the page
    embedded: bool


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
    """A video, embedded if it has at most `limit` MB, else linked by its path from the page's folder."""
    if path.stat().st_size > limit * _MEGABYTE:
        return Medium(title, text, path.relative_to(page.parent).as_posix(), False)
    return Medium(title, text, _data_uri("video/mp4", path.read_bytes()), True)


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
