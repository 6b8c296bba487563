"""`python -m pipeline convert`: a GLB as FBX, USD or Alembic."""

import argparse
import logging
from pathlib import Path

from pipeline.exports.convert import SUFFIXES, convert

HELP = f"""Convert a GLB, such as results/<video>/exports/motion.glb, by the Blender (or bpy) on this machine.

writes  OUT, by its suffix: {", ".join(SUFFIXES)}"""
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE.glb")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write; its suffix says what")
    parser.add_argument("--blender", type=Path, metavar="PROGRAM", help="which Blender (else one is looked for)")


def run(args: argparse.Namespace) -> None:
    convert(args.file, args.out, args.blender)
    log.info("convert: %s %.2f MB", args.out, args.out.stat().st_size / 1e6)
