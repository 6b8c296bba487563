"""A calibrated camera: its files, the lens made a pinhole, and K of the decoded frames."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from video_files import decode, pattern, record

from pipeline.__main__ import main
from pipeline.formats.camera import Camera
from pipeline.formats.images import FrameFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance
from pipeline.runtime.errors import UserError
from pipeline.video.calibration import read_calibration
from pipeline.video.encode import write_video

K = np.array([[500.0, 0, 322], [0, 510, 236], [0, 0, 1]])  # as OpenCV counts, of pictures of 640x480
DISTORTION = [-0.3, 0.12, 0.002, -0.001]


def toml(path: Path) -> Path:
    """As Pose2Sim writes it, for two cameras."""
    section = """[{name}]
name = "{name}"
size = [ 640.0, 480.0]
matrix = [ [ {f}, 0.0, 322.0], [ 0.0, 510.0, 236.0], [ 0.0, 0.0, 1.0]]
distortions = [ -0.3, 0.12, 0.002, -0.001]
rotation = [ 0.1, 0.2, 0.3]
translation = [ 0.0, 0.0, 1.0]
fisheye = false

"""
    path.write_text(
        section.format(name="cam01", f=900.0) + section.format(name="cam02", f=500.0) + "[metadata]\na = 1\n"
    )
    return path


def opencv_yaml(path: Path) -> Path:
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    storage.write("camera_matrix", K)
    storage.write("distortion_coefficients", np.array([DISTORTION]))
    storage.release()
    return path


def ros_yaml(path: Path) -> Path:
    lines = [
        "image_width: 640",
        "image_height: 480",
        "camera_name: cam",
        f"camera_matrix: {{rows: 3, cols: 3, data: {K.ravel().tolist()}}}",
        "distortion_model: plumb_bob",
        f"distortion_coefficients: {{rows: 1, cols: 4, data: {DISTORTION}}}",
    ]
    path.write_text("\n".join(lines))
    return path


def plain_json(path: Path) -> Path:
    path.write_text(json.dumps({"K": K.tolist(), "dist": [DISTORTION], "size": [640, 480]}))
    return path


@pytest.mark.parametrize(
    ("name", "write", "camera"),
    [
        ("calib.toml", toml, "cam02"),
        ("calib.yml", opencv_yaml, None),
        ("calib.yaml", ros_yaml, None),
        ("calib.json", plain_json, None),
    ],
)
def test_files_of_several_tools(tmp_path: Path, name: str, write: Callable[[Path], Path], camera: str | None) -> None:
    found = read_calibration(write(tmp_path / name), camera)
    np.testing.assert_allclose(found.K, [[500, 0, 322.5], [0, 510, 236.5], [0, 0, 1]])
    np.testing.assert_allclose(found.distortion, DISTORTION)
    assert (found.width, found.height) == (640, 480)
    assert found.source.startswith(str(tmp_path / name))


def checker() -> tuple[np.ndarray, np.ndarray]:
    """A soft checker as a pinhole camera sees it and as the lens does, uint8 (480, 640, 3)."""
    columns, rows = np.meshgrid(np.arange(640.0), np.arange(480.0))

    def shade(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        grey = 128 + 90 * np.sin(x * np.pi / 20) * np.sin(y * np.pi / 20)
        return np.repeat(grey.reshape(480, 640, 1), 3, axis=2).astype(np.uint8)

    seen = np.stack([columns.ravel(), rows.ravel()], axis=1)[:, None]
    ideal = cv2.undistortPoints(seen, K, np.array(DISTORTION), P=K)[:, 0]
    return shade(columns, rows), shade(ideal[:, 0], ideal[:, 1])


@pytest.mark.parametrize("longest", [640, 320])
def test_the_lens_is_made_a_pinhole(tmp_path: Path, longest: int) -> None:
    straight, seen = checker()
    write_video(tmp_path / "clip.mp4", [seen] * 2, 25, crf=4)
    calibration = plain_json(tmp_path / "calib.json")
    settings = f"{{calibration: '{calibration}', longest_side: {longest}}}"
    info = decode(tmp_path / "clip.mp4", tmp_path / "out", "--settings", settings)
    half = longest / 640
    np.testing.assert_allclose(info.K, [[500 * half, 0, 322.5 * half], [0, 510 * half, 236.5 * half], [0, 0, 1]])
    assert info.K_source == str(calibration)
    assert str(calibration) in record(tmp_path / "out")["facts"]["lens distortion"]
    frame = FrameFolder(tmp_path / "out" / "frames")[0].astype(float)
    small = cv2.resize(straight, (info.width, info.height), interpolation=cv2.INTER_AREA)
    inside = np.s_[info.height // 10 : -info.height // 10, info.width // 10 : -info.width // 10]
    assert np.abs(frame - small)[inside].mean() < 4
    bent = cv2.resize(seen, (info.width, info.height), interpolation=cv2.INTER_AREA)
    assert np.abs(bent.astype(float) - small)[inside].mean() > 15


@pytest.mark.parametrize("focal", ["null", "61"])
def test_depth_takes_the_calibrated_camera(tmp_path: Path, focal: str) -> None:
    video = pattern(tmp_path / "clip.mp4", "25", "64x48", 2)
    calibration = plain_json(tmp_path / "calib.json")
    decode(video, tmp_path / "out", "--settings", f"calibration: '{calibration}'")
    assert main(["depth", str(tmp_path / "out"), "--settings", f"focal: {focal}"]) == 0
    directory = VideoDir(tmp_path / "out")
    camera = Camera.load(directory.camera)
    np.testing.assert_allclose(camera.K, [[50, 0, 32.25], [0, 51, 23.65], [0, 0, 1]])
    assert camera.metric
    assert camera.source == f"calibration: {calibration}"
    found = read_provenance(directory.provenance("depth"))["warnings"]
    assert len(found) == (focal != "null")


@pytest.mark.parametrize(
    ("name", "text", "camera", "told"),
    [
        ("calib.toml", None, None, "holds several cameras (cam01, cam02); say which with video.camera"),
        ("calib.toml", None, "cam03", "no camera 'cam03' in it; video.camera should be one of cam01, cam02"),
        ("calib.toml", "[a\n", None, "damaged"),
        ("calib.json", "{", None, "damaged"),
        ("calib.yaml", "a: [", None, "damaged"),
        ("calib.json", "[1, 2]", None, "found no camera in it"),
        ("calib.npy", "", None, "expected a calibration as .toml, .json, .yaml, .yml, .npz or .qca.txt"),
        ("calib.npz", "", None, "expected an npz file of plain arrays"),
        ("calib.json", '{"K": [[5, 0, 3], [0, 5, 2], [0, 0, 1]], "size": [6, 4]}', None, "expected distortion"),
        (
            "calib.json",
            '{"K": [[5, 0, 3], [0, 5, 2], [0, 0, 1]], "dist": []}',
            None,
            "expected the size of the pictures",
        ),
        ("calib.json", '{"K": [[5, 0, 3], [0, 5, 2]], "dist": [], "size": [6, 4]}', None, "expected a camera matrix"),
        ("calib.json", '{"K": "wide", "dist": [], "size": [6, 4]}', None, "as numbers, found 'wide'"),
        ("calib.json", '{"K": [[5, 0, 3], [0, 5, 2], [0, 0, 1]], "dist": [1], "size": [6, 4]}', None, "found 1"),
        ("calib.json", '{"K": [[5, 0, 3], [0, 5, 2], [0, 0, 1]], "fisheye": true}', None, "fisheye"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, name: str, text: str | None, camera: str | None, told: str) -> None:
    path = tmp_path / name
    if text is None:
        toml(path)
    else:
        path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_calibration(path, camera)
    assert str(raised.value).startswith(str(path))
    assert told in str(raised.value)


def test_a_calibration_of_other_pictures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    video = pattern(tmp_path / "clip.mp4", "25", "48x64", 2)  # upright, while the calibration is not
    calibration = plain_json(tmp_path / "calib.json")
    assert main(["decode", str(video), str(tmp_path / "out"), "--settings", f"calibration: '{calibration}'"]) == 1
    assert "calibrated on 640x480 px, but the video's frames are 48x64" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("{calibration: /nowhere/calib.toml}", "/nowhere/calib.toml: not found; check video.calibration"),
        ("{camera: cam01}", "settings video.camera: 'cam01' of which file? set video.calibration too"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, capsys: pytest.CaptureFixture, settings: str, told: str) -> None:
    video = pattern(tmp_path / "clip.mp4", "25", "64x48", 2)
    assert main(["decode", str(video), str(tmp_path / "out"), "--settings", settings]) == 1
    assert told in capsys.readouterr().err


def test_measured_joints_tell_the_camera_of_the_whole_picture(tmp_path: Path) -> None:
    np.savez(tmp_path / "walk.npz", K=K, dist=np.array(DISTORTION), joints=np.zeros((2, 12, 3)))
    camera = read_calibration(tmp_path / "walk.npz", None, (640, 480))
    np.testing.assert_allclose(camera.K - K, [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]], atol=1e-9)
    assert camera.distortion.tolist() == DISTORTION and (camera.width, camera.height) == (640, 480)
    np.savez(tmp_path / "still.npz", K=K)
    assert read_calibration(tmp_path / "still.npz", None, (640, 480)).distortion.size == 0
    np.savez(tmp_path / "world.npz", joints=np.zeros((2, 12, 3)))
    with pytest.raises(UserError, match=r"world\.npz: found no camera in it"):
        read_calibration(tmp_path / "world.npz", None, (640, 480))


def test_pose2sim_tells_where_a_camera_stands(tmp_path: Path) -> None:
    placed = read_calibration(toml(tmp_path / "calib.toml"), "cam02").world_to_camera
    np.testing.assert_allclose(placed[:, :3], cv2.Rodrigues(np.array([0.1, 0.2, 0.3]))[0])
    np.testing.assert_allclose(placed[:, 3], [0, 0, 1])
