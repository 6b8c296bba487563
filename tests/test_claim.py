"""Real processes: what a killed run leaves is taken away, and an orphan does not write over a newer run's outputs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.__main__ import main
from pipeline.formats import claim
from pipeline.formats.atomic import atomic_directory, atomic_path

SLOW = Path(__file__).with_name("slow_stage.py")


def start(directory: Path, text: str, host: str = "here", parent: bool = False) -> subprocess.Popen[str]:
    """A slow stage that has begun to write; with `parent` a shell's child, as Snakemake starts stages."""
    command = [sys.executable, str(SLOW), host, "decode", str(directory), text, str(directory / f"{text}.go")]
    if parent:
        command = ["bash", "-c", '"$@"; true', "bash", *command]
    environment = os.environ | {"PYTHONPATH": str(SLOW.parents[1])}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    wait_for((directory / f"{text}.waits").exists)
    return process


def wait_for(true: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.01)


def finish(directory: Path, text: str, process: subprocess.Popen[str]) -> str:
    """Let a slow stage end; what it said."""
    (directory / f"{text}.go").touch()
    return process.communicate(timeout=30)[1]


def orphan(directory: Path, text: str) -> tuple[psutil.Process, subprocess.Popen[str]]:
    """A slow stage whose parent was killed, and that parent."""
    shell = start(directory, text, parent=True)
    (stage,) = psutil.Process(shell.pid).children()
    shell.kill()
    return stage, shell


def over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def written(directory: Path) -> tuple[str, list[str]]:
    return (directory / "pose.npz").read_text(), [file.name for file in (directory / "frames").iterdir()]


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    killed = start(tmp_path, "old")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(list(tmp_path.glob(".*.part*"))) == 2
    assert finish(tmp_path, "new", start(tmp_path, "new")) == ""  # and nothing was there to be ended
    assert written(tmp_path) == ("new", ["new"])
    assert not list(tmp_path.rglob(".*"))  # no leftover, no claim


def test_an_orphan_is_ended_by_the_next_run(tmp_path: Path) -> None:
    stage, shell = orphan(tmp_path, "old")
    assert not over(stage)
    said = finish(tmp_path, "new", start(tmp_path, "new"))
    assert over(stage)
    assert said == f"warning: decode: ending process {stage.pid}, an older run of this stage on this video\n"
    assert shell.communicate(timeout=30)[1] == "error: decode: stopped by the user\n"
    assert written(tmp_path) == ("new", ["new"])
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("newer_is_done", [True, False])
def test_an_orphan_on_another_machine_writes_no_more(tmp_path: Path, newer_is_done: bool) -> None:
    stage, shell = orphan(tmp_path, "old")
    newer = start(tmp_path, "new", host="there")
    if newer_is_done:
        finish(tmp_path, "new", newer)
    (tmp_path / "old.go").touch()
    said = shell.communicate(timeout=30)[1]  # the orphan holds its end
    wait_for(lambda: over(stage))
    by = rf"{tmp_path}/logs/.decode.claim is gone" if newer_is_done else f"process {newer.pid} on there"
    told = f"a newer run of this stage has taken over ({by}); this run writes no more"
    assert said == f"error: decode: {tmp_path}: {told}\n"
    if not newer_is_done:
        finish(tmp_path, "new", newer)
    assert newer.returncode == 0
    assert written(tmp_path) == ("new", ["new"])
    assert not list(tmp_path.rglob(".*"))


def test_runs_on_other_videos_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = start(tmp_path / "a", "one"), start(tmp_path / "b", "two")
    assert (finish(tmp_path / "b", "two", second), finish(tmp_path / "a", "one", first)) == ("", "")
    assert written(tmp_path / "a") == ("one", ["one"])


@pytest.mark.parametrize(("stage", "earlier"), [("fit", 0), ("sleep", 100)], ids=["another program", "started later"])
def test_a_process_that_got_the_number_of_a_dead_run_is_left_alone(tmp_path: Path, stage: str, earlier: int) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        started = psutil.Process(stranger.pid).create_time() - earlier
        older = {"host": claim.host(), "pid": stranger.pid, "started": started, "token": "x"}
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / f".{stage}.claim").write_text(json.dumps(older))
        with claim.claimed(tmp_path, stage):
            claim.check_claim()
        assert psutil.pid_exists(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"host": 3}'])
def test_a_damaged_claim_is_nobodys(tmp_path: Path, text: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / ".fit.claim").write_text(text)
    with claim.claimed(tmp_path, "fit"):
        claim.check_claim()
    assert list((tmp_path / "logs").iterdir()) == []


def test_a_mistyped_folder_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["export", str(tmp_path / "no such video")]) == 1
    assert "not found" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_a_claim_only_leftovers_of_dead_processes_are_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    here = claim.host()
    kept = [
        f".a.{here}-{os.getppid()}.part.csv",
        f".a.elsewhere-{dead.pid}.part.csv",
        f".a.b.{here}-{dead.pid}.part.csv",
    ]
    for name in (f".a.{here}-{dead.pid}.part.csv", *kept):
        (tmp_path / name).touch()
    with atomic_path(tmp_path / "a.csv") as temporary:
        temporary.touch()
    assert {file.name for file in tmp_path.iterdir()} == {*kept, "a.csv"}


def test_a_kill_while_a_folder_is_exchanged_leaves_no_half_of_the_old_one(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "old").touch()
    seen = []
    monkeypatch.setattr(
        "shutil.rmtree", lambda path, **_: seen.append(sorted(p.name for p in tmp_path.glob("frames/*")))
    )
    with atomic_directory(tmp_path / "frames") as folder:
        (folder / "new").touch()
    assert seen == [["new"]]  # whatever is removed is removed when the new one stands
