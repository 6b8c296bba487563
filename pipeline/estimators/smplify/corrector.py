"""World landmarks corrected by what the detector is known to get wrong: one linear map a frame, learnt on the studio.

`python -m pipeline learn` makes the map (pipeline/learning). It works in view coordinates, turned so that the ray to
the middle of the hips is the z axis, and in units of the world landmarks, so that the place of the person and the focal
length matter little.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.formats.arrays import check_arrays, read_npz, read_text, write_npz
from pipeline.landmarks.detector import LANDMARK_NAMES
from pipeline.landmarks.on_body import USED_NAMES
from pipeline.landmarks.swaps import mirror_order
from pipeline.setup.shipped import LANDMARK_MAP

SHIPPED = LANDMARK_MAP.path
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
    """Raises a UserError where its file is gone."""
    return Corrector.load(LANDMARK_MAP.require())


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
    return np.einsum("tij,tlj->tli", view, with_face(about_hips(world), change))


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
    seen = in_view(xy, visibility, world, K)
    return seen.features, seen.view


class InView(NamedTuple):
    """Frames in axes about the ray to the person's hips."""

    features: np.ndarray  # (T, FEATURES)
    view: np.ndarray  # (T, 3, 3) rotations from view to camera axes
    points: np.ndarray  # (T, L, 3) m, the used world landmarks about the hips
    hips: np.ndarray  # (T, 2) their middle in camera axes, on the plane z = 1
    scale: np.ndarray  # (T,) of the picture on that plane, against the world landmarks


def in_view(xy: np.ndarray, visibility: np.ndarray, world: np.ndarray, K: np.ndarray) -> InView:
    """What `features` tells, and what it is made of; arguments as there."""
    ray = np.concatenate([(xy - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones_like(xy[..., :1])], -1)
    hips = ray[:, HIPS].mean(1)
    view = view_rotation(hips)
    turned = ray @ view
    plane = turned[..., :2] / np.maximum(turned[..., 2:], 0.2)  # landmarks that are guessed can lie anywhere
    plane, points = about_hips(plane)[:, USED], about_hips(world)[:, USED]
    sure = visibility[:, USED]
    scale = (sure[..., None] * plane * points[..., :2]).sum((1, 2)) / np.maximum(
        (sure[..., None] * points[..., :2] ** 2).sum((1, 2)), 1e-6
    )
    scale = np.maximum(scale, 1e-3)  # a person who is hardly there
    off = plane / scale[:, None, None] - points[..., :2]
    parts = points, np.clip(off, -0.5, 0.5), sure
    features = np.concatenate([part.reshape(len(xy), -1) for part in parts], 1)
    return InView(features, view, points, hips[:, :2], scale)


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


def about_hips(points: np.ndarray) -> np.ndarray:  # (..., 33, D) both
    return points - points[..., HIPS, :].mean(-2, keepdims=True)
