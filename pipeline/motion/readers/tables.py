"""Points over time in text files: TRC (OpenSim, Pose2Sim), and csv with columns NAME_x, NAME_y, NAME_z (FreeMoCap)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.runtime.errors import UserError

_UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_TALLEST = 10.0  # metres: a person who spans more is told in millimetres


@dataclass(frozen=True)
class Table:
    """Named points over time."""

    points: np.ndarray  # (N, P, 3) metres; NaN where not measured
    names: tuple[str, ...]
    seconds: np.ndarray | None  # (N,); None: not told


def read_table(path: Path) -> Table | None:
    """The points of a TRC or csv file; None where it is neither.

    Raises:
        UserError: it is one, and is not as it should be.
    """
    with path.open("rb") as file:
        line = file.readline(100_000)
    if line.startswith(b"PathFileType"):
        return _trc(path)
    if b"_x," in line and b"_y," in line:
        return _csv(path)
    return None


def _trc(path: Path) -> Table:
    """Five lines of header: names of values, values, names of markers over three columns each, then rows."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) < 6:
        raise UserError(f"{path}: expected five lines of header and rows, found {len(lines)} lines")
    header = dict(zip(lines[1].split(), lines[2].split()))
    unit = header.get("Units", "").lower()
    if unit not in _UNITS:
        raise UserError(f"{path}: 'Units' should be {', '.join(_UNITS)}, found {unit!r}")
    names = tuple(name.strip() for name in lines[3].split("\t")[2:] if name.strip())
    if {"Head", "Neck", "Nose"} <= set(names):  # Pose2Sim's HALPE_26, where it is the top
        names = tuple("HeadTop" if name == "Head" else name for name in names)
    rows = [line.split("\t") for line in lines[5:] if line.strip()]
    width = 2 + 3 * len(names)
    values = np.full((len(rows), width), np.nan)
    for number, row in enumerate(rows):
        cells = [cell.strip() for cell in row[:width]]
        try:
            values[number, : len(cells)] = [float(cell) if cell else np.nan for cell in cells]
        except ValueError as error:
            raise UserError(f"{path}: line {number + 6}: expected numbers ({error})") from error
    seconds = values[:, 1]
    if not np.isfinite(seconds).all() or (np.diff(seconds) <= 0).any():
        raise UserError(f"{path}: the column 'Time' should rise from row to row")
    return Table(values[:, 2:].reshape(len(rows), len(names), 3) * _UNITS[unit], names, seconds)


def _csv(path: Path) -> Table:
    """FreeMoCap's output_data, and what it saves from Blender: a header with a hash, spaces and a last comma."""
    try:
        data = pd.read_csv(path, index_col=False).rename(columns=lambda name: name.strip("# "))
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a csv of numbers ({error})") from error
    names = tuple(
        name[:-2]
        for name in data.columns
        if name.endswith("_x") and {f"{name[:-2]}_y", f"{name[:-2]}_z"} <= set(data.columns)
    )
    columns = [f"{name}_{axis}" for name in names for axis in "xyz"]
    try:
        values = data[columns].to_numpy(dtype=float)
    except ValueError as error:
        raise UserError(f"{path}: expected numbers in {columns[0]} and the like ({error})") from error
    return Table(freemocap_metres(values.reshape(len(data), len(names), 3)), names, None)


def freemocap_metres(points: np.ndarray) -> np.ndarray:
    """Points (N, P, 3) of FreeMoCap in metres: output_data is in millimetres, saved_data in metres."""
    seen = points[np.isfinite(points).all(axis=2).any(axis=1)]
    if not len(seen):
        return points
    spans = np.linalg.norm(np.nanmax(seen, axis=1) - np.nanmin(seen, axis=1), axis=1)
    return points / 1000 if np.median(spans) > _TALLEST else points
