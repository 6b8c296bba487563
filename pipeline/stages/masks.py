"""The masks stage: where the person is in each frame."""

import argparse
from pathlib import Path

from pipeline.estimators import load_backend
from pipeline.estimators.settings import MasksSettings
from pipeline.formats.atomic import atomic_directory
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings, parse_overrides

HELP = """Find the person in each frame.

reads   DIRECTORY/frames/, DIRECTORY/video.json
writes  DIRECTORY/masks/%06d.png: 8 bits, 255 = person, soft edges; empty where the person is not found"""
PACKAGES = ("mediapipe", "opencv-contrib-python", "numpy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")


def run(args: argparse.Namespace) -> None:
    settings = load_settings("masks", parse_overrides(args.settings), MasksSettings)
    backend = load_backend("masks", settings.backend)
    backend.check(settings)
    directory = VideoDir(args.directory)
    frames = FrameFolder(directory.frames)
    provenance = Provenance("masks", settings, getattr(backend, "PACKAGES", PACKAGES))
    with atomic_directory(directory.masks) as out:
        backend.estimate(directory, settings, out, provenance)
        written = len(MaskFolder(out))
        if written != len(frames):
            raise UserError(
                f"{directory.masks}: {len(frames)} masks expected, backend {settings.backend} gave {written}"
            )
    provenance.save(directory.provenance("masks"))
