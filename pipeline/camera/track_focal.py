"""A guessed focal length from the scene's straight lines, and with what the camera's motion tells where that does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.camera.verticals import FOCAL_ERROR, Segments, find_segments
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance

_SURE = 0.1  # relative standard deviation, below which the lines take the place of a guess
_STEADY = 0.05  # radians that a camera said to stand may turn unseen: more, and frames do not tell together
_TOLD = 0.05  # relative difference from the guess that is told


def with_lines(track: CameraTrack, directory: VideoDir, provenance: Provenance) -> CameraTrack:
    """The track, with the focal length of the lines where camera.json's is a guess and they are sure of it.

    Raises:
        UserError: camera.json, frames/ or masks/ is missing or wrong.
    """
    camera = Camera.load(directory.camera)
    if camera.metric:
        return track
    told = _segments(track, directory, camera.K).tell_focal()
    if told is None:
        return track
    guess = float(camera.K[0, 0])
    provenance.facts |= {
        "focal length by straight lines (px)": round(told[0] * guess, 1),
        "its sigma (%)": round(100 * told[1], 1),
    }
    if told[1] >= _SURE:
        return track
    found = combined(track, *told, guess)
    if abs(found.focal / guess - 1) > _TOLD:
        provenance.warn(
            f"the scene's straight lines tell a focal length of {told[0] * guess:.0f} px (sigma {told[1]:.0%}), not "
            f"the guessed {guess:.0f}; {found.focal:.0f} px is used from here on"
        )
    return found


def combined(track: CameraTrack, times: float, sigma: float, guess: float) -> CameraTrack:
    """The track with the lines' focal length, `times` the guess, px; with the motion's, each by how sure it is.

    What the guess lends the lines is taken off: the motion has started from the same one.
    """
    if track.focal is None or track.focal_sigma is None:
        return replace(track, focal=times * guess, focal_sigma=sigma, focal_from="lines")
    lines, motion = 1 / sigma**2 - 1 / FOCAL_ERROR**2, 1 / track.focal_sigma**2
    mean = (np.log(times) / sigma**2 + np.log(track.focal / guess) * motion) / (lines + motion)
    surer = "lines" if lines > motion else "motion"
    return replace(
        track, focal=guess * float(np.exp(mean)), focal_sigma=float((lines + motion) ** -0.5), focal_from=surer
    )


def _segments(track: CameraTrack, directory: VideoDir, K: np.ndarray) -> Segments:
    """Of a few frames where the camera stands; else of the first one, for how it turned hangs on the focal length."""
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    if track.kind == "static" and track.sigma[:, 0].max() < _STEADY:
        return find_segments(frames, masks, K, track.world_from_camera[:, :3, :3], True)
    return find_segments([frames[0]], [masks[0]], K, np.eye(3)[None], True)
