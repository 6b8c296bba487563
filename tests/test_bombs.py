"""Small files that say they are huge: each is one line, and none is unpacked (a limit on this process's memory)."""

import gzip
import io
import pickle
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.body import load_body
from pipeline.datasets import files
from pipeline.errors import UserError
from pipeline.estimators.depth_import import _read as read_depth
from pipeline.estimators.exr import read_exr_depth
from pipeline.estimators.masks_import import read_pixels
from pipeline.estimators.motion_readers.content import arrays_of, read_content
from pipeline.formats.arrays import MOST_BYTES, read_npz
from pipeline.formats.images import MaskFolder

HUGE = 10**7  # of a side


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """A gigabyte more than this process has."""
    old = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, old)


def png(width: int, height: int) -> bytes:
    """A grey PNG that says a size and holds a few rows."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


def npy(shape: tuple[int, ...], content: bytes = b"") -> bytes:
    """An array of float64 that says a shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def npz(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npz_of_zeros() -> bytes:
    """Four million bytes of zip would unpack to its size; here the directory says so of one kilobyte."""
    packed = bytearray(npz(poses=npy((MOST_BYTES // 8,), bytes(1000))))
    entry = packed.rindex(b"PK\x01\x02")
    packed[entry + 24 : entry + 28] = struct.pack("<I", MOST_BYTES + 1)
    return bytes(packed)


def exr(width: int, height: int, block: bytes = b"") -> bytes:
    def attribute(name: bytes, kind: bytes, value: bytes) -> bytes:
        return name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value

    channels = b"Z\0" + struct.pack("<iBxxxii", 2, 0, 1, 1) + b"\0"
    header = attribute(b"channels", b"chlist", channels) + attribute(b"compression", b"compression", b"\3")
    window = attribute(b"dataWindow", b"box2i", struct.pack("<4i", 0, 0, width - 1, height - 1))
    start = struct.pack("<II", 20000630, 2) + header + window + b"\0"
    return start + struct.pack("<Q", len(start) + 8) + struct.pack("<ii", 0, len(block)) + block


def stretched() -> bytes:
    """One number that a tensor says a hundred billion times."""
    file = io.BytesIO()
    torch.save({"poses": torch.zeros(1).expand(10**11, 72)}, file)
    return file.getvalue()


def pickled(shape: tuple[int, ...], direct: bool) -> bytes:
    """A pickle that has numpy make an array of a shape and puts nothing in."""

    class Wicked:
        def __reduce__(self):
            make = np.ndarray if direct else np.core.multiarray._reconstruct
            return make, (shape,) if direct else (np.ndarray, shape, b"b")

    return pickle.dumps({"poses": Wicked()}, protocol=2)


def read_mask_folder(file: Path) -> None:
    file.rename(file.with_name("000000.png"))
    MaskFolder(file.parent)[0]


def read_poses(file: Path) -> None:
    arrays_of(file, read_content(file), {"poses": ("T", 72)})


PICTURE, ARRAY, SAYS = png(HUGE, HUGE), npy((HUGE, HUGE), bytes(100)), "it says float64"


@pytest.mark.parametrize(
    ("name", "content", "read", "told"),
    [
        ("a.png", PICTURE, read_pixels, f"it says {HUGE}x{HUGE}, more than 134 megapixels"),
        ("a.png", PICTURE, read_depth, f"it says {HUGE}x{HUGE}, more than 134 megapixels"),
        ("a.png", PICTURE, read_mask_folder, "megapixels); delete it and rerun"),
        ("a.png", PICTURE, files.read_image, "megapixels); unpack the dataset again"),
        ("a.png", PICTURE, files.read_grey, "megapixels); unpack the dataset again"),
        ("a.png", png(20000, 20000), read_pixels, "it says 20000x20000"),  # Pillow's DecompressionBombError
        ("a.png", png(12000, 12000), read_pixels, "it says 12000x12000"),  # its DecompressionBombWarning
        ("a.npy", ARRAY, read_depth, SAYS),
        ("a.npy", ARRAY, files.read_grey, SAYS),
        ("a.npz", npz(poses=ARRAY), read_npz, SAYS),
        ("a.npz", npz(v_template=ARRAY), load_body, SAYS),
        ("a.npz", npz(poses=ARRAY), read_content, SAYS),
        ("a.npz", npz_of_zeros(), read_npz, "it unpacks to 4.0 GB, more than 4 GB"),
        ("a.npz", npz_of_zeros(), read_content, "it unpacks to 4.0 GB, more than 4 GB"),
        ("a.exr", exr(HUGE, HUGE), read_exr_depth, f"it says {HUGE}x{HUGE} pixels"),
        ("a.exr", exr(-5, -5), read_exr_depth, "it says -5x-5 pixels"),
        ("a.exr", exr(8, 1, zlib.compress(bytes(1 << 28), 1)), read_exr_depth, "cut short or damaged"),
        ("a.pkl", pickled((HUGE, HUGE), True), read_content, "it makes an array without what is in it"),
        ("a.pkl", pickled((HUGE, HUGE), False), read_content, f"it asks for an array of shape ({HUGE}, {HUGE})"),
        ("a.pkl", pickled((HUGE, HUGE), True), lambda file: files.read_pickle(file, "3DPW"), "it makes an array"),
        ("a.pkl", pickled((HUGE, HUGE), True), load_body, "it makes an array"),
        ("a.pt", stretched(), read_poses, "key 'poses' should have shape (T, 72), found ()"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bomb_is_one_line(tmp_path: Path, name: str, content: bytes, read: Callable, told: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UserError) as raised:
        read(file)
    assert told in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path)) and "\n" not in str(raised.value)


@pytest.mark.parametrize("packed", [zlib.compress, gzip.compress], ids=["zlib", "gzip"])
def test_a_stream_is_inflated_up_to_a_limit(tmp_path: Path, monkeypatch, packed: Callable[[bytes], bytes]) -> None:
    monkeypatch.setattr("pipeline.estimators.motion_readers.content.MOST_BYTES", 10_000_000)
    file = tmp_path / "a.pkl"
    file.write_bytes(packed(pickle.dumps(bytes(20_000_000))))
    with pytest.raises(UserError, match="it unpacks to more than 0 GB"):
        read_content(file)


def test_a_picture_that_only_a_program_can_read_is_refused(tmp_path: Path) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    file = tmp_path / "a.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    with Image.open(file) as image:
        assert image.format == "EPS"
    with pytest.raises(UserError, match="not a readable image"):
        read_pixels(file)
