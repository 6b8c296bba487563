"""video.json: what was decoded."""

from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path

from pipeline.errors import UserError
from pipeline.formats.records import check_types, read_json, write_json


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
        types = {field.name: field.type for field in fields(VideoInfo)} | {"fps": str}
        values = read_json(path, tuple(types))
        check_types(path, values, types)
        try:
            fps = Fraction(values["fps"])
        except (ValueError, ZeroDivisionError) as error:
            raise UserError(f"{path}: key 'fps' should be a fraction, found {values['fps']!r}") from error
        if min(fps, values["width"], values["height"], values["frames"]) <= 0:
            raise UserError(f"{path}: fps, width, height and frames should be above 0; decode the video again")
        return VideoInfo(**{key: values[key] for key in types} | {"fps": fps})
