"""The tables of docs/speed.md, from benchmarks/results/<machine>.json.

`python -m benchmarks.page` writes them, `--check` says whether they are written, `--add MACHINE` first makes the file
of a new machine from results/bench.json.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from benchmarks import losses, rasterizers, rendering, scale, stages, start, steps, targets
from benchmarks.rows import Row
from pipeline.formats.records import read_json, write_json
from pipeline.runtime.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "speed.md"
BEGIN = "<!-- From benchmarks/results/, by `make speed-page`. Do not edit below. -->"
END = "<!-- Edit again. -->"
_UNITS = {"ms": "ms", "s": "s", "1/s": "a second"}
_CASE = "7k @ 256"
_COMMIT_DIGITS = 7


@dataclass(frozen=True)
class Line:
    """A line of a table."""

    key: str  # in the files' `rows`
    text: str
    target: str | None = None  # key of the target that stands beside it


LINES = (
    Line(
        "rasterizer", "rasterizer, forward + backward, 7k at 256: times as fast as plain torch in tiles", "rasterizer"
    ),
    Line("step", "whole step with all losses, 7k at 256: times as fast as the prototype's", "step"),
    Line("first-prototype", "the same against the first prototype, with its own kernels (by hand)", "step"),
    Line("torch-step", "the same against torch operations, but for the rasterizer", "torch-step"),
    Line("two-threads", "the same on two threads against one"),
    Line("rendering", "avatar rendering, 7k at 512: pictures", "rendering"),
    Line("long-clip", "time of a step in a clip of 1800 frames over one in a clip of 60", "long-clip"),
    Line("start", "landmarks of a frame corrected, and its rotations told, by the networks, on one core", "start"),
    Line("fit", "`make demo`, fit stage, kernels compiled before", "fit"),
    Line("render", "`make demo`, render stage"),
    Line("stages", "`make demo`, all stages without starting Python", "stages"),
    Line("demo", "`make demo`, all of it, installed and filmed before (by hand)", "stages"),
    Line("juggle", "`juggle.mp4`, 247 frames of 1280x720, all of it (by hand)"),
)
LOSSES = (
    Line("photometric", "photometric (L1, SSIM)"),
    Line("depth-3d", "depth 3D"),
    Line("camel", "CAMEL"),
    Line("smoothness", "smoothness"),
)


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """The machines by the names of their files, the newest figures first.

    Raises:
        UserError: a file that is not as schema.json in the folder wants it.
    """
    validator = jsonschema.Draft202012Validator(read_json(folder / "schema.json"))
    machines = {}
    for file in sorted(folder.glob("*.json")):
        if file.name == "schema.json":
            continue
        values = read_json(file)
        error = jsonschema.exceptions.best_match(validator.iter_errors(values))
        if error is not None:
            where = ".".join(map(str, error.absolute_path)) or "the file"
            raise UserError(f"{file}: {where}: {error.message}; see {folder / 'schema.json'}")
        machines[file.stem] = values
    return dict(sorted(machines.items(), key=lambda item: item[1]["date"], reverse=True))


def tables(machines: Mapping[str, Mapping[str, Any]]) -> str:
    """What stands between the markers, Markdown."""
    about = _markdown(
        ("machine", "processor", "processors", "threads", "GPU", "code", "measured"),
        [
            (
                f"`{name}`",
                f"{each['processor']}, {each['vector_instructions']}",
                str(each["processors"]),
                str(each["threads"]),
                each["gpu"] or "none",
                f"{each['version']}, {each['commit'] or 'commit not known'}",
                each["date"],
            )
            for name, each in machines.items()
        ],
    )
    notes = [f"- `{name}`: {' '.join(each['notes'])}" for name, each in machines.items() if each["notes"]]
    wanted = {target.key: target for target in targets.targets([])}

    def line(one: Line) -> list[str]:
        target = wanted[one.target] if one.target else None
        aims = [_amount(value, target.unit) for value in (target.at_least, target.aim)] if target else ["", ""]
        return [one.text, *(_cell(each["rows"].get(one.key)) for each in machines.values()), *aims]

    names = [f"`{name}`" for name in machines]
    found = _markdown(("what", *names, "at least", "aim"), map(line, LINES))
    terms = _markdown(("loss, value and gradient, 7k at 256", *names), [line(one)[:-2] for one in LOSSES])
    return "\n\n".join(filter(None, [about, "\n".join(notes), found, terms]))


def _cell(row: Mapping[str, Any] | None) -> str:
    """ "41x (5 against 189 ms)", "27 to 39 s", "213 a second"; a dash where nothing was measured."""
    if row is None:
        return "-"
    unit = row["unit"]
    if "low" in row:
        amount = f"{_amount(row['low'], unit)} to {_amount(row['high'], unit)}"
    elif "value" in row:
        amount = _amount(row["value"], unit)
        if "rival" in row:
            amount = f"{row['value']:.3g} against {row['rival']:.3g} {_UNITS[unit]}"
    else:
        return f"{row['ratio']:.3g}x"
    return f"{row['ratio']:.3g}x ({amount})" if "ratio" in row else amount


def _amount(value: float, unit: str) -> str:
    if unit == "x":
        return f"{value:.3g}x"
    if unit == "s" and value >= 60:
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    return f"{value:.3g} {_UNITS[unit]}"


def _markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def with_tables(text: str, inside: str) -> str:
    """The page with new tables between its markers. Raises a UserError where it has not both of them once."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UserError(f"{PAGE}: expected the lines {BEGIN!r} and {END!r}, once each and in this order; put them back")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{inside}\n\n{END}{rest.split(END)[1]}"


def from_bench(bench: Path) -> dict[str, Any]:
    """A machine's file, without notes, from what `make bench` wrote.

    Raises:
        UserError: no such file, or one of `--quick`.
    """
    values = read_json(bench, ("machine", "quick", "rows"))
    if values["quick"]:
        raise UserError(f"{bench}: is of --quick, which says whether it runs, not how fast; run make bench")
    machine = values["machine"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        "processor": machine["processor"],
        "processors": machine["processors"],
        "threads": machine["threads"],
        "vector_instructions": machine["vector_instructions"],
        "gpu": None,
        "version": project["version"],
        "commit": _commit(),
        "date": datetime.date.fromtimestamp(bench.stat().st_mtime).isoformat(),
        "notes": [],
        "rows": rows_of([Row(**row) for row in values["rows"]]),
    }


def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", f"--abbrev={_COMMIT_DIGITS}"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def rows_of(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """The lines that a run of the benchmarks gives, without those that were not run."""
    found = {(row.section, row.case, row.what): row for row in rows}

    def at(section: str, what: str, case: str = _CASE) -> Row | None:
        return found.get((section, case, what))

    def beside_rival(section: str, what: str) -> dict[str, Any] | None:
        row = at(section, what)
        return _line(row, at(section, row.rival)) if row and row.rival else None

    def stage(name: str) -> dict[str, Any] | None:
        row = at(stages.SECTION, "frames a second", name)
        return {"unit": "s", "value": targets.seconds(row)} if row else None

    whole = at(steps.SECTION, "whole step")
    lines = {
        "rasterizer": beside_rival(rasterizers.SECTION, "ours forward + backward"),
        "step": _line(whole, at(steps.SECTION, "prototype step")),
        "torch-step": beside_rival(steps.SECTION, "whole step"),
        "two-threads": _line(whole, at(steps.SECTION, "whole step, 1 thread")),
        "rendering": _line(at(rendering.SECTION, "avatar", "7k @ 512")),
        "long-clip": _line(at(scale.SECTION, "60 frames", "step"), at(scale.SECTION, "1800 frames", "step")),
        "start": _line(at(start.SECTION, start.ALL, "250 frames")),
        "fit": stage("fit"),
        "render": stage("render"),
        "stages": _line(at(stages.SECTION, "seconds, without starting Python", "all")),
    }
    lines |= {
        key: beside_rival(losses.SECTION, what)
        for key, what in (
            ("photometric", "photometric"),
            ("depth-3d", "depth 3D"),
            ("camel", "CAMEL"),
            ("smoothness", "smoothness"),
        )
    }
    return {key: line for key, line in lines.items() if line is not None}


def _line(row: Row | None, *rivals: Row | None) -> dict[str, Any] | None:
    """A measurement, and how many times as fast as its rival it is; None where one of them was not measured."""
    if row is None or None in rivals:
        return None
    line = {"unit": row.unit, "value": row.value}
    for rival in rivals:
        if row.rival == rival.what:
            ratio = row.ratio
        elif rival.rival == row.what:
            ratio = 1 / rival.ratio
        else:  # not taken round by round
            ratio = row.value / rival.value if row.unit == "1/s" else rival.value / row.value
        line |= {"rival": rival.value, "ratio": ratio}
    return line


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--check", action="store_true", help="write nothing; exit status 1 where the page is another")
    chosen.add_argument("--add", metavar="MACHINE", help="make benchmarks/results/MACHINE.json first")
    parser.add_argument(
        "--bench", type=Path, default=Path("results/bench.json"), help="of --add; what make bench wrote"
    )
    args = parser.parse_args(arguments)
    try:
        if args.add:
            write_json(RESULTS / f"{args.add}.json", from_bench(args.bench))
        text = PAGE.read_text(encoding="utf-8")
        wanted = with_tables(text, tables(load(RESULTS)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.check:
        if text != wanted:
            print(f"error: {PAGE}: not what {RESULTS} gives; run make speed-page", file=sys.stderr)
        return int(text != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
