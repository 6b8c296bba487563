"""Which sequences of datasets a configuration asks for, and what each gives: the key `datasets` of the config."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets import reader_of
from pipeline.datasets.sequence import PARTS
from pipeline.runtime.errors import UserError

_SELECTION = ("start", "stop", "step", "longest_side")
_GENDERS = ("female", "male")


@dataclass(frozen=True)
class DatasetClip:
    """One sequence, to be made results/<video>."""

    dataset: str
    folder: Path
    sequence: str
    inputs: tuple[Path, ...]  # files and folders that it is read from, SMPL's gendered bodies among them
    parts: tuple[str, ...]  # of PARTS, sorted: what is taken from the dataset beside frames and reference
    options: tuple[str, ...]  # of `python -m pipeline dataset`, all but --body-model and --log

    @property
    def stages(self) -> frozenset[str]:
        """The stages that it stands in for."""
        return frozenset({"decode"} | {PARTS[part] for part in self.parts})

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of `python -m pipeline dataset`, those before the directory."""
        return self.dataset, str(self.folder), self.sequence


def dataset_clips(config: Mapping[str, Any]) -> dict[str, DatasetClip]:
    """The sequences that the key `datasets` of a checked configuration asks for, by video name; none without the key.

    Raises:
        UserError: a dataset's folder, a sequence or one of SMPL's bodies is missing, or two would have one name.
    """
    chosen = config.get("datasets") or {}
    named = {gender: chosen[gender] for gender in _GENDERS if chosen.get(gender)}
    clips: dict[str, DatasetClip] = {}
    for dataset, entry in chosen.get("folders", {}).items():
        if entry is None:
            continue
        folder = Path(entry["path"])
        reader = reader_of(dataset, folder)
        for sequence in entry["sequences"]:
            located = reader.locate(folder, sequence)
            name = video_name(dataset, sequence)
            if name in clips:
                raise UserError(f"config datasets.folders.{dataset}: {sequence!r} is named twice, or as another's name")
            parts = _parts(located.parts & set(chosen["use"]), config["depth"]["backend"])
            options = {key: entry.get(key, config["video"][key]) for key in _SELECTION}
            options |= {"fps": entry["fps"]} if entry.get("fps") else {}
            bodies = named if reader.GENDERED else {}
            clips[name] = DatasetClip(
                dataset=dataset,
                folder=folder,
                sequence=sequence,
                inputs=(*located.inputs, *map(Path, bodies.values())),
                parts=parts,
                options=("--use", *parts, *_flags(options | bodies)),
            )
    if clips:
        gendered = named if any(reader_of(clip.dataset, clip.folder).GENDERED for clip in clips.values()) else {}
        _check_bodies(
            {"body_model": config["body_model"]} | {f"datasets.{key}": path for key, path in gendered.items()}
        )
    return clips


def video_name(dataset: str, sequence: str) -> str:
    """Name of a sequence's folder in results/: letters, digits, dots and dashes of its name, the rest as _."""
    return re.sub(r"[^\w.-]+", "_", f"{dataset}_{sequence}")


def _parts(parts: frozenset[str], depth_backend: str) -> tuple[str, ...]:
    """Camera and depth come from one stage: where its backend gives depth and the dataset does not, it runs."""
    if "camera" not in parts or ("depth" not in parts and depth_backend != "none"):
        parts = parts - {"camera", "depth"}
    return tuple(sorted(parts))


def _check_bodies(files: Mapping[str, str]) -> None:
    for key, file in files.items():
        if not Path(file).is_file():
            raise UserError(
                f"config {key}: {file}: no such file; the datasets' motions are of SMPL's bodies: register at "
                "https://smpl.is.tue.mpg.de, download SMPL for Python (version 1.1.0) and name its files there"
            )


def _flags(options: Mapping[str, Any]) -> list[str]:
    texts = {key: "null" if value is None else str(value) for key, value in options.items()}
    return [part for key, text in texts.items() for part in (f"--{key.replace('_', '-')}", text)]
