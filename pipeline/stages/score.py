"""score: what only a studio clip, or measured joints, can tell of a fit."""

import argparse
import logging
from pathlib import Path

import pandas as pd
import torch

from pipeline.accuracy.measured import score_measured
from pipeline.accuracy.score import score
from pipeline.datasets.measured import read_truth
from pipeline.evaluation.lpips import load_lpips
from pipeline.evaluation.observed import EvaluateSettings
from pipeline.formats.atomic import atomic_path
from pipeline.formats.paths import VideoDir
from pipeline.runtime.settings import load_settings, parse_overrides
from pipeline.runtime.threads import get_threads, set_threads

HELP = """Score the fit of a studio clip where only the studio can: pictures of held-out frames against the true masks;
pictures of side cameras, that no stage saw, and of a second motion, both in the true poses; V2V by surface. Or score a
fit of real video against joints that were measured, before and after, and with them other methods whose joints the file
holds.

reads   DIRECTORY/frames/, pose_init.npz, fit/; TRUTH/pose.npz, masks/, views/, novel/
        or DIRECTORY/video.json, pose_init.npz, fit/pose_refined.npz; TRUTH.npz, or TRUTH.trc with its calibration
writes  DIRECTORY/score.csv, or DIRECTORY/joints.csv"""
SECTION = "evaluate"  # of config/config.yaml
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>, fitted; a studio clip decoded whole")
    parser.add_argument(
        "--truth", type=Path, required=True, metavar="DIR|FILE",
        help="the clip's NAME.truth, or measured joints: NAME.npz, or Pose2Sim's .trc (docs/datasets.md)",
    )  # fmt: skip
    parser.add_argument(
        "--view-frames", type=int, default=20, metavar="N", help="of each side camera (default: %(default)s)"
    )
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="with a .trc: Pose2Sim's .toml or .qca.txt")
    parser.add_argument("--camera", metavar="NAME", help="with a .trc: the camera there that filmed the video")
    parser.add_argument(
        "--body-model", default="free", metavar="NAME|FILE",
        help='with measured joints: "free", or the SMPL file that the motions are of',
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    directory = VideoDir(args.directory)
    if args.truth.suffix in (".npz", ".trc"):
        torch.set_num_threads(1)
        truth = read_truth(args.truth, args.calibration, args.camera)
        table = score_measured(directory, truth, args.body_model)
        _write(directory.root / "joints.csv", table)
        for method, figures in table.groupby("method", sort=False):
            shown = ", ".join(f"{row.metric} {row.value:.4g}" for row in figures.itertuples())
            log.info("score: %s: %s (%d frames)", method, shown, figures["frames"].iloc[0])
        return
    settings = load_settings(SECTION, parse_overrides(args.settings), EvaluateSettings)
    set_threads(get_threads())  # the rasterizer's own threads; torch's would only spin beside them
    torch.set_num_threads(1)
    lpips = load_lpips(settings.lpips_weights)
    table = score(directory, args.truth, args.view_frames, settings.image_frames, settings.crop_padding, lpips)
    _write(directory.root / "score.csv", table)
    log.info("score: %s", ", ".join(f"{row.metric} {row.value:.4g} ({row.where})" for row in table.itertuples()))


def _write(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
