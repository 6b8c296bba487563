"""The focal length that a camera's motion tells, in the place of a guess."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.camera.intrinsics import clip_camera
from pipeline.formats.camera import Camera
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.paths import VideoDir
from pipeline.runtime.errors import UserError

GUESS = np.array([[400.0, 0, 160], [0, 410, 120], [0, 0, 1]])


def written(folder: Path, metric: bool, focal: float | None) -> VideoDir:
    directory = VideoDir(folder)
    Camera(GUESS, 320, 240, "a test", metric, "user" if metric else "guess").save(directory.camera)
    track = CameraTrack(np.tile(np.eye(4), (3, 1, 1)), "turning", np.zeros((3, 2)), "test", focal)
    track.save(directory.camera_track)
    return directory


def test_the_motion_takes_the_place_of_a_guess(tmp_path: Path) -> None:
    camera = clip_camera(written(tmp_path, metric=False, focal=600.0))
    np.testing.assert_allclose(camera.K, [[600, 0, 160], [0, 615, 120], [0, 0, 1]])
    assert camera.metric and camera.K_source == "motion"


@pytest.mark.parametrize(("metric", "focal"), [(True, 600.0), (False, None)])
def test_what_is_known_or_not_told_stays(tmp_path: Path, metric: bool, focal: float | None) -> None:
    camera = clip_camera(written(tmp_path, metric, focal))
    np.testing.assert_array_equal(camera.K, GUESS)
    assert camera.metric == metric


def test_no_track_is_camera_json_s(tmp_path: Path) -> None:
    directory = written(tmp_path, metric=False, focal=600.0)
    directory.camera_track.unlink()
    np.testing.assert_array_equal(clip_camera(directory).K, GUESS)


def test_a_wrong_focal_length_is_told() -> None:
    with pytest.raises(UserError, match="'focal' should be above 0"):
        CameraTrack(np.eye(4)[None], "turning", np.zeros((1, 2)), "test", -3.0)
