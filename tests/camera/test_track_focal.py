"""The focal length of the scene's lines, in the place of a guess."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_verticals import HEIGHT, WIDTH, K, boards

from pipeline.camera.intrinsics import clip_camera
from pipeline.camera.settings import CameraSettings
from pipeline.camera.track_focal import combined, with_lines
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance

GUESS = 0.8 * float(K[0, 0])
BARE = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def written(folder: Path, picture: np.ndarray, metric: bool = False) -> VideoDir:
    directory = VideoDir(folder)
    for images, name, image in ((directory.frames, "0.jpg", picture), (directory.masks, "0.png", 0 * picture[..., 0])):
        images.mkdir()
        Image.fromarray(image).save(images / f"00000{name}", quality=95)
    wrong = np.array([[GUESS, 0, WIDTH / 2], [0, GUESS, HEIGHT / 2], [0, 0, 1]])
    Camera(wrong, WIDTH, HEIGHT, "a test", metric, "user" if metric else "guess").save(directory.camera)
    return directory


def found(directory: VideoDir) -> tuple[Camera, Provenance]:
    provenance = Provenance("camera_track", CameraSettings("static", None, None, None), ())
    with_lines(CameraTrack.static(1, "test"), directory, provenance).save(directory.camera_track)
    return clip_camera(directory), provenance


def test_lines_take_the_place_of_a_guess(tmp_path: Path) -> None:
    camera, provenance = found(written(tmp_path, boards(20, -2)))
    assert camera.K[0, 0] == pytest.approx(K[0, 0], rel=0.08)
    assert camera.metric and camera.K_source == "lines" and "straight lines" in camera.source
    assert provenance.facts["focal length by straight lines (px)"] == pytest.approx(camera.K[0, 0], abs=0.1)
    assert "not the guessed 240" in provenance.warnings[0]


@pytest.mark.parametrize(("picture", "metric"), [(BARE, False), (boards(20, -2), True)])
def test_a_guess_without_lines_and_what_is_known_stay(tmp_path: Path, picture: np.ndarray, metric: bool) -> None:
    camera, provenance = found(written(tmp_path, picture, metric))
    assert camera.K[0, 0] == GUESS and camera.metric == metric and not provenance.warnings


def test_lines_and_motion_count_as_they_are_sure() -> None:
    poses = np.tile(np.eye(4), (2, 1, 1))
    track = CameraTrack(poses, "turning", np.zeros((2, 2)), "test", focal=500.0, focal_sigma=0.02)
    both = combined(track, 1.2, 0.08, 400.0)
    assert 494 < both.focal < 500 and both.focal_sigma < 0.02 and both.focal_from == "motion"
    assert combined(CameraTrack.static(2, "test"), 1.2, 0.08, 400.0).focal == pytest.approx(480)
