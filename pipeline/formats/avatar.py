"""fit/avatar.npz: the Gaussians of a person in canonical space."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.formats.arrays import check_arrays, read_npz, read_text, write_npz
from pipeline.runtime.errors import UserError

_SHAPES = {
    "means": ("N", 3),
    "quats": ("N", 4),
    "scales": ("N", 3),
    "opacities": ("N",),
    "sh": ("N", "K", 3),
    "weights": ("N", 24),
    "canonical_pose": (24, 3),
    "betas": (10,),
    "train_frames": ("T",),
}
_OPTIONAL = {"gains": ("T", 3), "field": ("P",), "seen": ("N",)}
_CLOTH = {
    "mean": (207,),
    "axes": (24, "K", 207),
    "units": (24,),
    "seen": ("S", 207),
    "slack": (24,),
    "offsets": ("N", "K", 3),
    "colours": ("N", "K", 3),
}
_CLOTH_PREFIX = "cloth_"  # of their keys


@dataclass(frozen=True)
class ClothFile:
    """What a pose changes of Gaussians: numbers of a `pipeline.avatar.cloth.Cloth`, K features of a pose a joint."""

    mean: np.ndarray  # (207,) of the joints' rotation matrices in their parents, less the identity
    axes: np.ndarray  # (24, K, 207)
    units: np.ndarray  # (24,)
    seen: np.ndarray  # (S, 207) of some trained frames
    slack: np.ndarray  # (24,)
    offsets: np.ndarray  # (N, K, 3) metres in the rest pose
    colours: np.ndarray  # (N, K, 3) of the harmonics of degree 0

    def __post_init__(self) -> None:
        _check_cloth("avatar", _prefixed(self))


@dataclass(frozen=True)
class AvatarFile:
    """Gaussians in canonical space with their skinning weights; activated values, not logits or logarithms."""

    means: np.ndarray  # (N, 3) metres, body posed by canonical_pose, its root joint at rest
    quats: np.ndarray  # (N, 4) wxyz, unit
    scales: np.ndarray  # (N, 3) metres
    opacities: np.ndarray  # (N,) in (0, 1)
    sh: np.ndarray  # (N, K, 3) spherical harmonics, K = 1 or 4
    weights: np.ndarray  # (N, 24) skinning weights, rows sum to 1
    canonical_pose: np.ndarray  # (24, 3) axis-angle
    betas: np.ndarray  # (10,)
    train_frames: np.ndarray  # (T,) bool, False where the frame was held out from the Gaussians' training
    body_model: str
    binding: str  # camel | lsw | lsw_camel | field | gom | none
    # What exposure and white balance multiply the avatar's colours by in each frame; None where nobody looked for it.
    gains: np.ndarray | None = None  # (T, 3) r g b
    # How well the frames that it was trained on show each Gaussian: 0 = in none of them, 1 = well. None in older files.
    seen: np.ndarray | None = None  # (N,)
    # Numbers of a `pipeline.avatar.deformation_field`, which moves the means by the pose; None for none. The
    # viewer leaves it out.
    field: np.ndarray | None = None  # (P,)
    cloth: ClothFile | None = None  # what a pose changes beyond the skinning; None for nothing

    def __post_init__(self) -> None:
        _check("avatar", vars(self))
        if self.cloth is not None:
            _check_cloth("avatar", _prefixed(self.cloth) | {"means": self.means})

    def save(self, path: str | Path) -> None:
        arrays = {key: value for key, value in vars(self).items() if value is not None and key != "cloth"}
        write_npz(path, arrays | ({} if self.cloth is None else _prefixed(self.cloth)))

    @staticmethod
    def load(path: str | Path) -> "AvatarFile":
        arrays = read_npz(path)
        _check(path, arrays)
        texts = {key: read_text(path, arrays, key) for key in ("body_model", "binding")}
        own = {key: arrays[key] for key in (*_SHAPES, *_OPTIONAL) if key in arrays}
        if any(key.startswith(_CLOTH_PREFIX) for key in arrays):
            _check_cloth(path, arrays)
            own["cloth"] = ClothFile(**{key: arrays[f"{_CLOTH_PREFIX}{key}"] for key in _CLOTH})
        return AvatarFile(**own | texts)


def _prefixed(cloth: ClothFile) -> dict[str, np.ndarray]:
    """Its arrays by their keys in the file."""
    return {f"{_CLOTH_PREFIX}{key}": value for key, value in vars(cloth).items()}


def _check_cloth(where: str | Path, arrays: Mapping[str, Any]) -> None:
    """Raise a UserError naming `where` and the key that is missing or wrong; `means`, if there, has as many rows."""
    known = {"means": _SHAPES["means"]} if "means" in arrays else {}
    check_arrays(where, arrays, known | {f"{_CLOTH_PREFIX}{key}": shape for key, shape in _CLOTH.items()})


def _check(where: str | Path, arrays: Mapping[str, Any]) -> None:
    """Raise a UserError naming `where` and the key that is missing or wrong."""
    known = {key: shape for key, shape in _OPTIONAL.items() if arrays.get(key) is not None}
    check_arrays(where, arrays, _SHAPES | known)
    if "gains" in known and (arrays["gains"] <= 0).any():
        raise UserError(f"{where}: key 'gains' should be above 0, found {np.min(arrays['gains']):g}")
    if "seen" in known and not ((seen := np.asarray(arrays["seen"])) == seen.clip(0, 1)).all():
        raise UserError(f"{where}: key 'seen' should be from 0 to 1, found {seen.min():g} to {seen.max():g}")
