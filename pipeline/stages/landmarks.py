"""The landmarks stage: where points of the person are in each picture."""

import argparse
from pathlib import Path

from pipeline.estimators import load_backend
from pipeline.estimators.settings import LandmarksSettings
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings, parse_overrides

HELP = """Find landmarks of the person in each frame.

reads   DIRECTORY/frames/, masks/, video.json; provenance/decode.json and the video itself where the person is small
        in frames/
writes  DIRECTORY/landmarks.npz: what the initial pose is fitted to, and evidence for the fit"""
PACKAGES = ("mediapipe", "opencv-contrib-python", "numpy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")


def run(args: argparse.Namespace) -> None:
    settings = load_settings("landmarks", parse_overrides(args.settings), LandmarksSettings)
    backend = load_backend("landmarks", settings.backend)
    backend.check(settings)
    directory = VideoDir(args.directory)
    frames = VideoInfo.load(directory.video).frames
    provenance = Provenance("landmarks", settings, getattr(backend, "PACKAGES", PACKAGES))
    landmarks = backend.estimate(directory, settings, provenance)
    if len(landmarks) != frames:
        raise UserError(
            f"{directory.landmarks}: {frames} frames expected, backend {settings.backend} gave {len(landmarks)}"
        )
    landmarks.save(directory.landmarks)
    provenance.save(directory.provenance("landmarks"))
