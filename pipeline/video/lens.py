"""The focal length that the camera wrote into its file, as 35-mm equivalent.

iPhones and iPads write it into the picture's track, of which ffmpeg tells nothing: so the boxes are read here. In
copies it stands where ffmpeg sees it. Android's cameras write none into videos. Photos have it in EXIF.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image

from pipeline.geometry.focal import LIKELY_MM

_KEY = "camera.focal_length.35mm_equivalent"  # after com.apple.quicktime., which some tools leave out
_TOLD = re.compile(rf"^\s+(?:com\.apple\.quicktime\.)?{re.escape(_KEY)}[\w-]*\s*: (.+)$", re.MULTILINE | re.IGNORECASE)
_EXIF, _EXIF_FOCAL = 0x8769, 0xA405  # the block of EXIF, and its FocalLengthIn35mmFilm
_LARGEST = 1 << 16  # bytes of names or of a value that are read
_FLOATS = {23: ">f", 24: ">d"}  # QuickTime's well-known types of values
_INTEGERS = {21: True, 22: False, 65: True, 66: True, 67: True, 74: True, 75: False, 76: False, 77: False, 78: False}


def focal_told(told: str) -> float | None:
    """The 35-mm equivalent, mm, in what ffmpeg says of a file; None where it is not there or not one."""
    found = _TOLD.search(told)
    return None if found is None else _likely(found[1])


def focal_in_tracks(path: Path) -> float | None:
    """The 35-mm equivalent, mm, in the tracks' metadata of a QuickTime or MP4 file; None where there is none."""
    with path.open("rb") as file:
        spans = [(0, file.seek(0, 2))]
        for kind in (b"moov", b"trak", b"meta"):
            spans = [(first, last) for span in spans for _, first, last in _inside(file, *span, kind)]
        found = (_likely(_value(file, *span)) for span in spans)
        return next((mm for mm in found if mm is not None), None)


def focal_in_exif(image: Image.Image) -> float | None:
    """The 35-mm equivalent, mm, in an image's EXIF; None where it is not there, or unknown (0)."""
    try:
        return _likely(image.getexif().get_ifd(_EXIF).get(_EXIF_FOCAL))
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):  # damaged EXIF, a sound picture
        return None


def _likely(value: object) -> float | None:
    """A number, or "26mm", as a focal length; None where it is none."""
    found = re.fullmatch(r"\s*([\d.]+)\s*(?:mm)?\s*", str(value))
    try:
        mm = float(found[1]) if found else 0.0
    except ValueError:
        return None
    return mm if LIKELY_MM[0] <= mm <= LIKELY_MM[1] else None


def _inside(file: IO[bytes], start: int, end: int, kind: bytes | None = None) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two places, or those of a kind: its name, and where its content starts and ends."""
    while start + 8 <= end:
        file.seek(start)
        size, name = struct.unpack(">I4s", file.read(8))
        content = start + 8
        if size == 1:  # 64 bits follow
            size = int.from_bytes(file.read(8), "big")
            content += 8
        stop = end if size == 0 else start + size
        if stop < content or stop > end:
            return  # damaged
        if kind in (None, name):
            yield name, content, stop
        start = stop


def _value(file: IO[bytes], start: int, end: int) -> str | float | None:
    """The value of the key in a box "meta": its part "keys" has the names, "ilst" the values by number of the name."""
    if _read(file, start + 4, start + 8) != b"hdlr":
        start += 4  # MP4's kind begins with version and flags
    parts = {name: span for name, *span in _inside(file, start, end)}
    if b"keys" not in parts or b"ilst" not in parts:
        return None
    first, last = parts[b"keys"]
    if last - first > _LARGEST:
        return None
    names = [_read(file, *span).decode(errors="replace") for _, *span in _inside(file, first + 8, last)]
    for number, *span in _inside(file, *parts[b"ilst"]):
        index = int.from_bytes(number, "big")
        if 1 <= index <= len(names) and names[index - 1].endswith(_KEY):
            data = next(_inside(file, *span, b"data"), None)
            return None if data is None else _decoded(_read(file, *data[1:]))
    return None


def _read(file: IO[bytes], start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(min(end - start, _LARGEST))


def _decoded(data: bytes) -> str | float | None:
    """The content of a box "data": its type, a locale, the value."""
    kind, value = int.from_bytes(data[:4], "big"), data[8:]
    if kind == 1:
        return value.decode(errors="replace")
    if kind in _FLOATS and len(value) == struct.calcsize(_FLOATS[kind]):
        return struct.unpack(_FLOATS[kind], value)[0]
    return int.from_bytes(value, "big", signed=_INTEGERS[kind]) if kind in _INTEGERS else None
