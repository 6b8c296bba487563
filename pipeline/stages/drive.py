"""`python -m pipeline drive`: an avatar performs any motion."""

import argparse
import logging
from fractions import Fraction
from pathlib import Path

import torch

from pipeline.body import load_body
from pipeline.body.held_hands import with_held_hands
from pipeline.exports.fitted import Fitted
from pipeline.exports.ply_sequence import write_sequence
from pipeline.exports.settings import ExportSettings
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.video import VideoInfo
from pipeline.motion.library import motion
from pipeline.motion.moves import MOTIONS
from pipeline.render.drive import orbit_frames, seen_by
from pipeline.render.novel_pose import novel_pose_frames
from pipeline.render.performer import Performer
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.runtime.settings import load_settings
from pipeline.runtime.threads import get_threads, set_threads
from pipeline.video.encode import write_video
from pipeline.viewer.build import contents_of, driven, write_page

HELP = """Let an avatar perform a motion that the person never did.

reads   --avatar DIR: fit/avatar.npz, fit/pose_refined.npz; for the page also frames/, pose_init.npz; with --camera
        video also video.json
        --motion: a name, or a file: AMASS or SMPL-X npz, pose_refined.npz of another clip, BVH with the bones' names of
        SMPL, Mixamo or CMU, results of GVHMR, WHAM, PHALP and more (docs/exports.md)
writes  OUT/drive.mp4; OUT/viewer.html: the motion on a page for any browser, beside those of the clip; with --ply
        OUT/avatar_sequence.zip: Gaussians of each frame, frame_%06d.ply, for splat viewers"""
_SECONDS = 4.0  # of a motion by name
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--avatar", type=Path, required=True, metavar="DIR", help="results/<video> of the person")
    parser.add_argument(
        "--motion", required=True, metavar="NAME|FILE[:CLIP]", help=f"{', '.join(MOTIONS)}; or a file, see above"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of what is written")
    parser.add_argument(
        "--camera",
        default="orbit",
        choices=("orbit", "front", "video"),
        help="once around the person; standing still before them; or where the video's stood (default: %(default)s)",
    )
    parser.add_argument("--seconds", type=float, help=f"at most (default: all of a file, {_SECONDS:g} of a name)")
    parser.add_argument("--fps", type=Fraction, default=Fraction(30), help="frames a second (default: %(default)s)")
    parser.add_argument("--height", type=int, default=640, help="px of the picture (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="style of a motion by name (default: %(default)s)")
    parser.add_argument("--no-viewer", action="store_true", help="leave out viewer.html, and read nothing for it")
    parser.add_argument(
        "--ply", action="store_true", help="also a zip of a PLY a frame; 1 MB each for 12,000 Gaussians"
    )
    parser.add_argument(
        "--body-model", default="free", metavar="NAME|FILE", help='"free", or an SMPL file that you registered for'
    )


def run(args: argparse.Namespace) -> None:
    if not (args.seconds is None or args.seconds > 0) or not 1 <= args.fps <= 240 or not 64 <= args.height <= 4096:
        raise UserError("drive: expected --seconds above 0, --fps 1 to 240, --height 64 to 4096")
    paths, fps = VideoDir(args.avatar), float(args.fps)
    refined, file = Pose.load(paths.pose_refined), AvatarFile.load(paths.avatar)
    body = with_held_hands(load_body(args.body_model), refined)
    if file.body_model != body.name:
        raise UserError(f"{paths.avatar}: was made with the body model {file.body_model!r}; give it as --body-model")
    set_threads(get_threads())  # the rasterizer's own threads; torch's would only spin beside them
    torch.set_num_threads(1)
    seconds = _SECONDS if args.seconds is None and args.motion in MOTIONS else args.seconds
    frames = None if seconds is None else max(1, round(seconds * fps))
    with torch.no_grad():
        performer = Performer.cast(file, body, refined)
        fitted = Fitted(refined, body, file, performer.avatar, load_settings("export", None, ExportSettings))
        moving = motion(args.motion, frames, fps, args.seed, body, performer.avatar.betas.numpy())
        page = None if args.no_viewer else driven(contents_of(fitted, paths), moving, fps)
        if args.camera == "video":
            # Where the video's camera stood in the first frame, in the world that the exports have.
            camera = fitted.y_up.world_from_camera.reshape(-1, 4, 4)[0]
            video = VideoInfo.load(paths.video)
            pictures = seen_by(performer, moving, camera, refined.K, video.width, video.height)
        else:
            draw = orbit_frames if args.camera == "orbit" else novel_pose_frames
            pictures = draw(performer, moving, args.height, args.height)
        out = args.out / "drive.mp4"
        write_video(out, track(pictures, "drive", len(moving.poses), "frame"), args.fps)
        log.info("drive: %s %d frames, %.1f s", out, len(moving.poses), len(moving.poses) / fps)
        if page is not None:
            write_page(args.out / "viewer.html", page)
            log.info("drive: %s", args.out / "viewer.html")
        if args.ply:
            out, scale = args.out / "avatar_sequence.zip", performer.pixels_per_metre
            write_sequence(out, performer.avatar, body, file, scale, moving.poses, moving.trans)
            log.info("drive: %s %.1f MB", out, out.stat().st_size / 1e6)
