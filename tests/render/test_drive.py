"""`python -m pipeline drive`: a video and PLY files of an avatar in another motion."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from export_readers import read_ply
from helpers_avatar import read_page, seeded_avatar
from scipy.spatial.transform import Rotation
from video_files import decode

from pipeline.__main__ import main
from pipeline.body import BodyModel
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.motion.library import Motion, motion
from pipeline.render.drive import orbited


@pytest.fixture(scope="module")
def person(results: VideoDir, body: BodyModel) -> VideoDir:
    """The tiny clip with an avatar."""
    pose = Pose.load(results.pose_init)
    pose.save(results.pose_refined)
    seeded_avatar(body, 800, len(pose)).save(results.avatar)
    return results


def test_the_orbit_is_a_turn_of_the_world(body: BodyModel) -> None:
    walk = motion("walk", 8, 10, 0, body)
    root = body.rest_joints(torch.zeros(10))[0].double().numpy()
    turned = orbited(walk, root)

    def joints(moving: Motion) -> np.ndarray:
        poses, trans = (torch.as_tensor(a).float() for a in (moving.poses, moving.trans))
        return body(poses[:, :3], poses[:, 3:], torch.zeros(10), trans).joints.double().numpy()

    before, after = joints(walk), joints(turned)
    np.testing.assert_allclose(after[0], before[0], atol=1e-6)
    quarter = Rotation.from_euler("y", -90, degrees=True)
    np.testing.assert_allclose(after[2], quarter.apply(before[2]), atol=1e-5)


@pytest.mark.parametrize("camera", ["orbit", "front", "video"])
def test_a_video_and_files_of_each_frame(
    person: VideoDir, tmp_path: Path, camera: str, body: BodyModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Driven by its own motion, as another clip's would be."""
    out = tmp_path / "out ä"
    words = ["drive", "--avatar", str(person.root), "--motion", str(person.pose_refined), "--out", str(out)]
    words += ["--fps", "10", "--seconds", "0.4", "--height", "64", "--camera", camera, "--ply", "--no-viewer"]
    assert main(words) == 0
    size = (128, 160) if camera == "video" else (64, 64)
    video = decode(out / "drive.mp4", tmp_path / "decoded")
    assert (video.frames, video.width, video.height, video.fps) == (4, *size, 10)
    assert sorted(path.name for path in out.iterdir()) == ["avatar_sequence.zip", "drive.mp4"]
    with zipfile.ZipFile(out / "avatar_sequence.zip") as files:
        assert files.testzip() is None
        assert files.namelist() == [f"frame_{index:06d}.ply" for index in range(4)]
        means = read_ply(Path(files.extract("frame_000000.ply", tmp_path)))["means"].numpy()
    assert -2.1 < means[:, 1].min() < -1.3 and means[:, 1].max() < 0.05  # y down, on the ground


def test_the_page_plays_the_motion_beside_those_of_the_clip(
    person: VideoDir, tmp_path: Path, body: BodyModel, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["drive", "--avatar", str(person.root), "--motion", "squat", "--out", str(tmp_path), "--height", "64"]
    assert main([*words, "--fps", "10", "--seconds", "0.4"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drive.mp4", "viewer.html"]
    tables, text = read_page(tmp_path / "viewer.html")
    kinds = [each["kind"] for each in text["movements"]]
    assert kinds[:3] == ["after", "before", "new"] and text["first"] == 2
    assert text["movements"][2] == {"name": "Squat", "kind": "new", "fps": 10}
    squat = motion("squat", 4, 10, 0, body)
    turns = Rotation.from_quat(tables["turns2"].values.reshape(-1, 4))
    assert (turns * Rotation.from_rotvec(squat.poses.reshape(-1, 3)).inv()).magnitude().max() < 1e-4
    root = body.rest_joints(torch.zeros(10))[0].double().numpy()
    np.testing.assert_allclose(tables["pelvis2"].values, squat.trans + root, atol=1e-3)
    lost = person.frames.rename(person.root / "away")
    assert main([*words, "--fps", "10", "--seconds", "0.4"]) == 1
    lost.rename(person.frames)
    assert "frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--motion", "moonwalk"], "moonwalk: no such motion; expected one of walk"),
        (["--motion", "walk", "--height", "8"], "--height 64 to 4096"),
        (["--motion", "walk", "--body-model", "none.npz"], "none.npz"),
    ],
)
def test_what_cannot_be_done_is_said(
    person: VideoDir, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drive", "--avatar", str(person.root), "--out", str(tmp_path / "out"), *words]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
