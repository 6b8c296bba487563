"""The focal length of the scene's lines, in the place of a guess."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_verticals import HEIGHT, WIDTH, K, boards

from pipeline.camera.intrinsics import clip_camera
from pipeline.camera.settings import CameraSettings
from pipeline.camera.track_focal import with_focal
from pipeline.camera.verticals import Focal
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


def found(directory: VideoDir, motion: Focal | None = None) -> tuple[Camera, Provenance]:
    provenance = Provenance("camera_track", CameraSettings("static", None, None, None), ())
    with_focal(CameraTrack.static(1, "test"), directory, provenance, motion).save(directory.camera_track)
    return clip_camera(directory), provenance


def test_lines_take_the_place_of_a_guess(tmp_path: Path) -> None:
    camera, provenance = found(written(tmp_path, boards(20, -2)))
    assert camera.K[0, 0] == pytest.approx(K[0, 0], rel=0.08)
    assert camera.metric and camera.K_source == "lines" and "straight lines" in camera.source
    assert provenance.facts["focal length found (px)"] == pytest.approx(camera.K[0, 0], abs=0.1)
    assert "not the guessed 240" in provenance.warnings[0]


@pytest.mark.parametrize(("picture", "metric"), [(BARE, False), (boards(20, -2), True)])
def test_a_guess_without_lines_and_what_is_known_stay(tmp_path: Path, picture: np.ndarray, metric: bool) -> None:
    camera, provenance = found(written(tmp_path, picture, metric))
    assert camera.K[0, 0] == GUESS and camera.metric == metric and not provenance.warnings


def test_what_alone_is_not_sure_is_together(tmp_path: Path) -> None:
    """A wall of one colour tells nothing: the guess and the motion decide."""
    directory = written(tmp_path, BARE)
    assert found(directory, Focal(1.3, 0.15))[0].K[0, 0] == GUESS
    camera, provenance = found(directory, Focal(1.3, 0.1))
    assert camera.K_source == "motion" and camera.K[0, 0] == pytest.approx(GUESS * 1.3**0.8, rel=1e-3)
    assert CameraTrack.load(directory.camera_track).focal_sigma == pytest.approx(0.0894, abs=1e-3)
    assert "the camera's motion tell" in provenance.warnings[0]


def test_lines_hold_a_motion_that_is_hardly_sure(tmp_path: Path) -> None:
    directory = written(tmp_path, boards(20, -2))
    alone, held = found(directory)[0], found(directory, Focal(2.0, 0.3))[0]
    assert alone.K[0, 0] < held.K[0, 0] < 1.1 * alone.K[0, 0] and held.K_source == "lines"


def test_far_from_the_guess_the_motion_is_looked_at_once_more(tmp_path: Path) -> None:
    """From where all together point; what is sure, near, or tells nothing there is left as it is."""
    directory, asked = written(tmp_path, BARE), []

    def told(motion: Focal, nearer: Focal | None) -> float:
        def look_again(times: float) -> Focal | None:
            asked.append(times)
            return nearer

        provenance = Provenance("camera_track", CameraSettings("static", None, None, None), ())
        track = with_focal(CameraTrack.static(1, "test"), directory, provenance, motion, look_again)
        return 1.0 if track.focal is None else track.focal / GUESS

    assert told(Focal(1.5, 0.15), Focal(1.4, 0.05)) == pytest.approx(1.4, rel=1e-3)
    assert asked == [pytest.approx(1.5 ** (0.15**-2 / (0.15**-2 + 0.2**-2)), rel=1e-3)]
    assert told(Focal(1.5, 0.15), None) == 1
    asked.clear()
    assert told(Focal(1.5, 0.05), Focal(1.4, 0.05)) == pytest.approx(1.5, rel=1e-3)
    assert told(Focal(1.05, 0.5), Focal(1.4, 0.05)) == 1
    assert not asked
