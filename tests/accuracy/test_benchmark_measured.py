"""The benchmark over real videos with measured joints: the whole of it on a tiny studio clip in both layouts."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import measured_clips as layouts
import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.__main__ import main
from pipeline.accuracy.measured_page import BEGIN, END, section_of, with_section, write_measured
from pipeline.accuracy.settings import load_benchmark
from pipeline.formats.paths import VideoDir
from pipeline.formats.records import read_json, write_json

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "config" / "benchmark.yaml"
CLIPS = ("lab_known", "lab_world", "demo_cam01")


@dataclass(frozen=True)
class Made:
    """A folder in which the target benchmark was made."""

    root: Path
    said: str

    def run(self, clip: str, row: str = "full") -> Path:
        return self.root / "results" / "benchmark" / "runs" / "measured" / "uniform" / row / clip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, studio_clip) -> Made:
    """One clip whose camera is told to the pipeline, one whose joints are in the world, one of a trial of Pose2Sim."""
    root = tmp_path_factory.mktemp("measured")
    told = (studio_clip.video, studio_clip.truth, studio_clip.request)
    layouts.write_joints(root / "lab", "known", *told, known=True)
    world = layouts.in_world(layouts.true_joints(studio_clip.truth))
    shaken = world + np.random.default_rng(0).normal(0, 0.03, world.shape)
    layouts.write_joints(root / "lab", "world", *told, known=False, other_method=shaken)
    trial = layouts.write_pose2sim(root, *told)
    benchmark = yaml.safe_load(SHIPPED.read_text())
    benchmark["datasets"] = {"measured": {"uniform": ["full", "no_pose"]}}
    benchmark["measured_page"] = "docs/results.md"
    (root / "benchmark.yaml").write_text(yaml.safe_dump(benchmark, sort_keys=False))
    config = yaml.safe_load((REPOSITORY / "config" / "real.yaml").read_text())
    config["benchmark"] = str(root / "benchmark.yaml")
    config["measured"]["folders"] = {
        "real": None,
        "lab": {"path": "lab", "each": {"known": {"use": ["camera"]}, "world": {"step": 2}}},
        "demo": {"path": str(trial), "layout": "pose2sim"},
    }
    (root / "real.yaml").write_text(yaml.safe_dump(config))
    (root / "docs").mkdir()
    (root / "docs" / "results.md").write_text("# Results\n\n## Studio clips\n\nwhat was there\n")
    arguments = ("benchmark", "--configfile", str(REPOSITORY / "tests" / "tiny.yaml"), "real.yaml")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]
    done = subprocess.run([*command, *arguments], cwd=root, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return Made(root, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def figures(made: Made) -> pd.DataFrame:
    return pd.read_csv(made.root / "results" / "benchmark" / "real" / "figures.csv")


def test_each_clip_has_its_figures(figures: pd.DataFrame) -> None:
    full = figures[figures["row"] == "full"]
    assert list(dict.fromkeys(full["clip"])) == sorted(CLIPS, key=["lab_known", "lab_world", "demo_cam01"].index)
    values = full.set_index(["clip", "method", "metric"])["value"]
    for clip in CLIPS:
        for method in ("before", "after"):
            assert 0 < values[clip, method, "pa_mpjpe"] < values[clip, method, "mpjpe"] < 400
            assert 0 < values[clip, method, "knee"] < 60
        in_camera = clip != "lab_world"
        assert ((clip, "after", "along") in values.index) == in_camera
        assert ((clip, "after", "place") in values.index) == in_camera
    frames = full.groupby("clip")["frames"].first()
    assert frames.to_dict() == {"lab_known": 14, "lab_world": 7, "demo_cam01": 14}


def test_the_same_video_has_the_same_errors_in_both_layouts(made: Made, figures: pd.DataFrame) -> None:
    """The trial of Pose2Sim is the clip whose camera nobody tells: its place is that of a guessed focal length."""
    values = figures[figures["row"] == "full"].set_index(["clip", "method", "metric"])["value"]
    assert values["lab_known", "before", "place"] < values["demo_cam01", "before", "place"]
    again = made.root / "again.npz"
    source = np.load(made.root / "lab" / "known.npz")
    np.savez(again, **{key: source[key] for key in source.files})
    folder = made.run("demo_cam01")
    assert main(["score", str(folder), "--truth", str(again)]) == 0
    table = pd.read_csv(folder / "joints.csv").set_index(["method", "metric"])["value"]
    for metric in ("mpjpe", "pa_mpjpe", "along", "place", "elbow"):
        assert table["after", metric] == pytest.approx(values["demo_cam01", "after", metric], rel=1e-4)


def test_other_methods_of_the_truths_file_stand_beside(figures: pd.DataFrame) -> None:
    other = figures[(figures["method"] == "other_method") & (figures["row"] == "full")].set_index("metric")
    assert set(other["clip"]) == {"lab_world"}
    # The mean length of a shake of 30 mm a coordinate, less what the hips' middle takes with it: sqrt(1.5) of it.
    assert other.loc["mpjpe", "value"] == pytest.approx(1.6 * 30 * np.sqrt(1.4), rel=0.15)


def test_the_pipeline_is_told_the_camera_where_it_shall(made: Made) -> None:
    sources = {clip: read_json(VideoDir(made.root / "results" / clip).camera)["source"] for clip in CLIPS}
    assert sources["lab_known"].startswith("calibration: lab/known.npz")
    assert not any("calibration" in sources[clip] for clip in ("lab_world", "demo_cam01"))
    assert len(read_json(made.root / "results" / "lab_world" / "video.json")["seconds"]) == 7


def test_the_section_stands_first_and_the_rest_of_the_page_stays(made: Made, figures: pd.DataFrame) -> None:
    page = (made.root / "docs" / "results.md").read_text()
    assert page.startswith(f"# Results\n\n{BEGIN}\n## Real video, real truth\n") and page.count(BEGIN) == 1
    assert page.endswith(f"{END}\n\n## Studio clips\n\nwhat was there\n")
    section = section_of(page)
    assert section in (made.root / "results" / "benchmark" / "real" / "results.md").read_text()
    assert not re.search(r"synthetic|simulated|nan\b|None|Undefined", section)
    full = figures[(figures["row"] == "full") & (figures["method"] == "after")]
    mean = full[full["metric"] == "mpjpe"]["value"].mean()
    assert f"| all | **after the fit** | {mean:.1f} |" in section
    assert "| lab_world | other_method |" in section
    assert "### Without a part" in section and "| w/o pose optimisation |" in section
    assert "| lab_known | 14 | 14 | mediapipe" in section


def test_only_what_the_rows_need_was_run(made: Made) -> None:
    jobs = re.search(r"jobs to run: (.*)", made.said)[1]
    assert set(re.findall(r"\d+ (\w+)", jobs)) == {
        *("decode", "masks", "camera", "pose", "benchmark_dataset_fit"),
        *("benchmark_measured_score", "benchmark_measured", "benchmark"),
    }


def test_a_section_takes_the_place_of_the_old_one() -> None:
    old, new = f"{BEGIN}\nold\n{END}", f"{BEGIN}\nnew\n{END}"
    assert section_of("# Results\n\nno section\n") is None
    page = with_section("# Results\n\nrest\n", old)
    assert page == f"# Results\n\n{old}\n\nrest\n"
    assert with_section(page, new) == f"# Results\n\n{new}\n\nrest\n"


def test_means_are_over_the_clips_that_a_method_has() -> None:
    rows = [
        ("uniform", "full", clip, method, metric, 10, value)
        for clip, method, value in (
            *(("a", "before", 100.0), ("a", "after", 80.0), ("a", "wham", 40.0)),
            *(("b", "before", 60.0), ("b", "after", 70.0)),
        )
        for metric in ("mpjpe", "pa_mpjpe", "knee")
    ]
    table = pd.DataFrame(rows, columns=["split", "row", "clip", "method", "metric", "frames", "value"])
    section = write_measured(table, load_benchmark(SHIPPED), [])
    assert "| all | **after the fit** | 75.0 | 75.0 |" in section and "| all | before the fit | 80.0 |" in section
    assert "| a | **after the fit** | 80.0 |" in section and "| a | wham | 40.0 |" in section
    assert "gains 6% of MPJPE" in section and "Worse after the fit than before, in MPJPE: b." in section


# -- what stops the score ---------------------------------------------------------------------------------------------


def test_frames_without_joints_are_told(made: Made, capsys: pytest.CaptureFixture) -> None:
    arrays = dict(np.load(made.root / "lab" / "known.npz"))
    np.savez(made.root / "later.npz", **arrays | {"seconds": arrays["seconds"] + 100})
    assert main(["score", str(made.run("lab_known")), "--truth", str(made.root / "later.npz")]) != 0
    assert "later.npz: no joint measured in the frames decoded, 0.000 to 1.300 s" in capsys.readouterr().err


def test_an_older_result_without_times_is_scored_at_its_rate(made: Made) -> None:
    folder, truth = made.run("lab_world"), made.root / "lab" / "world.npz"
    assert main(["score", str(folder), "--truth", str(truth)]) == 0
    scored = (folder / "joints.csv").read_text()
    video = folder / "video.json"
    values = read_json(video)
    video.unlink()  # a link to that of results/<video>/
    write_json(video, {key: value for key, value in values.items() if key != "seconds"})
    assert main(["score", str(folder), "--truth", str(truth)]) == 0
    assert (folder / "joints.csv").read_text() == scored


def test_datasets_and_measured_videos_are_two_runs(tmp_path: Path) -> None:
    files = [str(REPOSITORY / "config" / name) for name in ("datasets.yaml", "real.yaml")]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1", "-n"]
    done = subprocess.run([*command, "--configfile", *files], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert "datasets and measured each take the place of videos" in done.stdout + done.stderr
