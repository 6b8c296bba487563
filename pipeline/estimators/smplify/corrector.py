"""World landmarks corrected by what the detector is known to get wrong: one linear map a frame, learnt on the studio.

`python -m pipeline learn` makes the map (pipeline/learning). It works in view coordinates, turned so that the ray to
the middle of the hips is the z axis, and in units of the world landmarks, so that the place of the person and the focal
length matter little.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.formats.arrays import check_arrays, read_npz, read_text, write_npz
from pipeline.landmarks.detector import LANDMARK_NAMES
from pipeline.landmarks.on_body import USED_NAMES
from pipeline.landmarks.swaps import mirror_order

SHIPPED = Path(__file__).with_name("data") / "corrector.npz"
USED = np.array([LANDMARK_NAMES.index(name) for name in USED_NAMES])
HIPS = [LANDMARK_NAMES.index("left_hip"), LANDMARK_NAMES.index("right_hip")]
_NOSE = LANDMARK_NAMES.index("nose")
_FACE = np.setdiff1d(np.arange(len(LANDMARK_NAMES)), USED)  # the others: they move with the nose
OTHER_SIDE = np.searchsorted(USED, mirror_order()[USED])  # of each used landmark
_FLIP = np.array([-1.0, 1.0, 1.0])
OUTPUTS, FEATURES = 3 * len(USED), 6 * len(USED)


@dataclass(frozen=True)
class Corrector:
    """A linear map from the features of a frame to what is to be added to its landmarks."""

    weights: np.ndarray  # (FEATURES + 1, OUTPUTS) the last row is added to every frame
    licence: str
    attribution: str  # of the data that it was learnt from

    def __post_init__(self) -> None:
        check_arrays("corrector", {"weights": self.weights}, {"weights": (FEATURES + 1, OUTPUTS)})

    def save(self, path: Path) -> None:
        """Write the map, at half precision."""
        texts = {"licence": self.licence, "attribution": self.attribution}
        write_npz(path, {"weights": self.weights.astype(np.float16), **texts})

    @staticmethod
    def load(path: Path) -> Corrector:
        """Read a map. Raises UserError where the file is missing, or holds none."""
        arrays = read_npz(path)
        check_arrays(path, arrays, {"weights": (FEATURES + 1, OUTPUTS)})
        return Corrector(
            arrays["weights"].astype(float), *(read_text(path, arrays, key) for key in ("licence", "attribution"))
        )


@cache
def shipped_corrector() -> Corrector:
    return Corrector.load(SHIPPED)


def corrected_world(
    xy: np.ndarray,  # (T, 33, 2) px
    visibility: np.ndarray,  # (T, 33) in [0, 1]
    world: np.ndarray,  # (T, 33, 3) m, camera axes
    K: np.ndarray,  # (3, 3) px
    corrector: Corrector | None = None,
) -> np.ndarray:  # (T, 33, 3)
    """World landmarks about the middle of the hips, corrected frame by frame; left and right already put right.

    Mirrored landmarks give the mirrored result. Sizes are those of a body of the detector's usual size.

    Args:
        xy: the landmarks in the image.
        visibility: how sure the detector is of each; 0 also outside the image.
        world: its own guess in metres.
        K: of the camera; a guess of the focal length will do.
        corrector: the map; None: the one that ships.
    """
    weights = (shipped_corrector() if corrector is None else corrector).weights
    seen, view = features(xy, visibility, world, K)
    change = (seen @ weights[:-1] + weights[-1]).reshape(len(xy), -1, 3)
    return np.einsum("tij,tlj->tli", view, with_face(_about_hips(world), change))


def with_face(
    points: np.ndarray,  # (T, 33, 3)
    change: np.ndarray,  # (T, L, 3)
) -> np.ndarray:  # (T, 33, 3)
    """All landmarks with what is added to the used ones; those of the face that are not used move with the nose."""
    changed = points.copy()
    changed[:, _FACE] += change[:, USED == _NOSE]
    changed[:, USED] += change
    return changed


def features(
    xy: np.ndarray,  # (T, 33, 2) px
    visibility: np.ndarray,  # (T, 33)
    world: np.ndarray,  # (T, 33, 3) m
    K: np.ndarray,  # (3, 3) px
) -> tuple[np.ndarray, np.ndarray]:
    """What the map sees of each frame (T, FEATURES), and the rotations from view to camera axes (T, 3, 3).

    For each used landmark: its world position about the hips (the detector looks at a crop: it means view axes), how
    far its pixel lies from where that projects to (weak perspective, at the scale that fits the frame best), and its
    visibility.
    """
    ray = np.concatenate([(xy - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones_like(xy[..., :1])], -1)
    view = view_rotation(ray[:, HIPS].mean(1))
    turned = ray @ view
    plane = turned[..., :2] / np.maximum(turned[..., 2:], 0.2)  # landmarks that are guessed can lie anywhere
    plane, points = _about_hips(plane)[:, USED], _about_hips(world)[:, USED]
    sure = visibility[:, USED]
    scale = (sure[..., None] * plane * points[..., :2]).sum((1, 2)) / np.maximum(
        (sure[..., None] * points[..., :2] ** 2).sum((1, 2)), 1e-6
    )
    off = plane / np.maximum(scale, 1e-3)[:, None, None] - points[..., :2]
    parts = points, np.clip(off, -0.5, 0.5), sure
    return np.concatenate([part.reshape(len(xy), -1) for part in parts], 1), view


def view_rotation(
    rays: np.ndarray,  # (..., 3)
) -> np.ndarray:  # (..., 3, 3)
    """The least rotation that takes the z axis to each ray (of positive z)."""
    x, y, z = np.moveaxis(rays / np.linalg.norm(rays, axis=-1, keepdims=True), -1, 0)
    k = 1 / (1 + z)
    rows = [[1 - k * x * x, -k * x * y, x], [-k * x * y, 1 - k * y * y, y], [-x, -y, z]]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def mirrored_features(values: np.ndarray) -> np.ndarray:  # (..., FEATURES) both
    """Features of the mirrored frame. `mirrored_outputs` is its like for what the map gives."""
    points, off, sure = np.split(values, [3 * len(USED), 5 * len(USED)], axis=-1)
    return np.concatenate([_mirrored(points, 3), _mirrored(off, 2), _mirrored(sure, 1, False)], -1)


def mirrored_outputs(values: np.ndarray) -> np.ndarray:  # (..., OUTPUTS) both
    return _mirrored(values, 3)


def _mirrored(values: np.ndarray, width: int, flips: bool = True) -> np.ndarray:
    by_landmark = values.reshape(*values.shape[:-1], len(USED), width)[..., OTHER_SIDE, :]
    return (by_landmark * (_FLIP[:width] if flips else 1.0)).reshape(values.shape)


def _about_hips(points: np.ndarray) -> np.ndarray:  # (T, 33, D) both
    return points - points[:, HIPS].mean(1, keepdims=True)
