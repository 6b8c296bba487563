"""Frames a second of each stage of the pipeline, from the records of a finished results/<video>."""

from __future__ import annotations

from pathlib import Path

from benchmarks.rows import Row
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance
from pipeline.formats.video import VideoInfo

SECTION = "stages"


def bench(folder: Path | None) -> list[Row]:
    """A row a stage; one row that says why where there is no finished run."""
    if folder is None:
        return [Row(SECTION, "-", "skipped: no --results results/<video>", "", None)]
    directory = VideoDir(folder)
    records = sorted((folder / "provenance").glob("*.json"))
    if not records or not directory.video.is_file():
        return [Row(SECTION, folder.name, f"skipped: no finished run in {folder}", "", None)]
    frames = VideoInfo.load(directory.video).frames
    rows, total = [], 0.0
    for path in records:
        seconds = float(read_provenance(path)["seconds"])
        total += seconds
        rate = frames / seconds if seconds > 0 else None
        rows.append(Row(SECTION, path.stem, "frames a second", "1/s", rate, note=f"{seconds:.2f} s, run once"))
    rows.append(Row(SECTION, "all", "seconds, without starting Python", "s", total, note=f"{frames} frames, run once"))
    return rows
