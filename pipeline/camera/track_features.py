"""The camera's motion from the background: does it stand, turn, zoom or travel? In doubt the simpler case is taken.

Each case is measured by the share of the background that it explains, the same for each part of the picture. A richer
case must explain clearly more than a simpler one, and most of the background: moving trees, water and crowds, split
screens and bare walls are explained by none, and the camera is then taken to stand, with a warning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.camera.bundle import Lens
from pipeline.camera.features import Tracks, follow
from pipeline.camera.scale import UNSURE, metres
from pipeline.camera.settings import CameraSettings
from pipeline.camera.track_focal import with_focal
from pipeline.camera.travelling import Solution, solve
from pipeline.camera.turning import Turns, explained, fit_turns, tolerance_of
from pipeline.camera.verticals import Focal
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError

PACKAGES = ("opencv-contrib-python", "numpy", "scipy")
_MOVING = 0.25  # a frame moves where a turn and a zoom explain so much more than standing still
_MOVING_FRAMES = 0.02  # share of such frames, below which the camera stands
_MOST = 0.6  # of the background that a case must explain
_MOST_PATH = 0.7  # the same of a path: it has more to explain trembling leaves with
_SURE = 0.9  # with as much no richer case is looked for
_MOSTLY = 0.8  # with less the user is told
_STANDING = 0.4  # of the background that stays where it was: with more no camera travels
_MORE = 0.15  # that a richer case must explain beyond a simpler one
_NEARER = 0.6  # times a turn's error in the median, below which a smaller path is looked for twice: noise leaves 0.7
_ZOOM = 0.03  # relative change of the focal length that is called a zoom
_FASTEST = 12.0  # m/s that a camera beside a person may travel
_BARE = 0.3  # share of frames without points, above which nothing can be said
_LOST = 0.3  # the same of lost frames
_SIGMA_FOCAL = 0.15  # relative, of a guess: five real cameras lie within 17% of it
_SIGMA_BEND = 0.1  # of a lens that nobody calibrated: phones have up to 0.1, action cameras 0.2
_UNSEEN = 0.1  # metres that a camera moves unseen where a turn explains most of the background, but not all
_UNKNOWN = 0.1  # radians that a camera in doubt may turn
_LEAST = 0.02  # metres that a place before the camera moves by a path: less is what errors of a turn look like
_SAME = 0.3  # of its distance from a turn, that a small path may be off when it is looked for once more
_ROOM = 3.0  # metres to what a camera is compared with: how far one that stands may shift unnoticed


@dataclass(frozen=True)
class Verdict:
    """What the camera did."""

    track: CameraTrack
    shares: dict[str, float]  # of the background that each case explains, in the median frame
    warnings: tuple[str, ...] = ()
    focal: Focal | None = None  # what the motion tells of it, where it was a guess


def check(settings: CameraSettings) -> None:
    """OpenCV comes with mediapipe."""


def estimate(directory: VideoDir, settings: CameraSettings, provenance: Provenance) -> CameraTrack:
    """The camera's motion from frames/, masks/ and camera.json.

    Raises:
        UserError: there are not as many masks as frames.
    """
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    if len(masks) != len(frames):
        raise UserError(f"{directory.masks}: {len(frames)} masks expected, found {len(masks)}; rerun the masks stage")
    camera, fps = Camera.load(directory.camera), float(VideoInfo.load(directory.video).fps)
    size = camera.width, camera.height
    tracks = follow(frames.files, masks.files, size)
    bend = 0.0 if camera.K_source == "calibration" else _SIGMA_BEND
    lens = Lens(bend, 0.0 if camera.metric else _SIGMA_FOCAL)
    verdict = judge(tracks, camera.K, size, fps, masks.files, lens)

    def looked_at(times: float) -> Focal | None:
        told = judge(tracks, camera.with_focal(times * camera.K[0, 0]), size, fps, masks.files, lens).focal
        return told and Focal(times * told.times, told.sigma)

    look_again = looked_at if verdict.track.kind != "static" else None
    track = with_focal(verdict.track, directory, provenance, verdict.focal, look_again)
    if track.focal is not None and track.kind != "static":  # the motion once more, with that focal length
        verdict = judge(tracks, camera.with_focal(track.focal), size, fps, masks.files, Lens(bend))
        told = {key: getattr(track, key) for key in ("focal", "focal_sigma", "focal_from")}
        track = replace(verdict.track, **told)
    for warning in verdict.warnings:
        provenance.warn(warning)
    provenance.facts |= {
        "explained": {name: round(share, 3) for name, share in verdict.shares.items()},
        "points a frame": round(len(tracks.frame) / len(frames)),
        "keyframes": len(np.unique(tracks.key[tracks.key >= 0])),
    }
    return track


def judge(tracks: Tracks, K: np.ndarray, size: tuple[int, int], fps: float, masks: list[Path], lens: Lens) -> Verdict:
    """Which case it is, and the track.

    Args:
        tracks: what was seen of the background.
        K: (3, 3) px.
        size: of the frames, px.
        fps: frames a second.
        masks: files of the masks, for the scale of a path.
        lens: how sure K is.
    """
    count = len(tracks.key)
    if tracks.broken is not None and tracks.broken > 1:
        broken = f"the background breaks off at frame {tracks.broken} (a cut: set video.stop; or too fast)"
        return _doubt(count, {}, broken)
    if tracks.broken is not None or tracks.bare > _BARE or (tracks.key < 0).mean() > _LOST:
        return _doubt(count, {}, "the background is too bare, too dark or too blurred to follow")
    turns = fit_turns(tracks, K, size)
    shares = {name: float(np.nanmedian(getattr(turns, name))) for name in ("still", "turning", "zooming")}
    moving = np.nanmean(np.maximum(turns.turning, turns.zooming) - turns.still > _MOVING) > _MOVING_FRAMES
    if not moving and shares["still"] > _MOST:
        return Verdict(_still(turns, K, count), shares, _partly(shares["still"], "stands still"))
    turned = solve(tracks, K, size, turns.turns, fps, False, lens)
    shares["turning"] = max(shares["turning"], float(np.nanmedian(explained(tracks, turned.off, size))))
    if shares["zooming"] > _SURE and shares["zooming"] - shares["turning"] > _MORE:
        return _zoomed(turns, K, size, shares)
    if shares["still"] < _STANDING:
        path = solve(tracks, K, size, turns.turns, fps, True, lens)
        shares["travelling"] = float(np.nanmedian(explained(tracks, path.off, size)))
        more, apart = shares["travelling"] - shares["turning"], None
        if 0 < more <= _MORE and _median(path, tracks) < _NEARER * _median(turned, tracks):
            other = solve(tracks, K, size, turned.turns, fps, True, lens, grown=False)
            if found := _twice(path, other, turned, tracks, masks, K):
                path, apart = found
        if shares["travelling"] > _MOST_PATH and (more > _MORE or apart is not None):
            verdict = _travelled(path, tracks, masks, K, fps, shares, apart)
            if verdict is not None:
                return replace(verdict, focal=_focal(path, lens))
    if moving and shares["turning"] > _SURE:
        return Verdict(_turned(turned), shares, focal=_focal(turned, lens))
    if moving and shares["turning"] > _MOST:  # what it sways unseen would be taken for another focal length
        told = _partly(shares["turning"], "is explained by a turning camera")
        return Verdict(_turned(turned, _UNSEEN), shares, told)
    return _doubt(count, shares, "no motion of a camera explains the background (it moves by itself, or is too bare)")


def _median(solution: Solution, tracks: Tracks) -> float:
    """px that a point is off in the median, but in its own keyframe."""
    return float(np.median(solution.off[tracks.frame != tracks.first[tracks.point]]))


def _twice(
    path: Solution, other: Solution, turned: Solution, tracks: Tracks, masks: list[Path], K: np.ndarray
) -> tuple[Solution, np.ndarray] | None:
    """Of two paths from different starts the one nearer to a camera that turns, and how far they lie apart (T, 2),
    radians and metres. None where that is as much as they differ from the turn, or this is nothing.

    What counts is where each puts a place before the camera.
    """

    def poses(found: Solution) -> np.ndarray:
        scale = metres(found, tracks, masks, K)[0] if found.centres.any() else 0.0
        return _poses(found.turns, scale * found.centres)

    def off(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.median(np.linalg.norm((a - b) @ [0, 0, _ROOM, 1], axis=1)))

    one, two, stands = poses(path), poses(other), poses(turned)
    away = off(one, stands), off(two, stands)
    if min(away) < _LEAST or off(one, two) > _SAME * min(away):
        return None
    turn = (Rotation.from_matrix(one[:, :3, :3]).inv() * Rotation.from_matrix(two[:, :3, :3])).magnitude()
    shift = np.linalg.norm((one - two)[:, :3, 3], axis=1)
    return (path, other)[int(np.argmin(away))], np.stack([turn, shift], 1)


def _still(turns: Turns, K: np.ndarray, count: int) -> CameraTrack:
    """Exact identities; what the background trembles is the error."""
    track = CameraTrack.static(count, "the background stands still")
    trembling = np.nanmedian(turns.moved) / K[0, 0]
    sigma = np.tile([trembling, _ROOM * trembling], (count, 1))
    return CameraTrack(track.world_from_camera, "static", sigma, track.source)


def _turned(solution: Solution, shift: float = 0.0) -> CameraTrack:
    """`shift`: metres that the camera may have moved, taken for turns of it."""
    turn = np.hypot(solution.sigma[:, 0], shift / _ROOM)
    sigma = np.stack([turn, np.hypot(_ROOM * solution.sigma[:, 0], shift)], 1)
    poses = _poses(solution.turns, np.zeros_like(solution.centres))
    return CameraTrack(poses, "turning", sigma, "the background turns")


def _zoomed(turns: Turns, K: np.ndarray, size: tuple[int, int], shares: dict[str, float]) -> Verdict:
    low, high = float(turns.zooms.min()), float(turns.zooms.max())
    most = Rotation.from_matrix(turns.turns_zoomed).magnitude().max()
    spread = tolerance_of(size) / K[0, 0]
    sigma = np.tile([spread, _ROOM * spread], (len(turns.zooms), 1))
    if high / low < 1 + _ZOOM:
        return _doubt(len(turns.zooms), shares, "the background neither stands still nor turns")
    told = (
        f"the lens zooms: the focal length changes from {low:.2f} to {high:.2f} times that of the first frame; one "
        "focal length is used for the clip, so distances change with the zoom"
    )
    if most < 2 * spread:
        still = CameraTrack.static(len(sigma), "the background stands still, but for a zoom")
        return Verdict(CameraTrack(still.world_from_camera, "static", sigma, still.source), shares, (told,))
    poses = _poses(turns.turns_zoomed, np.zeros((len(sigma), 3)))
    return Verdict(CameraTrack(poses, "turning", sigma, "the background turns and zooms"), shares, (told,))


def _travelled(
    path: Solution,
    tracks: Tracks,
    masks: list[Path],
    K: np.ndarray,
    fps: float,
    shares: dict[str, float],
    apart: np.ndarray | None,
) -> Verdict | None:
    """None where the path is not credible. `apart` (T, 2): how far off it was when it was looked for once more."""
    scale, floor = metres(path, tracks, masks, K)
    centres = scale * path.centres
    fastest = fps * np.linalg.norm(np.diff(centres, axis=0), axis=1).max(initial=0)
    if fastest > _FASTEST:
        return None
    unsure = UNSURE * np.linalg.norm(centres, axis=1)
    sigma = np.stack([path.sigma[:, 0], np.hypot(scale * path.sigma[:, 1], unsure)], 1)
    sigma = sigma if apart is None else np.hypot(sigma, apart)
    told = "the length of the camera's path is a guess: no floor is seen beside the person's feet"
    track = CameraTrack(_poses(path.turns, centres), "travelling", sigma, "the background's points in space")
    partly = _partly(shares["travelling"], "is explained by a travelling camera")
    return Verdict(track, shares, partly if floor else (*partly, told))


def _doubt(count: int, shares: dict[str, float], reason: str) -> Verdict:
    sigma = np.tile([_UNKNOWN, _ROOM * _UNKNOWN], (count, 1))
    track = CameraTrack(np.tile(np.eye(4), (count, 1, 1)), "static", sigma, f"in doubt: {reason}")
    advice = "bring its motion (camera.backend: import), or say that it stands (static)"
    return Verdict(track, shares, (f"the camera is taken to stand still: {reason}; if it moves, {advice}",))


def _focal(found: Solution, lens: Lens) -> Focal | None:
    return Focal(found.focal, found.sigma_focal) if lens.sigma_focal else None


def _partly(share: float, does: str) -> tuple[str, ...]:
    return (f"only {share:.0%} of the background {does}; the rest moves otherwise",) if share < _MOSTLY else ()


def _poses(turns: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(T, 4, 4), relative to the first frame."""
    poses = np.tile(np.eye(4), (len(turns), 1, 1))
    poses[:, :3, :3] = turns[0].T @ turns
    poses[:, :3, 3] = (centres - centres[0]) @ turns[0]
    return poses
