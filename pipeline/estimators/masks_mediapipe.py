"""Masks by mediapipe's pose model: a soft mask of one person a frame, at about 30 to 50 frames a second on a core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from pipeline.estimators.boxes import Box, clip, grow, overlap
from pipeline.estimators.crowd import follow_among
from pipeline.estimators.detector import Detection, check_mediapipe, follow
from pipeline.estimators.everybody import Everybody, Subject, parse_person
from pipeline.estimators.settings import MasksSettings
from pipeline.estimators.subject import find_subject, nobody
from pipeline.formats.images import FrameFolder, write_mask
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.progress import track

# Pairs of landmarks whose connecting lines, with the torso's quadrilateral, lie inside the person.
_BONES = (
    (11, 13), (13, 15), (15, 19), (12, 14), (14, 16), (16, 20),
    (23, 25), (25, 27), (27, 31), (24, 26), (26, 28), (28, 32),
    (0, 7), (0, 8), (7, 11), (8, 12),
)  # fmt: skip
_TORSO = (11, 12, 24, 23)
_CLEAN_SIDE = 320  # px
# The network's edge is twice as wide as the true one: on studio clips this takes a quarter off the mean difference from
# the true coverage, and the outline at one half, which has the true area within a percent, stays.
_CONTRAST = 2.0
_IN_SIGHT = 0.2  # visibility: lower than elsewhere, for a hidden foot may still show in part


def check(settings: MasksSettings) -> None:
    """Raise a UserError, before any work, where mediapipe is not installed, or `masks.person` says nothing."""
    parse_person(settings.person)
    check_mediapipe()


def estimate(directory: VideoDir, settings: MasksSettings, out: Path, provenance: Provenance) -> None:
    """Write out/%06d.png for each frame, an empty mask where the person is not found.

    Raises:
        UserError: nobody is in the clip, or `masks.person` means nobody.
    """
    frames = FrameFolder(directory.frames)
    info = VideoInfo.load(directory.video)
    everybody, subject = find_subject(directory, frames, settings, provenance)
    lost = []
    for index, found in track(
        _follow_both_ways(frames, everybody, subject, settings, float(info.fps)), "masks", len(frames), "frame"
    ):
        if found is None:
            lost.append(index)
            mask = np.zeros(frames[index].shape[:2], np.uint8)
        else:
            mask = clean(found, settings.reach)
        write_mask(out / f"{index:06d}.png", mask)
    if len(lost) == len(frames):
        raise nobody(info, len(frames))
    provenance.facts |= {"frames": len(frames), "lost_frames": sorted(lost)}
    if lost:
        provenance.warn(
            f"{info.source}: the person was not found in {len(lost)} of {len(frames)} frames; their masks are empty"
        )


def _follow_both_ways(
    frames: Sequence[np.ndarray], everybody: Everybody, subject: Subject, settings: MasksSettings, fps: float
) -> Iterator[tuple[int, Detection | None]]:
    """Follow the subject from the seed frame to the clip's end, then back to its start."""

    def expected(index: int, last: Box | None) -> Box:
        if last is None:
            return subject.box
        # Whoever is followed is lost, or somebody else, where the sample shows the subject elsewhere.
        sampled = subject.boxes.get(index, last)
        return last if overlap(sampled, last) > 0 else sampled

    def pass_over(indices: range) -> Iterator[tuple[int, Detection | None]]:
        if subject.crowded:
            return follow_among(frames, indices, everybody, subject, settings.min_confidence, fps)
        return follow(frames, indices, expected, subject.window, True, settings.min_confidence)

    return chain(pass_over(range(subject.seed, len(frames))), pass_over(range(subject.seed - 1, -1, -1)))


def clean(found: Detection, reach: float) -> np.ndarray:
    """The soft mask of the tracked person alone, as uint8 (H, W).

    Kept are the connected parts (above one half) that the landmarks' skeleton touches, as far as `reach` body heights
    from it: people and things beside are cut off. Specks inside are filled; the soft edge stays.
    """
    import cv2

    x0, y0, x1, y1 = clip(grow(found.box, 1 + 2 * reach, square=True), found.mask.shape[1], found.mask.shape[0])
    part = found.mask[y0:y1, x0:x1]
    # The network's mask is 256 px a side: which parts to keep is decided at no more than about that.
    factor = min(1.0, _CLEAN_SIDE / max(part.shape))
    size = (max(round((x1 - x0) * factor), 1), max(round((y1 - y0) * factor), 1))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    height = factor * (found.box[3] - found.box[1])
    skeleton = _skeleton(found, np.array([x0, y0]), factor, small.shape)
    person, zone = _person(small, skeleton, reach * height, max(2, 0.02 * height))
    layers = np.stack([zone, _specks(person)], axis=-1).astype(np.float32)
    layers[..., 0] = cv2.blur(layers[..., 0], (3, 3))  # what is cut off fades out, too
    layers = cv2.resize(layers, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    sharp = np.clip(_CONTRAST * (part - 0.5) + 0.5, 0, 1)
    soft = np.maximum(sharp * layers[..., 0], layers[..., 1])
    out = np.zeros(found.mask.shape, np.uint8)
    out[y0:y1, x0:x1] = np.round(255 * soft)
    return out


def _person(mask: np.ndarray, skeleton: np.ndarray, reach: float, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """The solid person, and that grown by the `edge` px over which the soft mask fades: bool (H, W) each."""
    import cv2

    # Distance to the nearest zero pixel, hence the inversion.
    near = cv2.distanceTransform(1 - skeleton, cv2.DIST_L2, 3) < reach
    solid = ((mask > 0.5) & near).astype(np.uint8)
    count, labels = cv2.connectedComponents(solid, connectivity=4)
    kept = np.zeros(count, bool)
    kept[np.unique(labels[skeleton > 0])] = True
    kept[0] = False
    person = kept[labels]
    size = 2 * round(edge) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return person, cv2.dilate(person.astype(np.uint8), disc) > 0


def _specks(person: np.ndarray) -> np.ndarray:
    """Holes too small to be the space within a bent arm: bool (H, W)."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats((~person).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < 0.002 * person.sum()
    small[0] = False  # the person
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        small[np.unique(edge)] = False
    return small[labels] if count > 1 else np.zeros_like(person)


def _skeleton(found: Detection, corner: np.ndarray, factor: float, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 of a part of the image, scaled by `factor`: the torso and the lines between landmarks that are seen."""
    import cv2

    canvas = np.zeros(shape, np.uint8)
    points = np.round(np.clip(factor * (found.xy - corner), -1e4, 1e4)).astype(np.int32)
    seen = found.visibility > _IN_SIGHT
    for a, b in _BONES:
        if seen[a] and seen[b]:
            cv2.line(canvas, tuple(map(int, points[a])), tuple(map(int, points[b])), 1, 2)
    cv2.fillConvexPoly(canvas, points[list(_TORSO)], 1)
    return canvas
