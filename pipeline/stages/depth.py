"""depth: the camera, and depth maps where the backend gives them."""

import argparse
import logging
from pathlib import Path

from pipeline.camera.intrinsics import DepthSettings
from pipeline.estimators import load_backend
from pipeline.formats.atomic import atomic_directory
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings, parse_overrides

HELP = """Find the camera, and the depth of each frame where a backend gives it.

reads   DIRECTORY/frames/, DIRECTORY/video.json
writes  DIRECTORY/camera.json; DIRECTORY/depth/%06d.png (16-bit millimetres, 0 = unknown) unless the backend is none"""
PACKAGES = ("numpy", "pillow")
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")


def run(args: argparse.Namespace) -> None:
    settings = load_settings("depth", parse_overrides(args.settings), DepthSettings)
    backend = load_backend("depth", settings.backend)
    backend.check(settings)
    directory = VideoDir(args.directory)
    frames = VideoInfo.load(directory.video).frames
    provenance = Provenance("depth", settings, getattr(backend, "PACKAGES", PACKAGES))
    with atomic_directory(directory.depth) as out:
        camera = backend.estimate(directory, settings, out, provenance)
        maps = len(list(out.iterdir()))
        if maps not in (0, frames):
            raise UserError(f"{directory.depth}: {frames} maps expected, backend {settings.backend} gave {maps}")
    if maps == 0:
        directory.depth.rmdir()
    camera.save(directory.camera)
    provenance.save(directory.provenance("depth"))
    log.info("depth: %d maps; focal length %.0f px (%s)", maps, camera.K[0, 0], camera.source)
