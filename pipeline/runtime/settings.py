"""Settings of a stage: a section of config/config.yaml, with overrides, as a frozen dataclass."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_type_hints

import jsonschema
import yaml

from pipeline.runtime.errors import UserError

DEFAULT_CONFIG = Path(__file__).resolve().parents[2] / "config" / "config.yaml"
SCHEMA = DEFAULT_CONFIG.parent / "schemas" / "config.schema.yaml"
S = TypeVar("S")
# Where a key of an older version stands now.
_MOVED = {
    "pose.min_confidence": "landmarks.min_confidence",
    "pose.smplify.swap_change": "landmarks.swap_change",
    "pose.smplify.swap_doubt": "landmarks.swap_doubt",
}
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's reads ten times as fast


@cache
def default_config() -> dict[str, Any]:
    if not DEFAULT_CONFIG.is_file():
        raise UserError(f"{DEFAULT_CONFIG}: not found; run from a clone of the repository (pip install -e .)")
    return yaml.load(DEFAULT_CONFIG.read_text(encoding="utf-8"), _YAML)


def has_section(section: str) -> bool:
    """Whether config/config.yaml has this section."""
    return section in default_config()


def load_settings(section: str, overrides: Mapping[str, Any] | None, cls: type[S]) -> S:
    """Build the settings `cls` from a section of config/config.yaml.

    Args:
        section: name of the section ("fit"); a dot goes deeper ("studio.camera").
        overrides: values that replace the file's, by the same names, nested where the section is.
        cls: a dataclass; each of its fields is a key of the section. A field whose type is a dataclass takes a
            subsection.

    Raises:
        UserError: a key that `cls` does not know, or one that is missing, or a value of another type.
    """
    values: Any = default_config()
    for part in section.split("."):
        values = values[part]
    return build(cls, merged(values, overrides or {}), section)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, section by section."""
    out = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(out.get(key), Mapping):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


def build(cls: type[S], values: Mapping[str, Any], where: str) -> S:
    """Build the settings `cls` from values that a file holds under `where`. Raises as `load_settings` does."""
    if not isinstance(values, Mapping):
        raise UserError(f"settings {where}: expected KEY: VALUE pairs, found {values!r}")
    types = get_type_hints(cls)
    fields = [f.name for f in dataclasses.fields(cls)]
    unknown = [key for key in values if key not in fields]
    missing = sorted(set(fields) - set(values))
    if unknown:
        raise UserError(f"settings {where}: {_unknown(where, unknown[0], fields)}")
    if missing:
        raise UserError(f"settings {where}: key {missing[0]!r} is missing; see config/config.yaml")
    return cls(**{name: _convert(types[name], value, f"{where}.{name}") for name, value in values.items()})


def _unknown(section: str, key: str, known: Iterable[str]) -> str:
    """What is told of a key that a section does not have."""
    if moved := _MOVED.get(f"{section}.{key}"):
        return f"the key {key!r} is now {moved}"
    return f"unknown key {key!r}; known keys are {', '.join(known)}"


def _convert(kind: Any, value: Any, where: str) -> Any:
    """`value` as the type of its field: a dataclass, a plain type or several joined by |; others pass unchecked."""
    if dataclasses.is_dataclass(kind):
        return build(kind, value, where)
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if float in kinds and type(value) is int and int not in kinds:
        value = float(value)
    if set(kinds) <= {int, float, bool, str, NoneType} and type(value) not in kinds:
        names = " or ".join("null" if kind is NoneType else kind.__name__ for kind in kinds)
        raise UserError(f"settings {where}: expected {names}, found {value!r}")
    return value


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(yaml.load(SCHEMA.read_text(encoding="utf-8"), _YAML))


def check_config(config: Mapping[str, Any]) -> None:
    """Check a whole configuration against its schema.

    Raises:
        UserError: one line that names the key, what was found and what is allowed.
    """
    error = jsonschema.exceptions.best_match(_validator().iter_errors(config))
    if error is None:
        return
    where = ".".join(["config", *map(str, error.absolute_path)])
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = sorted(set(error.instance) - set(known))
        raise UserError(f"{where}: {_unknown(where.removeprefix('config.'), unknown[0], known)}")
    raise UserError(f"{where}: {error.message}; see config/config.yaml")


def parse_value(text: str) -> Any:
    """The value that JSON or YAML describes. JSON first: it writes 1e-05, which is a string in YAML 1.1."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return yaml.safe_load(text)


def parse_overrides(text: str | None) -> dict[str, Any]:
    """Read the `--settings` option: JSON, YAML, or the path of a file that holds it."""
    if not text:
        return {}
    path = Path(text)
    source = "--settings"
    if "\n" not in text and len(text) < 250 and path.suffix in (".yaml", ".yml", ".json"):
        if not path.is_file():
            raise UserError(f"{path}: not found; --settings takes YAML or a file that holds it")
        source, text = str(path), path.read_text(encoding="utf-8")
    try:
        values = parse_value(text)
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{source}: expected KEY: VALUE pairs such as 'iterations: 500', found {values!r}")
    return values
