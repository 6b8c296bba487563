"""landmarks.npz: the 2D detections that the initial pose was made from, kept to measure reprojection."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.formats.arrays import check_arrays, read_npz, write_npz
from pipeline.runtime.errors import UserError

_SHAPES = {"xy": ("T", "L", 2), "visibility": ("T", "L"), "world": ("T", "L", 3)}


@dataclass(frozen=True)
class Landmarks:
    """Detected landmarks of a clip; L is 0 where the pose backend detects none."""

    names: tuple[str, ...]  # (L,) what each landmark is
    xy: np.ndarray  # (T, L, 2) px; 0 where visibility is 0
    visibility: np.ndarray  # (T, L) in [0, 1]
    world: np.ndarray  # (T, L, 3) metres about the hips, OpenCV axes; 0 where visibility is 0

    def __post_init__(self) -> None:
        arrays = {"xy": self.xy, "visibility": self.visibility, "world": self.world}
        check_arrays("landmarks", arrays, _SHAPES)

    @staticmethod
    def none(frames: int) -> "Landmarks":
        """Of a clip in which nothing was looked for."""
        return Landmarks((), np.zeros((frames, 0, 2)), np.zeros((frames, 0)), np.zeros((frames, 0, 3)))

    def save(self, path: str | Path) -> None:
        names = np.array(self.names, dtype=np.str_)
        write_npz(path, {"names": names, "xy": self.xy, "visibility": self.visibility, "world": self.world})

    @staticmethod
    def load(path: str | Path) -> "Landmarks":
        arrays = read_npz(path)
        check_arrays(path, arrays, _SHAPES)
        names = arrays.get("names", np.empty(0))
        if names.ndim != 1 or names.dtype.kind != "U":
            raise UserError(f"{path}: key 'names' should be texts (L,), found {names.dtype} {names.shape}")
        if len(names) != arrays["xy"].shape[1]:
            raise UserError(f"{path}: key 'names' holds {len(names)} names, 'xy' {arrays['xy'].shape[1]} landmarks")
        return Landmarks(tuple(names.tolist()), arrays["xy"], arrays["visibility"], arrays["world"])
