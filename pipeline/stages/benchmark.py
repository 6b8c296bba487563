"""benchmark: the tables, the figure and the page of the studio benchmark."""

import argparse
import logging
import shutil
from pathlib import Path

from pipeline.benchmark.figure import draw_figure
from pipeline.benchmark.gains import gains
from pipeline.benchmark.gather import MOTION, PICTURES, SIDE_PICTURES, TIME, gather, has_lpips, sources, wide
from pipeline.benchmark.page import write_page
from pipeline.benchmark.settings import Benchmark, Run, load_benchmark
from pipeline.formats.atomic import atomic_path
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance

HELP = """Gather the fits of a benchmark into tables in the paper's layout. The targets benchmark and benchmark_quick of
Snakemake make the fits, and run this last.

reads   FOLDER/runs/<estimators>/<split>/<row>/<sequence>/ of all runs that the benchmark's file names
writes  FOLDER/figures.csv (all figures), motion.csv, rendering.csv, gains.csv, figure.png, results.md, and with --page
        a copy of the last two for the documentation; with --quick all into FOLDER/quick/"""
log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="results/benchmark")
    parser.add_argument("--benchmark", type=Path, required=True, metavar="FILE", help="such as config/benchmark.yaml")
    parser.add_argument("--quick", action="store_true", help="only the runs of its section quick")
    parser.add_argument("--page", type=Path, metavar="FILE", help="such as docs/results.md")


def run(args: argparse.Namespace) -> None:
    benchmark = load_benchmark(args.benchmark)
    runs = benchmark.all_runs(args.quick)
    table = gather(args.folder, runs)
    split = next(iter(benchmark.splits))
    out = args.folder / "quick" if args.quick else args.folder
    parts = {
        "figures.csv": table,
        "motion.csv": wide(table, MOTION),
        "rendering.csv": wide(table, [*PICTURES, *SIDE_PICTURES, *TIME]),
        "gains.csv": gains(table, split),
    }
    for name, part in parts.items():
        with atomic_path(out / name) as temporary:
            part.to_csv(temporary, index=False, float_format="%.6g")
    figure = out / "figure.png"
    draw_figure(figure, table, benchmark, split)
    missing = _missing(benchmark, args.quick, has_lpips(table))
    made_by, padding = sources(args.folder, runs), _padding(args.folder, runs[0])
    command = f"snakemake --cores all benchmark{'_quick' if args.quick else ''}"
    _write(out / "results.md", write_page(table, benchmark, made_by, figure.name, missing, command, padding))
    if args.page:
        beside = args.page.with_suffix(".png")
        with atomic_path(beside) as temporary:
            shutil.copyfile(figure, temporary)
        _write(args.page, write_page(table, benchmark, made_by, beside.name, missing, command, padding))
    log.info("benchmark: %d fits of %d sequences; %s", len(runs), table["sequence"].nunique(), out / "results.md")


def _padding(folder: Path, run: Run) -> float:
    """Padding of the crops, from what the stage evaluate ran with."""
    return read_provenance(VideoDir(run.folder(folder)).provenance("evaluate"))["settings"]["crop_padding"]


def _missing(benchmark: Benchmark, quick: bool, lpips: bool) -> list[str]:
    missing = [] if lpips else ["LPIPS, whose weights are not there (`snakemake weights` fetches them)"]
    if quick:
        names = ", ".join(benchmark.quick.sequences)
        missing.append(f"all but the quick part ({names}; one split, simulated estimators)")
    return missing


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
