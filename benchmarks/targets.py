"""The numbers that the project set itself, and what a run has found of them.

`python -m benchmarks.targets results/bench.json` prints them as rows of a Markdown table.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks import rasterizers, rendering, scale, stages, start, steps
from benchmarks.rows import Row
from pipeline.formats.records import read_json

PROTOTYPE_RATE = 99.0  # steps a second of the prototype's step on the machine that the targets were written on


@dataclass(frozen=True)
class Target:
    """What is wanted of one number."""

    key: str  # its line in docs/speed.md: benchmarks/page.py
    name: str
    unit: str
    found: float | None  # None where this run has not measured it
    at_least: float
    aim: float

    @property
    def met(self) -> bool | None:
        """Whether what was asked at least is reached; more is better where the aim is more."""
        if self.found is None:
            return None
        return self.found >= self.at_least if self.aim >= self.at_least else self.found <= self.at_least


def targets(rows: list[Row]) -> list[Target]:
    def row(section: str, what: str, case: str | None = None) -> Row | None:
        for each in rows:
            if (each.section, each.what) == (section, what) and case in (None, each.case):
                return each
        return None

    def ratio(found: Row | None) -> float | None:
        return found.ratio if found else None

    def inverse(found: Row | None) -> float | None:
        return 1 / found.ratio if found and found.ratio else None

    rasterizer = row(rasterizers.SECTION, "ours forward + backward", "7k @ 256")
    fit = row(stages.SECTION, "frames a second", "fit")
    every = row(stages.SECTION, "seconds, without starting Python")
    corrected = row(start.SECTION, start.ALL)
    rate = row(rendering.SECTION, "avatar", "7k @ 512")
    return [
        Target("rasterizer", "rasterizer, 7k at 256, over plain torch tiles", "x", ratio(rasterizer), 40, 80),
        Target(
            "step",
            "whole step over the prototype's, 7k at 256",
            "x",
            inverse(row(steps.SECTION, "prototype step", "7k @ 256")),
            60 / PROTOTYPE_RATE,
            150 / PROTOTYPE_RATE,
        ),
        Target(
            "torch-step",
            "whole step over torch operations, 7k at 256",
            "x",
            ratio(row(steps.SECTION, "whole step", "7k @ 256")),
            3,
            6,
        ),
        Target("fit", "fit of the results given", "s", seconds(fit), 60, 20),
        Target("stages", "all stages of the results given", "s", every.value if every else None, 240, 120),
        Target(
            "long-clip",
            "step's time, 1800 frames over 60",
            "x",
            inverse(row(scale.SECTION, "1800 frames")),
            1.2,
            1.0,
        ),
        Target("rendering", "avatar rendering, 7k at 512", "1/s", rate.value if rate else None, 60, 120),
        Target("start", "landmarks of a frame corrected, one core", "ms", corrected.value if corrected else None, 3, 1),
    ]


def seconds(stage: Row | None) -> float | None:
    return float(stage.note.split(" s", 1)[0]) if stage else None


def table(found: list[Target]) -> str:
    lines = ["targets"]
    for target in found:
        value = "not measured" if target.found is None else f"{target.found:.3g} {target.unit}"
        verdict = {None: "", True: "met", False: "missed"}[target.met]
        wanted = f"wanted {target.at_least:.3g}, aim {target.aim:.3g}"
        lines.append(f"  {target.name:<48} {value:<16} {wanted:<28} {verdict}".rstrip())
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.targets", description=__doc__)
    parser.add_argument("bench", type=Path, help="results/bench.json")
    values = read_json(parser.parse_args().bench, ("machine", "targets"))
    for each in values["targets"]:
        found = "not measured" if each["found"] is None else f"{each['found']:.3g} {each['unit']}"
        print(f"| {each['name']} | {found} | {each['at_least']:.3g} | {each['aim']:.3g} |")
    machine = values["machine"]
    print(f"\n{machine['processor']}, {machine['threads']} threads, {machine['vector_instructions']}")


if __name__ == "__main__":
    main()
