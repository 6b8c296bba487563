"""Checked reading and writing of small JSON files."""

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.formats.atomic import atomic_path
from pipeline.runtime.errors import UserError

_NUMBERS = re.compile(r"\[\n[-+.\deE,\s]+\]")  # a list of numbers alone; no text holds a line break as such


def write_json(path: str | Path, values: dict[str, Any]) -> None:
    """Write a JSON object, whole or not at all. Lists of numbers fill their lines: json gives each number its own."""
    text = _NUMBERS.sub(_filled, json.dumps(values, indent=2, ensure_ascii=False))
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _filled(numbers: re.Match[str]) -> str:
    inner = " ".join(numbers[0][1:-1].split())
    return f"[{textwrap.fill(inner, 110, subsequent_indent='    ', break_on_hyphens=False)}]"


def read_json(path: str | Path, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a JSON object that must have `keys`. Raises UserError naming the file and what is wrong."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: not found; run the stage that writes it first")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected JSON, found {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(values).__name__}")
    for key in keys:
        if key not in values:
            raise UserError(f"{path}: key {key!r} is missing; found {', '.join(values) or 'nothing'}")
    return values


def check_types(path: str | Path, values: Mapping[str, Any], types: Mapping[str, type]) -> None:
    """Raise a UserError where the value of a key is not of its type; a bool is no int."""
    for key, kind in types.items():
        if type(values[key]) is not kind:
            raise UserError(f"{path}: key {key!r} should be {kind.__name__}, found {values[key]!r}")
