"""Decode a video: upright, square pixels, constant frame rate, no larger than asked, 8-bit RGB."""

import math
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import IO

import ffmpeg
import numpy as np

from pipeline.errors import UserError
from pipeline.video.probe import VideoSource, open_file
from pipeline.video.tool import ffmpeg_binary, plain


@dataclass(frozen=True)
class DecodeSettings:
    """What of a video to decode. Points in time: a frame of the constant-rate video (90), or seconds ("3s")."""

    start: int | str  # first frame
    stop: int | str | None  # the frame after the last; None = the end
    step: int  # keep every step-th frame
    longest_side: int | None  # px; larger videos are scaled down to it, smaller ones are left; None = as it is

    def __post_init__(self) -> None:
        _check_time("start", self.start)
        if self.stop is not None:
            _check_time("stop", self.stop)
        if self.step < 1:
            raise UserError(f"settings video.step: expected 1 or more, found {self.step}")
        if self.longest_side is not None and self.longest_side < 16:
            raise UserError(f"settings video.longest_side: expected 16 px or more, found {self.longest_side}")


def selected_frames(source: VideoSource, settings: DecodeSettings) -> tuple[int, int]:
    """First frame and the one after the last, by the settings and the length of the video.

    Raises:
        UserError: nothing lies between them.
    """
    first = _frame_at(settings.start, source.fps)
    end = source.frames if settings.stop is None else _frame_at(settings.stop, source.fps)
    if first >= end and settings.stop is not None:
        raise UserError(f"settings video: stop ({settings.stop}) should be after start ({settings.start})")
    if first >= source.frames:
        raise UserError(
            f"{source.path}: video.start ({settings.start}) is past its end: it has {source.frames} frames, "
            f"{float(source.frames / source.fps):.2f} s; choose an earlier start"
        )
    return first, min(end, source.frames)


def count_frames(source: VideoSource, settings: DecodeSettings) -> int:
    """How many frames `read_frames` gives when the file is sound."""
    first, end = selected_frames(source, settings)
    return math.ceil((end - first) / settings.step)


def read_frames(
    source: VideoSource, settings: DecodeSettings, warn: Callable[[str], None]
) -> Iterator[np.ndarray]:  # uint8 (H, W, 3) RGB
    """Decode the selected frames in order.

    What can be decoded of a damaged file is given; `warn` is told of the damage at the end.

    Raises:
        UserError: not one frame could be decoded.
    """
    first, end = selected_frames(source, settings)
    filtered = _filters(open_file(source.path)["V:0"], source, settings, first, end)
    output = filtered.output("pipe:", format="image2pipe", vcodec="ppm", fps_mode="passthrough")
    command = output.global_args("-nostdin", "-v", "error").compile(ffmpeg_binary())
    count = 0
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages)
        try:
            while (frame := _read_ppm(process.stdout)) is not None:
                count += 1
                yield frame
            process.wait()
        finally:
            process.kill()
            process.stdout.close()
            process.wait()
        messages.seek(0)
        told = [plain(line) for line in messages.read().decode(errors="replace").splitlines() if line.strip()]
    reason = next((line for line in told if re.search("partial file|ended prematurely", line)), told[0] if told else "")
    if count == 0:
        raise UserError(f"{source.path}: no frame could be decoded ({reason or 'no reason given'}); convert it to .mp4")
    _tell_of_damage(source, settings, count, reason, warn)


def _tell_of_damage(
    source: VideoSource, settings: DecodeSettings, count: int, reason: str, warn: Callable[[str], None]
) -> None:
    """Warn when ffmpeg complained, or when frames that the header tells of, within the selection, are missing."""
    first, end = selected_frames(source, settings)
    if source.promised is not None:
        end = source.promised if settings.stop is None else min(source.promised, _frame_at(settings.stop, source.fps))
    wanted = math.ceil((end - first) / settings.step)
    if reason and count < wanted:
        warn(f"{source.path}: cut short or damaged ({reason}): {count} of about {wanted} frames decoded and used")
    elif reason:
        warn(f"{source.path}: damaged in places ({reason}); all {count} frames are used, some may look broken")


def _filters(
    video: ffmpeg.nodes.FilterableStream, source: VideoSource, settings: DecodeSettings, first: int, end: int
) -> ffmpeg.nodes.FilterableStream:
    """Constant rate, selection, size, then colours; ffmpeg has turned the picture upright before."""
    if not source.constant:
        video = video.filter("setpts", "PTS-STARTPTS").filter("fps", f"{source.fps}", round="near")
    video = video.filter("trim", start_frame=first, end_frame=end)
    if settings.step > 1:
        video = video.filter("framestep", settings.step)
    shrink = "1" if settings.longest_side is None else f"min(1,{settings.longest_side}/max(iw*sar,ih))"
    video = video.filter(
        "scale",
        w=f"max(1,round(iw*sar*{shrink}))",  # sar: the width of a pixel over its height
        h=f"max(1,round(ih*{shrink}))",
        flags="lanczos+accurate_rnd+full_chroma_int+full_chroma_inp",
    )
    if source.hdr:
        # BT.2020 PQ or HLG to linear light, its highlights rolled off, then to BT.709.
        video = video.filter("zscale", t="linear", npl=203).filter("format", "gbrpf32le").filter("zscale", p="bt709")
        video = video.filter("tonemap", "mobius", desat=0).filter("zscale", t="bt709", m="gbr", r="pc")
    return video.filter("format", "rgb24")


def _read_ppm(stream: IO[bytes]) -> np.ndarray | None:
    """The next image of ffmpeg's stream of PPM files; None at its end, or where it breaks off."""
    header = [stream.readline() for _ in range(3)]
    if header[0] != b"P6\n" or not header[2]:
        return None
    width, height = map(int, header[1].split())
    pixels = stream.read(width * height * 3)
    if len(pixels) < width * height * 3:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def _check_time(name: str, value: int | str) -> None:
    if not (re.fullmatch(r"\d+(\.\d+)?s", value) if isinstance(value, str) else value >= 0):
        raise UserError(f"settings video.{name}: expected a frame such as 90, or seconds such as 3s, found {value!r}")


def _frame_at(time: int | str, fps: Fraction) -> int:
    """The frame at a point in time: the frame itself, or the one nearest to "2.5s"."""
    return round(Fraction(time.removesuffix("s")) * fps) if isinstance(time, str) else time
