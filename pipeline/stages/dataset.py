"""dataset: a sequence of a public dataset becomes results/<video>, in place of decode and of what else it ships."""

import argparse
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import torch
import yaml

from pipeline.datasets import READERS, reader_of
from pipeline.datasets.sequence import PARTS
from pipeline.datasets.smpl import Bodies
from pipeline.datasets.write import Given, write_sequence
from pipeline.formats.paths import VideoDir
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings
from pipeline.video.decode import DecodeSettings

HELP = f"""Turn a sequence of a public dataset into the files of our stages: {", ".join(READERS)}.

reads   FOLDER, in the layout that docs/datasets.md tells
writes  DIRECTORY/frames/, video.json; truth/ (the dataset's own SMPL motion, for evaluate --truth); and of what it
        ships, as chosen by --use: camera.json, masks/, depth/, pose_init.npz"""
_SELECTION = ("start", "stop", "step", "longest_side")  # of the section `video` of config/config.yaml


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", choices=READERS, help="its layout")
    parser.add_argument("folder", type=Path, help="where the dataset lies")
    parser.add_argument("sequence", help="one of its sequences")
    parser.add_argument("directory", type=Path, help="results/<video>, made where it is missing")
    parser.add_argument("--body-model", required=True, metavar="FILE", help="SMPL's neutral body")
    parser.add_argument("--female", type=Path, metavar="FILE", help="SMPL's female body, where a dataset needs it")
    parser.add_argument("--male", type=Path, metavar="FILE", help="SMPL's male body, where a dataset needs it")
    parser.add_argument(
        "--use", nargs="*", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)} (default: all that it ships)"
    )
    for name in _SELECTION:
        flag = name.replace("_", "-")
        parser.add_argument(f"--{flag}", metavar="N", help=f"as video.{name} of the config, in its place")
    parser.add_argument("--fps", type=_rate, metavar="N", help="frames a second, in place of those the reader knows")


def run(args: argparse.Namespace) -> None:
    flags = {name: yaml.safe_load(text) for name in _SELECTION if (text := getattr(args, name)) is not None}
    settings = load_settings("video", flags, DecodeSettings)
    torch.set_num_threads(1)  # a few joints a frame
    reader = reader_of(args.dataset, args.folder)
    shipped = reader.locate(args.folder, args.sequence).parts
    parts = shipped if args.use is None else frozenset(args.use)
    if not parts <= shipped:
        raise UserError(
            f"--use {' '.join(sorted(parts - shipped))}: {reader.TITLE} does not ship it for {args.sequence}; it ships "
            f"{', '.join(sorted(shipped))}"
        )
    if "depth" in parts and "camera" not in parts:
        raise UserError("--use depth: is in metres with the dataset's camera only; use camera too")
    bodies = Bodies.load(args.body_model, args.female, args.male)
    sequence = reader.read(args.folder, args.sequence, bodies)
    if args.fps:
        sequence = replace(sequence, fps=args.fps)
    given = Given(args.dataset, args.sequence)
    write_sequence(sequence, given, VideoDir(args.directory), parts, settings, bodies.neutral)


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0 such as 30 or 30000/1001, found {text!r}")
    return rate
