"""video.json: what was decoded."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.formats.arrays import check_arrays
from pipeline.formats.records import check_types, read_json, write_json
from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class VideoInfo:
    """A decoded video. Sizes are those of the frames on disk: upright, after scaling."""

    source: str  # path of the file, as given
    sha256: str
    fps: Fraction  # exact, of the frames on disk
    width: int
    height: int
    frames: int
    rotation: int  # degrees clockwise that were applied from the file's metadata
    start: int | None = None  # number in the source, at its constant rate, of the first frame; None: an older file
    K: tuple[tuple[float, ...], ...] | None = None  # 3 x 3 px, of a calibrated camera whose distortion was taken out
    K_source: str | None = None  # the file that tells K
    focal_mm: float | None = None  # 35-mm equivalent that the camera wrote into the file
    seconds: tuple[float, ...] | None = None  # time of each frame in the file, from its first on; None: an older file
    # Where the source's rate varies: time of each of its frames, whatever was decoded; None: constant, or an older file
    packets: tuple[float, ...] | None = None

    def save(self, path: str | Path) -> None:
        write_json(path, asdict(self) | {"fps": f"{self.fps.numerator}/{self.fps.denominator}"})

    @staticmethod
    def load(path: str | Path) -> "VideoInfo":
        types = {field.name: field.type for field in fields(VideoInfo)} | {"fps": str}
        types = {key: kind for key, kind in types.items() if isinstance(kind, type)}
        values = read_json(path, tuple(types))
        check_types(path, values, types)
        optional = {key: values.get(key) for key in ("start", "K", "K_source", "focal_mm", "seconds", "packets")}
        start, K, K_source, focal_mm, seconds, packets = optional.values()
        if not (start is None or (type(start) is int and start >= 0)):
            raise UserError(f"{path}: key 'start' should be the number of a frame, found {start!r}")
        if K is not None:
            optional["K"] = _matrix(path, K)
        if (K is None) != (K_source is None) or not (K_source is None or isinstance(K_source, str)):
            raise UserError(f"{path}: key 'K_source' should name the file of K, found {K_source!r}")
        if not (focal_mm is None or (isinstance(focal_mm, float) and 0 < focal_mm < math.inf)):
            raise UserError(f"{path}: key 'focal_mm' should be millimetres above 0, found {focal_mm!r}")
        if seconds is not None:
            optional["seconds"] = _times(path, "seconds", seconds, values["frames"])
        if packets is not None:
            optional["packets"] = _times(path, "packets", packets, "N")
            if not packets or (np.diff(packets) < 0).any():
                raise UserError(f"{path}: key 'packets' should be times in their order; decode the video again")
        try:
            fps = Fraction(values["fps"])
        except (ValueError, ZeroDivisionError) as error:
            raise UserError(f"{path}: key 'fps' should be a fraction, found {values['fps']!r}") from error
        if min(fps, values["width"], values["height"], values["frames"]) <= 0:
            raise UserError(f"{path}: fps, width, height and frames should be above 0; decode the video again")
        return VideoInfo(**{key: values[key] for key in types} | optional | {"fps": fps})

    def source_frames(self, decode: Mapping[str, Any]) -> np.ndarray:
        """For each decoded frame its number in the source at its constant rate, (T,).

        Args:
            decode: settings that the stage decode ran with: `step`; and `start`, a frame or seconds such as "2.5s",
                for an older file that does not tell where it starts.
        """
        start, step = self.start, decode["step"]
        if start is None:
            told = decode["start"]
            start = round(Fraction(told.removesuffix("s")) * self.fps * step) if isinstance(told, str) else int(told)
        return start + step * np.arange(self.frames)


def _times(path: str | Path, key: str, values: Any, count: int | str) -> tuple[float, ...]:
    try:
        times = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: key {key!r} should be a list of numbers, found {values!r}") from error
    check_arrays(path, {key: times}, {key: (count,)})
    return tuple(times.tolist())


def _matrix(path: str | Path, values: Any) -> tuple[tuple[float, ...], ...]:
    try:
        K = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: key 'K' should be 3 x 3 numbers, found {values!r}") from error
    check_arrays(path, {"K": K}, {"K": (3, 3)})
    return tuple(map(tuple, K.tolist()))
