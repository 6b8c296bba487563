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

from pipeline.runtime.errors import UserError
from pipeline.video.images import read_images
from pipeline.video.rates import Gaps
from pipeline.video.source import VideoSource
from pipeline.video.tool import ffmpeg_binary, open_file, plain

_TURNS = {  # filters that turn a picture clockwise, by degrees
    0: (),
    90: (("transpose", {"dir": "clock"}),),
    180: (("hflip", {}), ("vflip", {})),
    270: (("transpose", {"dir": "cclock"}),),
}
_MANY = 2000  # frames; more are announced
_BYTES_A_PIXEL = 0.6  # of the JPEG of a frame with fine detail


@dataclass(frozen=True)
class DecodeSettings:
    """What of a video to decode. Points in time: a frame of the constant-rate video (90), or seconds ("3s")."""

    start: int | str  # first frame
    stop: int | str | None  # the frame after the last; None = the end
    step: int  # keep every step-th frame
    longest_side: int | None  # px; larger videos are scaled down to it, smaller ones are left; None = as it is
    most_frames: int  # more selected frames are an error
    shot: int | str | None  # of those between cuts, from 1; "all" = the selection uncut; None = the longest
    image_fps: float  # frames a second of a folder of images
    capture_fps: float | None  # frames a second at which the camera filmed; None = as the video plays
    calibration: str | None  # file of the camera's K and distortion, which is taken out; None = not known
    camera: str | None  # its section there, where there are several

    def __post_init__(self) -> None:
        _check_time("start", self.start)
        if self.stop is not None:
            _check_time("stop", self.stop)
        if self.step < 1:
            raise UserError(f"settings video.step: expected 1 or more, found {self.step}")
        if self.longest_side is not None and self.longest_side < 16:
            raise UserError(f"settings video.longest_side: expected 16 px or more, found {self.longest_side}")
        if self.most_frames < 1:
            raise UserError(f"settings video.most_frames: expected 1 or more, found {self.most_frames}")
        if not (self.shot in (None, "all") or (isinstance(self.shot, int) and self.shot >= 1)):
            raise UserError(f'settings video.shot: expected null, "all", or 1 or more, found {self.shot!r}')
        if self.camera is not None and self.calibration is None:
            raise UserError(f"settings video.camera: {self.camera!r} of which file? set video.calibration too")
        for name, rate in (("image_fps", self.image_fps), ("capture_fps", self.capture_fps)):
            if rate is not None and not 0 < rate < math.inf:
                raise UserError(f"settings video.{name}: expected a number above 0, found {rate!r}")


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


def announce(source: VideoSource, settings: DecodeSettings, warn: Callable[[str], None]) -> None:
    """Say, before it begins, that much is to be decoded, and how to take less.

    Raises:
        UserError: more frames are selected than `video.most_frames`.
    """
    count = count_frames(source, settings)
    if count <= min(_MANY, settings.most_frames):
        return
    shrink = 1 if settings.longest_side is None else min(1, settings.longest_side / max(source.width, source.height, 1))
    size = count * source.width * source.height * shrink**2 * _BYTES_A_PIXEL / 1e6
    first, end = selected_frames(source, settings)
    much = f"{source.path}: {count} frames are selected, {float((end - first) / source.fps):.0f} s of video"
    much += f", about {size:.0f} MB as pictures" if size else ""
    if count > settings.most_frames:
        raise UserError(
            f"{much}; expected at most {settings.most_frames} (video.most_frames); choose a part with video.start and "
            "video.stop, or fewer frames with video.step"
        )
    warn(f"{much}, and each later stage takes as long for each of them; video.start, video.stop and video.step cut it")


def read_frames(
    source: VideoSource, settings: DecodeSettings, warn: Callable[[str], None]
) -> Iterator[np.ndarray]:  # uint8 (H, W, 3) RGB
    """Decode the selected frames in order.

    What can be decoded of a damaged file is given; `warn` is told of the damage at the end.

    Raises:
        UserError: not one frame could be decoded, or an image of a folder is not like the others.
    """
    first, end = selected_frames(source, settings)
    if source.images:
        yield from read_images(source.images[first : end : settings.step], settings.longest_side)
        return
    # ffmpeg turns a picture upright before all filters; one in fields is turned after they are apart.
    turning = {"noautorotate": None} if source.fields else {}
    filtered = _filters(open_file(source.path, **turning)["V:0"], source, settings, first, end)
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
    """One moment a frame, constant rate, selection, size, then colours."""
    if source.fields:
        video = video.filter("bwdif", mode="send_frame", parity=source.fields, deint="all")
        for turn, options in _TURNS.get(source.rotation, ()):
            video = video.filter(turn, **options)
    if not source.constant:
        times = "PTS-STARTPTS" if source.gaps is None else _closing(source.gaps)
        video = video.filter("setpts", times).filter("fps", f"{source.fps}", round="near")
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


def _closing(gaps: Gaps) -> str:
    """The expression for setpts that closes gaps."""
    step = "(PTS-PREV_INPTS)"
    closed = f"if(gt({step}*TB,{gaps.longer_than}),{gaps.become}/TB,{step})"
    return f"if(isnan(PREV_OUTPTS),0,PREV_OUTPTS+{closed})"


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
