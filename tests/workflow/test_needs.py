"""What a job asks a cluster for: more for a longer video, more for another try."""

import os
import re
import subprocess
import sys
from pathlib import Path

from pipeline.workflow.needs import frames_of, megabytes, minutes

REPOSITORY = Path(__file__).resolve().parents[2]


def test_frames_are_counted_once_decoded_and_guessed_before(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    assert frames_of(tmp_path, None) == 0
    assert frames_of(tmp_path, video) == 0  # gone: the job says so
    with video.open("wb") as file:
        file.truncate(6_000_000)
    assert frames_of(tmp_path, video) == 300
    with video.open("wb") as file:
        file.truncate(90_000_000_000)
    assert frames_of(tmp_path, video) == 10_000
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in "abc":
        (pictures / name).touch()
    assert frames_of(tmp_path, pictures) == 3
    (tmp_path / "video.json").write_text('{"frames": 42}')
    assert frames_of(tmp_path, video) == 42
    (tmp_path / "video.json").write_text('{"fra')  # while it is written
    assert frames_of(tmp_path, pictures) == 3


def test_memory_and_time_grow_with_frames_and_tries() -> None:
    for amount in (megabytes, minutes):
        short, long = amount("fit", 100, False, 1), amount("fit", 10_000, False, 1)
        assert short < long
        assert amount("fit", 10_000, False, 3) == 3 * long
        assert amount("pose", 100, True, 1) > amount("pose", 100, False, 1)
    assert megabytes("fit", 14_326, False, 1) > 5_900 + 1_000  # what ten minutes of video took: docs/speed.md


def planned_fit(folder: Path, *arguments: str, gpus: str) -> str:
    """What a dry run says of the fit of one video, where CUDA_VISIBLE_DEVICES is `gpus`."""
    (folder / "videos").mkdir(exist_ok=True)
    (folder / "videos" / "a.mp4").touch()
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--directory", str(folder), *arguments]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": gpus}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (block,) = re.findall(r"^rule fit:.*?\n\n", done.stdout + done.stderr, re.MULTILINE | re.DOTALL)
    return block


def test_a_fit_asks_for_a_gpu_where_there_is_one(tmp_path: Path) -> None:
    assert "gpu=0" in planned_fit(tmp_path, gpus="")
    assert "gpu=1" in planned_fit(tmp_path, gpus="0,1")
    assert "gpu=0" in planned_fit(tmp_path, "--config", "fit={device: cpu}", gpus="0,1")


def test_the_processors_here_are_no_limit_for_a_clusters_jobs(tmp_path: Path) -> None:
    """A number of jobs is what a cluster's profile has, and the default profile, laid over it, brings `cores`."""
    assert not re.search(r"threads: [234]", planned_fit(tmp_path, "--cores", "1", gpus=""))
    assert "threads: 4" in planned_fit(tmp_path, "--cores", "1", "--jobs", "9", gpus="")
