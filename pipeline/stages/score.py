"""score: what only a studio clip can tell of a fit."""

import argparse
import logging
from pathlib import Path

import torch

from pipeline.accuracy.score import score
from pipeline.evaluation.lpips import load_lpips
from pipeline.evaluation.observed import EvaluateSettings
from pipeline.formats.atomic import atomic_path
from pipeline.formats.paths import VideoDir
from pipeline.runtime.settings import load_settings, parse_overrides
from pipeline.runtime.threads import get_threads, set_threads

HELP = """Score the fit of a studio clip where only the studio can: pictures of held-out frames against the true masks;
pictures of side cameras, that no stage saw, in the true poses; V2V by surface.

reads   DIRECTORY/frames/, pose_init.npz, fit/; TRUTH/pose.npz, masks/, views/
writes  DIRECTORY/score.csv"""
SECTION = "evaluate"  # of config/config.yaml
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>, fitted, of a clip that was decoded whole")
    parser.add_argument("--truth", type=Path, required=True, metavar="DIR", help="the clip's NAME.truth")
    parser.add_argument(
        "--view-frames", type=int, default=20, metavar="N", help="of each side camera (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    settings = load_settings(SECTION, parse_overrides(args.settings), EvaluateSettings)
    set_threads(get_threads())  # the rasterizer's own threads; torch's would only spin beside them
    torch.set_num_threads(1)
    lpips = load_lpips(settings.lpips_weights)
    directory = VideoDir(args.directory)
    table = score(directory, args.truth, args.view_frames, settings.image_frames, settings.crop_padding, lpips)
    path = directory.root / "score.csv"
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    log.info("score: %s", ", ".join(f"{row.metric} {row.value:.4g} ({row.where})" for row in table.itertuples()))
