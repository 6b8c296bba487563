"""Faults at any moment of any stage: a kill, a full disk. What is there is whole, and a rerun makes the rest.

KILL_SEED=N chooses other stages, moments and signals than those of every day.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers_faults import MAKES, arguments, contents, leftovers

from pipeline.__main__ import main

REPOSITORY = Path(__file__).resolve().parent.parent
SEED = int(os.environ.get("KILL_SEED", "0"))


@dataclass(frozen=True)
class Undisturbed:
    """results/<video>/ after all stages, and how long each took."""

    directory: Path
    video: Path
    contents: dict[str, str]
    seconds: dict[str, float]

    def copy(self, target: Path, without: str) -> Path:
        """A copy that lacks what one stage makes."""
        shutil.copytree(self.directory, target)
        for name in (*MAKES[without], f"provenance/{without}.json"):
            path = target / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return target

    def whole(self, directory: Path, stage: str) -> bool:
        """Whether each file there is one of the undisturbed run, whole, and only those of `stage` may lack."""
        found = {name: digest for name, digest in contents(directory).items() if ".part" not in name}
        own = (*MAKES[stage], f"provenance/{stage}.json")
        lacking = [name for name in set(self.contents) - set(found) if not name.startswith(own)]
        halves = [
            made for made in MAKES[stage] if (directory / made).is_dir() and made != "fit"
            and not {name for name in self.contents if name.startswith(f"{made}/")} <= set(found)
        ]  # fmt: skip
        return found.items() <= self.contents.items() and not lacking and not halves


@pytest.fixture(scope="module")
def undisturbed(studio_clip, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    directory = tmp_path_factory.mktemp("results") / "tiny"
    seconds = {}
    for stage in MAKES:
        started = time.monotonic()
        assert main(arguments(stage, studio_clip.video, directory)) == 0
        seconds[stage] = time.monotonic() - started
    return Undisturbed(directory, studio_clip.video, contents(directory), seconds)


@pytest.mark.parametrize("number", range(3))
def test_a_kill_at_any_moment_leaves_whole_files_and_a_rerun_makes_the_rest(
    undisturbed: Undisturbed, tmp_path: Path, number: int
) -> None:
    chance = random.Random(f"{SEED} {number}")
    stage = chance.choice([name for name in MAKES if name not in ("depth", "report")])  # those are over in no time
    sent = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT][number % 3]
    directory = undisturbed.copy(tmp_path / "tiny", stage)
    command = [sys.executable, "-m", "pipeline", *arguments(stage, undisturbed.video, directory)]
    killed = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not leftovers(directory) and time.monotonic() < until and killed.poll() is None:  # it has begun
        time.sleep(0.01)
    time.sleep(chance.uniform(0, undisturbed.seconds[stage]))
    killed.send_signal(sent)
    said = killed.communicate(timeout=60)[1]
    told = f"KILL_SEED={SEED} {number}: {stage}, {sent.name}; it said: {said[-2000:]}"
    assert "Traceback" not in said, told
    assert undisturbed.whole(directory, stage), told
    if sent != signal.SIGKILL:
        assert not leftovers(directory), told

    assert main(arguments(stage, undisturbed.video, directory)) == 0, told
    assert contents(directory) == undisturbed.contents, told
    assert not leftovers(directory), told


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 64 MB in memory."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"only root may mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("stage", MAKES)
def test_a_full_disk_is_one_line_and_leaves_nothing_half(
    undisturbed: Undisturbed, small_disk: Path, stage: str, capsys: pytest.CaptureFixture
) -> None:
    directory = undisturbed.copy(small_disk / "tiny", stage)
    chance = random.Random(f"{SEED} {stage}")
    made = [undisturbed.directory / name for name in MAKES[stage]]
    files = [file for path in made for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    needed = sum(-(-file.stat().st_size // 4096) * 4096 for file in files)
    room = int(chance.uniform(0, 0.7) * needed)
    with (small_disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, shutil.disk_usage(small_disk).free - room)
    try:
        log = directory / "logs" / f"{stage}.log"  # as the rules do: it fills up, too
        status = main([*arguments(stage, undisturbed.video, directory), "--log", str(log)])
        said = capsys.readouterr().err
        told = f"KILL_SEED={SEED}: {room} of {needed} bytes; it said: {said}"
        assert status == 1, told
        assert "Traceback" not in said, told
        last = said.strip().splitlines()[-1].lower()
        assert last.startswith(f"tiny · error: {stage}: {directory}") and "no space left on" in last, told
        assert undisturbed.whole(directory, stage), told
        assert not leftovers(directory), told
        (small_disk / "filler").unlink()
        assert main(arguments(stage, undisturbed.video, directory)) == 0
        assert contents(directory) == undisturbed.contents
    finally:
        (small_disk / "filler").unlink(missing_ok=True)
        shutil.rmtree(directory)
