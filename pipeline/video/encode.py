"""Write frames as an H.264 video that players, browsers and slides open."""

import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import ffmpeg
import numpy as np

from pipeline.formats.atomic import atomic_path
from pipeline.video.tool import ffmpeg_binary, raise_if_disk_full

_BT709 = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709", "range": "tv"}


class VideoWriter:
    """Context manager that encodes RGB frames one by one; the file appears whole when the block ends well.

    H.264 in 4:2:0, BT.709, index at the front. H.264 needs even sizes: an odd one grows by a pixel, its edge repeated.

        with VideoWriter("overlay.mp4", Fraction(30000, 1001)) as video:
            video.write(frame)
    """

    def __init__(self, path: str | Path, fps: Fraction | float, crf: int = 18) -> None:
        """
        Args:
            path: the .mp4 to write; its folder is made where it is missing.
            fps: frames a second; a float such as 29.97002997 is taken for the fraction that it means.
            crf: x264's quality, 0 (lossless) to 51; 18 is said to look lossless.
        """
        self.path = Path(path)
        self.fps = Fraction(fps).limit_denominator(1001)
        self.crf = crf
        self.frames = 0
        self._shape: tuple[int, ...] | None = None
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "VideoWriter":
        with ExitStack() as stack:
            self._temporary = stack.enter_context(atomic_path(self.path))
            self._messages = stack.enter_context(tempfile.TemporaryFile())
            self._stack = stack.pop_all()
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append a frame, uint8 (H, W, 3) RGB; all frames have the size of the first.

        Raises:
            OSError: the disk is full.
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"{self.path}: expected a uint8 (H, W, 3) frame, found {frame.dtype} {frame.shape}")
        if self._process is None:
            self._shape = frame.shape
            self._process = self._start(*frame.shape[:2])
        if frame.shape != self._shape:
            raise ValueError(f"{self.path}: frame {self.frames} has shape {frame.shape}, the first had {self._shape}")
        height, width = frame.shape[:2]
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        try:
            self._process.stdin.write(even.tobytes())
        except BrokenPipeError:
            self._finish()
        self.frames += 1

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._stack:  # its end renames or removes the temporary file
            if error is not None:
                if self._process is not None:
                    self._process.kill()
                    self._process.communicate()
                raise error
            if self._process is None:
                raise ValueError(f"{self.path}: no frame was written")
            self._finish()

    def _start(self, height: int, width: int) -> subprocess.Popen:
        size = f"{width + width % 2}x{height + height % 2}"
        rate = f"{self.fps.numerator}/{self.fps.denominator}"
        frames = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=size, framerate=rate)
        frames = frames.filter("scale", out_color_matrix="bt709", out_range="tv").filter("format", "yuv420p")
        frames = frames.filter("setparams", **_BT709)  # says in the file what the conversion above did
        coding = {"c:v": "libx264", "crf": self.crf, "preset": "fast", "movflags": "+faststart"}
        command = frames.output(str(self._temporary), **coding).global_args("-v", "error").overwrite_output()
        return subprocess.Popen(command.compile(ffmpeg_binary()), stdin=subprocess.PIPE, stderr=self._messages)

    def _finish(self) -> None:
        """Wait for ffmpeg to write the end of the file; raise what it could not do."""
        with suppress(BrokenPipeError):  # its reason is in the messages
            self._process.stdin.close()
        status = self._process.wait()
        self._messages.seek(0)
        messages = self._messages.read().decode(errors="replace")
        raise_if_disk_full(messages, self.path)
        if status != 0:
            raise RuntimeError(f"{self.path}: ffmpeg failed ({status}): {messages.strip()}")


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: Fraction | float, crf: int = 18) -> None:
    """Encode `frames`, uint8 (H, W, 3) RGB each, as in VideoWriter."""
    with VideoWriter(path, fps, crf) as video:
        for frame in frames:
            video.write(frame)
