"""Whole runs of Snakemake, disturbed for as long as you like: python -m tests.soak --minutes 30 --seed 1 (make soak).

Each round takes some settings, starts Snakemake several times and kills it, or one of its stages, or all at once, at a
random moment; files are removed, and settings changed, in between. Then an undisturbed run must make exactly what a
fresh folder gives with these settings, leave nothing behind, and the next dry run must find nothing to be done.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.extend(str(Path(__file__).parent / room) for room in ("", "helpers", "workflow"))  # as pytest does
from conftest import TINY
from helpers_faults import contents, leftovers
from test_workflow import REPOSITORY, WORKFLOW

from pipeline.studio.clip import make_clip

VIDEOS = ("first", "second")
SETTINGS = (
    {},
    {"video": {"stop": 12}},
    {"pose": {"smplify": {"iterations": 40}}},
    {"fit": {"weights": {"ssim": 0.123}}},
    {"render": {"fps": 8}},
)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
REMOVED = ("renders", "exports", "fit", "masks", "pose_init.npz", "metrics.csv", "provenance")


class Folder:
    """A copy of the workflow, with two tiny videos."""

    def __init__(self, root: Path, clip: Path) -> None:
        self.root = root
        root.mkdir()
        for part in WORKFLOW:
            copy = shutil.copytree if (REPOSITORY / part).is_dir() else shutil.copy2
            copy(REPOSITORY / part, root / part)
        shutil.copy2(REPOSITORY / "tests" / "tiny.yaml", root / "tiny.yaml")
        (root / "videos").mkdir()
        for name in VIDEOS:
            shutil.copy2(clip, root / "videos" / f"{name}.mp4")

    def start(self, settings: dict, *arguments: str) -> subprocess.Popen[str]:
        (self.root / "changed.yaml").write_text(json.dumps(settings), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml", "changed.yaml"]
        with (self.root / "said.txt").open("a", encoding="utf-8") as said:
            return subprocess.Popen([*command, *arguments], cwd=self.root, stdout=said, stderr=said, text=True)

    def run(self, settings: dict, *arguments: str) -> str:
        """Run to the end, which must be a good one; what was said."""
        (self.root / "said.txt").unlink(missing_ok=True)
        status = self.start(settings, *arguments).wait(timeout=1800)
        said = (self.root / "said.txt").read_text(encoding="utf-8")
        if status:
            raise AssertionError(f"snakemake {arguments} ended with {status}:\n{said}")
        return said

    def made(self) -> dict[str, str]:
        return {f"{name}/{file}": d for name in VIDEOS for file, d in contents(self.root / "results" / name).items()}


def disturb(folder: Folder, settings: dict, chance: random.Random, usual: float) -> str:
    """Start a run and break it off at a random moment. Returns what was done."""
    if folder.root.joinpath("results").is_dir() and chance.random() < 0.3:
        name = folder.root / "results" / chance.choice(VIDEOS) / chance.choice(REMOVED)
        shutil.rmtree(name) if name.is_dir() else name.unlink(missing_ok=True)
    moment, sent = chance.uniform(0, usual), chance.choice(SIGNALS)
    victim = chance.choice(("snakemake", "stage", "all"))
    run = folder.start(settings)
    try:
        run.wait(timeout=moment)
        return "nothing: it was done"
    except subprocess.TimeoutExpired:
        pass
    family = psutil.Process(run.pid).children(recursive=True)
    stages = [process for process in family if "pipeline" in _command(process)]
    hit = {"snakemake": [run], "stage": chance.sample(stages, min(1, len(stages))), "all": [run, *family]}[victim]
    for process in hit:
        try:
            process.send_signal(sent)
        except psutil.NoSuchProcess:
            continue
    run.wait(timeout=1800)
    return f"{sent.name} to {victim} ({len(hit)}) after {moment:.1f} s"


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    chance, until = random.Random(args.seed), time.monotonic() + 60 * args.minutes
    os.environ.pop("PYTHONPATH", None)
    top = Path(tempfile.mkdtemp(prefix="soak-"))
    make_clip(top / "clip", "tiny", TINY)
    clip, expected, usual = top / "clip" / "tiny.mp4", {}, 0.0
    folder = Folder(top / "soak", clip)
    rounds = runs = 0
    while time.monotonic() < until:
        number = chance.randrange(len(SETTINGS))
        if number not in expected:
            started, fresh = time.monotonic(), Folder(top / f"fresh{number}", clip)
            fresh.run(SETTINGS[number])
            expected[number], usual = fresh.made(), max(usual, time.monotonic() - started)
        done = []
        for _ in range(chance.randint(1, 4)):
            wanted = SETTINGS[number] if chance.random() < 0.6 else chance.choice(SETTINGS)
            done.append(disturb(folder, wanted, chance, usual))
            folder.run(wanted, "--unlock")
        folder.run(SETTINGS[number])
        found, told = folder.made(), f"seed {args.seed}, round {rounds}, {SETTINGS[number]}: {'; '.join(done)}"
        differing = sorted(
            name for name in found.keys() | expected[number].keys() if found.get(name) != expected[number].get(name)
        )
        assert not differing, f"{told}\ndiffer: {differing}\nkept: {top}"
        left = [f"{name}/{file}" for name in VIDEOS for file in leftovers(folder.root / "results" / name)]
        assert not left, f"{told}\nleft: {left}\nkept: {top}"
        said = folder.run(SETTINGS[number], "--dry-run")
        assert "Nothing to be done" in said, f"{told}\na dry run says: {said}\nkept: {top}"
        rounds, runs = rounds + 1, runs + len(done)
        print(f"round {rounds}: {SETTINGS[number]}: {'; '.join(done)}: as a fresh run", flush=True)
    shutil.rmtree(top)
    print(
        f"seed {args.seed}: {rounds} rounds, {runs} runs broken off, all ended as a fresh run; nothing was left behind"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
