"""Landmarks of the user's own: another detector's, motion capture in pixels, marks made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.estimators.settings import LandmarksSettings, refuse_facing
from pipeline.formats.images import MaskFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.user_files import check_path, user_path
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import inside
from pipeline.landmarks.files import Read, read_file
from pipeline.motion.readers.frames import decoded_clip, matching_frames
from pipeline.motion.readers.motion import Clip
from pipeline.runtime.errors import UserError

PACKAGES = ("numpy",)
_ON_MASK = 0.5  # share of a person's landmarks on the mask from which they are the one whom it shows


def check(settings: LandmarksSettings) -> None:
    """Raise a UserError where landmarks.path is not set, or which way the person looks is."""
    refuse_facing(settings, "import")
    check_path("landmarks.path", settings.path)


def estimate(directory: VideoDir, settings: LandmarksSettings, provenance: Provenance) -> Landmarks:
    """The landmarks of the person whom the masks show, from the file or folder that landmarks.path names.

    A file of many people gives in each frame the one whose landmarks lie on the mask. Pixels may be of the frames, or
    of the video file where decoding made it smaller: those that lie on the masks more often are taken.

    Raises:
        UserError: the file is not readable, of no known layout, not of this video, or of nobody on the masks.
    """
    video, masks = VideoInfo.load(directory.video), MaskFolder(directory.masks)
    if len(masks) != video.frames:
        raise UserError(f"{directory.masks}: {video.frames} masks expected, found {len(masks)}; rerun the masks stage")
    path = user_path("landmarks.path", settings.path, directory.name)
    if path.suffix.lower() == ".npz":
        return _own(path, video, provenance)
    read, clip = read_file(path), decoded_clip(directory, video)
    # Images numbered without a list of them are counted from 1 where the last number says so.
    first = int(read.frames is None and read.last == clip.in_file)
    numbers = matching_frames(path, read.tool, read.frames, read.last - first, clip) + first
    scales = [1.0, *_scale_of_file(clip, video)]
    chosen = [_on_masks(read, numbers, masks, scale) for scale in scales]
    best = int(np.argmax([visibility.any(1).sum() for _, visibility in chosen]))
    xy, visibility = chosen[best]
    found = int(visibility.any(1).sum())
    if not found:
        raise UserError(
            f"{path}: nobody in it lies on the masks of this video in any frame; is it of this video, in its pixels?"
        )
    provenance.facts |= {
        "source": read.tool,
        "landmarks": str(path),
        "frames": video.frames,
        "found_frames": found,
        "pixels": "of the frames" if best == 0 else "of the video file",
    }
    if found < _ON_MASK * video.frames:
        provenance.warn(
            f"{path}: the person on the masks is found in {found} of {video.frames} frames only; is it for this video?"
        )
    visibility = visibility * inside(xy, video.width, video.height)
    return Landmarks(read.names, xy, visibility, source=f"{read.tool} (imported)")


def _own(path: Path, video: VideoInfo, provenance: Provenance) -> Landmarks:
    landmarks = Landmarks.load(path)
    if len(landmarks) != video.frames:
        raise UserError(f"{path}: {video.frames} frames expected, one for each decoded one, found {len(landmarks)}")
    found = int((landmarks.visibility > 0).any(1).sum())
    provenance.facts |= {"source": landmarks.source, "landmarks": str(path), "found_frames": found}
    return landmarks


def _scale_of_file(clip: Clip, video: VideoInfo) -> list[float]:
    """Frames over video file, where decoding made it smaller."""
    if clip.file_size is None or max(clip.file_size) <= max(video.width, video.height):
        return []
    return [max(video.width, video.height) / max(clip.file_size)]


def _on_masks(read: Read, numbers: np.ndarray, masks: MaskFolder, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """xy (T, L, 2) and visibility (T, L) of the person on each mask; zero where none of the people is."""
    xy, visibility = np.zeros((len(numbers), len(read.names), 2)), np.zeros((len(numbers), len(read.names)))
    for frame, number in enumerate(numbers):
        people = read.people.get(int(number), [])
        if not people:
            continue
        mask = masks[frame]
        shares = [_share_on(person[person[:, 2] > 0, :2] * scale, mask) for person in people]
        if max(shares) < _ON_MASK:
            continue
        person = people[int(np.argmax(shares))]
        seen = person[:, 2] > 0
        xy[frame] = np.where(seen[:, None], person[:, :2], person[seen, :2].mean(0)) * scale  # the others at a guess
        visibility[frame] = person[:, 2]
    return xy, visibility


def _share_on(points: np.ndarray, mask: np.ndarray) -> float:
    """How many of the points (N, 2) lie on the mask."""
    within = inside(points, mask.shape[1], mask.shape[0])
    pixels = np.floor(points[within]).astype(int)
    return float((mask[pixels[:, 1], pixels[:, 0]] > 127).sum()) / max(len(points), 1)
