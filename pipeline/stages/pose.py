"""The pose stage: the initial motion, before refinement."""

import argparse
from pathlib import Path

from pipeline.body import load_body
from pipeline.camera.settings import CameraSettings
from pipeline.camera.world import stand_in_clip
from pipeline.estimators import load_backend
from pipeline.estimators.settings import PoseSettings
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.runtime.settings import load_settings, parse_overrides

HELP = """Estimate the initial motion of the person.

reads   DIRECTORY/frames/, masks/, landmarks.npz, camera.json, video.json, and camera_track.npz where it is
writes  DIRECTORY/pose_init.npz: SMPL motion, in the camera frame and in a world"""
PACKAGES = ("torch", "numpy", "scipy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")
    parser.add_argument("--body-model", default="free", metavar="NAME|FILE", help='"free", or the path of an SMPL file')
    parser.add_argument("--camera", metavar="YAML", help="pitch and roll in degrees, as section camera of the config")


def run(args: argparse.Namespace) -> None:
    settings = load_settings("pose", parse_overrides(args.settings), PoseSettings)
    tilt = load_settings("camera", parse_overrides(args.camera), CameraSettings)
    backend = load_backend("pose", settings.backend)
    backend.check(settings)
    directory = VideoDir(args.directory)
    provenance = Provenance("pose", settings, getattr(backend, "PACKAGES", PACKAGES))
    pose = backend.estimate(directory, settings, args.body_model, provenance)
    world = stand_in_clip(pose, load_body(args.body_model), directory, tilt.pitch, tilt.roll)
    for warning in world.warnings:
        provenance.warn(warning)
    provenance.facts["world"] = world.facts()
    world.pose.save(directory.pose_init)
    provenance.save(directory.provenance("pose"))
