"""The benchmark over real videos with measured joints: the whole of it on a tiny studio clip in both layouts."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import measured_clips as layouts
import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.__main__ import main
from pipeline.accuracy import starts
from pipeline.accuracy.measured import OWN
from pipeline.accuracy.measured_page import BEGIN, END, ClipRun, describe_measured, write_measured
from pipeline.accuracy.measured_pictures import pictures_table
from pipeline.accuracy.sections import section_of, with_section
from pipeline.accuracy.settings import Run, load_benchmark
from pipeline.evaluation.table import read_metrics, write_metrics
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance
from pipeline.formats.records import read_json, write_json
from pipeline.runtime.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]
SHAKEN = 0.03  # metres a coordinate that another method is off
SHIPPED = REPOSITORY / "config" / "benchmark.yaml"
CLIPS = ("lab_known", "demo_cam01")


@dataclass(frozen=True)
class Made:
    """A folder in which the target benchmark was made."""

    root: Path
    said: str

    def again(self, *more: str) -> str:
        """What `snakemake benchmark` says once more."""
        return make(self.root, *more)

    def run(self, clip: str, row: str = "full") -> Path:
        return self.root / "results" / "benchmark" / "runs" / "measured" / "uniform" / row / clip


def make(root: Path, *more: str) -> str:
    arguments = ("benchmark", *more, "--configfile", str(REPOSITORY / "tests" / "tiny.yaml"), "real.yaml")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "1"]
    done = subprocess.run([*command, *arguments], cwd=root, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, studio_clip) -> Made:
    """One clip whose camera is told to the pipeline, of its end alone, and one of a trial of Pose2Sim."""
    root = tmp_path_factory.mktemp("measured")
    told = (studio_clip.video, studio_clip.truth, studio_clip.request)
    joints = layouts.true_joints(studio_clip.truth)
    shaken = joints + np.random.default_rng(0).normal(0, SHAKEN, joints.shape)
    layouts.write_joints(root / "lab", "known", *told, known=True, other_method=shaken)
    trial = layouts.write_pose2sim(root, *told)
    benchmark = yaml.safe_load(SHIPPED.read_text())
    benchmark["datasets"] = {"measured": {"uniform": ["full"]}}
    benchmark["measured_page"] = "docs/results.md"
    (root / "benchmark.yaml").write_text(yaml.safe_dump(benchmark, sort_keys=False))
    config = yaml.safe_load((REPOSITORY / "config" / "real.yaml").read_text())
    config["benchmark"] = str(root / "benchmark.yaml")
    config["measured"]["folders"] = {
        "real": None,
        "lab": {"path": "lab", "each": {"known": {"use": ["camera"], "start": 4}}},
        "demo": {"path": str(trial), "layout": "pose2sim"},
    }
    (root / "real.yaml").write_text(yaml.safe_dump(config))
    (root / "docs").mkdir()
    (root / "docs" / "results.md").write_text("# Results\n\n## Studio clips\n\nwhat was there\n")
    return Made(root, make(root))


@pytest.fixture(scope="module")
def figures(made: Made) -> pd.DataFrame:
    return pd.read_csv(made.root / "results" / "benchmark" / "real" / "figures.csv")


def test_each_clip_has_its_figures(figures: pd.DataFrame) -> None:
    assert set(figures["clip"]) == set(CLIPS) and set(figures["row"]) == {"full"}
    values = figures.set_index(["clip", "method", "metric"])["value"]
    for clip in CLIPS:
        for method in ("before", "after", *OWN.values()):
            assert 0 < values[clip, method, "pa_mpjpe"] < values[clip, method, "mpjpe"] < 400
            assert 0 < values[clip, method, "knee"] < 60
            assert values[clip, method, "along"] < values[clip, method, "mpjpe"]
        for method in ("after", OWN["after"]):
            assert 0 < values[clip, method, "within_across"] <= 100 and 0 < values[clip, method, "within_along"] <= 100
    assert set(figures[figures["metric"] == "within_along"]["method"]) == {"after", OWN["after"]}
    # A focal length that is told puts the person where it is; one that is guessed does not.
    assert values["lab_known", "before", "place"] < values["demo_cam01", "before", "place"]
    frames = figures.groupby("clip")["frames"].first()
    assert frames.to_dict() == {"lab_known": 10, "demo_cam01": 14}


def test_other_methods_of_the_truths_file_stand_beside(figures: pd.DataFrame) -> None:
    other = figures[figures["method"] == "other_method"].set_index("metric")
    assert set(other["clip"]) == {"lab_known"}
    # The mean length of a shake in three directions is 1.6 of one's; the hips' middle has half of one joint's variance.
    assert other.loc["mpjpe", "value"] == pytest.approx(1.6 * 1000 * SHAKEN * np.sqrt(1.5), rel=0.15)


def test_joints_of_another_file_or_world_give_the_same(made: Made, studio_clip, tmp_path: Path) -> None:
    """The trial of Pose2Sim again: in the layout of a file of joints, and in a world whose camera nobody knows."""
    folder = made.run("demo_cam01")
    first = pd.read_csv(folder / "joints.csv").set_index(["method", "metric"])["value"]
    told = (studio_clip.video, studio_clip.truth, studio_clip.request)
    scored = {}
    for name, known in (("camera", True), ("world", False)):
        truth = layouts.write_joints(tmp_path, name, *told, known=known)
        assert main(["score", str(folder), "--truth", str(truth)]) == 0
        scored[name] = pd.read_csv(folder / "joints.csv").set_index(["method", "metric"])["value"]
    pd.testing.assert_series_equal(scored["camera"], first, rtol=1e-4)
    world = scored["world"]
    assert not {"along", "across", "place"} & set(world.index.get_level_values("metric"))
    assert world["after", "pa_mpjpe"] == pytest.approx(first["after", "pa_mpjpe"], rel=1e-4)
    assert world["after", "mpjpe"] < first["after", "mpjpe"]  # one rotation is taken away


def test_the_pipeline_is_told_the_camera_where_it_shall(made: Made) -> None:
    known, unknown = (read_json(VideoDir(made.root / "results" / clip).camera)["source"] for clip in CLIPS)
    assert known.startswith("calibration: lab/known.npz") and "calibration" not in unknown
    times = read_json(made.root / "results" / "lab_known" / "video.json")["seconds"]
    assert times == pytest.approx(np.arange(0.4, 1.35, 0.1))


def test_the_page_says_what_told_a_guessed_focal_length(made: Made, figures: pd.DataFrame, tmp_path: Path) -> None:
    run = Run("measured", "uniform", "full", "demo_cam01")
    shutil.copytree(made.run(run.sequence), run.folder(tmp_path))
    directory = VideoDir(run.folder(tmp_path))
    track = CameraTrack.load(directory.camera_track)
    replace(track, focal=300.0, focal_sigma=0.05, focal_from="lines").save(directory.camera_track)
    (told,) = describe_measured(tmp_path, [run], figures[figures["clip"] == run.sequence])
    assert told.camera.startswith("the scene's straight lines; before, guess")


def test_the_section_stands_first_and_the_rest_of_the_page_stays(made: Made, figures: pd.DataFrame) -> None:
    page = (made.root / "docs" / "results.md").read_text()
    assert page.startswith(f"# Results\n\n{BEGIN}\n## Real video, real truth\n") and page.count(BEGIN) == 1
    assert page.endswith(f"{END}\n\n## Studio clips\n\nwhat was there\n")
    section = section_of(page, (BEGIN, END))
    assert section in (made.root / "results" / "benchmark" / "real" / "results.md").read_text()
    assert not re.search(r"synthetic|simulated|nan\b|None|Undefined", section)
    after = figures[(figures["method"] == "after") & (figures["metric"] == "mpjpe")]
    assert f"| all | **after the fit** | {after['value'].mean():.1f} |" in section
    assert "| lab_known | other_method |" in section and "### Without a part" not in section
    assert "| lab_known | 10 | 10 | mediapipe" in section


def test_the_section_has_the_figures_of_the_pictures(made: Made) -> None:
    section = (made.root / "results" / "benchmark" / "real" / "results.md").read_text().split("### Pictures")[1]
    tables = [read_metrics(made.run(clip) / "metrics.csv") for clip in CLIPS]
    held_out = [
        table[(table["metric"] == "psnr_crop") & (table["split"] == "held-out") & (table["scope"] == "all")]["value"]
        for table in tables
    ]
    (first,), (second,) = held_out
    assert f"| {CLIPS[0]} | {first:.1f} |" in section and f"| {CLIPS[1]} | {second:.1f} |" in section
    assert f"| mean | {(first + second) / 2:.1f} |" in section
    assert pictures_table(made.root, [Run("measured", "uniform", "no_pose", CLIPS[0])]) == ""
    with pytest.raises(UserError, match=r"metrics\.csv: not found; run the stage evaluate first"):
        pictures_table(made.root, [Run("measured", "uniform", "full", "none")])


def test_a_clip_with_a_frame_in_which_nobody_was_seen_has_all_figures(made: Made, tmp_path: Path) -> None:
    """It has no figure of all frames: the avatar is pictured where somebody was."""
    run = Run("measured", "uniform", "full", CLIPS[0])
    before = pictures_table(made.root / "results" / "benchmark", [run])
    shutil.copytree(made.run(run.sequence), run.folder(tmp_path))
    table = read_metrics(run.folder(tmp_path) / "metrics.csv")
    unseen = (table["scope"] == "all") & (table["split"] == "all")
    write_metrics(run.folder(tmp_path) / "metrics.csv", table[~unseen])
    assert unseen.any() and pictures_table(tmp_path, [run]) == before


def test_the_section_tells_how_far_from_the_landmarks_joints_end(made: Made) -> None:
    section = (made.root / "results" / "benchmark" / "real" / "results.md").read_text().split("### Landmarks")[1]
    table = read_metrics(made.run(CLIPS[0]) / "metrics.csv")
    table = table[(table["metric"] == "reprojection") & (table["split"] == "all")].set_index(["key", "when"])["value"]
    wrists = [(table["left_wrist", when] + table["right_wrist", when]) / 2 for when in ("initial", "refined")]
    line = [f"{value:.1f}" for value in (table["", "initial"], table["", "refined"], *wrists)]
    assert f"| {CLIPS[0]} | {' | '.join(line)} |" in section


def test_only_what_the_rows_need_was_run(made: Made) -> None:
    jobs = re.search(r"jobs to run: (.*)", made.said)[1]
    assert set(re.findall(r"\d+ (\w+)", jobs)) == {
        *("decode", "masks", "landmarks", "camera", "camera_track", "pose", "benchmark_dataset_fit"),
        *("benchmark_dataset_evaluate", "benchmark_measured_score", "benchmark_measured", "benchmark"),
    }


TAKEN = {
    "fit/pose_refined.npz": ["benchmark_dataset_fit", "benchmark_measured_score"],
    "joints.csv": ["benchmark_measured_score"],
    "metrics.csv": ["benchmark_dataset_evaluate"],
}


@pytest.mark.parametrize(("name", "again"), TAKEN.items(), ids=TAKEN)
def test_what_was_taken_away_is_made_again(made: Made, tmp_path: Path, name: str, again: list[str]) -> None:
    """As a stage that was killed in a rerun leaves it: what is made of it, of the run before, is there."""
    there, away = made.run("lab_known") / name, tmp_path / "away"
    there.rename(away)
    try:
        planned = made.again("--dry-run")
    finally:
        away.rename(there)
    jobs = dict(re.findall(r"(\w+) +(\d+)\n", planned.split("Job stats:")[1]))
    assert [jobs.get(job) for job in again] == ["1"] * len(again)


def test_a_section_takes_the_place_of_the_old_one() -> None:
    old, new = f"{BEGIN}\nold\n{END}", f"{BEGIN}\nnew\n{END}"
    marks = BEGIN, END
    assert section_of("# Results\n\nno section\n", marks) is None
    page = with_section("# Results\n\nrest\n", old, marks)
    assert page == f"# Results\n\n{old}\n\nrest\n"
    assert with_section(page, new, marks) == f"# Results\n\n{new}\n\nrest\n"
    assert with_section("# Results\n\nrest\n", old, marks, last=True) == f"# Results\n\nrest\n\n{old}\n"


def test_means_are_over_the_clips_that_a_method_has() -> None:
    rows = [
        ("uniform", row, clip, method, metric, 10, value)
        for row, clip, method, value in (
            *(("full", "a", "before", 100.0), ("full", "a", "after", 80.0), ("full", "a", "wham", 40.0)),
            *(("full", "b", "before", 60.0), ("full", "b", "after", 70.0)),
            *(("no_align", "a", "before", 100.0), ("no_align", "a", "after", 90.0)),
            *(("no_align", "b", "before", 60.0), ("no_align", "b", "after", 75.0)),
        )
        for metric in ("mpjpe", "pa_mpjpe", "knee")
    ]
    table = pd.DataFrame(rows, columns=["split", "row", "clip", "method", "metric", "frames", "value"])
    section = write_measured(table, load_benchmark(SHIPPED), [ClipRun("a", 25, 4, 24, "found", "told")], "", "")
    assert "| a | 25, one of 4 | 24 | found | told |" in section
    assert "| all | **after the fit** | 75.0 | 75.0 |" in section and "| all | before the fit | 80.0 |" in section
    assert "| a | **after the fit** | 80.0 |" in section and "| a | wham | 40.0 |" in section
    assert "gains 6% of MPJPE" in section and "Worse after the fit than before, in MPJPE: b." in section
    ablations = section.split("### Without a part")[1]
    assert "| w/o second-order steps | 82.5 |" in ablations and "| Full (CAMEL) | 75.0 |" in ablations


def test_starts_are_scored_without_a_fit(made: Made, monkeypatch, capsys) -> None:
    folder, truth = made.run("lab_known"), made.root / "lab" / "known.npz"
    settings = read_provenance(VideoDir(made.root / "results" / "lab_known").provenance("pose"))["settings"]
    shipped = " ".join(starts.variants())
    plain = settings | {"smplify": settings["smplify"] | {"corrector": "none"}}
    monkeypatch.setattr(starts, "variants", lambda: {starts.AS_IT_IS: settings, "uncorrected": plain})
    starts.main([str(folder), str(truth)])
    first, second = capsys.readouterr().out.strip().splitlines()
    before = pd.read_csv(folder / "joints.csv").set_index(["method", "metric"])["value"]["before"]
    figures = f"{before['mpjpe']:.1f} / {before['pa_mpjpe']:.1f}"
    assert first == f"as it is: mean {figures}; lab_known {figures}"
    assert second.startswith("uncorrected: mean ") and figures not in second
    assert "mediapipe, uncorrected" in shipped and "simulated" not in shipped


# -- what stops the score ---------------------------------------------------------------------------------------------


def test_frames_without_joints_are_told(made: Made, capsys: pytest.CaptureFixture) -> None:
    arrays = dict(np.load(made.root / "lab" / "known.npz"))
    np.savez(made.root / "later.npz", **arrays | {"seconds": arrays["seconds"] + 100})
    assert main(["score", str(made.run("lab_known")), "--truth", str(made.root / "later.npz")]) != 0
    assert "later.npz: no joint measured in the frames decoded, 0.400 to 1.300 s" in capsys.readouterr().err


def test_an_older_result_without_times_is_scored_at_its_rate(made: Made) -> None:
    folder, truth = made.run("lab_known"), made.root / "lab" / "known.npz"
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
