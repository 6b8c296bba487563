"""How long a travelling camera's path is, from the feet: while one stands it does not move in the world.

A path seen by one camera has no scale of its own; the person's body has.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.camera.contact import slow
from pipeline.camera.feet import Feet
from pipeline.formats.camera_track import CameraTrack

_LAG = 0.15  # seconds, between whose ends a standing foot has not moved
_OFF = 0.04  # metres: the error of that, across the line of sight; what is farther off counts less and less
_ALONG = 0.25  # of what is seen along it: most of that is error
_SAME = 3.0  # pairs of places beside each other in time tell the same: so many count as one
_ROUNDS = 6
_MOST = 2.0  # times as long or as short


def paced(feet: Feet, track: CameraTrack) -> CameraTrack:
    """The track with its path as long as standing feet say, as far as the track is unsure of it.

    Foot and camera move in the frame of the camera at once: a place at rest is R p + s c in each frame, R and c the
    camera's turn and centre, p the place that it sees. What is seen across the line of sight tells s; along it one
    camera sees little.

    Args:
        feet: in the camera's frame.
        track: of as many frames; one that does not travel, or is certain, comes back as it is.
    """
    centres = track.world_from_camera[:, :3, 3]
    away = np.linalg.norm(centres, axis=1)
    lag = max(1, round(_LAG * feet.fps))
    if track.kind != "travelling" or len(centres) <= lag or away.max() == 0:
        return track
    unsure = float(np.median((track.sigma[:, 1] / np.maximum(away, 1e-9))[away > 0.3 * away.max()]))
    if unsure == 0:
        return track
    scale = 1.0
    for _ in range(_ROUNDS):
        moved = feet.moved(_scaled(track, scale).world_from_camera)
        stands = slow(moved)
        both = np.sqrt(stands[lag:] * stands[:-lag])[..., None]
        rays = moved.rays()[lag:]
        gone = moved.middles[lag:] - moved.middles[:-lag]
        step = np.broadcast_to((centres[lag:] - centres[:-lag])[:, None], gone.shape)
        seen, told = (
            part - (1 - _ALONG) * (part * rays).sum(2, keepdims=True) * rays for part in (gone - scale * step, step)
        )
        error = seen + scale * told
        weight = both / (1 + (error**2).sum(2, keepdims=True) / _OFF**2) ** 2 / _OFF**2 / _SAME
        scale = (1 / unsure**2 - (weight * seen * told).sum()) / (1 / unsure**2 + (weight * told**2).sum())
        scale = float(np.clip(scale, 1 / _MOST, _MOST))
    return _scaled(track, scale)


def _scaled(track: CameraTrack, scale: float) -> CameraTrack:
    poses = track.world_from_camera.copy()
    poses[:, :3, 3] *= scale
    return replace(track, world_from_camera=poses)
