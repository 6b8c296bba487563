"""What a benchmark has found, row by row: for the table and for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.timing import Spread, Timings


@dataclass(frozen=True)
class Row:
    """One measurement: median and quartiles of `value`, and of its ratio to a rival measured in the same rounds."""

    section: str
    case: str  # "7k @ 256"
    what: str
    unit: str  # "ms", "1/s", "MB", ...
    value: float | None
    low: float | None = None
    high: float | None = None
    ratio: float | None = None  # how many times as fast as the rival, or as much
    ratio_low: float | None = None
    ratio_high: float | None = None
    rival: str | None = None
    note: str = ""


def case_of(gaussians: int, side: int) -> str:
    """The name of a scene: "7k @ 256"."""
    return f"{gaussians // 1000}k @ {side}" if gaussians >= 1000 else f"{gaussians} @ {side}"


def timed(
    timings: Timings,
    section: str,
    case: str,
    rivals: dict[str, str] | None = None,
    per_second: Iterable[str] = (),
    calls: int = 1,
) -> list[Row]:
    """A row for each callable of a timing.

    Args:
        timings: what was measured.
        rivals: by name, the callable that one is compared with.
        per_second: names that are stated as calls a second; the others in milliseconds a call.
        calls: how many calls of the thing meant a timed callable makes.
    """
    rows = []
    note = f"{timings.rounds} rounds" + ("" if timings.others is None else f", others {timings.others:.0%}")
    for name in timings.seconds:
        one = timings.spread(name)
        if name in per_second:
            shown = Spread(calls / one.high, calls / one.median, calls / one.low)
        else:
            shown = Spread(*(1e3 * each / calls for each in (one.low, one.median, one.high)))
        rival = (rivals or {}).get(name)
        ratio = timings.times_as_fast(name, rival) if rival else None
        rows.append(
            Row(
                section,
                case,
                name,
                "1/s" if name in per_second else "ms",
                shown.median,
                shown.low,
                shown.high,
                *((ratio.median, ratio.low, ratio.high, rival) if ratio else (None, None, None, None)),
                note=note,
            )
        )
    return rows


def table(rows: list[Row]) -> str:
    """The rows as text, a heading a section."""
    lines, section = [], None
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", section]
        spread = "" if row.low is None else f" ({_short(row.low)} - {_short(row.high)})"
        value = "-" if row.value is None else f"{_short(row.value)} {row.unit}{spread}"
        ratio = ""
        if row.ratio is not None:
            ratio = f"{_short(row.ratio)}x ({_short(row.ratio_low)} - {_short(row.ratio_high)}) as fast as {row.rival}"
        lines.append(f"  {row.case:<16} {row.what:<34} {value:<32} {ratio:<64} {row.note}".rstrip())
    return "\n".join(lines[1:])


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
