"""`python -m pipeline learn`: film people of the studio, and learn from them how to correct the detector."""

import argparse
import logging
from pathlib import Path

import numpy as np
import torch

from pipeline.body import load_body
from pipeline.estimators.smplify import rotations, temporal
from pipeline.estimators.smplify.corrector import SHIPPED, Corrector, shipped_corrector
from pipeline.estimators.smplify.temporal import TemporalCorrector
from pipeline.landmarks.detector import check_mediapipe
from pipeline.learning.films import Shooting, film_people
from pipeline.learning.repertoire import Repertoire
from pipeline.learning.rotations import judged_rotations, learnt_rotations
from pipeline.learning.samples import read_films
from pipeline.learning.temporal import judged_over_time, learnt_over_time, soup
from pipeline.learning.training import held_out, judged, learnt
from pipeline.learning.windows import Windows, read_windows
from pipeline.motion.mocap import read_mocap
from pipeline.runtime.errors import UserError
from pipeline.setup.shipped import LANDMARK_MAP, LANDMARK_NETWORK

HELP = """Learn from the studio how to correct the detector's world landmarks.

Films people (each lit frame from several cameras, kept in --films: a run that was stopped goes on), and fits a linear
map from what mediapipe sees in a frame to where the landmarks are; with --temporal it trains the network that sees
most of a second, on top of the map that ships, and with --rotations the layers on top of it that tell joints'
rotations. Prints the errors before and after on people who were held out.
docs/learning.md tells more."""

_LICENCE = "Apache-2.0"
_STUDIO = "Learnt on synthetic films of this project's studio."
# CMU's terms ask for it.
_CMU = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. "
    "The database was created with funding from NSF EIA-0196217."
)
_STRENGTH = 3e-4  # m^2, of the ridge: best on held-out people
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--films", type=Path, required=True, metavar="DIR", help="where the films are kept")
    parser.add_argument(
        "--people",
        nargs="+",
        default=["120"],
        metavar="COUNT|FIRST-LAST",
        help="how many are filmed, or those of which seeds; several together (default: 120)",
    )
    parser.add_argument(
        "--motion",
        type=Path,
        metavar="FILE.npz",
        help="motion capture on CMU's skeleton (else motions by formula alone)",
    )
    parser.add_argument(
        "--without", nargs="*", default=[], metavar="CLIP", help="clips of it that are kept for judging"
    )
    parser.add_argument("--temporal", action="store_true", help="train the network, not the map")
    parser.add_argument(
        "--rotations",
        action="store_true",
        help="train the layers that tell joints' rotations, on top of the network that ships or of --start",
    )
    parser.add_argument("--steps", type=int, default=2000, help="of its training (default: %(default)s)")
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FILE.npz",
        help="a network to go on from, more slowly (default: a new one)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        nargs="+",
        default=[0],
        help="of its training; several: as many trainings on from --start, their weights averaged (default: 0)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.npz", help="(default: where the one that ships is)")
    parser.add_argument("--frames", type=int, default=16, help="of each person (default: %(default)s)")
    parser.add_argument("--views", type=int, default=5, help="cameras around each person (default: %(default)s)")
    parser.add_argument("--longest", type=int, default=420, help="px, longer side (default: %(default)s)")


def _seeds(texts: list[str]) -> list[int]:
    """`120`: seeds 0 to 119. `161-290`: those, both ends among them. Several: all of them, each once."""
    found: set[int] = set()
    for text in texts:
        first, dash, last = text.partition("-")
        try:
            seeds = range(int(first), int(last) + 1) if dash else range(int(first))
        except ValueError:
            seeds = range(0)
        if not seeds:
            raise UserError(f"learn: people should be a count above 0, or a range such as 161-290; found {text!r}")
        found |= set(seeds)
    return sorted(found)


def run(args: argparse.Namespace) -> None:
    people = _seeds(args.people)
    if min(args.frames, args.views, args.steps) < 1 or args.longest < 64:
        raise UserError("learn: frames, views and steps should be above 0, longest at least 64")
    if len(args.seed) > 1 and args.start is None:
        raise UserError("learn: weights are averaged of networks from one start; set --start, or a single --seed")
    if args.start is not None and not (args.temporal or args.rotations):
        raise UserError("learn: --start names a network; set --temporal or --rotations, or leave it out")
    if args.rotations and (args.temporal or len(args.seed) > 1):
        raise UserError("learn: --rotations trains on top of a network, once; leave out --temporal, set one --seed")
    for path, option in ((args.start, "--start"), (args.motion, "--motion")):  # filming takes hours
        if path is not None and not path.is_file():
            raise UserError(f"{path}: not found; expected the file that learn's {option} names")
    if args.temporal or args.rotations:
        LANDMARK_MAP.require()
    if args.rotations and args.start is None:
        LANDMARK_NETWORK.require()
    check_mediapipe()
    torch.set_num_threads(1)  # the operations are small
    mocap = None if args.motion is None else read_mocap(args.motion).without(args.without)
    repertoire = Repertoire(load_body("free"), mocap)
    shooting = Shooting(frames=args.frames, views=args.views, longest=args.longest)
    films = film_people(args.films, people, repertoire, shooting)
    attribution = _STUDIO if mocap is None else f"{_STUDIO} {_CMU}"
    if args.rotations:
        _learn_rotations(args, films, repertoire, attribution)
    elif args.temporal:
        _learn_over_time(args, films, repertoire, attribution)
    else:
        _learn_map(args, films, repertoire, attribution)


def _learn_map(args: argparse.Namespace, films: list[Path], repertoire: Repertoire, attribution: str) -> None:
    frames = read_films(films, repertoire.body)
    known, unseen = frames[~held_out(frames)], frames[held_out(frames)]
    if len(known) == 0:
        raise UserError(f"{args.films}: the detector found nobody; film more people, or larger pictures")
    weights = learnt(known, repertoire, _STRENGTH, np.random.default_rng(0))
    corrector, out = Corrector(weights, _LICENCE, attribution), args.out or SHIPPED
    corrector.save(out)
    for name, some in (("learnt from", known), ("held out", unseen)):
        if len(some):
            told = "; ".join(f"{when} {_told(mean)}" for when, mean in judged(some, corrector).items())
            log.info("%s, %d frames: MPJPE / along the ray / PA-MPJPE mm: %s", name, len(some), told)
    log.info("%s: written", out)


def _told(errors: np.ndarray) -> str:
    return " / ".join(f"{value:.1f}" for value in errors)


def _learn_rotations(args: argparse.Namespace, films: list[Path], repertoire: Repertoire, attribution: str) -> None:
    known, unseen = _known_and_unseen(args, films, repertoire)
    corrector = TemporalCorrector.load(args.start or temporal.SHIPPED, shipped_corrector())
    teller = learnt_rotations(known, repertoire, corrector, args.steps, args.seed[0], (_LICENCE, attribution))
    out = args.out or rotations.SHIPPED
    teller.save(out)
    for name, some in (("learnt from", known), ("held out", unseen)):
        if len(some):
            told = judged_rotations(some, teller, known.pose.mean(0))
            log.info(
                "%s, %d frames: rotations off / by the mean pose / expected, degrees: %s", name, len(some), _told(told)
            )
    log.info("%s: written", out)


def _known_and_unseen(args: argparse.Namespace, films: list[Path], repertoire: Repertoire) -> tuple[Windows, Windows]:
    """Windows of the people to learn from, and of those to judge on."""
    windows = read_windows(films, repertoire.body)
    known, unseen = windows[~held_out(windows)], windows[held_out(windows)]
    if len(known) == 0:
        raise UserError(f"{args.films}: the detector found nobody; film more people, or larger pictures")
    return known, unseen


def _learn_over_time(args: argparse.Namespace, films: list[Path], repertoire: Repertoire, attribution: str) -> None:
    known, unseen = _known_and_unseen(args, films, repertoire)
    linear, out = shipped_corrector(), args.out or temporal.SHIPPED
    start = None if args.start is None else TemporalCorrector.load(args.start, linear)
    if start and start.attribution not in attribution:
        attribution = f"{start.attribution} {attribution}"  # what it was learnt from stays in it
    texts = _LICENCE, attribution
    networks = {"before": start} if start else {}
    for seed in args.seed:
        networks[f"seed {seed}"] = learnt_over_time(
            known, repertoire, linear, args.steps, seed, texts, start and start.network
        )
    corrector = soup([networks[f"seed {seed}"] for seed in args.seed])
    if len(args.seed) > 1:
        networks["their mean"] = corrector
    corrector.save(out)
    for name, some in (("learnt from", known), ("held out", unseen)):
        for which, network in networks.items() if len(some) else ():
            told = "; lean by pitch, degrees: ".join(map(_told, judged_over_time(some, network)))
            log.info("%s, %d frames, %s: MPJPE / along the ray / PA-MPJPE mm: %s", name, len(some), which, told)
    log.info("%s: written", out)
