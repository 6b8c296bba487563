"""landmarks.npz: points of the person that a detector has found in each frame."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.formats.arrays import check_arrays, read_npz, read_text, write_npz
from pipeline.runtime.errors import UserError

_SHAPES = {"xy": ("T", "L", 2), "visibility": ("T", "L"), "world": ("T", "L", 3)}
_UNSAID = "mediapipe 0.10.21"  # the one detector there was before files told their source


@dataclass(frozen=True)
class Landmarks:
    """Detected landmarks of a clip; L is 0 where nothing was looked for.

    A frame in which the person was not found is zero in all arrays. Visibility 0 says "not found, or outside the
    picture", and there `xy` and `world` are at best a guess.
    """

    names: tuple[str, ...]  # (L,) what each landmark is: docs/landmarks.md
    xy: np.ndarray  # (T, L, 2) px; pixel centres lie at +0.5
    visibility: np.ndarray  # (T, L) in [0, 1]
    world: np.ndarray | None = None  # (T, L, 3) metres about the hips, OpenCV axes; None: there are pixels alone
    source: str = _UNSAID  # the detector, for people; its first word says which points its names mean

    def __post_init__(self) -> None:
        check_arrays("landmarks", self._arrays(), {key: _SHAPES[key] for key in self._arrays()})

    def __len__(self) -> int:
        return len(self.xy)

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {"xy": self.xy, "visibility": self.visibility, "world": self.world}
        return {key: array for key, array in arrays.items() if array is not None}

    @staticmethod
    def none(frames: int) -> "Landmarks":
        """Of a clip in which nothing was looked for."""
        return Landmarks((), np.zeros((frames, 0, 2)), np.zeros((frames, 0)), source="none")

    def save(self, path: str | Path) -> None:
        names = np.array(self.names, dtype=np.str_)
        write_npz(path, {"names": names, **self._arrays(), "source": self.source})

    @staticmethod
    def load(path: str | Path) -> "Landmarks":
        """Read a file, one of before `source` too. Raises UserError naming the file and the key that is wrong."""
        arrays = read_npz(path)
        shapes = {key: shape for key, shape in _SHAPES.items() if key != "world" or key in arrays}
        check_arrays(path, arrays, shapes)
        names = arrays.get("names", np.empty(0))
        if names.ndim != 1 or names.dtype.kind != "U":
            raise UserError(f"{path}: key 'names' should be texts (L,), found {names.dtype} {names.shape}")
        if len(names) != arrays["xy"].shape[1]:
            raise UserError(f"{path}: key 'names' holds {len(names)} names, 'xy' {arrays['xy'].shape[1]} landmarks")
        source = read_text(path, arrays, "source") if "source" in arrays else _UNSAID
        return Landmarks(tuple(names.tolist()), *(arrays.get(key) for key in _SHAPES), source)
