"""The pose stage: the initial motion, before refinement."""

import argparse
from pathlib import Path

from pipeline.estimators import load_backend
from pipeline.estimators.settings import PoseSettings
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.runtime.settings import load_settings, parse_overrides

HELP = """Estimate the initial motion of the person.

reads   DIRECTORY/frames/, DIRECTORY/masks/, DIRECTORY/landmarks.npz, DIRECTORY/camera.json, DIRECTORY/video.json
writes  DIRECTORY/pose_init.npz: SMPL motion"""
PACKAGES = ("torch", "numpy", "scipy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")
    parser.add_argument("--body-model", default="free", metavar="NAME|FILE", help='"free", or the path of an SMPL file')


def run(args: argparse.Namespace) -> None:
    settings = load_settings("pose", parse_overrides(args.settings), PoseSettings)
    backend = load_backend("pose", settings.backend)
    backend.check(settings)
    directory = VideoDir(args.directory)
    provenance = Provenance("pose", settings, getattr(backend, "PACKAGES", PACKAGES))
    pose = backend.estimate(directory, settings, args.body_model, provenance)
    pose.save(directory.pose_init)
    provenance.save(directory.provenance("pose"))
