"""What the tests of faults and the soak share: the stages as commands, and what they made, to be compared."""

import csv
import hashlib
import json
import re
from pathlib import Path

import yaml

TINY = yaml.safe_load(Path(__file__).parents[1].joinpath("tiny.yaml").read_text(encoding="utf-8"))
# What each stage makes in results/<video>/.
MAKES = {
    "decode": ("video.json", "frames"),
    "masks": ("masks", "people.jpg"),
    "landmarks": ("landmarks.npz",),
    "depth": ("camera.json",),
    "camera_track": ("camera_track.npz",),
    "pose": ("pose_init.npz",),
    "fit": ("fit", "masks_refined"),
    "evaluate": ("metrics.csv",),
    "render": ("renders",),
    "export": ("exports",),
    "report": ("report.html", "summary.json"),
}


def arguments(stage: str, video: Path, directory: Path) -> list[str]:
    """The command line of a stage with the settings of tiny.yaml, after `python -m pipeline`."""
    inputs = [str(video)] if stage == "decode" else []
    settings = ["--settings", json.dumps(TINY[stage])] if stage in TINY else []
    threads = ["--threads", "1"] if stage == "fit" else []
    return [stage, *inputs, str(directory), *settings, *threads]


def contents(directory: Path) -> dict[str, str]:
    """A digest of each file that stages made in results/<video>/, without what tells how long they took.

    Left out: logs, and the checkpoint, which is of a fit that goes on.
    """
    found = {}
    for file in sorted(directory.rglob("*")):
        name = file.relative_to(directory).as_posix()
        if file.is_file() and not name.startswith("logs/") and name != "fit/checkpoint.pt":
            found[name] = hashlib.sha256(_timeless(name, file)).hexdigest()[:16]
    return found


def leftovers(directory: Path) -> list[str]:
    """Temporary files and claims; Snakemake's own marks of folders are none."""
    hidden = [file for file in directory.rglob(".*") if file.name != ".snakemake_timestamp"]
    return sorted(file.relative_to(directory).as_posix() for file in hidden)


def _timeless(name: str, file: Path) -> bytes:
    if name.startswith("provenance/"):
        record = json.loads(file.read_text(encoding="utf-8"))
        return json.dumps(record | {"seconds": 0}).encode()
    if name == "fit/history.csv":
        with file.open(newline="", encoding="utf-8") as rows:
            return repr([{**row, "seconds": 0} for row in csv.DictReader(rows)]).encode()
    if name == "report.html":
        return re.sub(r"([\d.]+ min )?[\d.]+ (s|min)\b|width: [\d.]+%", "", file.read_text(encoding="utf-8")).encode()
    return file.read_bytes()
