"""The whole DAG on a tiny studio clip: every file is made, only what changed reruns, one bad video stops no other."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
WORKFLOW = ("Snakefile", "rules", "profiles", "config", "envs", "pipeline")
NAME = "tänzer im hof"  # spaces and a non-ASCII letter
DOWNSTREAM_OF_FIT = {"fit", "evaluate", "render", "export", "report", "aggregate"}


@dataclass(frozen=True)
class Workflow:
    """A copy of the workflow in a folder of its own, so that a test may edit it."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "results" / NAME

    def snakemake(self, *arguments: str, changed: str = "{}") -> subprocess.CompletedProcess[str]:
        """Run snakemake with the configuration `changed`, YAML."""
        (self.root / "changed.yaml").write_text(changed, encoding="utf-8")
        configs = ("--configfile", "tiny.yaml", "changed.yaml")
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *configs, *arguments]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=900)

    def planned(self, changed: str = "{}") -> set[tuple[str, str]]:
        """(rule, video) of the jobs that a run would execute now; the video is empty for a rule over all videos."""
        done = self.snakemake("--dry-run", changed=changed)
        assert done.returncode == 0, done.stdout + done.stderr
        jobs = set()
        for block in re.split(r"\n(?=rule |localrule )", done.stdout + done.stderr):
            head = re.match(r"(?:local)?rule (\w+):", block)
            if head and head[1] != "all":
                video = re.search(r"^\s+wildcards: video=(.*)$", block, re.MULTILINE)
                jobs.add((head[1], video[1].strip() if video else ""))
        return jobs

    def planned_rules(self, changed: str = "{}") -> set[str]:
        return {rule for rule, _ in self.planned(changed)}


@contextmanager
def edited(path: Path) -> Iterator[None]:
    """An edit of a source file, undone afterwards with its time."""
    text, times = path.read_text(encoding="utf-8"), path.stat()
    path.write_text(text + "\n# edited\n", encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory, studio_clip) -> Workflow:
    """The workflow after one complete run on the studio's tiny clip."""
    root = tmp_path_factory.mktemp("workflow")
    for part in WORKFLOW:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, root / part)
    shutil.copy2(REPOSITORY / "tests" / "tiny.yaml", root / "tiny.yaml")
    (root / "videos").mkdir()
    shutil.copy2(studio_clip.video, root / "videos" / f"{NAME}.mp4")
    shutil.copytree(studio_clip.truth, root / "videos" / f"{NAME}.truth")
    made = Workflow(root)
    done = made.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def test_every_file_is_made(workflow: Workflow) -> None:
    expected = {
        "video.json",
        "frames/000000.jpg",
        "masks/000000.png",
        "camera.json",
        "pose_init.npz",
        "landmarks.npz",
        "fit/avatar.npz",
        "fit/pose_refined.npz",
        "fit/history.csv",
        "fit/checkpoint.pt",
        "renders/overlay.mp4",
        "renders/turntable.mp4",
        "renders/novel_pose.mp4",
        "exports/avatar.ply",
        "exports/motion_amass.npz",
        "exports/motion.glb",
        "exports/motion.bvh",
        "metrics.csv",
        "report.html",
    }
    missing = sorted(name for name in expected if not (workflow.results / name).is_file())
    assert not missing
    assert list((workflow.results / "exports").glob("avatar_posed_*.ply"))
    assert not list(workflow.results.rglob("*.part*"))


def test_every_stage_leaves_plain_log_lines(workflow: Workflow) -> None:
    logs = {log.stem: log.read_text(encoding="utf-8") for log in (workflow.results / "logs").glob("*.log")}
    assert set(logs) >= {"decode", "masks", "depth", "pose", "fit", "evaluate", "render", "export", "report"}
    assert "\r" not in "".join(logs.values())
    assert re.search(r"\d+(\.\d+)? \w+/s", logs["fit"])


def test_the_metrics_compare_before_and_after(workflow: Workflow) -> None:
    table = pd.read_csv(workflow.root / "results" / "metrics.csv")
    assert NAME in set(table["video"])


def test_nothing_reruns_when_nothing_changed(workflow: Workflow) -> None:
    assert workflow.planned() == set()


def test_a_fit_weight_reruns_the_fit_and_what_follows(workflow: Workflow) -> None:
    assert workflow.planned_rules("fit: {weights: {ssim: 0.123}}") == DOWNSTREAM_OF_FIT


def test_a_render_setting_reruns_the_pictures_only(workflow: Workflow) -> None:
    assert workflow.planned_rules("render: {fps: 12}") == {"render", "report"}


def test_an_edited_module_reruns_the_stages_that_use_it(workflow: Workflow) -> None:
    with edited(workflow.root / "pipeline" / "losses" / "camel.py"):
        assert workflow.planned_rules() == DOWNSTREAM_OF_FIT
    with edited(workflow.root / "pipeline" / "stages" / "report.py"):
        assert workflow.planned_rules() == {"report"}
    assert workflow.planned() == set()


def test_a_second_video_runs_only_its_own_jobs(workflow: Workflow) -> None:
    second = workflow.root / "videos" / "second.mp4"
    shutil.copy2(workflow.root / "videos" / f"{NAME}.mp4", second)
    try:
        jobs = workflow.planned()
    finally:
        second.unlink()
    assert ("aggregate", "") in jobs and ("fit", "second") in jobs
    assert {video for _, video in jobs} == {"second", ""}


def test_one_bad_video_stops_no_other(workflow: Workflow) -> None:
    bad = workflow.root / "videos" / "notes.mp4"
    bad.write_text("this is no video")
    try:
        done = workflow.snakemake("--keep-going")
    finally:
        bad.unlink()
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert re.search(r"^error: decode: videos/notes\.mp4: ", said, re.MULTILINE)
    assert "Traceback" not in said
    assert not (workflow.root / "results" / "notes" / "frames").exists()
    assert (workflow.results / "report.html").is_file()


def test_an_unknown_config_key_is_named(workflow: Workflow) -> None:
    done = workflow.snakemake("--dry-run", changed="fit: {iteratoins: 3}")
    assert done.returncode != 0
    assert "iteratoins" in done.stdout + done.stderr
