"""evaluate: what the refinement changed, in figures."""

import argparse
from pathlib import Path

import torch

from pipeline.evaluation.against_truth import load_truth, pose_errors, true_mask_overlap
from pipeline.evaluation.clip import load_clip
from pipeline.evaluation.in_world import world_errors, world_figures
from pipeline.evaluation.lpips import load_lpips
from pipeline.evaluation.observed import (
    EvaluateSettings,
    Outlines,
    kept_refined,
    landmark_reprojection,
    mask_overlap,
    outline_bodies,
    picture_quality,
    smoothness,
)
from pipeline.evaluation.outliers import stand_out
from pipeline.evaluation.summary import summarise, summary_text
from pipeline.evaluation.table import REAL, MetricTable, write_metrics
from pipeline.formats.provenance import Provenance, read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import details
from pipeline.runtime.settings import load_settings, parse_overrides
from pipeline.runtime.threads import get_threads, set_threads

HELP = """Measure what the refinement changed: pictures of held-out frames, outlines, landmarks, smoothness, and with
ground truth the errors of the pose.

reads   DIRECTORY/frames/, masks/, masks_refined/, camera.json, camera_track.npz, landmarks.npz, pose_init.npz,
        fit/avatar.npz, fit/pose_refined.npz, provenance/fit.json; with --truth also video.json, provenance/decode.json
        and TRUTH/pose.npz, masks/ and camera_track.npz where the camera moved
writes  DIRECTORY/metrics.csv, one row a figure, each with its split and protocol"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")
    parser.add_argument("--truth", type=Path, metavar="DIR", help="folder of the true motion: videos/<video>.truth")
    parser.add_argument(
        "--body-model", default="free", metavar="NAME|FILE", help='"free", or an SMPL file that you registered for'
    )


def run(args: argparse.Namespace) -> None:
    settings = load_settings("evaluate", parse_overrides(args.settings), EvaluateSettings)
    provenance = Provenance("evaluate", settings, ("torch", "numba"))
    set_threads(get_threads())  # the rasterizer's own threads; torch's would only spin beside them
    torch.set_num_threads(1)
    clip = load_clip(args.directory, args.body_model)
    lpips = load_lpips(settings.lpips_weights)
    truth = None
    if args.truth is not None:
        decode = read_provenance(clip.paths.provenance("decode"))["settings"]
        rows = VideoInfo.load(clip.paths.video).source_frames(decode)
        truth = load_truth(args.truth, clip, rows, args.body_model)

    fit = read_provenance(clip.paths.provenance("fit"))
    if "unknown" in fit["facts"].get("masks", {}) and clip.masks_unknown is None:
        raise UserError(
            f"{clip.paths.masks_unknown}: not found, and the fit wrote it; delete {clip.paths.masks_refined}, too, and "
            "run the pipeline again: the fit writes both"
        )
    poses_fitted = fit["settings"]["optimise_pose"]
    table = MetricTable(truth.footage if truth else REAL, clip.splits)
    frames, raster, bodies = outline_bodies(clip, settings)
    pictured, alphas = picture_quality(table, clip, settings, raster, lpips, poses_fitted)
    outlines = Outlines(frames, raster, bodies, pictured, alphas)
    mask_overlap(table, clip, outlines)
    landmark_reprojection(table, clip, settings, truth.pose_in(clip) if truth else None)
    smoothness(table, clip)
    world_figures(table, clip)
    if "verdict" in fit["facts"]:
        kept_refined(table, fit["facts"]["verdict"])
    if truth is not None:
        pose_errors(table, clip, truth)
        world_errors(table, clip, truth, args.truth)
        true_mask_overlap(table, clip, truth, outlines)
    figures = table.frame()
    write_metrics(clip.paths.metrics, figures)
    if told := stand_out(figures):
        provenance.warn(f"{clip.paths.name}: {told}")
    provenance.facts = {
        "LPIPS": "measured" if lpips else f"left out: its weights are not in {settings.lpips_weights}",
        "truth": truth.name if truth else "none",
    }
    provenance.save(clip.paths.provenance("evaluate"))
    for line in summary_text(summarise(figures, clip.paths.name)).splitlines():
        details.info("%s", line)
