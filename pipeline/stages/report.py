"""report: one page about a video, and the same for scripts."""

import argparse
import logging
from pathlib import Path

from pipeline.formats.atomic import atomic_path
from pipeline.formats.paths import VideoDir
from pipeline.formats.records import write_json
from pipeline.report.page import ReportSettings, build_page
from pipeline.report.summary import build_summary
from pipeline.runtime.settings import load_settings, parse_overrides

HELP = """Put everything about a video on one page that needs no other file and no network.

reads   DIRECTORY/metrics.csv, video.json, camera.json, camera_track.npz, fit/history.csv, fit/pose_refined.npz,
        renders/, exports/, provenance/*.json
writes  DIRECTORY/report.html, summary.json"""
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, help="results/<video>")
    parser.add_argument(
        "--body-model", default="free", metavar="NAME|FILE", help='"free", or the SMPL file that the motion is of'
    )


def run(args: argparse.Namespace) -> None:
    settings = load_settings("report", parse_overrides(args.settings), ReportSettings)
    page = build_page(args.directory, settings, args.body_model)
    summary, paths = build_summary(args.directory), VideoDir(args.directory)
    path = paths.report
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    write_json(paths.summary, summary)
    log.info("report: %s (%.1f MB)", path, path.stat().st_size / 1e6)
