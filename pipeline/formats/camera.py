"""camera.json: the pinhole camera of a clip."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from pipeline.formats.arrays import check_arrays
from pipeline.formats.records import check_types, read_json, write_json
from pipeline.runtime.errors import UserError

Origin = Literal[
    "calibration",  # a file that the user gave, video.calibration
    "user",  # settings: depth.focal, depth.focal_mm
    "metadata",  # the camera wrote it into the video
    "network",  # estimated with the depth
    "import",  # beside the user's depth maps
    "dataset",  # a dataset's, or the studio's
    "motion",  # told by the camera's motion: camera_track.npz
    "lines",  # told by straight lines of the scene: camera_track.npz
    "guess",
]


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a clip, in pixels of the decoded frames; a pixel's centre lies at +0.5."""

    K: np.ndarray  # (3, 3) px
    width: int
    height: int
    source: str  # where K is from, for people: "image diagonal", "studio truth", "unidepth"
    metric: bool  # False: K is a guess, so distances hold only up to the focal length
    K_source: Origin | None = None  # where K is from, for programs; None: a file that does not tell

    def __post_init__(self) -> None:
        check_arrays(f"camera from {self.source}", {"K": self.K}, {"K": (3, 3)})

    def with_focal(self, focal: float) -> np.ndarray:
        """K (3, 3) with another focal length, px along x; that along y changes in proportion."""
        K = self.K.copy()
        K[[0, 1], [0, 1]] *= focal / K[0, 0]
        return K

    def save(self, path: str | Path) -> None:
        write_json(
            path,
            {
                "K": np.asarray(self.K, dtype=float).tolist(),
                "width": self.width,
                "height": self.height,
                "source": self.source,
                "metric": self.metric,
                "K_source": self.K_source,
            },
        )

    @staticmethod
    def load(path: str | Path) -> "Camera":
        values = read_json(path, ("K", "width", "height", "source", "metric"))
        check_types(path, values, {"width": int, "height": int, "source": str, "metric": bool})
        origin = values.get("K_source")
        if origin not in (None, *get_args(Origin)):
            raise UserError(f"{path}: key 'K_source' should be one of {', '.join(get_args(Origin))}, found {origin!r}")
        try:
            K = np.array(values["K"], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: key 'K' should be 3 x 3 numbers, found {values['K']!r}") from error
        check_arrays(path, {"K": K}, {"K": (3, 3)})
        return Camera(K, values["width"], values["height"], values["source"], values["metric"], origin)
