"""Which sequences of datasets a configuration asks for, and what each gives: the key `datasets` of the config."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets import reader_of
from pipeline.datasets.sequence import PARTS
from pipeline.errors import UserError

_SELECTION = ("start", "stop", "step")


@dataclass(frozen=True)
class DatasetClip:
    """One sequence, to be made results/<video>."""

    dataset: str
    folder: Path
    sequence: str
    inputs: tuple[Path, ...]  # files and folders that it is read from
    parts: tuple[str, ...]  # of PARTS, sorted: what is taken from the dataset beside frames and reference
    video: Mapping[str, Any]  # the section `video` of the config, with the frames to take
    fps: float | None  # in place of the reader's

    @property
    def stages(self) -> frozenset[str]:
        """The stages that it stands in for."""
        return frozenset({"decode"} | {PARTS[part] for part in self.parts})


def dataset_clips(config: Mapping[str, Any]) -> dict[str, DatasetClip]:
    """The sequences that the key `datasets` of a checked configuration asks for, by video name; none without the key.

    Raises:
        UserError: a dataset's folder or a sequence is missing, or two would have one name.
    """
    chosen = config.get("datasets") or {}
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
            clips[name] = DatasetClip(
                dataset=dataset,
                folder=folder,
                sequence=sequence,
                inputs=located.inputs,
                parts=_parts(located.parts & set(chosen["use"]), config["depth"]["backend"]),
                video={**config["video"], **{key: entry[key] for key in _SELECTION if key in entry}},
                fps=entry.get("fps"),
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
