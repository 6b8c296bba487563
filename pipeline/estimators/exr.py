"""Read the depth channel of an OpenEXR file, as Blender and other renderers write it.

OpenCV's reader returns zeros for a channel named Z, and no other package here reads EXR. The layout is that of "OpenEXR
File Layout" (openexr.com/en/latest/OpenEXRFileLayout.html): scan lines, not compressed or by ZIP, which loses nothing.
"""

import struct
import zlib
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.formats.images import MOST_PIXELS

_MAGIC = 20000630
_KINDS = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}
_LINES = {0: 1, 2: 1, 3: 16}  # scan lines of a block, by compression: none, ZIPS, ZIP
_DEPTH_NAMES = ("z", "depth", "v", "y", "r")  # last part of a channel's name; the first that is there is taken


def read_exr_depth(path: Path) -> np.ndarray:
    """The depth channel of an EXR file: (H, W), in the unit and type of the file.

    Raises:
        UserError: not an EXR file, of a kind that this does not read, or without a depth channel.
    """
    data = path.read_bytes()
    try:
        magic, version = struct.unpack_from("<II", data)
        if magic != _MAGIC:
            raise UserError(f"{path}: expected an OpenEXR file, found another kind; save the maps as .exr or .npy")
        if version & 0x1A00:
            raise UserError(f"{path}: tiled, deep and multi-part .exr files are not read; save scan lines, or .npy")
        attributes, position = _read_header(data)
        return _read_lines(path, data, position, attributes)
    except (struct.error, ValueError, KeyError, IndexError, zlib.error) as error:
        raise UserError(f"{path}: cut short or damaged ({error}); save it again") from error


def _read_header(data: bytes) -> tuple[dict[str, bytes], int]:
    """The attributes by name, and where the header ends."""
    attributes = {}
    position = 8
    while data[position] != 0:
        name, _, rest = data[position : position + 600].split(b"\0", 2)
        position += len(data[position : position + 600]) - len(rest)
        (size,) = struct.unpack_from("<i", data, position)
        attributes[name.decode()] = data[position + 4 : position + 4 + size]
        position += 4 + size
    return attributes, position + 1


def _read_lines(path: Path, data: bytes, position: int, attributes: dict[str, bytes]) -> np.ndarray:
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    if not (width > 0 < height and width * height <= MOST_PIXELS):
        raise ValueError(f"it says {width}x{height} pixels")
    lines = _LINES.get(attributes["compression"][0])
    if lines is None:
        raise UserError(f"{path}: this .exr compression is not read; save it with ZIP (lossless), or as .npy")
    line = np.dtype([(name, kind, width) for name, kind in _channels(attributes["channels"]).items()])
    chosen = _depth_channel(path, list(line.names))
    depth = np.zeros((height, width), line[chosen].base)
    for offset in struct.unpack_from(f"<{-(-height // lines)}Q", data, position):
        first, size = struct.unpack_from("<ii", data, offset)
        block = data[offset + 8 : offset + 8 + size]
        rows = slice(first - top, min(first - top + lines, height))
        expected = (rows.stop - rows.start) * line.itemsize
        pixels = np.frombuffer(block if size == expected else _unzip(block, expected), line)
        depth[rows] = pixels[chosen]
    return depth


def _channels(attribute: bytes) -> dict[str, np.dtype]:
    """Channels in the order of their data, with their types."""
    channels = {}
    while attribute[0] != 0:
        name, attribute = attribute.split(b"\0", 1)
        channels[name.decode()] = _KINDS[struct.unpack_from("<i", attribute)[0]]
        attribute = attribute[16:]
    return channels


def _depth_channel(path: Path, names: list[str]) -> str:
    for wanted in _DEPTH_NAMES:
        for name in names:
            if name.split(".")[-1].lower() == wanted:
                return name
    raise UserError(f"{path}: expected a depth channel such as Z, found {', '.join(names)}; save the depth alone")


def _unzip(block: bytes, size: int) -> np.ndarray:
    """Undo EXR's ZIP, to `size` bytes: deflate, differences of neighbouring bytes, even bytes before odd ones."""
    coded = np.frombuffer(zlib.decompressobj().decompress(block, size + 1), np.uint8)  # + 1: reads its checksum, too
    if len(coded) != size:
        raise ValueError(f"a block should unpack to {size} bytes")
    plain = (np.cumsum(coded, dtype=np.int64) - 128 * np.arange(len(coded))).astype(np.uint8)
    half = (len(plain) + 1) // 2
    out = np.empty_like(plain)
    out[0::2], out[1::2] = plain[:half], plain[half:]
    return out
