"""hand-over: a simulated estimator's motion as a file of another tool, whose body is another one."""

import argparse
import logging
from pathlib import Path

from pipeline.accuracy.another_body import write_as_smplx
from pipeline.formats.pose import Pose

HELP = """Write a motion as a tool would whose body is another one, in SMPL-X's names, for the benchmark to import.

reads   POSE, such as results/benchmark/prepared/simulated/walk/pose_init.npz
writes  FILE"""
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pose", type=Path, metavar="POSE", help="of the free body")
    parser.add_argument("file", type=Path, metavar="FILE", help="npz to write")


def run(args: argparse.Namespace) -> None:
    pose = Pose.load(args.pose)
    write_as_smplx(pose, args.file)
    log.info("hand-over: %d frames of %s as another body's: %s", len(pose), pose.source, args.file)
