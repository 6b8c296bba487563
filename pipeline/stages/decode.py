"""decode: a video becomes frames/ and video.json."""

import argparse
import hashlib
import logging
from fractions import Fraction
from pathlib import Path

import numpy as np
import yaml

from pipeline.formats.atomic import atomic_directory
from pipeline.formats.images import write_frame
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.runtime.progress import track
from pipeline.runtime.settings import load_settings, parse_overrides
from pipeline.video.calibration import Undistortion, read_calibration
from pipeline.video.decode import DecodeSettings, announce, count_frames, read_frames, selected_frames
from pipeline.video.looks import describe
from pipeline.video.probe import probe
from pipeline.video.shots import choose_shot, split_shots, tell_shots
from pipeline.video.source import VideoSource, what_is_changed
from pipeline.video.times import frame_times, packet_times

HELP = """Decode a video once, for every stage after: upright, at a constant frame rate.

reads   VIDEO, a file of one of the usual kinds or a folder of images: docs/video.md; video.calibration
writes  DIRECTORY/frames/%06d.jpg, DIRECTORY/video.json"""
SECTION = "video"  # of config/config.yaml
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", type=Path, help="the video file, or a folder of images")
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
    source = probe(args.video, Fraction(settings.image_fps).limit_denominator(1001))
    for told in what_is_changed(source):
        provenance.warn(told)
    announce(source, settings, provenance.warn)
    whole = (source.width, source.height)
    calibration = (
        None if settings.calibration is None else read_calibration(settings.calibration, settings.camera, whole)
    )
    undistort = None
    directory = VideoDir(args.directory)
    looks, size = [], (0, 0)
    with atomic_directory(directory.frames) as folder:
        frames = read_frames(source, settings, provenance.warn)
        total = count_frames(source, settings)
        for index, frame in enumerate(track(frames, f"decode {source.path.name}", total, "frame")):
            if calibration is not None:
                undistort = undistort or Undistortion(calibration, frame.shape[1], frame.shape[0])
                frame = undistort(frame)
            write_frame(folder / f"{index:06d}.jpg", frame)
            looks.append(describe(frame))
            size = frame.shape[1], frame.shape[0]
        shots = split_shots(looks)
        shot = choose_shot(shots, settings.shot, str(source.path))
        _keep(folder, len(looks), shot)
    first = selected_frames(source, settings)[0]
    if len(shots) > 1:
        provenance.warn(f"{source.path}: {tell_shots(shots, shot, settings, first, source.fps)}")
    played = source.fps if settings.capture_fps is None else Fraction(settings.capture_fps).limit_denominator(1001)
    fps = played / settings.step
    start = first + shot.start * settings.step
    times = {"seconds": frame_times(source, settings, shot), "packets": packet_times(source)}
    told = {key: None if value is None else tuple(np.round(value, 6).tolist()) for key, value in times.items()}
    told["focal_mm"] = source.focal_mm
    if undistort:
        told |= {"K": tuple(map(tuple, undistort.K.tolist())), "K_source": calibration.source}
    info = VideoInfo(str(args.video), _digest(source), fps, *size, len(shot), source.rotation, start, **told)
    info.save(directory.video)
    provenance.facts = {
        "frames in the file": source.frames,
        "size in the file": list(whole) if min(whole) > 0 else None,
        "constant frame rate": source.constant,
        "HDR": source.hdr,
        "interlaced": source.fields,
        "seconds of gaps closed": round(source.gaps.closed, 3) if source.gaps else 0.0,
        "plays at": f"{source.fps}",
        "shots": [[first + each.start * settings.step, first + each.stop * settings.step] for each in shots],
        "lens distortion": f"taken out, by {calibration.source}" if calibration else "not known",
        "focal length in the metadata": f"{source.focal_mm:g} mm as 35-mm equivalent" if source.focal_mm else "none",
        "start": start,
        "stop": first + shot.stop * settings.step,
    }
    provenance.save(directory.provenance("decode"))
    log.info("decode: %d frames of %dx%d at %s frames a second", len(shot), *size, fps)


def _keep(folder: Path, count: int, shot: range) -> None:
    """Of the numbered frames in a folder leave those of a shot, numbered from 0."""
    if len(shot) == count:
        return
    for index in range(count):
        file = folder / f"{index:06d}.jpg"
        if index in shot:
            file.rename(folder / f"{index - shot.start:06d}.jpg")
        else:
            file.unlink()


def _digest(source: VideoSource) -> str:
    """SHA-256 of the file, or of the images one after the other."""
    digest = hashlib.sha256()
    for path in source.images or (source.path,):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
