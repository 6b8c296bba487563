"""GPUs are counted without torch, and each job gets one of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.setup import gpus

TAKE = """import os, sys
from pipeline.setup.gpus import take_gpu
take_gpu()
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()"""


def test_what_is_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus.visible_gpus() == []
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpus.visible_gpus() == ["0", "1"]
    for said, names in (("", []), ("-1", []), ("2", ["2"]), ("GPU-a,GPU-b", ["GPU-a", "GPU-b"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", said)
        assert gpus.visible_gpus() == names


def test_jobs_side_by_side_take_different_gpus(tmp_path: Path) -> None:
    """The third finds none free and keeps the choice; a GPU is free again when its job has ended, killed or not."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "4,7", "TMPDIR": str(tmp_path)}

    def job() -> tuple[subprocess.Popen, str]:
        started = subprocess.Popen(
            [sys.executable, "-c", TAKE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        return started, started.stdout.readline().strip()

    jobs = [job() for _ in range(3)]
    try:
        assert [gpu for _, gpu in jobs] == ["4", "7", "4,7"]
        jobs[1][0].kill()
        jobs[1][0].wait()
        jobs.append(job())
        assert jobs[-1][1] == "7"
    finally:
        for started, _ in jobs:
            started.kill()
            started.communicate()
