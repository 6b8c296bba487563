"""video.json: what was decoded."""

from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from pipeline.formats.records import read_json, write_json


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

    def save(self, path: str | Path) -> None:
        write_json(path, asdict(self) | {"fps": f"{self.fps.numerator}/{self.fps.denominator}"})

    @staticmethod
    def load(path: str | Path) -> "VideoInfo":
        keys = tuple(VideoInfo.__dataclass_fields__)
        values = read_json(path, keys)
        return VideoInfo(**{key: values[key] for key in keys} | {"fps": Fraction(values["fps"])})
