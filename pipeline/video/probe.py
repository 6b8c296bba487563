"""What a video file holds, told by ffmpeg itself: there is no ffprobe beside the binary of imageio-ffmpeg.

One pass over the packets, nothing decoded: `-c copy -f framecrc` lists each packet's timestamp in the stream's own
time base, a fraction, while the rates that ffmpeg prints are rounded to two decimals.
"""

import re
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.runtime.errors import UserError
from pipeline.video.images import probe_images
from pipeline.video.interlace import FieldOrder, order_in_header, order_in_pictures
from pipeline.video.lens import focal_in_tracks, focal_told
from pipeline.video.rates import STANDARD_RATES, close_gaps, frame_rate
from pipeline.video.source import VideoSource
from pipeline.video.suffixes import IMAGE_SUFFIXES, is_image_folder
from pipeline.video.tool import ffmpeg_binary, open_file, plain

_NO_TIMESTAMP = -(2**63)
_RAW = ("hevc", "h264", "mpegvideo")  # streams without a container: no timestamps, a rate in their header or 25
_CUT_AWAY = 4  # flag of a packet that an edit list takes out: it is decoded for what follows, and not shown
_HDR_TRANSFERS = ("smpte2084", "arib-std-b67")  # PQ and HLG


def probe(path: str | Path, image_fps: Fraction = Fraction(30)) -> VideoSource:
    """Look into a video file, or a folder of images.

    Args:
        image_fps: frames a second of a folder of images, which does not tell them.

    Raises:
        UserError: the file is missing, empty, no video, or a still image, or has no picture or no index.
    """
    path = Path(path)
    if is_image_folder(path):
        return probe_images(path, image_fps)
    if path.is_dir():
        raise UserError(
            f"{path}: expected a video file or a folder of images, found a folder without an image "
            f"({', '.join(IMAGE_SUFFIXES)}); give the file itself"
        )
    if not path.is_file():
        raise UserError(f"{path}: not found; check the name of the video")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: expected a video, found an empty file; copy it again")
    command = (
        open_file(path)["V:0"].output("pipe:", format="framecrc", c="copy").global_args("-nostdin", "-hide_banner")
    )
    done = subprocess.run(command.compile(ffmpeg_binary()), capture_output=True)
    told = done.stderr.decode(errors="replace")
    kind = _check_kind(path, told)
    base, timestamps, duration = _read_packets(done.stdout.decode(errors="replace"))
    if len(timestamps) == 0:
        raise UserError(f"{path}: expected a video, found no frame in it; copy or record it again")
    stream = _stream_block(told)
    closed, gaps = close_gaps(timestamps, base)
    if kind in _RAW and duration:
        rate, constant = 1 / (duration * base), True
    else:
        # Each gap that is closed adds what its ends were rounded by.
        rate, constant = frame_rate(closed, base, _nominal_rate(stream), duration, 1 + (gaps.count if gaps else 0))
    length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", told)
    seconds = int(length[1]) * 3600 + int(length[2]) * 60 + Fraction(length[3]) if length else None
    span = Fraction(float(closed[-1] - closed[0])) * base
    rotation = re.search(r"display ?matrix: rotation of (-?[\d.]+)", stream, re.IGNORECASE)
    turned = round(-float(rotation[1])) % 360 if rotation else 0
    width, height = _size(stream)
    return VideoSource(
        path=path,
        fps=rate,
        constant=constant,
        frames=len(timestamps) if constant else round(span * rate) + 1,
        width=height if turned in (90, 270) else width,
        height=width if turned in (90, 270) else height,
        promised=None if seconds is None else round((seconds - Fraction(gaps.closed if gaps else 0)) * rate),
        gaps=gaps,
        rotation=turned,
        fields=_field_order(path, stream, height, float(seconds or 0)),
        hdr=any(transfer in stream for transfer in _HDR_TRANSFERS),
        focal_mm=_focal(path, kind, told),
        times=None if kind in _RAW else (timestamps - timestamps[0]) * float(base),
    )


def _field_order(path: Path, stream: str, height: int, seconds: float) -> FieldOrder | None:
    """As the header tells, or else the pictures: a header that says "progressive" may be of a careless conversion."""
    return order_in_header(stream) or order_in_pictures(path, height, seconds)


def _focal(path: Path, kind: str, told: str) -> float | None:
    """The 35-mm equivalent that the camera wrote, mm."""
    found = focal_told(_of_input(told))
    return focal_in_tracks(path) if found is None and "mov" in kind else found


def _check_kind(path: Path, told: str) -> str:
    """The name of its demuxer. Raise a UserError when ffmpeg's account of a file is that of no video."""
    kind = re.search(r"^Input #0, ([^ ]+), from", told, re.MULTILINE)
    if kind is None:
        with path.open("rb") as file:
            head = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
        if head.startswith((b"ffconcat", b"#EXTM3U")):
            raise UserError(f"{path}: expected a video, found a text that names other files; give the video itself")
    if "Format not on whitelist" in told:
        _refuse(path)
    if kind is None:
        reasons = [line for line in map(plain, told.splitlines()) if line]
        if "moov atom not found" in told and "misdetection possible" not in told:
            raise UserError(
                f"{path}: cut short: the index at its end (moov atom) is missing, so nothing can be decoded; "
                "copy or record it again"
            )
        reason = reasons[-1].removeprefix("Error opening input files: ") if reasons else "no reason given"
        raise UserError(f"{path}: expected a video, found something ffmpeg cannot read ({reason}); convert it to .mp4")
    name = kind[1]
    if not re.search(r"^  Stream .*: Video: (?!.*\(attached pic\))", told, re.MULTILINE):
        raise UserError(f"{path}: expected a video, found no picture stream in it ({name}); give a file with pictures")
    return name


def _refuse(path: Path) -> NoReturn:
    """Say of a file that ffmpeg knows, but that is no container of a video, what it is."""
    try:
        with Image.open(path) as image:
            kind = image.format
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise UserError(
            f"{path}: expected a video, found a kind of file that is not accepted; convert it to .mp4"
        ) from None
    raise UserError(f"{path}: expected a video, found a still image ({kind}); give a video file, or a folder of images")


def _of_input(told: str) -> str:
    """The part of ffmpeg's account that is about the file."""
    return re.split(r"^(?:Stream mapping|Output #0)", told, maxsplit=1, flags=re.MULTILINE)[0]


def _stream_block(told: str) -> str:
    """What ffmpeg says of the first picture stream of the input."""
    for block in re.split(r"^(?=  Stream #)", _of_input(told), flags=re.MULTILINE)[1:]:
        if re.search(r": Video: (?!.*\(attached pic\))", block.splitlines()[0]):
            return block
    return ""


def _nominal_rate(stream: str) -> Fraction | None:
    """The rate that ffmpeg prints for a stream ("29.97 tbr"), made exact where it is a standard one."""
    found = re.search(r"([\d.]+)(k?) tbr", stream)
    if found is None or found[2]:
        return None
    printed = Fraction(found[1])
    return next((rate for rate in STANDARD_RATES if abs(rate - printed) <= Fraction(6, 1000)), printed or None)


def _size(stream: str) -> tuple[int, int]:
    """Width and height of the stored picture, px, its pixels made square; 0 where ffmpeg does not tell them."""
    found = re.search(r", (\d+)x(\d+)(?:,? \[?SAR (\d+):(\d+))?", stream)
    if found is None:
        return 0, 0
    pixel = Fraction(int(found[3] or 1), int(found[4] or 1)) if found[4] != "0" else 1
    return max(1, round(int(found[1]) * pixel)), int(found[2])


def _read_packets(listing: str) -> tuple[Fraction, np.ndarray, int]:
    """Time base, sorted presentation times and the first duration from framecrc's lines
    `stream, dts, pts, duration, size, crc`, and flags where there are any."""
    base = Fraction(1)
    rows = []
    for line in listing.splitlines():
        if line.startswith("#tb 0:"):
            base = Fraction(line.split(":")[1].strip())
        elif line and not line.startswith("#"):
            cells = line.split(",")
            flags = re.search(r"F=0x([0-9A-Fa-f]+)", line)
            if flags is None or not int(flags[1], 16) & _CUT_AWAY:
                rows.append([int(value) for value in cells[1:4]])
    if not rows:
        return base, np.empty(0, dtype=np.int64), 0
    packets = np.array(rows, dtype=np.int64)
    shown = packets[:, 1]
    if (shown == _NO_TIMESTAMP).any():
        shown = packets[:, 0]  # raw streams and old AVI hold decoding times only; their order does not matter here
    return base, np.sort(shown[shown != _NO_TIMESTAMP]), int(packets[0, 2])
