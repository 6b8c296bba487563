"""`python -m pipeline studio`: film a synthetic person."""

import argparse
import logging
import re
from fractions import Fraction
from pathlib import Path

from pipeline.motion.moves import MOTIONS
from pipeline.runtime.errors import UserError
from pipeline.studio.cameras import CAMERAS, Stance
from pipeline.studio.clip import ClipRequest, make_clip
from pipeline.studio.wardrobe import OUTFITS

HELP = """Film a synthetic, clothed person in a room, with a mesh ray caster, and write the truth beside the video.

Writes OUT/NAME.mp4 and OUT/NAME.truth/: pose.npz (SMPL motion in the camera's frame), masks/, depth/, camera.json,
camera_track.npz (how the camera moved), views/<k>/ (frames, masks, pose and camera of other cameras around the person),
novel/ (the same of a second motion) and subject.json."""

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the clip, such as videos")
    parser.add_argument("--name", default="studio", help="name of the clip (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="who, in what colours, where (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=80, help="length (default: %(default)s)")
    parser.add_argument("--size", default="480x640", metavar="WxH", help="pixels, even (default: %(default)s)")
    parser.add_argument("--fps", type=Fraction, default=Fraction(30), help="frames a second (default: %(default)s)")
    parser.add_argument(
        "--motion",
        default="walk",
        metavar="NAME|FILE[:CLIP]",
        help=f"{', '.join(MOTIONS)}; or a motion file: AMASS, SMPL-X, BVH, ours, other tools' (docs/exports.md); "
        "or a clip of motion capture on CMU's skeleton (docs/learning.md) "
        "(default: %(default)s: once round a circle, so that all sides are seen)",
    )
    parser.add_argument("--outfit", default="shirt", choices=OUTFITS, help="what is worn (default: %(default)s)")
    parser.add_argument(
        "--camera",
        default="static",
        choices=CAMERAS,
        help="moving: drifts by a few centimetres; panning: stands and turns after the person; following: goes with "
        "them; handheld: sways, trembles and turns after them (default: %(default)s)",
    )
    for name, text in (
        ("pitch", "negative looks down"),
        ("roll", "positive turns the picture clockwise"),
        ("azimuth", "around the person"),
    ):
        parser.add_argument(f"--{name}", type=float, metavar="DEG", help=f"of a camera that is static: {text}")
    parser.add_argument(
        "--focal",
        type=float,
        metavar="DIAGONALS",
        help="focal length in diagonals of the picture, such as 0.65 for a phone",
    )
    parser.add_argument(
        "--novel", metavar="NAME|FILE[:CLIP]",
        help="a second motion of the same person, as --motion, for poses that no avatar was made of: NAME.truth/novel/",
    )  # fmt: skip
    parser.add_argument(
        "--exposure",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="of the main camera, such as 0.02: the person is smeared by what moves meanwhile (default: %(default)s)",
    )
    parser.add_argument("--views", type=int, default=3, help="other cameras around the person (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    size = re.fullmatch(r"(\d+)x(\d+)", args.size)
    if size is None:
        raise UserError(f"--size {args.size}: expected WIDTHxHEIGHT in pixels, such as 480x640")
    if not args.name or "/" in args.name or args.name.startswith("."):
        raise UserError(f"--name {args.name!r}: expected a file name without folders, such as demo")
    held = {name: value for name in ("pitch", "roll", "azimuth", "focal") if (value := getattr(args, name)) is not None}
    request = ClipRequest(
        seed=args.seed,
        frames=args.frames,
        fps=args.fps,
        width=int(size[1]),
        height=int(size[2]),
        motion=args.motion,
        outfit=args.outfit,
        camera=args.camera,
        views=args.views,
        stance=Stance(**held) if held else None,
        novel=args.novel,
        exposure=args.exposure,
    )
    log.info("%s: filmed, its truth is in %s.truth", make_clip(args.out, args.name, request), args.out / args.name)
