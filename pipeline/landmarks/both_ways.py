"""Each picture looked at twice, as it is and mirrored: the detector's errors differ, and the mean has less of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock

import numpy as np

from pipeline.geometry.boxes import Box
from pipeline.landmarks.detector import LANDMARK_NAMES, Detection
from pipeline.landmarks.swaps import mirror_order

Follow = Callable[..., Iterator[tuple[int, Detection | None]]]  # arguments as of detector.follow
Arrays = dict[str, np.ndarray]  # xy (B, L, 2) px, visibility (B, L), world (B, L, 3) m
_AXES = [[LANDMARK_NAMES.index(f"{side}_{part}") for side in ("left", "right")] for part in ("shoulder", "hip")]

# Cosine of 30 degrees. From 90 to 30 the mean is as near to the truth (20 people of the studio, MPJPE -2.95 ± 0.70 mm
# and -2.96 ± 0.56), and at 30 it differs least from person to person.
_SAME = 0.866


def follow_both(
    follow: Follow,
    frames: Sequence[np.ndarray],
    indices: Iterable[int],
    expected: Callable[[int, Box | None], Box | None],
    window: Box,
    min_confidence: float,
) -> Iterator[tuple[int, Detection | None, Detection | None]]:
    """What a detector finds in pictures, and what in their mirror images, mirrored back.

    Two detectors go through the pictures side by side, on a thread each, and know nothing of each other. A picture is
    read once.

    Args:
        follow: the detector, called as `detector.follow` is.
        others: as of `detector.follow`.
    """
    indices = list(indices)
    if not indices:
        return
    pictures = _Last(frames)
    width = pictures[indices[0]].shape[1]
    straight = follow(pictures, indices, expected, window, False, min_confidence)
    mirrored = follow(
        _Mirrored(pictures),
        indices,
        lambda index, last: _flipped(expected(index, _flipped(last, width)), width),
        _flipped(window, width),
        False,
        min_confidence,
    )
    with ThreadPoolExecutor(1) as thread:
        for _ in indices:
            beside = thread.submit(next, mirrored)
            index, seen = next(straight)
            _, other = beside.result()
            yield index, seen, None if other is None else mirrored_back(other, width)


def mirrored_back(found: Detection, width: int) -> Detection:
    """What was found in the mirror image of a picture `width` pixels wide, as of the picture itself."""
    order = mirror_order()
    return replace(
        found,
        xy=(found.xy * [-1, 1] + [width, 0])[order],
        visibility=found.visibility[order],
        world=(found.world * [-1, 1, 1])[order],
    )


def same_facing(
    one: np.ndarray,  # (B, 33, 3) m
    other: np.ndarray,  # (B, 33, 3) m
) -> np.ndarray:  # (B,) bool
    """Whether shoulders and hips of both point the same way.

    Where they do not, one took left for right, or the back for the front: between the two lies nobody.
    """
    lines = ((points[:, left] - points[:, right] for points in (one, other)) for left, right in _AXES)
    lengths = np.linalg.norm
    return np.all([(a * b).sum(-1) > _SAME * lengths(a, axis=-1) * lengths(b, axis=-1) for a, b in lines], axis=0)


def mean_of_both(straight: Arrays, mirrored: Arrays) -> tuple[Arrays, np.ndarray]:
    """The mean of both where they face the same way, else `straight`.

    Args:
        straight: landmarks found in the pictures.
        mirrored: found in their mirror images, mirrored back.

    Returns:
        The landmarks, and (B,) bool where they are the mean.
    """
    agreed = same_facing(straight["world"], mirrored["world"])
    mean = {
        key: np.where(agreed.reshape(-1, *[1] * (one.ndim - 1)), (one + mirrored[key]) / 2, one)
        for key, one in straight.items()
    }
    return mean, agreed


def _flipped(box: Box | None, width: int) -> Box | None:
    return None if box is None else (width - box[2], box[1], width - box[0], box[3])


class _Last:
    """Pictures of which the last one is kept: both detectors ask for it, and a stream gives it once."""

    def __init__(self, frames: Sequence[np.ndarray]) -> None:
        self._frames, self._lock = frames, Lock()
        self._index, self._picture = -1, np.zeros((0, 0, 3), np.uint8)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> np.ndarray:
        with self._lock:
            if index != self._index:
                self._index, self._picture = index, self._frames[index]
            return self._picture


class _Mirrored:
    def __init__(self, frames: _Last) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.ascontiguousarray(self._frames[index][:, ::-1])
