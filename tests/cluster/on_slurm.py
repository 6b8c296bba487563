"""A run of the workflow on Slurm, and what is seen of it: the queue, and the fits that run on the node."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

GOOD = [f"clip {number}" for number in range(8)]  # a space in each name
BAD = "broken"


@dataclass
class Watch:
    """What was seen of Slurm's queue while a run went on."""

    fits_at_once: int = 0
    gpus: set[str] = field(default_factory=set)  # CUDA_VISIBLE_DEVICES of the fits
    gpus_at_once: set[frozenset[str]] = field(default_factory=set)
    memory: dict[str, list[str]] = field(default_factory=dict)  # asked for by each Slurm job of a fit, by video

    def look(self) -> None:
        running = 0
        for row in queue("%i|%T|%m|%k"):
            job, state, memory, comment = row.split("|")
            if video := re.fullmatch(r"rule_fit_wildcards_(.*)", comment):
                asked = self.memory.setdefault(video[1], [])
                if f"{job}: {memory}" not in asked:
                    asked.append(f"{job}: {memory}")
                running += state == "RUNNING"
        self.fits_at_once = max(self.fits_at_once, running)
        seen = {gpu for _, gpu in fit_processes()}
        self.gpus |= seen
        self.gpus_at_once.add(frozenset(seen))


def queue(form: str = "%i") -> list[str]:
    """Jobs that wait or run, a line each."""
    done = subprocess.run(("squeue", "--noheader", f"--format={form}"), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def fit_processes(video: str = "") -> list[tuple[int, str]]:
    """Process and CUDA_VISIBLE_DEVICES of each fit that runs on the node."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            variables = (process / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[1:4] == ["-m", "pipeline", "fit"] and "SLURM_JOB_ID" in " ".join(variables) and video in words[4]:
            gpu = [line.partition("=")[2] for line in variables if line.startswith("CUDA_VISIBLE_DEVICES=")]
            found.append((int(process.name), gpu[0] if gpu else "none"))
    return found


@dataclass
class Run:
    """A run of Snakemake in the background, its output in a file, the queue watched."""

    process: subprocess.Popen
    output: Path
    watch: Watch = field(default_factory=Watch)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while self.process.poll() is None:
            self.watch.look()
            time.sleep(0.5)

    @property
    def text(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait(self, seconds: float = 900) -> int:
        self.process.wait(seconds)
        self._thread.join()
        return self.process.returncode

    def until(self, seen: Callable[[], object], seconds: float = 600) -> None:
        """Wait until `seen()` is true while the run goes on."""
        end = time.monotonic() + seconds
        while not seen():
            assert self.process.poll() is None, self.text
            assert time.monotonic() < end, self.text
            time.sleep(0.2)

    def settle(self, seconds: float) -> None:
        """Wait until no job was handed in for so long."""
        count, since = -1, 0.0
        while count != (now := self.text.count("has been submitted")) or time.monotonic() - since < seconds:
            if now != count:
                count, since = now, time.monotonic()
            time.sleep(0.5)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)


@dataclass(frozen=True)
class Workflow:
    """A copy of the workflow in a folder of its own."""

    root: Path

    def start(self, *arguments: str, profile: str = "--workflow-profile") -> Run:
        command = [sys.executable, "-m", "snakemake", profile, "profiles/slurm", "--configfile", "tiny.yaml"]
        command += ["--slurm-init-seconds-before-status-checks", "3", "--jobs", "4", *arguments]
        output = self.root / "output.txt"
        with output.open("w") as file:
            process = subprocess.Popen(command, cwd=self.root, stdout=file, stderr=subprocess.STDOUT)
        return Run(process, output)

    def result(self, video: str, name: str) -> Path:
        return self.root / "results" / video / name
