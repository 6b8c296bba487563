"""Gravity from upright lines, in pictures drawn here."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from world_motions import camera_looking, on_the_ground, seen_by

from pipeline.body import load_body
from pipeline.camera.contact import slow
from pipeline.camera.feet import feet_of
from pipeline.camera.ground import find_ground
from pipeline.camera.verticals import find_segments

WIDTH, HEIGHT = 320, 240
K = np.array([[300.0, 0, WIDTH / 2], [0, 300, HEIGHT / 2], [0, 0, 1]])
NOBODY = np.zeros((HEIGHT, WIDTH), np.uint8)


def posts(pitch: float, roll: float) -> np.ndarray:
    """Dark posts on a pale ground, and some slanted lines, (H, W, 3)."""
    camera = np.linalg.inv(camera_looking(pitch, roll))
    image = Image.new("RGB", (4 * WIDTH, 4 * HEIGHT), (210, 205, 200))
    pen = ImageDraw.Draw(image)

    def line(first: tuple, second: tuple, width: int) -> None:
        ends = np.array([first, second]) @ camera[:3, :3].T + camera[:3, 3]
        pixels = 4 * (ends @ K.T)[:, :2] / ends[:, 2:]
        pen.line([tuple(pixels[0]), tuple(pixels[1])], (60, 50, 40), width)

    for x, z in ((-1.5, -1), (-0.8, 0), (0.1, -2), (0.9, 0.3), (1.6, -1)):
        line((x, 0, z), (x, 2.2, z), 20)
    for x in (-1.0, 0.4):
        line((x, 0.2, 0), (x + 0.7, 1.1, 0), 12)
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def segments(image: np.ndarray, mask: np.ndarray = NOBODY):
    return find_segments([image], [mask], K, np.eye(3)[None], False)


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (20, 5), (-12, -8)])
def test_posts_tell_where_up_is(pitch: float, roll: float) -> None:
    told = segments(posts(pitch, roll)).tell(np.array([pitch + 6.0, roll - 5.0]))
    np.testing.assert_allclose(told.tilt, [pitch, roll], atol=1.0)


def test_noise_tells_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    image = np.asarray(Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    assert segments(image).tell(np.zeros(2)) is None
    assert segments(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).tell(np.zeros(2)) is None


def test_what_is_the_person_is_not_looked_at() -> None:
    assert len(segments(posts(0, 0), np.full_like(NOBODY, 255)).normals) == 0


def test_lines_decide_where_the_body_is_in_doubt() -> None:
    body = load_body("free")
    feet = feet_of(seen_by(on_the_ground("walk", 80, body), body, 15, -6, noise=0.3), body)
    alone = find_ground(feet, slow(feet))
    with_lines = find_ground(feet, slow(feet), segments=segments(posts(15, -6)))
    off = [np.abs([ground.pitch - 15, ground.roll + 6]).max() for ground in (alone, with_lines)]
    assert off[1] < 1.5 and off[1] < off[0] and "lines of the scene" in with_lines.found
    assert with_lines.sigma[0] < alone.sigma[0]
