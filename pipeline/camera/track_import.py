"""The camera's motion from the user's file: another tool's, paired with the decoded frames by name, time or order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import interp1d
from scipy.spatial.transform import Rotation, Slerp

from pipeline.camera.settings import CameraSettings
from pipeline.camera.track_focal import with_focal
from pipeline.camera.trajectories import Trajectory, read_trajectory
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack, Kind
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.user_files import check_path, user_path
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from pipeline.motion.readers.motion import Clip

PACKAGES = ("opencv-contrib-python", "numpy", "scipy")
_COVERED = 0.8  # share of the decoded frames that must lie between poses of the file
_FOCAL = 0.05  # relative difference of focal lengths that is told
_STILL = (np.radians(0.1), 0.01)  # radians and metres: a camera that moves less stands, or only turns
_SIGMA = (np.radians(0.5), 0.02)  # a file tells no error: radians, and a share of the way from the first frame


def check(settings: CameraSettings) -> None:
    """Raise a UserError where camera.path is not set."""
    check_path("camera.path", settings.path)


def estimate(directory: VideoDir, settings: CameraSettings, provenance: Provenance) -> CameraTrack:
    """The motion that camera.path tells, relative to the first frame.

    Raises:
        UserError: the file is missing, of no known layout, or not of this video's frames.
    """
    from pipeline.motion.readers.frames import decoded_clip  # loads torch: a second that other backends do not pay

    video, camera = VideoInfo.load(directory.video), Camera.load(directory.camera)
    path = user_path("camera.path", settings.path, directory.name)
    told = read_trajectory(path)
    stamps, wanted = _paired(path, told, decoded_clip(directory, video), video)
    inside = (wanted >= stamps[0] - 0.5) & (wanted <= stamps[-1] + 0.5)
    if inside.mean() < _COVERED:
        raise UserError(
            f"{path}: {told.tool} tells of {inside.sum()} of the {video.frames} decoded frames; run the tool on this "
            "very video, or decode what it saw (video.start, video.stop, video.step)"
        )
    missing = int((~np.isclose(wanted[:, None], stamps, atol=0.5).any(1)).sum())
    if missing:
        provenance.warn(
            f"{path}: {missing} of {video.frames} frames have no pose there; they lie between their neighbours"
        )
    if not told.metric:
        provenance.warn(f"{path}: the unit of its path is arbitrary; it is taken for metres")
    if told.focal is not None:
        _compare(path, told.focal, camera, provenance)
    provenance.facts |= {"file": str(path), "tool": told.tool, "poses in the file": len(told.poses)}
    track = _track(_at(told.poses, stamps, wanted), f"imported from {told.tool}: {path.name}")
    return with_focal(track, directory, provenance)


def _paired(path: Path, told: Trajectory, clip: Clip, video: VideoInfo) -> tuple[np.ndarray, np.ndarray]:
    """Places of the poses (n,) and of the decoded frames (T,) on one scale, in frames."""
    decoded = len(clip.numbers)
    if told.unit == "seconds":
        seconds = np.arange(decoded) / float(clip.fps) if video.seconds is None else np.array(video.seconds)
        stamps = told.stamps
        if stamps[0] > seconds[-1]:  # by a clock: the first pose is of the first frame
            stamps = stamps - stamps[0] + seconds[0]
        return stamps * float(video.fps), seconds * float(video.fps)
    if told.stamps is None:
        if len(told.poses) not in (decoded, clip.in_file):
            raise UserError(
                f"{path}: {told.tool} has {len(told.poses)} poses, but {decoded} frames were decoded of the "
                f"{clip.in_file} in the video file; run the tool on this very video"
            )
        numbers = np.arange(decoded) if len(told.poses) == decoded else clip.numbers
        return np.arange(len(told.poses), dtype=float), numbers.astype(float)
    last, one = told.stamps[-1], 0
    for frames, numbers in ((decoded, np.arange(decoded)), (clip.in_file, clip.numbers)):
        one = int(told.stamps[0] >= 1 and last == frames)  # ffmpeg numbers from 1 on
        if last - one < frames:
            return told.stamps - one, numbers.astype(float)
    raise UserError(
        f"{path}: {told.tool} tells of a frame {last:g}, but {decoded} frames were decoded of the {clip.in_file} in "
        "the video file; is it for this video?"
    )


def _at(poses: np.ndarray, stamps: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(T, 4, 4) between the poses; before the first and after the last as these."""
    out = np.tile(np.eye(4), (len(wanted), 1, 1))
    if len(poses) == 1:
        return out
    wanted = np.clip(wanted, stamps[0], stamps[-1])
    out[:, :3, :3] = Slerp(stamps, Rotation.from_matrix(poses[:, :3, :3]))(wanted).as_matrix()
    out[:, :3, 3] = interp1d(stamps, poses[:, :3, 3], axis=0)(wanted)
    out = np.linalg.inv(out[0]) @ out
    out[0], out[:, 3] = np.eye(4), [0, 0, 0, 1]
    return out


def _compare(path: Path, focal: tuple[float, int], camera: Camera, provenance: Provenance) -> None:
    theirs = focal[0] * camera.width / focal[1]
    if abs(theirs / camera.K[0, 0] - 1) > _FOCAL:
        provenance.warn(
            f"{path}: its focal length is {theirs:.0f} px, that of camera.json {camera.K[0, 0]:.0f} px "
            f"({camera.source}); set depth.focal: {theirs:.0f} if you trust it"
        )


def _track(poses: np.ndarray, source: str) -> CameraTrack:
    turn = Rotation.from_matrix(poses[:, :3, :3]).magnitude()
    way = np.linalg.norm(poses[:, :3, 3], axis=1)
    kind: Kind = "travelling"
    if way.max() < _STILL[1]:
        poses[:, :3, 3] = 0
        kind = "turning"
        if turn.max() < _STILL[0]:
            poses[:, :3, :3] = np.eye(3)
            kind = "static"
    sigma = np.stack([np.full(len(poses), _SIGMA[0]), _SIGMA[1] * way], 1)
    return CameraTrack(poses, kind, sigma, source)
