"""What a video file holds, told by ffmpeg itself: there is no ffprobe beside the binary of imageio-ffmpeg.

One pass over the packets, nothing decoded: `-c copy -f framecrc` lists each packet's timestamp in the stream's own
time base, a fraction, while the rates that ffmpeg prints are rounded to two decimals.
"""

import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg
import numpy as np

from pipeline.errors import UserError
from pipeline.video.tool import ffmpeg_binary, plain

_NTSC = [Fraction(1000 * rate, 1001) for rate in (24, 30, 48, 60, 120, 240)]
STANDARD_RATES = [*_NTSC, *map(Fraction, (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240))]
_NO_TIMESTAMP = -(2**63)
_HDR_TRANSFERS = ("smpte2084", "arib-std-b67")  # PQ and HLG


@dataclass(frozen=True)
class VideoSource:
    """A video file before it is decoded."""

    path: Path
    fps: Fraction  # exact; where the rate varies, the constant one that it is turned into
    constant: bool  # False: frames must be repeated or dropped to reach `fps`
    frames: int  # that the file holds, at `fps`
    promised: int | None  # frames that its header tells of: more than `frames` when the file was cut short
    rotation: int  # degrees clockwise that turn the stored picture upright
    hdr: bool  # PQ or HLG: must be tone-mapped to look right on disk


def probe(path: str | Path) -> VideoSource:
    """Look into a video file.

    Raises:
        UserError: the file is missing, empty, no video, or a still image, or has no picture or no index.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: expected a video file, found a folder; give the file itself")
    if not path.is_file():
        raise UserError(f"{path}: not found; check the name of the video")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: expected a video, found an empty file; copy it again")
    command = (
        open_file(path)["V:0"].output("pipe:", format="framecrc", c="copy").global_args("-nostdin", "-hide_banner")
    )
    done = subprocess.run(command.compile(ffmpeg_binary()), capture_output=True)
    told = done.stderr.decode(errors="replace")
    _check_kind(path, told)
    base, timestamps, duration = _read_packets(done.stdout.decode(errors="replace"))
    if len(timestamps) == 0:
        raise UserError(f"{path}: expected a video, found no frame in it; copy or record it again")
    stream = _stream_block(told)
    rate, constant = frame_rate(timestamps, base, _nominal_rate(stream), duration)
    length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", told)
    promised = length and round((int(length[1]) * 3600 + int(length[2]) * 60 + Fraction(length[3])) * rate)
    span = (int(timestamps[-1]) - int(timestamps[0])) * base
    rotation = re.search(r"display ?matrix: rotation of (-?[\d.]+)", stream, re.IGNORECASE)
    return VideoSource(
        path=path,
        fps=rate,
        constant=constant,
        frames=len(timestamps) if constant else round(span * rate) + 1,
        promised=promised,
        rotation=round(-float(rotation[1])) % 360 if rotation else 0,
        hdr=any(transfer in stream for transfer in _HDR_TRANSFERS),
    )


def open_file(path: Path) -> ffmpeg.nodes.FilterableStream:
    """The file as ffmpeg's input: by a name that is never an option, a URL or a pattern, and reaching no other file."""
    return ffmpeg.input(f"file:{path}", protocol_whitelist="file")


def frame_rate(
    timestamps: np.ndarray,  # (N,) sorted, in ticks of `base`
    base: Fraction,
    nominal: Fraction | None = None,
    duration: int = 0,
) -> tuple[Fraction, bool]:
    """The exact frame rate that timestamps were rounded from, and whether they keep to it.

    A rate fits when every timestamp is within rounding (a tick) of it: containers that count milliseconds hold
    30000/1001 as 0, 33, 67, ... Rates are tried in the order nominal, standard, mean. Where none fits the rate
    varies; it becomes the standard rate at the median interval, or the median's own.

    Args:
        base: seconds a tick.
        nominal: what the file claims, if anything.
        duration: ticks of a frame, used when there is just one.
    """
    ticks = np.asarray(timestamps, dtype=np.float64) - float(timestamps[0])
    if len(ticks) == 1:
        interval = duration or (1 / (nominal or 25) / base)
        return nominal or 1 / (interval * base), True
    last = Fraction(int(timestamps[-1]) - int(timestamps[0]))
    rates = [*([nominal] if nominal else []), *STANDARD_RATES]
    if last > 0:
        rates.append((len(ticks) - 1) / (last * base))
    for rate in rates:
        drift = ticks - np.arange(len(ticks)) * float(1 / (rate * base))
        if drift.max() - drift.min() <= 1 + 1e-6:
            return rate, True
    steps = np.diff(ticks)
    interval = float(np.median(steps[steps > 0])) * float(base)
    nearest = min(STANDARD_RATES, key=lambda rate: abs(float(rate) * interval - 1))
    if abs(float(nearest) * interval - 1) < 0.03:
        # A jittering clock cannot tell 30 from 30000/1001: take the round one, unless the file claims the other.
        claims_ntsc = nominal in _NTSC and abs(float(nominal) * interval - 1) < 0.03
        return (nominal if claims_ntsc else Fraction(round(nearest))), False
    return Fraction(1 / interval).limit_denominator(1001), False


def _check_kind(path: Path, told: str) -> None:
    """Raise a UserError when ffmpeg's account of a file is that of no video."""
    kind = re.search(r"^Input #0, ([^ ]+), from", told, re.MULTILINE)
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
    if name.startswith("image2") or name.endswith("_pipe"):
        raise UserError(f"{path}: expected a video, found a still image ({name}); give a video file")
    if name == "tty" or not re.search(r"^  Stream .*: Video: (?!.*\(attached pic\))", told, re.MULTILINE):
        raise UserError(f"{path}: expected a video, found no picture stream in it ({name}); give a file with pictures")


def _stream_block(told: str) -> str:
    """What ffmpeg says of the first picture stream of the input."""
    told = re.split(r"^(?:Stream mapping|Output #0)", told, maxsplit=1, flags=re.MULTILINE)[0]
    for block in re.split(r"^(?=  Stream #)", told, flags=re.MULTILINE)[1:]:
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


def _read_packets(listing: str) -> tuple[Fraction, np.ndarray, int]:
    """Time base, sorted presentation times and the first duration from framecrc's lines
    `stream, dts, pts, duration, size, crc`."""
    base = Fraction(1)
    rows = []
    for line in listing.splitlines():
        if line.startswith("#tb 0:"):
            base = Fraction(line.split(":")[1].strip())
        elif line and not line.startswith("#"):
            rows.append([int(value) for value in line.split(",")[1:4]])
    if not rows:
        return base, np.empty(0, dtype=np.int64), 0
    packets = np.array(rows, dtype=np.int64)
    shown = packets[:, 1]
    if (shown == _NO_TIMESTAMP).any():
        shown = packets[:, 0]  # raw streams and old AVI hold decoding times only; their order does not matter here
    return base, np.sort(shown[shown != _NO_TIMESTAMP]), int(packets[0, 2])
