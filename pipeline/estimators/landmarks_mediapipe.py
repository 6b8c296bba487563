"""mediapipe's landmarks of the person that the masks show, left and right put right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.estimators.settings import LandmarksSettings
from pipeline.estimators.sharper import Needs, Pictures, larger_pictures, pictures
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import Box, grow, inside, iou, mask_box, union
from pipeline.landmarks.both_ways import Arrays, Follow, follow_both, mean_of_both
from pipeline.landmarks.detector import LANDMARK_NAMES, SIZES, SOURCE, VISIBLE, Detection, check_mediapipe, follow
from pipeline.landmarks.hands import LEAST, HandDetector, hand_length, with_hands
from pipeline.landmarks.swaps import find_swaps, swapped, swapped_world
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.setup.published import check_published
from pipeline.setup.weights import needed, require

_SURE = 0.6  # overlap of the boxes of landmarks and mask above which both are of one person
# px long. Its networks look at 192 and 224 px of a crop of 2.2 hand lengths.
_HANDS = Needs(least=LEAST, enough=96, aim=128)


def check(settings: LandmarksSettings) -> None:
    """Raise a UserError, before any work, where mediapipe is not installed, or the heavy model is not there."""
    check_mediapipe()
    require(needed("landmarks", asdict(settings)))


def estimate(directory: VideoDir, settings: LandmarksSettings, provenance: Provenance) -> Landmarks:
    """The landmarks of the person that the masks show. Raises as `estimate_from`."""
    if settings.model == "full":
        return estimate_from(follow, SOURCE, directory, settings, provenance)
    check_published(Path(settings.heavy))
    heavy = partial(follow, landmark_model=Path(settings.heavy))
    return estimate_from(heavy, f"{SOURCE}, heavy model", directory, settings, provenance)


def estimate_from(
    detect: Follow, source: str, directory: VideoDir, settings: LandmarksSettings, provenance: Provenance
) -> Landmarks:
    """The landmarks that a detector gives of the person that the masks show.

    Args:
        detect: follows one person through frames; called as `landmarks.detector.follow` is.
        source: name of the detector, for people. "mediapipe ..." means its points.

    Raises:
        UserError: there is not one mask a frame.
    """
    info = VideoInfo.load(directory.video)
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    if len(masks) != len(frames):
        raise UserError(f"{directory.masks}: {len(frames)} masks expected, found {len(masks)}; rerun the masks stage")
    boxes = [mask_box(mask) for mask in masks]
    looked_at = pictures(directory, info, frames, boxes, provenance) if settings.sharper else Pictures(frames)
    found, mirrored = _detect(detect, looked_at, masks, boxes, settings)
    found = mirrored | found  # who is seen in the mirror image alone is seen
    provenance.facts |= {"source": source, "frames": len(frames), "found_frames": len(found)}
    empty = {key: np.zeros((len(frames), len(LANDMARK_NAMES), *rest)) for key, rest in SIZES.items()}
    if not found:
        provenance.warn(f"{info.source}: the person is found in no frame: there are no landmarks")
        return Landmarks(LANDMARK_NAMES, **empty, source=source)

    known = np.array(sorted(found))
    seen, exchanged = _put_right(found, info, settings)
    provenance.facts["swapped_frames"] = exchanged
    if exchanged:
        provenance.warn(
            f"{info.source}: left and right were exchanged in {exchanged} frames, and put right; if the pose is "
            "back to front there, set landmarks.facing"
        )
    if mirrored:
        # Each on its own: a sequence that is a mean in some frames and not in others jumps, and looks exchanged there.
        others, _ = _put_right(found | mirrored, info, settings)
        seen, agreed = mean_of_both(seen, others)
        provenance.facts["mean_of_both_frames"] = int((agreed & np.isin(known, list(mirrored))).sum())
    for key, values in seen.items():
        empty[key][known] = values
    landmarks = Landmarks(LANDMARK_NAMES, **empty, source=source)
    if settings.hands is False:
        return landmarks
    return _hands(directory, info, frames, landmarks, settings, provenance)


def _hands(
    directory: VideoDir,
    info: VideoInfo,
    frames: FrameFolder,
    landmarks: Landmarks,
    settings: LandmarksSettings,
    provenance: Provenance,
) -> Landmarks:
    """The landmarks and those of hands, where hands are looked for: in the video file where frames/ show them small."""
    least = LEAST if settings.hands == "auto" else 0.0
    length, looked_at = hand_length(landmarks), Pictures(frames)
    if settings.sharper:
        needs, what = replace(_HANDS, least=least), f"hands are {length:.0f} px long"
        looked_at = larger_pictures(directory, info, frames, length, needs, provenance, what)
    if length * looked_at.scale.mean() < least:
        return landmarks
    theirs = replace(landmarks, xy=landmarks.xy * looked_at.scale)
    with HandDetector(settings.min_confidence) as detector:
        found, provenance.facts["hands_seen_frames"] = with_hands(theirs, looked_at, detector)
    return replace(found, xy=found.xy / looked_at.scale)


def _put_right(found: dict[int, Detection], info: VideoInfo, settings: LandmarksSettings) -> tuple[Arrays, int]:
    """Landmarks of the frames in order, left and right put right, and in how many of them they were exchanged."""
    known = np.array(sorted(found))
    seen = {key: np.stack([getattr(found[i], key) for i in known]) for key in SIZES}
    seen["visibility"] = seen["visibility"] * inside(seen["xy"], info.width, info.height)
    seconds = known / float(info.fps)
    chosen = find_swaps(
        **seen, seconds=seconds, change=settings.swap_change, doubt=settings.swap_doubt, facing=settings.facing
    )
    seen = {key: (swapped_world if key == "world" else swapped)(values, chosen) for key, values in seen.items()}
    return seen, int(chosen.any(1).sum())


def _detect(
    detect: Follow,
    looked_at: Pictures,
    masks: Sequence[np.ndarray],
    boxes: Sequence[Box | None],
    settings: LandmarksSettings,
) -> tuple[dict[int, Detection], dict[int, Detection]]:
    """Detections in the pictures, and in their mirror images, if that is set: in pixels of the frames, of those in
    which the masks' person is found, and not somebody who stands before them."""
    kept: tuple[dict[int, Detection], dict[int, Detection]] = {}, {}
    known = [looked_at.box(box) for box in boxes if box is not None]
    if not known:
        return kept
    window = grow(union(known), 1.4)

    def expected(index: int, last: Box | None) -> Box | None:
        box = boxes[index]
        return last if box is None else looked_at.box(box)

    where = looked_at, range(len(masks)), expected, window
    if settings.mirrored:
        detections = follow_both(detect, *where, settings.min_confidence)
    else:
        detections = ((index, seen, None) for index, seen in detect(*where, False, settings.min_confidence))
    for index, *both in track(detections, "landmarks", len(masks), "frame"):
        box = boxes[index]
        for mine, seen in zip(kept, both):
            if seen is None or box is None:
                continue
            found = replace(seen, xy=seen.xy / looked_at.scale)
            if iou(found.box, box) > _SURE or _lies_on(found, masks[index]):
                mine[index] = found
    return kept


def _lies_on(found: Detection, mask: np.ndarray) -> bool:
    """Whether half of the landmarks that are seen lie on the mask."""
    seen = (found.visibility > VISIBLE) & inside(found.xy, mask.shape[1], mask.shape[0])
    points = np.floor(found.xy[seen]).astype(int)
    return len(points) > 0 and float((mask[points[:, 1], points[:, 0]] > 127).mean()) > 0.5
