"""Sharper pictures of a small person and of hands: the video file decoded once more, for detectors alone, larger than
frames/.

frames/ are no larger than the avatar needs (video.longest_side). What is small in a large picture loses what a detector
could have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance, read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import Box
from pipeline.runtime.errors import UserError
from pipeline.video.calibration import Undistortion, read_calibration
from pipeline.video.decode import DecodeSettings, read_frames, selected_frames
from pipeline.video.probe import probe
from pipeline.video.source import VideoSource

_WORTH = 1.25  # times larger, at least


@dataclass(frozen=True)
class Needs:
    """How large a detector's object should be in the pictures, px."""

    least: float  # below it the detector is not asked at all
    enough: float  # what its network looks at; below it, and only then, more pixels tell more
    aim: float  # what the object becomes, where the file has it


PERSON = Needs(least=0, enough=256, aim=384)  # high


class Pictures:
    """The pictures that a detector looks at, [i] -> uint8 (H, W, 3) RGB, and how much larger than frames/ they are."""

    def __init__(self, frames: Sequence[np.ndarray], scale: tuple[float, float] = (1.0, 1.0)) -> None:
        """
        Args:
            frames: the pictures.
            scale: pixels of them in one of frames/, along x and y.
        """
        self._frames, self.scale = frames, np.array(scale)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._frames[index]

    def box(self, box: Box) -> Box:
        """A box of frames/ in pixels of these pictures."""
        x, y = self.scale
        return box[0] * x, box[1] * y, box[2] * x, box[3] * y


def pictures(
    directory: VideoDir, info: VideoInfo, frames: Sequence[np.ndarray], boxes: Sequence[Box | None], told: Provenance
) -> Pictures:
    """Pictures of the person: frames/ themselves, or where the person is small in them those of the video file.

    Arguments as of `larger_pictures`.

    Args:
        boxes: around the person, in frames/; None where nobody is.
    """
    heights = [max(box[3] - box[1], box[2] - box[0]) for box in boxes if box is not None]
    height = float(np.median(heights)) if heights else 0.0
    return larger_pictures(directory, info, frames, height, PERSON, told, f"the person is {height:.0f} px high")


def larger_pictures(
    directory: VideoDir,
    info: VideoInfo,
    frames: Sequence[np.ndarray],
    size: float,
    needs: Needs,
    told: Provenance,
    what: str,
) -> Pictures:
    """frames/ themselves, or where an object is small in them and the video file is larger, its pictures.

    The latter can be asked for in rising order alone: they are decoded as they are needed.

    Args:
        size: of the object in frames/, px; 0: it is not there.
        needs: how large its detector wants it.
        told: takes what was chosen, and a warning where the file would be needed and is not there.
        what: the object and its size, for people: "the person is 90 px high".
    """
    if not 0 < size < needs.enough or not directory.provenance("decode").is_file():
        return Pictures(frames)
    record = read_provenance(directory.provenance("decode"))
    in_file = record["facts"].get("size in the file")
    larger = max(in_file) / max(info.width, info.height) if in_file else 1.0
    if larger < _WORTH or size * larger < needs.least:
        return Pictures(frames)
    if not Path(info.source).exists():
        told.warn(
            f"{info.source}: not found; {what} in the frames, and the file has {larger:.1f} times as many: landmarks "
            "are less exact than they could be"
        )
        return Pictures(frames)
    stream = _Stream(info, DecodeSettings(**record["settings"]), min(larger, needs.aim / size))
    told.facts.setdefault("sharper_pictures", []).append(f"{stream.width}x{stream.height}: {what} in the frames")
    return Pictures(stream, (stream.width / info.width, stream.height / info.height))


class _Stream(Sequence):
    """The pictures of a video file that became frames/, larger than those, decoded as they are asked for."""

    def __init__(self, info: VideoInfo, settings: DecodeSettings, larger: float) -> None:
        side = round(larger * max(info.width, info.height))
        self._info, self._settings = info, replace(settings, longest_side=side)
        self._source = probe(info.source, Fraction(settings.image_fps).limit_denominator(1001))
        self._decoded = self._decode(self._source)
        self._next = 0
        self._first = next(self._decoded, None)
        if self._first is None:
            raise self._changed()
        self.height, self.width = self._first.shape[:2]

    def __len__(self) -> int:
        return self._info.frames

    def __getitem__(self, index: int) -> np.ndarray:
        if index < self._next:
            raise IndexError(f"picture {index} was passed already")
        while self._next <= index:
            picture = self._first if self._next == 0 else next(self._decoded, None)
            if picture is None:
                raise self._changed()
            self._next += 1
        return picture

    def _decode(self, source: VideoSource) -> Iterator[np.ndarray]:
        settings, info = self._settings, self._info
        skipped = (info.start - selected_frames(source, settings)[0]) // settings.step if info.start is not None else 0
        undistort = None
        for index, frame in enumerate(read_frames(source, settings, lambda _: None)):
            if index < skipped:
                continue
            if settings.calibration is not None and undistort is None:
                calibration = read_calibration(settings.calibration, settings.camera, (source.width, source.height))
                undistort = Undistortion(calibration, frame.shape[1], frame.shape[0])
            yield frame if undistort is None else undistort(frame)

    def _changed(self) -> UserError:
        return UserError(f"{self._info.source}: has fewer frames than were decoded of it; decode it again")
