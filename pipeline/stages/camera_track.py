"""camera_track: how the camera moves through the clip."""

import argparse
import logging
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.camera import track_features, track_import, track_static
from pipeline.camera.settings import CameraSettings
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings, parse_overrides

HELP = """Find out whether the camera stands still, turns or travels, and its place in each frame; and a guessed
focal length from its motion and the scene's straight lines.

reads   DIRECTORY/frames/, masks/, camera.json, video.json
writes  DIRECTORY/camera_track.npz"""
SECTION = "camera"
BACKENDS = {"tracks": track_features, "static": track_static, "import": track_import}
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")


def run(args: argparse.Namespace) -> None:
    settings = load_settings(SECTION, parse_overrides(args.settings), CameraSettings)
    backend = BACKENDS.get(settings.backend)
    if backend is None:
        raise UserError(
            f"settings camera.backend: {settings.backend!r} is not known; choose one of {', '.join(BACKENDS)}"
        )
    backend.check(settings)
    directory = VideoDir(args.directory)
    frames = VideoInfo.load(directory.video).frames
    provenance = Provenance("camera_track", settings, backend.PACKAGES)
    track = backend.estimate(directory, settings, provenance)
    if len(track) != frames:
        raise UserError(
            f"{directory.camera_track}: {frames} frames expected, backend {settings.backend} gave {len(track)}"
        )
    provenance.facts |= described(track)
    track.save(directory.camera_track)
    provenance.save(directory.provenance("camera_track"))
    log.info("camera_track: %s; %s", track.kind, track.source)


def described(track: CameraTrack) -> dict[str, str | float]:
    """The motion in a few numbers: degrees, metres."""
    turns, centres = track.world_from_camera[:, :3, :3], track.world_from_camera[:, :3, 3]
    return {
        "kind": track.kind,
        "from": track.source,
        "largest turn (deg)": round(float(np.degrees(Rotation.from_matrix(turns).magnitude().max())), 2),
        "path (m)": round(float(np.linalg.norm(np.diff(centres, axis=0), axis=1).sum()), 3),
        "farthest from the start (m)": round(float(np.linalg.norm(centres, axis=1).max()), 3),
        "sigma of direction (deg)": round(float(np.degrees(track.sigma[:, 0].mean())), 3),
        "sigma of place (m)": round(float(track.sigma[:, 1].mean()), 3),
    }
