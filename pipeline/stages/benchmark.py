"""benchmark: the tables and the page of a benchmark, of studio clips, sequences of datasets or measured videos."""

import argparse
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image

from pipeline.accuracy.datasets import describe, write_dataset_page
from pipeline.accuracy.figure import draw_figure
from pipeline.accuracy.gains import gains
from pipeline.accuracy.gallery import COMPARED, draw_gallery
from pipeline.accuracy.gather import MOTION, PICTURES, SIDE_PICTURES, TIME, gather, has_lpips, sources, wide
from pipeline.accuracy.matching import draw_matching, find_matches
from pipeline.accuracy.measured_page import BEGIN, END, describe_measured, gather_measured, write_measured
from pipeline.accuracy.measured_pictures import landmarks_table, pictures_table
from pipeline.accuracy.page import write_page
from pipeline.accuracy.sections import Marks, section_of, with_section
from pipeline.accuracy.settings import SIMULATED, Benchmark, Run, load_benchmark
from pipeline.accuracy.studies_page import MARKS as STUDIES
from pipeline.accuracy.studies_page import write_studies
from pipeline.evaluation.table import REAL
from pipeline.formats.atomic import atomic_path
from pipeline.formats.images import save_image
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance
from pipeline.render import draw
from pipeline.runtime.errors import UserError
from pipeline.setup.lpips_weights import INSTALL

HELP = """Gather the fits of a benchmark into tables, in the paper's layout where it has one. The targets benchmark and
benchmark_quick of Snakemake make the fits, and run this last.

reads   FOLDER/runs/<estimators>/<split>/<row>/<sequence>/ of all runs that the benchmark's file names
writes  FOLDER/figures.csv (all figures), motion.csv, rendering.csv, gains.csv, figure.png, results.md, and with --page
        a copy of the last two for the documentation; with --quick all into FOLDER/quick/; with --sequence all but
        gains.csv into FOLDER/datasets/; with --measured FOLDER/real/figures.csv and results.md, and a section of the
        page; with --studies FOLDER/studies/figures.csv, pictures.png, matching.png and results.md, and another
        section"""
log = logging.getLogger(__name__)
MEASURED = BEGIN, END
_NEUHMR = "neuhmr"
_CLIPS_SHOWN, _GAP = 2, 24  # side by side in the pictures, and px between them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="results/benchmark")
    parser.add_argument("--benchmark", type=Path, required=True, metavar="FILE", help="such as config/benchmark.yaml")
    parser.add_argument("--page", type=Path, metavar="FILE", help="such as docs/results.md")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--quick", action="store_true", help="only the runs of its section quick")
    part.add_argument(
        "--sequence", nargs=2, action="append", default=[], metavar=("DATASET", "VIDEO"),
        help="a sequence of a dataset, results/<VIDEO>; given once for each, the tables are of them",
    )  # fmt: skip
    part.add_argument(
        "--measured", action="append", default=[], metavar="VIDEO",
        help="a real video with measured joints, likewise",
    )  # fmt: skip
    part.add_argument("--studies", action="store_true", help="the further tables of its section studies, and pictures")


def run(args: argparse.Namespace) -> None:
    benchmark = load_benchmark(args.benchmark)
    if args.measured:
        _of_measured(args, benchmark, args.measured)
    elif args.studies:
        _of_studies(args, benchmark)
    elif args.sequence:
        _of_datasets(args, benchmark, {video: dataset for dataset, video in args.sequence})
    else:
        _of_studio(args, benchmark)


def _of_studio(args: argparse.Namespace, benchmark: Benchmark) -> None:
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
    _write_tables(out, parts)
    draw_figure(
        out / "figure.png", table, benchmark, split, {SIMULATED: "simulated"}, "Studio benchmark, simulated estimators"
    )
    missing = _missing(benchmark, args.quick, has_lpips(table))
    made_by, padding = sources(args.folder, runs), _padding(args.folder, runs[0])
    command = f"snakemake --cores all benchmark{'_quick' if args.quick else ''}"
    _write_pages(
        out, args.page, lambda figure: write_page(table, benchmark, made_by, figure, missing, command, padding)
    )
    log.info("benchmark: %d fits of %d sequences; %s", len(runs), table["sequence"].nunique(), out / "results.md")


def _of_datasets(args: argparse.Namespace, benchmark: Benchmark, datasets: dict[str, str]) -> None:
    runs = benchmark.dataset_runs(datasets, args.benchmark)
    sequences = describe(args.folder, runs)
    table = gather(args.folder, runs, REAL)
    table["sequence"] = table["sequence"].map({video: sequence.name for video, sequence in sequences.items()})
    split, out = next(iter(benchmark.splits)), args.folder / "datasets"
    measured = [[name for name in part if name in set(table["metric"])] for part in (MOTION, PICTURES | TIME)]
    parts = {"figures.csv": table, "motion.csv": wide(table, measured[0]), "rendering.csv": wide(table, measured[1])}
    _write_tables(out, {name: part.rename(columns={"estimators": "dataset"}) for name, part in parts.items()})
    titles = {sequence.dataset: sequence.title for sequence in sequences.values()}
    draw_figure(out / "figure.png", table, benchmark, split, titles, "Real data: sequences of public datasets")
    missing = _missing(benchmark, False, has_lpips(table))
    shown = list(sequences.values())
    _write_pages(out, args.page, lambda figure: write_dataset_page(table, benchmark, shown, figure, missing))
    log.info("benchmark: %d fits of %d sequences; %s", len(runs), len(sequences), out / "results.md")


def _of_measured(args: argparse.Namespace, benchmark: Benchmark, videos: list[str]) -> None:
    runs = benchmark.dataset_runs(dict.fromkeys(videos, "measured"), args.benchmark)
    table = gather_measured(args.folder, runs)
    out = args.folder / "real"
    _write_tables(out, {"figures.csv": table})
    pictures, landmarks = pictures_table(args.folder, runs), landmarks_table(args.folder, runs)
    section = write_measured(table, benchmark, describe_measured(args.folder, runs, table), pictures, landmarks)
    _write(out / "results.md", f"# Results on real video\n\n{section}\n")
    if args.page:
        _put_section(args.page, section, MEASURED)
    log.info("benchmark: %d fits of %d clips; %s", len(runs), len(videos), out / "results.md")


def _of_studies(args: argparse.Namespace, benchmark: Benchmark) -> None:
    split, runs = next(iter(benchmark.splits)), benchmark.study_runs()
    table, out = gather(args.folder, runs), args.folder / "studies"
    _write_tables(out, {"figures.csv": table})

    def folder(row: str, sequence: str, estimators: str = SIMULATED) -> Path:
        return Run(estimators, split, row, sequence).folder(args.folder)

    shown = [name for name in benchmark.sequences if all(Run(SIMULATED, split, row, name) in runs for row in COMPARED)]
    matched = [name for name in benchmark.sequences if Run(SIMULATED, split, _NEUHMR, name) in runs]
    if not shown or not matched:
        rows = ", ".join((*COMPARED, _NEUHMR))
        raise UserError(
            f"{args.benchmark}: studies: expected the rows {rows} from {SIMULATED!r}, which its pictures need"
        )
    pictures = [
        draw_gallery({row: folder(row, name) for row in COMPARED}, args.folder / "clips" / f"{name}.truth")
        for name in shown[:_CLIPS_SHOWN]
    ]
    save_image(Image.fromarray(draw.row(pictures, _GAP)), out / "pictures.png")

    first = matched[0]
    detectors = [run for run in runs if run.sequence == first and run.estimators in benchmark.configured_kinds]
    detected = VideoDir(detectors[0].folder(args.folder)).landmarks if detectors else None
    fitted = VideoDir(folder(_NEUHMR, first))
    matches = find_matches(fitted, args.folder / "clips" / f"{first}.truth", detected)
    draw_matching(out / "matching.png", fitted, matches)
    facts = read_provenance(fitted.provenance("fit"))["facts"]
    seconds = [facts[f"seconds of {part}"] / facts["frames"] for part in ("registration", "refinement")]

    def text(pictures: str, matching: str) -> str:
        return write_studies(table, benchmark, pictures, matching, matches.errors(), tuple(seconds))

    _write(out / "results.md", f"# Studies\n\n{text('pictures.png', 'matching.png')}\n")
    if args.page:
        beside = [args.page.with_name(f"{args.page.stem}_{name}.png") for name in ("pictures", "matching")]
        for path, name in zip(beside, ("pictures.png", "matching.png")):
            with atomic_path(path) as temporary:
                shutil.copyfile(out / name, temporary)
        _put_section(args.page, text(*(path.name for path in beside)), STUDIES, last=True)
    log.info("benchmark: %d fits of %d studies; %s", len(runs), len(benchmark.studies), out / "results.md")


def _put_section(page: Path, section: str, marks: Marks, last: bool = False) -> None:
    there = page.read_text(encoding="utf-8") if page.is_file() else "# Results\n\n"
    _write(page, with_section(there, section, marks, last))


def _write_tables(out: Path, parts: dict[str, pd.DataFrame]) -> None:
    for name, part in parts.items():
        with atomic_path(out / name) as temporary:
            part.to_csv(temporary, index=False, float_format="%.6g")


def _write_pages(out: Path, page: Path | None, text: Callable[[str], str]) -> None:
    """results.md beside its figure, and a copy of both where `page` says; `text` takes the figure's name.

    What the page says of real video and of the studies is made apart, and stays.
    """
    _write(out / "results.md", text("figure.png"))
    if page:
        there = page.read_text(encoding="utf-8") if page.is_file() else ""
        beside = page.with_suffix(".png")
        with atomic_path(beside) as temporary:
            shutil.copyfile(out / "figure.png", temporary)
        fresh = text(beside.name)
        for marks in (MEASURED, STUDIES):
            if section := section_of(there, marks):
                fresh = with_section(fresh, section, marks, last=marks == STUDIES)
        _write(page, fresh)


def _padding(folder: Path, run: Run) -> float:
    """Padding of the crops, from what the stage evaluate ran with."""
    return read_provenance(VideoDir(run.folder(folder)).provenance("evaluate"))["settings"]["crop_padding"]


def _missing(benchmark: Benchmark, quick: bool, lpips: bool) -> list[str]:
    fetch = f"`snakemake weights` fetches them, or `{INSTALL}`"
    missing = [] if lpips else [f"LPIPS, whose weights are not there ({fetch})"]
    if quick:
        names = ", ".join(benchmark.quick.sequences)
        missing.append(f"all but the quick part ({names}; one split, simulated estimators)")
    return missing


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
