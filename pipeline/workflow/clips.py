"""Which clips a run is about: the videos of the folder, or the rows of a sheet; a bad one costs itself alone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake.io import PeriodicityDetector

from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import check_config, merged
from pipeline.video.suffixes import VIDEO_SUFFIXES, is_image_folder
from pipeline.workflow.sheet import Row, name_of, read_sheet

if TYPE_CHECKING:
    from pipeline.datasets.measured import MeasuredClip  # half a second that other runs do not pay

RESERVED = ("benchmark", "logs", "metrics.csv")  # of results/
_COMPANIONS = (".truth",)  # folders beside a studio clip
_periodic = PeriodicityDetector()
Check = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Clip:
    """One clip of a run."""

    name: str  # of results/<name>/
    path: Path  # the video's file, or its folder of images
    config: Mapping[str, Any]  # the whole configuration, with what the sheet says of this clip


@dataclass
class Clips:
    """What was found: clips by name, and what there is to say of the others, a line each."""

    clips: dict[str, Clip] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)  # asked for, and cannot be done: the run ends with an error
    skipped: list[str] = field(default_factory=list)  # no video, or none that was asked for


def find_clips(config: Mapping[str, Any], check: Check = check_config) -> Clips:
    """Look for the clips of a run.

    Args:
        config: the whole configuration: `videos`, `sheet`, and the settings of all clips.
        check: raises a UserError for a configuration that cannot be run; asked for each clip that the sheet gives
            settings of its own.

    Raises:
        UserError: no such folder, nothing in it, or a sheet that cannot be read.
    """
    folder = Path(config["videos"])
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; make it and put your videos there (config key 'videos')")
    rows = read_sheet(config["sheet"], folder)
    found = Clips()
    if rows is None:
        rows = [Row(path, name_of(path)) for path in _listed(folder, found.skipped)]
        if not rows:
            raise UserError(
                f"{folder}: no video found; put one there, with one of the suffixes {', '.join(VIDEO_SUFFIXES)}, "
                "or a folder of images"
            )
    else:
        named = {os.path.abspath(row.path) for row in rows}
        others = [path for path in _listed(folder, found.skipped) if os.path.abspath(path) not in named]
        found.skipped += [f"{shown(path)}: not in {config['sheet']}: skipped" for path in others]
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.name] = counts.get(row.name, 0) + 1
    for row in rows:
        own = merged(config, row.settings)
        reason = why_refused(row.name, row.path)
        if reason is None and counts[row.name] > 1:
            reason = f"{counts[row.name]} videos would write results of the name {row.name}; rename all but one"
        if reason is None and row.settings:
            try:
                check(own)
            except UserError as error:
                reason = f"{config['sheet']}: {error}"
        if reason is None:
            found.clips[row.name] = Clip(row.name, row.path, own)
        else:
            found.refused.append(f"{shown(row.path)}: {reason}")
    return found


def found_measured(clips: Iterable[MeasuredClip], config: Mapping[str, Any], check: Check = check_config) -> Clips:
    """Real videos with measured joints as the clips of a run; arguments and what is refused as `find_clips` has it."""
    found = Clips()
    for clip in clips:
        own = merged(config, clip.overlay)
        reason = why_refused(clip.name, clip.video)
        if reason is None:
            try:
                check(own)
            except UserError as error:
                reason = str(error)
        if reason is None:
            found.clips[clip.name] = Clip(clip.name, clip.video, own)
        else:
            found.refused.append(f"{shown(clip.video)}: {reason}")
    return found


def why_refused(name: str, path: Path) -> str | None:
    """Why Snakemake or the file system could not work with a clip of this name, or None."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    if re.search(r"[{}*?\[\]<>/\x00-\x1f\x7f]", name):  # Snakemake takes <word> for a variable of a path
        return "a name may not hold any of {}*?[]<>/ nor a line break or another control character; rename it"
    if name in RESERVED or name.startswith("."):
        return f"the name {name} is taken in the folder of the results; rename it"
    if _periodic.is_periodic(name) is not None:
        return "its name repeats a pattern, which Snakemake takes for an endless loop; rename it"
    if not path.exists():
        kind = "a link to a file that is gone" if path.is_symlink() else "not found"
        return f"{kind}; copy the video there, or take it away"
    return None


def shown(path: Path | str) -> str:
    """A path as one printable line, whatever its bytes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], text)


def _listed(folder: Path, skipped: list[str]) -> list[Path]:
    """The videos in a folder, sorted; what else is there is told to `skipped`."""
    videos = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "README.md" or path.suffix in _COMPANIONS:
            continue
        try:
            is_video = is_image_folder(path) if path.is_dir() else path.suffix.lower() in VIDEO_SUFFIXES
            what = "a folder without images" if path.is_dir() else "not one of the suffixes of videos"
        except OSError as error:
            is_video, what = False, error.strerror
        if is_video:
            videos.append(path)
        else:
            skipped.append(f"{shown(path)}: {what}: skipped")
    return videos
