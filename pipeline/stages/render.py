"""render: pictures of the motion and of the avatar."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.formats.atomic import atomic_directory
from pipeline.formats.images import save_image
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.motion.library import Motion
from pipeline.render import stills
from pipeline.render.clip import FittedClip, load_fitted_clip
from pipeline.render.novel_pose import novel_motion, novel_pose_frames
from pipeline.render.overlay import overlay_frames
from pipeline.render.performer import Performer
from pipeline.render.seen import seen_sides
from pipeline.render.settings import RenderSettings
from pipeline.render.sure import sure_strip
from pipeline.render.turntable import turntable_frames
from pipeline.render.world import world_frames, world_still
from pipeline.runtime.progress import track
from pipeline.runtime.settings import load_settings, parse_overrides
from pipeline.runtime.threads import get_threads, map_parallel, set_threads
from pipeline.video.encode import write_video

HELP = """Draw the motion over the video before and after the refinement, and the avatar on its own.

reads   DIRECTORY/frames/, video.json, pose_init.npz, fit/pose_refined.npz, fit/avatar.npz, masks/, masks_refined/
writes  DIRECTORY/renders/overlay.mp4, turntable.mp4, novel_pose.mp4, world.mp4, stills/*.png"""
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")
    parser.add_argument(
        "--body-model", default="free", metavar="NAME|FILE", help='"free", or an SMPL file that you registered for'
    )


def run(args: argparse.Namespace) -> None:
    settings = load_settings("render", parse_overrides(args.settings), RenderSettings)
    provenance = Provenance("render", settings, ("torch", "numba", "pillow", "ffmpeg-python", "imageio-ffmpeg"))
    paths = VideoDir(args.directory)
    clip = load_fitted_clip(paths, args.body_model)
    set_threads(get_threads())  # the rasterizer's own threads; torch's would only spin beside them
    torch.set_num_threads(1)
    with torch.no_grad(), atomic_directory(paths.renders) as folder:
        _draw_all(folder, clip, settings)
    lost = int((~clip.before.valid).sum())
    provenance.facts = {"frames": len(clip.frames), "frames interpolated": lost}
    provenance.save(paths.provenance("render"))
    log.info("render: %s", paths.renders)


def _draw_all(folder: Path, clip: FittedClip, settings: RenderSettings) -> None:
    performer = Performer.cast(clip.avatar, clip.body, clip.after)
    moving = novel_motion(performer, settings.novel_motion, settings.novel_seconds, settings.fps, settings.novel_seed)
    overlay = overlay_frames(
        clip.frames, clip.before, clip.after, clip.body, settings.overlay_side, settings.overlay_opacity
    )
    write_video(folder / "overlay.mp4", track(overlay, "overlay", len(clip.frames), "frame"), clip.fps)

    tall, wide = settings.avatar_height, round(settings.avatar_height * 0.375) * 2
    count = max(1, round(settings.turntable_seconds * settings.fps))
    turning = turntable_frames(performer, wide, tall, count)
    write_video(folder / "turntable.mp4", track(turning, "turntable", count, "frame"), settings.fps)
    dancing = novel_pose_frames(performer, moving, tall, tall)
    write_video(folder / "novel_pose.mp4", track(dancing, "novel pose", len(moving.poses), "frame"), settings.fps)

    around = world_frames(clip.after, clip.body, settings.world_side)
    write_video(folder / "world.mp4", track(around, "world", len(clip.frames), "frame"), clip.fps)

    (folder / "stills").mkdir()
    pictures = _stills(clip, performer, moving, settings)

    def save(name: str) -> None:
        save_image(Image.fromarray(pictures[name]()), folder / "stills" / f"{name}.png")

    for _ in track(map_parallel(save, pictures), "stills", len(pictures), "picture"):
        pass


def _stills(
    clip: FittedClip, performer: Performer, moving: Motion, settings: RenderSettings
) -> dict[str, Callable[[], np.ndarray]]:
    """What draws each still, by its name."""
    count, tall = settings.still_frames, settings.avatar_height
    video = (clip.frames, clip.before, clip.after, clip.body, settings.overlay_opacity)
    held_out = (clip.frames, clip.after, performer, clip.avatar.train_frames)
    pictures = {
        "overlay": lambda: stills.overlay_strip(*video, count),
        "close_up": lambda: stills.close_up(*video),
        "avatar": lambda: stills.avatar_sides(performer, round(tall * 0.75), tall),
        "held_out": lambda: stills.video_and_avatar(*held_out, count),
        "novel_pose": lambda: stills.novel_pose_strip(performer, moving, tall, count),
    }
    chosen = stills.spread(np.flatnonzero(clip.before.valid), count)
    pictures["world"] = lambda: world_still(clip.after, clip.body, settings.world_side, chosen)
    if clip.masks is not None:
        cut_out = (clip.frames, clip.masks, (clip.before, clip.after), clip.body, count)
        pictures["masks"] = lambda: stills.masks_strip(*cut_out)
    if (seen := clip.avatar.seen) is not None:
        pictures["seen"] = lambda: seen_sides(performer, seen, round(tall * 0.75), tall)
    if clip.after.sigma is not None:
        pictures["sure"] = lambda: sure_strip(clip.frames, clip.after, clip.body, chosen)
    return pictures
