"""What goes into viewer.html, read back out of the page and held against the files that it was made from."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_avatar import read_page
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.avatar import Avatar
from pipeline.body import BodyModel, vertex_normals
from pipeline.exports.colors import surface_colors
from pipeline.exports.world import CAMERA_TO_Y_UP, to_world
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.motion.library import MOTIONS
from pipeline.viewer.build import NEVER_DONE
from pipeline.viewer.contents import MOST_KEYS, kept_frames


@pytest.fixture(scope="module")
def read(page: Path):
    """The tables of the page, and its text."""
    return read_page(page)


@pytest.fixture(scope="module")
def avatar(fitted: VideoDir, body: BodyModel) -> Avatar:
    return Avatar.from_file(AvatarFile.load(fitted.avatar), body)


def test_the_page_is_one_small_file_that_loads_nothing(page: Path) -> None:
    assert page.stat().st_size < 1e6
    text = page.read_text(encoding="utf-8")
    code = re.sub(r'<script id="data".*?</script>', "", text, flags=re.DOTALL)
    assert not re.findall(r"https?:|src=|<link|@import|url\(|fetch\(|XMLHttpRequest|import\(", code)


def test_gaussians_come_back(read, fitted: VideoDir, avatar: Avatar) -> None:
    tables, _ = read
    means = tables["means"].values
    distance = np.linalg.norm(means[:, None] - avatar.means.double().numpy()[None, ::40], axis=-1)
    found, nearest = distance.min(0), distance.argmin(0)  # the page has an order of its own
    assert found.max() < 1e-4
    every = slice(None, None, 40)
    assert np.abs(tables["opacities"].values[nearest, 0] - avatar.opacities.numpy()[every]).max() < 1 / 500
    assert np.abs(np.exp(tables["scales"].values[nearest]) / avatar.scales.numpy()[every] - 1).max() < 0.01
    weights = tables["weights"].values
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-9)
    assert np.abs(weights[nearest] - avatar.weights.numpy()[every]).max() < 0.02
    quats, expected = tables["quats"].values[nearest], avatar.quats.double().numpy()[every]
    cosine = np.abs((quats * expected).sum(1)) / np.linalg.norm(quats, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > np.cos(np.deg2rad(0.3))
    colours, sh = tables["colours"].values[nearest], avatar.sh.double().numpy()[every]
    assert np.abs(colours - sh[:, 0]).max() < 0.02
    assert np.abs(tables["slopes"].values[nearest] - sh[:, 1:].reshape(-1, 9)).max() < 0.01
    for name, values in (("offsets", avatar.cloth.offsets), ("colours", avatar.cloth.colours)):
        half = float(values.abs().max()) / 64  # of a step of 65 levels
        wanted = values[every].flatten(1).double().numpy()
        assert np.abs(tables[f"cloth_{name}"].values[nearest] - wanted).max() < 1.01 * half < np.abs(wanted).mean()
    file = AvatarFile.load(fitted.avatar)
    assert np.abs(tables["seen"].values[nearest, 0] - file.seen[every]).max() < 1 / 30
    told = read_provenance(fitted.provenance("export"))["facts"]["never filmed, %"]
    assert told == pytest.approx(100 * (1 - file.seen.mean()), abs=0.06) and told > 10
    axes = avatar.cloth.features.axes.flatten(0, 1).double().numpy()
    np.testing.assert_allclose(tables["cloth_axes"].values, axes, atol=2e-5)


def test_motions_come_back(read, fitted: VideoDir, body: BodyModel) -> None:
    tables, text = read
    assert [each["kind"] for each in text["movements"]] == ["after", "before"] + ["new"] * len(NEVER_DONE)
    assert set(NEVER_DONE) <= set(MOTIONS)
    after, before = Pose.load(fitted.pose_refined), Pose.load(fitted.pose_init)
    world = to_world(after, body, CAMERA_TO_Y_UP)
    turns = Rotation.from_quat(tables["turns0"].values.reshape(-1, 4))
    assert (turns * Rotation.from_rotvec(world.poses.reshape(-1, 3)).inv()).magnitude().max() < 1e-4
    rest = body.rest_joints(torch.zeros(10))[0].numpy()
    np.testing.assert_allclose(tables["pelvis0"].values, world.transl + rest, atol=1e-4)
    # The camera takes both motions back to where they are in the video.
    camera = tables["camera"].values.reshape(-1, 3, 4)
    for index, pose in enumerate((after, before)):
        there = np.einsum("tji,tj->ti", camera[:, :, :3], tables[f"pelvis{index}"].values - camera[:, :, 3])
        root = body.rest_joints(torch.as_tensor(pose.betas, dtype=torch.float32))[0].numpy()
        np.testing.assert_allclose(there, pose.transl + root, atol=1e-3)


def test_triangles_and_pictures_come_back(read, fitted: VideoDir, body: BodyModel) -> None:
    tables, text = read
    fresh, corners = 0, []
    for back in tables["corners"].numbers[:, 0].astype(int):
        corners.append(fresh - back)
        fresh = max(fresh, corners[-1] + 1)
    expected = body.shaped(torch.zeros(10)).numpy()[body.faces.numpy()].reshape(-1, 3)
    np.testing.assert_allclose(tables["vertices"].values[corners], expected, atol=3e-4)
    file = AvatarFile.load(fitted.avatar)
    rest = body.shaped(torch.zeros(10))
    sharp = surface_colors(
        rest.double().numpy(), vertex_normals(rest, body.faces).double().numpy(), Avatar.from_file(file, body)
    )
    np.testing.assert_allclose(tables["vertex_colours"].values[corners], sharp[body.faces.numpy().ravel()], atol=0.02)
    camera = text["camera"]
    assert sum(camera["bytes"]) == tables["pictures"].numbers.size
    assert camera["frames"][0] == 0
    assert camera["frames"][-1] == len(Pose.load(fitted.pose_refined)) - 1


@pytest.mark.parametrize("count", [1, 2, MOST_KEYS, MOST_KEYS + 1, 5000])
def test_long_motions_keep_frames_from_end_to_end(count: int) -> None:
    kept = kept_frames(count)
    assert kept[0] == 0
    assert kept[-1] == count - 1
    assert len(kept) == min(count, MOST_KEYS)


@pytest.fixture
def copy(fitted: VideoDir, tmp_path: Path) -> VideoDir:
    """The same clip, without exports; its files may be changed."""
    folder = VideoDir(tmp_path / "clip")
    folder.fit.mkdir(parents=True)
    for name in ("frames", "pose_init.npz", "fit/avatar.npz", "fit/pose_refined.npz"):
        (folder.root / name).symlink_to(fitted.root / name)
    return folder


def test_an_avatar_of_before_seen_has_a_page_that_does_not_tell(copy: VideoDir, fitted: VideoDir) -> None:
    copy.avatar.unlink()
    replace(AvatarFile.load(fitted.avatar), seen=None).save(copy.avatar)
    assert main(["export", str(copy.root)]) == 0
    tables, _ = read_page(copy.exports / "viewer.html")
    assert "seen" not in tables and "cloth_seen" in tables
    assert "never filmed, %" not in read_provenance(copy.provenance("export"))["facts"]


def test_it_can_be_left_out(copy: VideoDir) -> None:
    assert main(["export", str(copy.root), "--settings", "viewer: false"]) == 0
    assert not (copy.exports / "viewer.html").exists()
    assert (copy.exports / "motion.glb").is_file()


def test_files_of_another_length_are_refused(copy: VideoDir, capsys: pytest.CaptureFixture[str]) -> None:
    pose = Pose.load(copy.pose_init)
    copy.pose_init.unlink()
    keys = ("global_orient", "body_pose", "transl", "valid", "bbox")
    replace(pose, **{key: getattr(pose, key)[:-1] for key in keys}).save(copy.pose_init)
    assert main(["export", str(copy.root)]) == 1
    assert f"pose_init.npz: expected {len(pose)} frames" in capsys.readouterr().err
    assert not copy.exports.exists()
