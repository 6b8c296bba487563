"""What a job asks a cluster for: memory and time, by the stage and the frames of its video."""

import json
from pathlib import Path

_FRAME_BYTES = 20_000  # of a compressed video: 5 Mbit/s at 30 frames a second
_MOST_GUESSED = 10_000  # frames: a guess is no reason to wait for a place for days
# Megabytes at least, and for each 1000 frames; minutes at least, and for each 1000 frames. See docs/cluster.md.
_STAGES = {
    "decode": (500, 0, 10, 5),
    "masks": (1500, 100, 10, 10),
    "depth": (1500, 100, 10, 10),
    "landmarks": (1500, 100, 10, 10),
    "camera_track": (1000, 100, 10, 10),
    "pose": (1500, 150, 15, 15),
    "fit": (3000, 500, 45, 30),
    "evaluate": (2000, 300, 15, 20),
    "render": (2000, 300, 15, 20),
    "export": (1500, 300, 10, 10),
    "report": (1000, 100, 5, 5),
}
_ESTIMATOR = (10_000, 30)  # megabytes and minutes more, where a network of the paper preset runs


def frames_of(results: Path, video: Path | None) -> int:
    """Frames of a job's video: as decoded, where it has been; else guessed by the size of the file or folder."""
    try:
        return int(json.loads((results / "video.json").read_text(encoding="utf-8"))["frames"])
    except (OSError, ValueError, KeyError):
        pass
    if video is None or not video.exists():
        return 0
    guess = sum(1 for _ in video.iterdir()) if video.is_dir() else video.stat().st_size // _FRAME_BYTES
    return min(guess, _MOST_GUESSED)


def megabytes(stage: str, frames: int, estimator: bool, attempt: int) -> int:
    """Memory of a stage's job, more with each attempt: a job that ran out of it is tried again."""
    least, more, _, _ = _STAGES[stage]
    return attempt * (least + more * frames // 1000 + estimator * _ESTIMATOR[0])


def minutes(stage: str, frames: int, estimator: bool, attempt: int) -> int:
    """Time of a stage's job on two processors, several times over, more with each attempt."""
    _, _, least, more = _STAGES[stage]
    return attempt * (least + more * frames // 1000 + estimator * _ESTIMATOR[1])
