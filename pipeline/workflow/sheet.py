"""videos.tsv: a table of clips, each with settings of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import default_config, merged, parse_value

# Short names of columns, and the settings that they stand for. Any other column is a setting by its full name.
COLUMNS = {
    "start": "video.start",
    "stop": "video.stop",
    "step": "video.step",
    "calibration": "video.calibration",
    "camera": "video.camera",
    "person": "masks.person",
    "focal": "depth.focal",
    "focal_mm": "depth.focal_mm",
    "height": "pose.height",
    "facing": "landmarks.facing",
    "pitch": "camera.pitch",
    "roll": "camera.roll",
}
_TEXT = ("video.calibration", "video.camera")  # a camera named 1 is text
_OF_THE_RUN = ("videos", "results", "sheet", "benchmark", "datasets", "measured", "container")  # the same for all clips


@dataclass(frozen=True)
class Row:
    """One line of the sheet."""

    path: Path  # of the video
    name: str  # of the clip
    settings: Mapping[str, Any] = field(default_factory=dict)  # what differs from the configuration, nested


def name_of(video: Path) -> str:
    """What a clip is called where nobody says otherwise: the file without its suffix, the folder of images as it is."""
    return video.name if video.is_dir() else video.stem


def read_sheet(sheet: str, folder: Path) -> list[Row] | None:
    """The clips that a sheet names, in its order.

    Columns are separated by tabs (by commas in a .csv). `video` is needed: a file's name in `folder`, or a path. `name`
    is that of the results, else the file's. An empty cell leaves a setting as it is for all clips.

    Args:
        sheet: its path; where it is the default and there is none, each video of the folder is a clip.
        folder: of the videos.

    Returns:
        The rows, or None without a sheet.

    Raises:
        UserError: names the sheet, the line and the column.
    """
    path = Path(sheet)
    if not path.is_file():
        if sheet == default_config()["sheet"]:
            return None
        raise UserError(f"{path}: not found; write this table of videos, or leave out the config key 'sheet'")
    table = _read(path)
    keys = {column: COLUMNS.get(column, column) for column in table.columns if column not in ("video", "name")}
    for column, key in keys.items():
        _check_column(path, column, key)
    rows = []
    for number, cells in enumerate(table.to_dict("records"), start=2):
        if not any(cells.values()):
            continue
        if not cells["video"]:
            raise UserError(f"{path}, line {number}: column 'video' is empty; name the video's file")
        video = folder / cells["video"]
        settings: dict[str, Any] = {}
        for column, key in keys.items():
            if cells[column]:
                settings = merged(settings, _nested(key, _value(path, number, column, key, cells[column])))
        rows.append(Row(video, cells.get("name") or name_of(video), settings))
    if not rows:
        raise UserError(f"{path}: no video in it; write a line for each, or delete it")
    return rows


def _read(path: Path) -> Any:
    """The sheet as a pandas table of text."""
    import pandas as pd  # half a second that runs without a sheet do not pay

    try:
        separator = "," if path.suffix.lower() == ".csv" else "\t"
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: expected a table with a line of column names, could not read it ({error})") from error
    table.columns = [str(column).strip() for column in table.columns]
    table = table.fillna("").apply(lambda column: column.str.strip())  # a line may end before its last columns
    if "video" not in table.columns:
        between = "commas" if separator == "," else "tabs"
        raise UserError(
            f"{path}: column 'video' is missing, found {', '.join(map(repr, table.columns))}; "
            f"columns are separated by {between}"
        )
    return table


def _check_column(path: Path, column: str, key: str) -> None:
    """Raise a UserError where no setting has this name. Its values are checked with the whole configuration."""
    value: Any = default_config()
    for part in key.split("."):
        known = isinstance(value, Mapping) and part in value
        value = value[part] if known else None
    if not known or isinstance(value, Mapping) or key in _OF_THE_RUN:
        raise UserError(
            f"{path}: column {column!r} is no setting of a clip; expected video, name, {', '.join(COLUMNS)}, "
            "or a key of config/config.yaml such as fit.gaussians"
        )


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _value(path: Path, number: int, column: str, key: str, text: str) -> Any:
    if key in _TEXT:
        return text
    try:
        return parse_value(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path}, line {number}: column {column!r}: expected a value, found {text!r}") from error
