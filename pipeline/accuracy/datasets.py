"""The benchmark over sequences of public datasets: what they are, and their page beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from pipeline.accuracy import paper
from pipeline.accuracy.gather import COLUMNS, INITIAL_ROW, KEYS, MOTION, TIME, mean_of
from pipeline.accuracy.settings import FULL, Benchmark, Run
from pipeline.accuracy.tables import (
    INITIAL_LABEL,
    PAPER,
    PICTURE,
    POSE,
    Rows,
    by_sequence_table,
    markdown,
    means_table,
    number,
    rows_run,
)
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance

_COMPARED = ("gart", "neuhmr", FULL)  # rows of the paper's tables 1 to 3, beside the initial estimate
_MEANS = "all"  # stands for the sequences where the paper prints means alone
_NEUMAN, _H36M, _3DPW = "neuman", "human36m", "3dpw"
_REST = (*(name for name in MOTION if name not in POSE), "psnr_crop", "ssim_crop", "lpips_crop")


@dataclass(frozen=True)
class DatasetSequence:
    """A sequence that was run."""

    dataset: str  # as the config names it
    title: str  # of the dataset, for people
    name: str
    frames: int
    reference: str  # what the poses are compared with
    valid: str  # in how many frames there is a reference
    given: tuple[str, ...]  # what the dataset gave beside frames and reference
    initial: str  # what made the initial poses
    notes: tuple[str, ...]  # what the dataset's reader noticed, for people


def describe(root: Path, runs: Iterable[Run]) -> dict[str, DatasetSequence]:
    """What was run, by video name, as the files of the stage dataset tell.

    Args:
        root: results/benchmark.
        runs: of sequences of datasets.
    """
    found: dict[str, DatasetSequence] = {}
    for run in runs:
        if run.sequence in found:
            continue
        directory = VideoDir(run.folder(root))
        record = read_provenance(directory.provenance("decode"))
        facts = record["facts"]
        initial = Pose.load(directory.pose_init)
        found[run.sequence] = DatasetSequence(
            dataset=run.estimators,
            title=facts["dataset"],
            name=facts["sequence"],
            frames=len(initial),
            reference=facts["reference"],
            valid=facts["reference valid"],
            given=tuple(facts["given by the dataset"]),
            initial=initial.source,
            notes=tuple(record["warnings"]),
        )
    return found


def write_dataset_page(
    table: pd.DataFrame,
    benchmark: Benchmark,
    sequences: Sequence[DatasetSequence],
    figure: str,
    missing: Sequence[str],
) -> str:
    """The page as Markdown; its text is in datasets.md.j2.

    Args:
        table: of `gather`, with the datasets' own names of their sequences.
        benchmark: what was run.
        sequences: which they are.
        figure: address of the figure, from the page.
        missing: what was left out, for the reader.
    """
    split = next(iter(benchmark.splits))
    titles = {sequence.dataset: sequence.title for sequence in sequences}
    both = pd.concat([table, _paper_rows(benchmark, sequences)], ignore_index=True)
    ours = [(row, benchmark.rows[row].label) for row in _COMPARED if row in benchmark.rows]
    compared = [(INITIAL_ROW, INITIAL_LABEL), *ours]
    compared += [(f"{PAPER}{name}", label) for name, label in _labels(paper.TABLE_1)]
    theirs = {f"{PAPER}NeuHMR, {name}": f"{name} (NeuHMR prints)" for table in paper.NEUHMR.values() for name in table}
    compared += list(theirs.items())
    ablations = [(f"{PAPER}{name}", label) for name, label in _labels(paper.TABLE_4)]
    ablations += [(f"{PAPER}NeuHMR, {name}", f"{name} (NeuHMR prints)") for name in paper.NEUHMR_ABLATIONS]
    poses, pictures, means, rest = [], [], [], []
    for kind, title in titles.items():
        names = [sequence.name for sequence in sequences if sequence.dataset == kind]
        rows = _filled(both, kind, split, compared, names, POSE)
        poses.append((title, by_sequence_table(both, kind, split, names, rows, POSE)))
        for name, overlay in benchmark.splits.items():
            if rows_run(table, benchmark, kind, name):
                rows = _filled(both, kind, name, compared, names, PICTURE)
                pictures.append(
                    (f"{title}, {overlay.label}", by_sequence_table(both, kind, name, names, rows, PICTURE))
                )
        measured = [(INITIAL_ROW, INITIAL_LABEL), *rows_run(table, benchmark, kind, split)]
        rows = measured + _filled(both, kind, split, ablations, [_MEANS], POSE)
        means.append((title, means_table(both, kind, split, rows, (*PICTURE, *POSE))))
        rest.append((title, means_table(table, kind, split, measured, (*_REST, *TIME))))
    text = Path(__file__).with_name("datasets.md.j2").read_text(encoding="utf-8")
    template = jinja2.Template(text, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return template.render(
        sequences=sequences,
        missing=missing,
        figure=figure,
        uniform=benchmark.splits[split].label,
        table_1=_table_1(both, split, titles, compared),
        table_2=poses,
        table_3=pictures,
        table_4=means,
        rest=rest,
    )


def _table_1(table: pd.DataFrame, split: str, titles: Mapping[str, str], rows: Rows) -> str:
    """Means over each dataset's sequences, the datasets side by side."""
    metrics = (*POSE, "v2v_surface_global")
    header = ["Method"] + [f"{title}: {COLUMNS[metric][0]}" for title in titles.values() for metric in metrics]
    lines = [
        [label, *(number(mean_of(table, kind, split, row, metric), metric) for kind in titles for metric in metrics)]
        for row, label in rows
    ]
    return markdown(header, [line for line in lines if any(line[1:])])


def _filled(
    table: pd.DataFrame, kind: str, split: str, rows: Rows, names: Sequence[str], metrics: Sequence[str]
) -> Rows:
    """Those of the rows that have any of the metrics of any of the sequences."""
    there = table[
        (table["estimators"] == kind)
        & (table["split"] == split)
        & table["sequence"].isin(names)
        & table["metric"].isin(metrics)
    ]
    return [(row, label) for row, label in rows if row in set(there["row"])]


def _labels(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, f"{name.removesuffix(' (paper)')} (paper)") for name in names]


def _paper_rows(benchmark: Benchmark, sequences: Sequence[DatasetSequence]) -> pd.DataFrame:
    """What the paper prints, as rows of the table of `gather`: of NeuMan for those sequences that were run, and their
    mean is ours; of others the means that it gives, over sequences that it does not name."""
    uniform = next(iter(benchmark.splits))
    splits = {overlay.label: split for split, overlay in benchmark.splits.items()}
    rows: list[tuple] = []

    def add(dataset: str, split: str, method: str, sequence: str, metrics: Sequence[str], values: Sequence[float]):
        keys = (dataset, split, f"{PAPER}{method}", sequence)
        rows.extend((*keys, metric, value) for metric, value in zip(metrics, values))

    for method, values in paper.TABLE_1.items():
        add(_H36M, uniform, method, _MEANS, POSE, values[:2])
        add(_3DPW, uniform, method, _MEANS, (*POSE[:2], "v2v_surface_global"), values[2:])
    for dataset, printed in paper.NEUHMR.items():
        for method, values in printed.items():
            add(dataset, uniform, f"NeuHMR, {method}", _MEANS, (POSE[0], POSE[2]), values)
    for part, values in paper.NEUHMR_ABLATIONS.items():
        add("emdb", uniform, f"NeuHMR, {part}", _MEANS, (POSE[0], POSE[2]), values)
    for sequence in sequences:
        printed = [name.casefold() for name in paper.NEUMAN]
        if sequence.dataset != _NEUMAN or sequence.name.casefold() not in printed:
            continue
        index = printed.index(sequence.name.casefold())
        for method, triples in paper.TABLE_2.items():
            add(_NEUMAN, uniform, method, sequence.name, POSE, triples[index])
        for (label, method), triples in paper.TABLE_3.items():
            if label in splits:
                add(_NEUMAN, splits[label], method, sequence.name, PICTURE, triples[index])
    for method, values in paper.TABLE_4.items():
        add(_NEUMAN, uniform, method, _MEANS, (*PICTURE, *POSE), values)
    return pd.DataFrame(rows, columns=[*KEYS, "metric", "value"])
