"""What the benchmark runs: config/benchmark.yaml, which explains each value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.accuracy.errors import Errors, Simulated
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import build, merged

SIMULATED, CONFIGURED = ("simulated", "configured")
FULL = "full"  # the row of the full method
BY_METHOD, BY_START = LAYOUTS = ("method", "start")


@dataclass(frozen=True)
class Studio:
    """Section `studio`."""

    width: int
    height: int
    fps: int
    views: int
    view_frames: int


@dataclass(frozen=True)
class Sequence:
    """One of the section `sequences`."""

    seed: int
    frames: int
    motion: str
    outfit: str
    camera: str
    novel: str | None  # a second motion of the same person, for poses never trained; None: none
    errors: Errors


@dataclass(frozen=True)
class Start:
    """One of the section `starts`: estimators beside those of the config and the simulated ones as they are."""

    label: str
    errors: float | None  # simulated, with so many times the sequence's errors; None: those of the config
    pose: dict  # laid over the config's section `pose`, where they are those of the config; {benchmark} in its path is
    # the folder of the benchmark's results


@dataclass(frozen=True)
class Study:
    """One of the section `studies`: a further table, of some sequences and the first split."""

    title: str
    about: str  # a sentence for people, below the table
    by: str  # BY_METHOD: a line a row, a table a start; BY_START: a line a start, a column a row
    sequences: list
    estimators: list
    rows: list


@dataclass(frozen=True)
class Overlay:
    """One of the sections `splits` and `rows`: settings laid over those of the fit."""

    label: str
    fit: dict


@dataclass(frozen=True)
class Quick:
    """Section `quick`."""

    sequences: list
    rows: list


@dataclass(frozen=True)
class Run:
    """One fit of one sequence."""

    estimators: str  # of `Benchmark.estimators`; for a sequence of a dataset that dataset, which stands in for some
    split: str
    row: str
    sequence: str

    def folder(self, root: str | Path) -> Path:
        """Where it lies under results/benchmark."""
        return Path(root) / "runs" / self.estimators / self.split / self.row / self.sequence


def pictured(runs: Iterable[Run]) -> list[Run]:
    """Those of the full method, by the first split: of real clips the pictures of these are looked at."""
    full = [run for run in runs if run.row == FULL]
    return [run for run in full if run.split == full[0].split]


@dataclass(frozen=True)
class Benchmark:
    """The whole file."""

    page: str
    datasets_page: str | None
    measured_page: str | None
    studies_page: str | None
    studio: Studio
    sequences: dict[str, Sequence]
    simulated: Simulated
    starts: dict[str, Start]
    splits: dict[str, Overlay]
    rows: dict[str, Overlay]
    runs: dict[str, dict[str, list[str]]]
    datasets: dict[str, dict[str, list[str]]]
    studies: dict[str, Study]
    quick: Quick

    @property
    def estimators(self) -> dict[str, str]:
        """All kinds of estimators of studio clips, and what they are called."""
        named = {SIMULATED: "simulated, as HMR2.0 errs", CONFIGURED: "of the config"}
        return named | {name: start.label for name, start in self.starts.items()}

    @property
    def simulated_kinds(self) -> list[str]:
        """Those of the estimators that are simulated."""
        return [SIMULATED, *(name for name, start in self.starts.items() if start.errors is not None)]

    @property
    def configured_kinds(self) -> list[str]:
        """The others: the pipeline's own stages."""
        return [name for name in self.estimators if name not in self.simulated_kinds]

    def errors(self, sequence: str, estimators: str) -> Errors:
        """What a simulated kind of estimators errs on a sequence."""
        factor = self.starts[estimators].errors if estimators in self.starts else 1.0
        asked = self.sequences[sequence].errors
        return Errors(asked.like, factor * asked.mpjpe, factor * asked.pa_mpjpe, factor * asked.v2v)

    def pose_settings(self, base: Mapping[str, Any], estimators: str, folder: str) -> dict[str, Any]:
        """Settings of the stage pose, `base` with those of a kind of the config's estimators laid over it.

        Args:
            folder: of the benchmark's results.
        """
        over = dict(self.starts[estimators].pose) if estimators in self.starts else {}
        if over.get("path"):
            over["path"] = over["path"].replace("{benchmark}", folder)
        return merged(base, over)

    def study_runs(self, study: str | None = None) -> list[Run]:
        """All fits of a study, or of all studies, each once; some are the benchmark's own."""
        split = next(iter(self.splits))
        runs = [
            Run(estimators, split, row, sequence)
            for name, each in self.studies.items()
            if study in (None, name)
            for estimators in each.estimators
            for row in each.rows
            for sequence in each.sequences
        ]
        return list(dict.fromkeys(runs))

    def all_runs(self, quick: bool = False) -> list[Run]:
        """All fits of studio clips, or those of `quick`: of the simulated estimators and the first split alone."""
        runs = [
            Run(estimators, split, row, sequence)
            for estimators, splits in self.runs.items()
            for split, rows in splits.items()
            for row in rows
            for sequence in self.sequences
        ]
        if not quick:
            return runs
        first = next(iter(self.splits))
        return [
            run
            for run in runs
            if (run.estimators, run.split) == (SIMULATED, first)
            and run.row in self.quick.rows
            and run.sequence in self.quick.sequences
        ]

    def dataset_runs(self, sequences: Mapping[str, str], file: Path) -> list[Run]:
        """All fits of sequences of datasets.

        Args:
            sequences: video name of each, and the dataset that it is of.
            file: that this is, to be named in errors.

        Raises:
            UserError: the section `datasets` does not say what to run on a dataset, or names no row at all.
        """
        unknown = [dataset for dataset in sequences.values() if dataset not in self.datasets]
        if unknown:
            raise UserError(
                f"{file}: section datasets: expected {unknown[0]!r}, of which the config names sequences, found "
                f"{', '.join(self.datasets)}; say there which rows to run on it"
            )
        runs = [
            Run(dataset, split, row, video)
            for dataset, splits in self.datasets.items()
            for split, rows in splits.items()
            for row in rows
            for video, of in sequences.items()
            if of == dataset
        ]
        if not runs:
            named = ", ".join(dict.fromkeys(sequences.values()))
            raise UserError(f"{file}: section datasets: expected rows to run on {named}, found none; name some")
        return runs

    def film_options(self, sequence: str) -> list[str]:
        """The options of the stage studio for a sequence."""
        wanted, studio = self.sequences[sequence], self.studio
        options = {
            "name": sequence,
            "seed": wanted.seed,
            "frames": wanted.frames,
            "size": f"{studio.width}x{studio.height}",
            "fps": studio.fps,
            "motion": wanted.motion,
            "outfit": wanted.outfit,
            "camera": wanted.camera,
            "views": studio.views,
        } | ({"novel": wanted.novel} if wanted.novel else {})
        return [f"--{name}={value}" for name, value in options.items()]

    def fit_settings(self, base: Mapping[str, Any], split: str, row: str) -> dict[str, Any]:
        """Settings of the fit, `base` with those of the split and of the row laid over it."""
        return merged(merged(base, self.splits[split].fit), self.rows[row].fit)


def load_benchmark(path: str | Path) -> Benchmark:
    """Read the file of a benchmark.

    Raises:
        UserError: it is missing, a key is missing, unknown or of a wrong type, or a name is used that is not defined.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: not found; the config key 'benchmark' names the file of the benchmark")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected KEY: VALUE pairs, found {values!r}")
    parts = {"sequences": Sequence, "starts": Start, "splits": Overlay, "rows": Overlay, "studies": Study}
    for key, cls in parts.items():
        if isinstance(values.get(key), dict):
            values[key] = {name: build(cls, entry, f"{path} {key}.{name}") for name, entry in values[key].items()}
    benchmark = build(Benchmark, values, str(path))
    _check_names(path, benchmark)
    return benchmark


def _check_names(path: Path, benchmark: Benchmark) -> None:
    known: Mapping[str, Any] = {
        "estimators": benchmark.estimators,
        "split": benchmark.splits,
        "row": benchmark.rows,
        "sequence": benchmark.sequences,
    }
    used = [("estimators", name) for name in benchmark.runs]
    for study in benchmark.studies.values():
        used += [("estimators", name) for name in study.estimators] + [("row", name) for name in study.rows]
        used += [("sequence", name) for name in study.sequences]
    for splits in (*benchmark.runs.values(), *benchmark.datasets.values()):
        used += [("split", name) for name in splits] + [("row", name) for rows in splits.values() for name in rows]
    used += [("sequence", name) for name in benchmark.quick.sequences] + [
        ("row", name) for name in benchmark.quick.rows
    ]
    for kind, name in used:
        if name not in known[kind]:
            raise UserError(f"{path}: {kind} {name!r} is not defined; there are {', '.join(known[kind])}")
    for name, study in benchmark.studies.items():
        if study.by not in LAYOUTS:
            raise UserError(f"{path}: studies.{name}.by: expected {' or '.join(LAYOUTS)}, found {study.by!r}")
    for name, start in benchmark.starts.items():
        if start.errors is not None and start.pose:
            raise UserError(f"{path}: starts.{name}: expected errors or pose, found both; leave pose empty: {{}}")
        if name in (SIMULATED, CONFIGURED) or name in benchmark.datasets:
            raise UserError(f"{path}: starts.{name}: the name is taken; choose another")
    for name, sequence in benchmark.sequences.items():
        if sequence.camera not in ("static", "moving"):
            raise UserError(f"{path}: sequences.{name}.camera: expected static or moving, found {sequence.camera!r}")
