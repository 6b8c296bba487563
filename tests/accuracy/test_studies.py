"""The studies of the benchmark: further tables, the papers' pictures, and the joint matching."""

import csv
import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from clip_files import ideal_landmarks, make_clip, noisy, provenance
from PIL import Image

from pipeline.__main__ import main
from pipeline.accuracy.gains import BINDINGS, BINDINGS_BY_ADAM
from pipeline.accuracy.gallery import COMPARED
from pipeline.accuracy.matching import DETECTED, MATCHES, STARTED, Matches, find_matches
from pipeline.accuracy.settings import Benchmark, Run, load_benchmark
from pipeline.accuracy.simulate_depth import simulate_camera
from pipeline.accuracy.simulate_pose import simulate_pose
from pipeline.accuracy.studies_page import _LOOSER, MARKS, _holds_better, _spread, _study
from pipeline.body import JOINT_NAMES, load_body
from pipeline.evaluation.against_truth import LIMBS
from pipeline.evaluation.pose_metrics import joint_errors
from pipeline.fit.settings import FitSettings
from pipeline.formats.camera import Camera
from pipeline.formats.images import MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import default_config, load_settings, merged

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "benchmark.yaml"
ROWS = {"no_pose": 0.1, "gart": 0.08, "neuhmr": 0.05, "full": 0.02}  # radians that each is off, about three axes


@pytest.fixture(scope="module")
def shipped() -> Benchmark:
    return load_benchmark(SHIPPED)


def test_the_studies_hold_every_row_that_they_claim_to_compare(shipped: Benchmark) -> None:
    runs = set(shipped.study_runs())
    assert len(runs) == len(shipped.study_runs()), "each fit once"
    bindings = shipped.studies["bindings"]
    assert {*BINDINGS, *BINDINGS_BY_ADAM, "lsw_camel", "field"} < set(bindings.rows)
    assert shipped.studies["bindings_twice"].rows == bindings.rows
    for row in COMPARED:
        assert Run("simulated", "uniform", row, bindings.sequences[0]) in runs
    assert {"neuhmr_no_rgb", "neuhmr_no_geo", "neuhmr_no_joint", "neuhmr_unregistered"} < {run.row for run in runs}
    every = runs | set(shipped.all_runs())
    assert len(every) < 160, "80 seconds each on a slow core, two at a time: the whole benchmark stays below two hours"


def test_starts_are_as_wrong_as_they_say(shipped: Benchmark, studio_clip) -> None:
    body, truth = load_body("free"), Pose.load(studio_clip.truth / "pose.npz")
    camera = simulate_camera(Camera.load(studio_clip.truth / "camera.json"), shipped.simulated.depth, seed=3)
    asked = shipped.errors("run", "simulated")
    assert asked == shipped.sequences["run"].errors
    for name, factor in (("half", 0.5), ("twice", 2.0)):
        errors = shipped.errors("run", name)
        assert errors.mpjpe == factor * asked.mpjpe
        found, _ = simulate_pose(truth, body, camera, errors, shipped.simulated.pose, seed=3)
        joints = [
            body(*(torch.as_tensor(row, dtype=torch.float32) for row in rows)).joints.double().numpy()
            for rows in ((p.global_orient, p.body_pose, p.betas, p.transl) for p in (found, truth))
        ]
        assert 1000 * joint_errors(*joints).mean() == pytest.approx(errors.mpjpe, rel=0.05)


def test_a_start_may_change_the_stage_pose(shipped: Benchmark) -> None:
    base = default_config()["pose"]
    assert shipped.pose_settings(base, "linear", "b")["smplify"]["corrector"] == "linear"
    assert shipped.pose_settings(base, "configured", "b") == base
    imported = shipped.pose_settings(base, "imported", "my/benchmark")
    assert (imported["backend"], imported["path"]) == ("import", "my/benchmark/handed_over/simulated/{video}.npz")
    assert "linear" in shipped.configured_kinds and "twice" in shipped.simulated_kinds


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("studies", "starts", "by"), "row", "expected method or start"),
        (("studies", "starts", "estimators"), ["hafl"], "estimators 'hafl' is not defined"),
        (("studies", "neuhmr", "rows"), ["neuhrm"], "row 'neuhrm' is not defined"),
        (("starts", "half", "pose"), {"backend": "import"}, "expected errors or pose, found both"),
        (("starts", "emdb"), {"label": "x", "errors": 1.0, "pose": {}}, "the name is taken"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, path: tuple, value: object, said: str) -> None:
    values = yaml.safe_load(SHIPPED.read_text())
    section = values
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=re.escape(said)):
        load_benchmark(tmp_path / "mine.yaml")


@dataclasses.dataclass(frozen=True)
class Studied:
    """A folder of runs as the stages leave them, without fits, and its benchmark."""

    root: Path
    benchmark: Path
    truth: Path


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    root = tmp_path_factory.mktemp("studies")
    values = yaml.safe_load(SHIPPED.read_text())
    sequence = {"seed": 3, "frames": 10, "motion": "walk", "outfit": "shirt", "camera": "static", "novel": None}
    errors = {"like": "Bike", "mpjpe": 77.2, "pa_mpjpe": 58.2, "v2v": 70.8}
    values["sequences"] = {"tiny": sequence | {"errors": errors}}
    values |= {"runs": {}, "quick": {"sequences": [], "rows": []}}
    study = {"about": "About it.", "sequences": ["tiny"]}
    values["studies"] = {
        "rows": study | {"title": "Rows", "by": "method", "estimators": ["simulated"], "rows": list(ROWS)},
        "starts": study
        | {"title": "Starts", "by": "start", "estimators": ["simulated", "twice", "linear"], "rows": ["full"]},
    }
    (root / "tiny.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    clip, made = make_clip(root, frames=10, size=96, gaussians=4000)
    truth = root / "clips" / "tiny.truth"
    shutil.copytree(made, truth)
    view = truth / "views" / "0"
    view.mkdir(parents=True)
    shutil.copytree(clip / "frames", view / "frames")
    shutil.copytree(truth / "masks", view / "masks")
    shutil.copy2(truth / "pose.npz", view / "pose.npz")
    true, benchmark = Pose.load(truth / "pose.npz"), load_benchmark(root / "tiny.yaml")
    for run in benchmark.study_runs():
        paths = VideoDir(run.folder(root))
        shutil.copytree(clip, paths.root)
        noisy(true, 0.2 if run.estimators == "twice" else 0.1, "start", 1).save(paths.pose_init)
        noisy(true, 0.15 if run.estimators == "twice" else ROWS[run.row], "fit", 2).save(paths.pose_refined)
        ideal_landmarks(load_body("free"), true, tuple(JOINT_NAMES[joint] for joint in LIMBS)).save(paths.landmarks)
        fit = merged(default_config()["fit"], benchmark.rows[run.row].fit) | {"holdout_every": 5}
        facts = {
            "frames": 10,
            "anchor_frames": [0, 2, 5],
            "seconds of registration": 5.0,
            "seconds of refinement": 20.0,
        }
        provenance(paths, "fit", fit, seconds=90.0, facts=facts if run.row == "neuhmr" else {})
        with paths.history.open("w", newline="") as file:
            csv.writer(file).writerows([("step", "seconds"), (1000, 50.0)])
        assert main(["evaluate", str(paths.root), "--truth", str(truth)]) == 0
        assert main(["score", str(paths.root), "--truth", str(truth), "--view-frames", "2"]) == 0
    return Studied(root, root / "tiny.yaml", truth)


def test_the_section_of_the_studies_stands_last_and_can_be_made_again(studied: Studied) -> None:
    page = studied.root / "docs" / "results.md"
    page.parent.mkdir()
    page.write_text("# Results\n\n## Studio clips\n\nothers\n")
    command = ["benchmark", str(studied.root), "--benchmark", str(studied.benchmark), "--studies", "--page", str(page)]
    assert main(command) == 0
    once = page.read_text()
    assert main(command) == 0
    assert page.read_text() == once and once.count(MARKS[0]) == 1
    assert once.startswith("# Results\n\n## Studio clips\n\nothers\n\n") and once.endswith(f"{MARKS[1]}\n")
    figures = pd.read_csv(studied.root / "studies" / "figures.csv").set_index(["estimators", "row", "metric"])["value"]
    before, after = (figures["simulated", row, "mpjpe"] for row in ("initial", "full"))
    assert f"| simulated, as HMR2.0 errs | {before:.1f} | **{after:.1f}" not in once
    assert f"| simulated, as HMR2.0 errs | {before:.1f} | {after:.1f} ({after / before - 1:+.0%}) |" in once
    assert f"| NeuHMR | {figures['simulated', 'neuhmr', 'psnr']:.2f} |".replace("| NeuHMR |", "") in once
    assert once.count("the worse the start, the more the full method gains") == 2  # the simulated ones, and all
    assert "Simulated starts, of which nothing but the errors differs:" in once
    assert "0.50 s a frame here on anchors" in once and "2.00 s on the refinement" in once
    assert "| SLAHMR | 31.6 |" in once and "| NeuHMR (HybrIK) | 95.4 | 109.6 |" in once  # NeuHMR prints
    assert not re.search(r"\bnan\b|None|Undefined", once)
    for name in ("pictures", "matching"):
        assert f"](results_{name}.png)" in once
        assert (page.with_name(f"results_{name}.png")).read_bytes() == (
            studied.root / "studies" / f"{name}.png"
        ).read_bytes()


def test_the_pictures_show_what_is_nearer_to_the_truth(studied: Studied) -> None:
    from pipeline.accuracy.gallery import draw_gallery

    folders = {row: Run("simulated", "uniform", row, "tiny").folder(studied.root) for row in COMPARED}
    picture = draw_gallery(folders, studied.truth).astype(float)
    columns = np.array_split(picture, 4, axis=1)
    width = min(column.shape[1] for column in columns)
    initial, _, ours, truth = (column[-5 * 253 :, :width] for column in columns)
    rendered = slice(2 * 253, 3 * 253)  # the third row of tiles
    errors = [np.abs(column[rendered] - truth[rendered]).mean() for column in (initial, ours)]
    assert errors[1] < 0.7 * errors[0]
    dark = [column[3 * 253 + 5 : 4 * 253 - 5].mean() for column in (initial, ours)]
    assert dark[1] < dark[0], "the error map of the better one is darker"


def test_a_perfect_detector_is_at_the_truth_and_matches_lie_around_the_start(studied: Studied) -> None:
    paths = VideoDir(Run("simulated", "uniform", "neuhmr", "tiny").folder(studied.root))
    matches = find_matches(paths, studied.truth, paths.landmarks)
    errors = matches.errors()
    assert len(errors[MATCHES]) == len(errors[STARTED]) > 20
    away = np.linalg.norm(matches.found[MATCHES] - matches.found[STARTED], axis=-1)
    samples = 4 * load_settings("fit", {}, FitSettings).neuhmr.sigma
    assert 0 < np.nanmax(away) < samples * 1.5
    assert errors[DETECTED].mean() < errors[STARTED].mean()
    assert matches.frames.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


def test_a_fit_of_another_refiner_has_no_matches(studied: Studied) -> None:
    paths = VideoDir(Run("simulated", "uniform", "full", "tiny").folder(studied.root))
    with pytest.raises(UserError, match="expected a fit by NeuHMR"):
        find_matches(paths, studied.truth, None)


def test_pictures_need_their_rows(studied: Studied, tmp_path: Path, capsys) -> None:
    values = yaml.safe_load(studied.benchmark.read_text())
    del values["studies"]["rows"]
    (tmp_path / "less.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    assert main(["benchmark", str(studied.root), "--benchmark", str(tmp_path / "less.yaml"), "--studies"]) == 1
    assert "expected the rows no_pose, gart, full, neuhmr" in capsys.readouterr().err


def test_claims_about_looser_bindings_are_read_off_the_means() -> None:
    values = {"full": 40.0, "lsw_camel": 41.0, "field": 39.5}
    rows = [("twice", "uniform", row, "a", "mpjpe", value) for row, value in values.items()]
    table = pd.DataFrame(rows, columns=["estimators", "split", "row", "sequence", "metric", "value"])
    held = _holds_better(table, "uniform", "twice", "full", _LOOSER)
    assert [holds for _, holds in held] == [True, False] and "(40.00, 39.50)" in held[1][0]
    assert _holds_better(table, "uniform", "simulated", "full", _LOOSER) == []


def test_how_much_bindings_differ_at_all_is_said() -> None:
    values = {"mpjpe": {"full": 40.0, "gom": 41.5, "lsw": 40.5}, "psnr": {"full": 28.0, "gom": 27.2, "lsw": 28.1}}
    rows = [("twice", "uniform", row, "a", key, v) for key, of in values.items() for row, v in of.items()]
    table = pd.DataFrame(rows, columns=["estimators", "split", "row", "sequence", "metric", "value"])
    said = [("all 3 bindings lie within 1.5 mm of MPJPE and 0.9 dB of PSNR", None)]
    assert _spread(table, "uniform", "twice", ("full", "gom", "lsw")) == said
    assert _spread(table, "uniform", "twice", ("full", "gom", "none")) == []


def test_bindings_are_compared_where_a_study_has_them(shipped: Benchmark) -> None:
    rows = [
        ("simulated", "uniform", row, "walk", metric, 40.0)
        for row in shipped.studies["bindings"].rows
        for metric in ("mpjpe", "psnr")
    ]
    table = pd.DataFrame(rows, columns=["estimators", "split", "row", "sequence", "metric", "value"])
    assert _study(table, shipped, "uniform", shipped.studies["bindings"])["claims"]
    assert not _study(table, shipped, "uniform", shipped.studies["neuhmr"])["claims"]


def test_errors_are_of_the_joints_that_were_matched() -> None:
    true, away = np.zeros((1, 12, 2)), np.array([3.0, 4.0])
    found = {MATCHES: true + away, STARTED: true + 2 * away}
    found[MATCHES][0, 1:] = np.nan
    errors = Matches(np.array([0]), true, found).errors()
    assert errors[MATCHES].tolist() == [5.0] and errors[STARTED].tolist() == [10.0]


def test_a_second_motion_is_filmed_with_its_truth(tmp_path: Path) -> None:
    command = ["studio", "--out", str(tmp_path), "--name", "two", "--frames", "3", "--size", "96x128", "--views", "0"]
    assert main([*command, "--motion", "turn", "--novel", "squat"]) == 0
    folder, main_pose = tmp_path / "two.truth" / "novel", Pose.load(tmp_path / "two.truth" / "pose.npz")
    pose, masks = Pose.load(folder / "pose.npz"), MaskFolder(folder / "masks")
    assert len(pose) == len(masks) == len(list((folder / "frames").iterdir())) == 3
    assert np.array_equal(pose.betas, main_pose.betas) and not np.allclose(
        pose.body_pose, main_pose.body_pose, atol=0.1
    )
    rows = (
        torch.as_tensor(v, dtype=torch.float32) for v in (pose.global_orient, pose.body_pose, pose.betas, pose.transl)
    )
    joints = load_body("free")(*rows).joints.double().numpy() @ pose.K.T
    places = (joints[..., :2] / joints[..., 2:]).astype(int)
    for frame, (x, y) in enumerate(places[:, 0]):
        assert masks[frame][y, x] == 255, "the pelvis is inside of the person"
    assert np.asarray(Image.open(folder / "frames" / "000000.jpg")).shape == (128, 96, 3)
    assert main([*command[:4], "plain", *command[5:], "--motion", "turn"]) == 0
    assert not (tmp_path / "plain.truth" / "novel").exists()
    assert np.array_equal(Pose.load(tmp_path / "plain.truth" / "pose.npz").transl, main_pose.transl)
