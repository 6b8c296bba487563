"""The focal length that cameras write into their files, and what the depth stage makes of it."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from video_files import decode, ffmpeg, pattern, record

from pipeline.__main__ import main
from pipeline.formats.camera import Camera
from pipeline.formats.paths import VideoDir
from pipeline.geometry.focal import FILM_DIAGONAL, equivalent_mm, focal_pixels
from pipeline.video.lens import focal_in_tracks
from pipeline.video.probe import probe

MAKE = "com.apple.quicktime.make"
KEY = "com.apple.quicktime.camera.focal_length.35mm_equivalent"


def tagged(path: Path, value: str, key: str = KEY, size: str = "64x48") -> Path:
    """A clip with a key in the metadata of the file."""
    tags = () if path.suffix == ".mkv" else ("-movflags", "use_metadata_tags")
    return pattern(path, "25", size, 3, *tags, "-metadata", f"{key}={value}")


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, name) + content


def meta(kind: int, value: bytes, full: bool = False, keys: tuple[str, ...] = (MAKE, KEY)) -> bytes:
    """A box "meta", QuickTime's or (full) MP4's, that gives its last key a value."""
    handler = box(b"hdlr", bytes(8) + b"mdta" + bytes(13))
    names = b"".join(struct.pack(">I4s", len(key) + 8, b"mdta") + key.encode() for key in keys)
    data = box(b"data", struct.pack(">II", kind, 0) + value)
    values = struct.pack(">II", len(data) + 8, len(keys)) + data
    count = box(b"keys", struct.pack(">II", 0, len(keys)) + names)
    return box(b"meta", bytes(4 * full) + handler + count + box(b"ilst", values))


def in_track(path: Path, content: bytes) -> Path:
    """Put a box into the first track of a file whose index is at its end, as iPhones do."""
    data = path.read_bytes()
    index = data.index(b"moov") - 4
    track = data.index(b"trak", index) - 4
    end = track + int.from_bytes(data[track : track + 4], "big")
    inside = data[index + 8 : track] + box(b"trak", data[track + 8 : end] + content) + data[end:]
    path.write_bytes(data[:index] + box(b"moov", inside))
    return path


@pytest.mark.parametrize("name", ["clip.mov", "clip.mp4", "clip.mkv"])
def test_the_key_in_the_file_is_read(tmp_path: Path, name: str) -> None:
    assert probe(tagged(tmp_path / name, "26")).focal_mm == 26


@pytest.mark.parametrize("value, found", [("50.00mm", 50), ("13.5", 13.5), ("0", None), ("6.86", None), ("wide", None)])
def test_what_is_no_equivalent_is_not_taken(tmp_path: Path, value: str, found: float | None) -> None:
    assert probe(tagged(tmp_path / "clip.mov", value)).focal_mm == found


def test_the_lens_alone_tells_nothing(tmp_path: Path) -> None:
    key = "com.apple.quicktime.camera.lens_model"
    assert probe(tagged(tmp_path / "clip.mov", "iPhone 15 back camera 26mm f/1.6", key)).focal_mm is None


@pytest.mark.parametrize("full", [False, True], ids=["QuickTime", "MP4"])
@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (1, b"26", 26),
        (1, b"50.00mm", 50),
        (21, struct.pack(">i", 26), 26),
        (22, struct.pack(">H", 300), 300),
        (23, struct.pack(">f", 26.5), 26.5),
        (24, struct.pack(">d", 24.25), 24.25),
        (77, struct.pack(">I", 13), 13),
        (21, struct.pack(">i", -13), None),
        (23, b"\x00", None),
        (13, b"26", None),
    ],
)
def test_the_key_in_the_track_is_read(tmp_path: Path, full: bool, kind: int, value: bytes, found: float | None) -> None:
    source = probe(in_track(pattern(tmp_path / "clip.mov", "25", "64x48", 3), meta(kind, value, full)))
    assert source.focal_mm == found
    assert (source.width, source.height, source.frames) == (64, 48, 3)


def test_other_keys_in_the_track_tell_nothing(tmp_path: Path) -> None:
    video = in_track(pattern(tmp_path / "clip.mov"), meta(1, b"26", keys=(KEY, MAKE)))
    assert probe(video).focal_mm is None


@given(cut=st.integers(0, 400), at=st.integers(0, 400), byte=st.integers(0, 255))
def test_damaged_boxes_do_no_harm(tmp_path_factory: pytest.TempPathFactory, cut: int, at: int, byte: int) -> None:
    data = bytearray(box(b"ftyp", b"qt  ") + box(b"moov", box(b"trak", meta(1, b"26"))))
    if at < len(data):
        data[at] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.mov"
    path.write_bytes(data[: len(data) - cut] if cut < len(data) else b"")
    assert focal_in_tracks(path) is None or 8 <= focal_in_tracks(path) <= 800


def photos(folder: Path, focal: object, suffix: str = ".jpg") -> Path:
    folder.mkdir()
    exif = Image.Exif()
    if focal is not None:
        exif[0x8769] = {0xA405: focal}
    for index in range(2):
        Image.new("RGB", (64, 48), (90, 90, 90)).save(folder / f"{index}{suffix}", exif=exif)
    return folder


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_photos_tell_it_in_exif(tmp_path: Path, suffix: str) -> None:
    assert probe(photos(tmp_path / "shots", 26, suffix)).focal_mm == 26


@pytest.mark.parametrize("focal", [None, 0, 4])
def test_photos_that_do_not_know_it(tmp_path: Path, focal: int | None) -> None:
    assert probe(photos(tmp_path / "shots", focal)).focal_mm is None


@pytest.mark.parametrize(
    ("size", "diagonals"),
    [
        ((4032, 3024), 1.0),  # whole sensors
        ((6000, 4000), 1.0),
        ((1280, 853), 1.0),
        ((1920, 1080), 1.25 * 1920 / np.hypot(1920, 1080)),  # as broad as a sensor of 4:3
        ((3024, 3024), 5 / 3 / np.sqrt(2)),  # as high
    ],
)
def test_the_equivalent_is_of_the_whole_sensor(size: tuple[int, int], diagonals: float) -> None:
    wanted = 26 / FILM_DIAGONAL * diagonals * np.hypot(*size)
    for width, height in (size, size[::-1]):
        assert focal_pixels(26, width, height) == pytest.approx(wanted, rel=1e-9)
        assert equivalent_mm(wanted, width, height) == pytest.approx(26)


def test_a_phones_video_has_the_field_of_view_that_the_phone_states() -> None:
    """26 mm are 67.3 degrees across a phone's photos, and across its videos before stabilisation."""
    for size in ((4032, 3024), (1920, 1080)):
        across = 2 * np.degrees(np.arctan(size[0] / 2 / focal_pixels(26, *size)))
        assert across == pytest.approx(67.3, abs=0.1)


def depth(directory: Path, settings: str = "{}") -> Camera:
    assert main(["depth", str(directory), "--settings", settings]) == 0
    return Camera.load(VideoDir(directory).camera)


def test_the_files_focal_length_becomes_the_camera(tmp_path: Path) -> None:
    out = tmp_path / "out"
    info = decode(tagged(tmp_path / "clip.mov", "26", size="640x360"), out, "--settings", "longest_side: 320")
    assert info.focal_mm == 26
    assert record(out)["facts"]["focal length in the metadata"] == "26 mm as 35-mm equivalent"
    camera = depth(out)
    focal = 26 / FILM_DIAGONAL * 1.25 * 320
    np.testing.assert_allclose(camera.K, [[focal, 0, 160], [0, focal, 90], [0, 0, 1]])
    assert (camera.K_source, camera.metric) == ("metadata", True)
    assert "26 mm" in camera.source
    # The user knows better.
    assert depth(out, "focal_mm: 52").K[0, 0] == pytest.approx(2 * focal)
    assert depth(out, "focal: 300").K[0, 0] == 300


def test_a_turned_video_keeps_its_focal_length(tmp_path: Path) -> None:
    video = tagged(tmp_path / "flat.mov", "26", size="640x360")
    upright = tmp_path / "clip.mov"
    ffmpeg("-display_rotation", "90", "-i", video, "-c", "copy", "-movflags", "use_metadata_tags", upright)
    assert (decode(upright, tmp_path / "out").width, probe(upright).focal_mm) == (360, 26)
    assert depth(tmp_path / "out").K[0, 0] == pytest.approx(26 / FILM_DIAGONAL * 1.25 * 640)
