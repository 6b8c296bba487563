"""A Slurm cluster of one node on this machine, and the workflow on it: run by `make test-cluster`."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
WORKFLOW = ("Snakefile", "rules", "profiles", "config", "envs", "pipeline")
GOOD = [f"clip {number}" for number in range(8)]  # a space in each name
BAD = "broken"
SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin"
MISSING = [name for name in ("sbatch", "slurmctld", "slurmd", "munged") if shutil.which(name, path=SBIN) is None]
if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
    MISSING.append("snakemake-executor-plugin-slurm")
if os.geteuid() != 0:
    MISSING.append("root")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if MISSING and HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"make test-cluster installs or needs {', '.join(MISSING)}"))


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

    def until(self, seen, seconds: float = 600) -> None:
        """Wait until `seen()` is true while the run goes on."""
        end = time.monotonic() + seconds
        while not seen():
            assert self.process.poll() is None, self.text
            assert time.monotonic() < end, self.text
            time.sleep(0.2)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)


@dataclass(frozen=True)
class Workflow:
    """A copy of the workflow in a folder of its own."""

    root: Path

    def start(self, *arguments: str, profile: str = "--workflow-profile") -> Run:
        command = [sys.executable, "-m", "snakemake", profile, "profiles/slurm", "--configfile", "tiny.yaml"]
        command += ["--slurm-init-seconds-before-status-checks", "3", *arguments]
        output = self.root / "output.txt"
        with output.open("w") as file:
            process = subprocess.Popen(command, cwd=self.root, stdout=file, stderr=subprocess.STDOUT)
        return Run(process, output)

    def result(self, video: str, name: str) -> Path:
        return self.root / "results" / video / name


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """Slurm, while the tests run. A short path: that of a socket may have 107 letters."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    try:
        subprocess.run((HERE / "slurm.sh", "start", folder), check=True)
        yield
    finally:
        subprocess.run((HERE / "slurm.sh", "stop", folder), check=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def workflow(cluster: None, studio_clip, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The workflow with eight good videos and a bad one."""
    root = tmp_path_factory.mktemp("workflow")
    for part in WORKFLOW:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, root / part)
    shutil.copy2(REPOSITORY / "tests" / "tiny.yaml", root / "tiny.yaml")
    (root / "videos").mkdir()
    for name in GOOD:
        shutil.copy2(studio_clip.video, root / "videos" / f"{name}.mp4")
    (root / "videos" / f"{BAD}.mp4").write_bytes(b"this is no video")
    return Workflow(root)
