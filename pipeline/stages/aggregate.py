"""aggregate: the figures of all videos in one table."""

import argparse
import logging
from pathlib import Path

from pipeline.evaluation.summary import aggregate, read_summary, summary_text, write_summary
from pipeline.formats.paths import VideoDir
from pipeline.runtime.errors import UserError

HELP = """Gather the figures of all videos, one row a video, metric and split; studio clips and real videos stay apart.

reads   DIRECTORY/metrics.csv of each video
writes  TABLE (results/metrics.csv)

With --print and no DIRECTORY it only shows the figures of a TABLE that is there."""
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", type=Path, help="results/metrics.csv")
    parser.add_argument("directories", type=Path, nargs="*", metavar="directory", help="results/<video> of each video")
    parser.add_argument("--print", action="store_true", help="show the figures that matter and where the reports are")


def run(args: argparse.Namespace) -> None:
    if args.directories:
        summary = aggregate(args.directories)
        write_summary(args.table, summary)
        log.info("aggregate: %d videos in %s", summary["video"].nunique(), args.table)
    elif args.print:
        summary = read_summary(args.table)
    else:
        raise UserError("aggregate: no video was given; name the folders results/<video>, or --print a table")
    if args.print:
        pages = {name: VideoDir(args.table.parent / name).report for name in summary["video"].unique()}
        print(summary_text(summary, {name: page for name, page in pages.items() if page.is_file()}))
