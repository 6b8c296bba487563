"""branch: a folder of its own for another fit of the same clip."""

import argparse
import logging
import os
from pathlib import Path

from pipeline.formats.paths import VideoDir
from pipeline.runtime.errors import UserError

HELP = """Give another fit of a clip a folder of its own, so that fits can be compared: what the stages before the fit
wrote is linked there, nothing is copied.

reads   SOURCE/video.json, frames/, masks/, camera.json, depth/ where there is one, camera_track.npz, pose_init.npz,
        landmarks.npz, provenance/decode.json
writes  links of the same names in DIRECTORY"""
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="results/<video>, up to the initial pose")
    parser.add_argument("directory", type=Path, help="the new folder")


def run(args: argparse.Namespace) -> None:
    source, target = VideoDir(args.source), VideoDir(args.directory)
    links = {
        target.video: source.video,
        target.frames: source.frames,
        target.masks: source.masks,
        target.camera: source.camera,
        target.depth: source.depth,
        target.camera_track: source.camera_track,
        target.pose_init: source.pose_init,
        target.landmarks: source.landmarks,
        target.provenance("decode"): source.provenance("decode"),
    }
    for link, file in links.items():
        if link.exists() and not link.is_symlink():
            raise UserError(f"{link}: is no link; a clip's own folder cannot be a branch of another, name a new folder")
        if link.is_symlink():
            link.unlink()
        if file.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(file, link.parent.resolve()))
        elif file != source.depth:
            raise UserError(f"{file}: not found; run the stages before the fit first")
    log.info("branch: %s looks at the files of %s", args.directory, args.source)
