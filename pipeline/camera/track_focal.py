"""A focal length in the place of a guess: what the camera's motion, the scene's straight lines and the guess tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.camera.verticals import GUESS, Focal, Segments, find_segments
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance

_SURE = 0.1  # relative standard deviation of all together, below which it takes the place of the guess
_STEADY = 0.05  # radians that a camera said to stand may turn unseen: more, and frames do not tell together
_FAR = 0.1  # relative difference from the guess beyond which the motion is looked at once more
_TOLD = 0.05  # relative difference from the guess that is told


def with_focal(
    track: CameraTrack,
    directory: VideoDir,
    provenance: Provenance,
    motion: Focal | None = None,
    look_again: Callable[[float], Focal | None] | None = None,
) -> CameraTrack:
    """The track, with the focal length where camera.json's is a guess and what else is known is sure.

    Args:
        track: of the camera.
        directory: camera.json, frames/ and masks/.
        provenance: is told what was found.
        motion: what the camera's motion tells of it.
        look_again: tells the same of a camera with so many times the guess. It is asked where all together point there
            and are not sure: what a motion tells is linearised, and far from the truth it tells little.

    Raises:
        UserError: camera.json, frames/ or masks/ is missing or wrong.
    """
    camera = Camera.load(directory.camera)
    if camera.metric:
        return track
    segments = _segments(track, directory, camera.K)
    before = _without_lines(motion)
    found = segments.tell_focal(before)
    if look_again is not None and found.sigma >= _SURE and abs(np.log(found.times)) > _FAR:
        nearer = look_again(found.times)
        if nearer is not None:
            motion, before = nearer, _without_lines(nearer)
            found = segments.tell_focal(before)
    guess = float(camera.K[0, 0])
    provenance.facts |= {
        "focal length found (px)": round(found.times * guess, 1),
        "its sigma (%)": round(100 * found.sigma, 1),
    }
    if motion is not None:
        provenance.facts["focal length by the motion alone (px)"] = round(motion.times * guess, 1)
    if found.sigma >= _SURE:
        return track
    by_lines = motion is None or found.sigma**-2 - before.sigma**-2 > motion.sigma**-2
    if abs(found.times - 1) > _TOLD:
        tell = "straight lines tell" if motion is None else "straight lines and the camera's motion tell"
        provenance.warn(
            f"the scene's {tell} a focal length of {found.times * guess:.0f} px (sigma {found.sigma:.0%}), not the "
            f"guessed {guess:.0f}; it is used from here on"
        )
    told = "lines" if by_lines else "motion"
    return replace(track, focal=found.times * guess, focal_sigma=found.sigma, focal_from=told)


def _without_lines(motion: Focal | None) -> Focal:
    if motion is None:
        return GUESS
    return motion if motion.sigma < _SURE else GUESS.and_also(motion)  # a guess that is far off would only pull


def _segments(track: CameraTrack, directory: VideoDir, K: np.ndarray) -> Segments:
    """Of a few frames where the camera stands; else of the first one, for how it turned hangs on the focal length."""
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    if track.kind == "static" and track.sigma[:, 0].max() < _STEADY:
        return find_segments(frames, masks, K, track.world_from_camera[:, :3, :3], True)
    return find_segments([frames[0]], [masks[0]], K, np.eye(3)[None], True)
