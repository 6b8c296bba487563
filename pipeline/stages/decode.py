"""decode: a video becomes frames/ and video.json."""

import argparse
import hashlib
import logging
from pathlib import Path

import yaml

from pipeline.formats.atomic import atomic_directory
from pipeline.formats.images import write_frame
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.progress import track
from pipeline.settings import load_settings, parse_overrides
from pipeline.video.decode import DecodeSettings, count_frames, read_frames
from pipeline.video.probe import probe

HELP = """Decode a video once, for every stage after: upright, at a constant frame rate.

reads   VIDEO, anything that ffmpeg can
writes  DIRECTORY/frames/%06d.jpg, DIRECTORY/video.json"""
SECTION = "video"  # of config/config.yaml
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", type=Path, help="the video file")
    parser.add_argument("directory", type=Path, help="results/<video>, made where it is missing")
    for name, text in (
        ("start", "first frame, or seconds such as 3s"),
        ("stop", "the frame after the last, or seconds"),
        ("step", "keep every N-th frame"),
    ):
        parser.add_argument(f"--{name}", metavar="N", help=f"{text} (replaces {SECTION}.{name} of the config)")


def run(args: argparse.Namespace) -> None:
    flags = {key: yaml.safe_load(text) for key in ("start", "stop", "step") if (text := getattr(args, key))}
    settings = load_settings(SECTION, parse_overrides(args.settings) | flags, DecodeSettings)
    provenance = Provenance("decode", settings, ("ffmpeg-python", "imageio-ffmpeg", "pillow"))
    source = probe(args.video)
    if not source.constant:
        provenance.warn(
            f"{source.path}: its frame rate varies; made constant at {float(source.fps):.6g} frames a second, "
            "so some frames are repeated or dropped"
        )
    directory = VideoDir(args.directory)
    height = width = count = 0
    with atomic_directory(directory.frames) as folder:
        frames = read_frames(source, settings, provenance.warn)
        for frame in track(frames, f"decode {source.path.name}", count_frames(source, settings), "frame"):
            write_frame(folder / f"{count:06d}.jpg", frame)
            height, width = frame.shape[:2]
            count += 1
    with source.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    fps = source.fps / settings.step
    info = VideoInfo(str(args.video), digest, fps, width, height, count, source.rotation)
    info.save(directory.video)
    provenance.facts = {"frames in the file": source.frames, "constant frame rate": source.constant, "HDR": source.hdr}
    provenance.save(directory.provenance("decode"))
    log.info("decode: %d frames of %dx%d at %s frames a second", count, width, height, fps)
