"""Gravity from upright lines, in pictures drawn here."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from world_motions import camera_looking, on_the_ground, seen_by

from pipeline.body import load_body
from pipeline.camera.contact import slow
from pipeline.camera.feet import feet_of
from pipeline.camera.ground import find_ground
from pipeline.camera.verticals import GUESS, Focal, find_segments

WIDTH, HEIGHT = 320, 240
K = np.array([[300.0, 0, WIDTH / 2], [0, 300, HEIGHT / 2], [0, 0, 1]])
NOBODY = np.zeros((HEIGHT, WIDTH), np.uint8)


def drawn(pitch: float, roll: float, lines: list) -> np.ndarray:
    """Dark lines in space, each of two ends and a width, on a pale ground, (H, W, 3)."""
    camera = np.linalg.inv(camera_looking(pitch, roll))
    image = Image.new("RGB", (4 * WIDTH, 4 * HEIGHT), (210, 205, 200))
    pen = ImageDraw.Draw(image)
    for first, second, width in lines:
        ends = np.array([first, second]) @ camera[:3, :3].T + camera[:3, 3]
        pixels = 4 * (ends @ K.T)[:, :2] / ends[:, 2:]
        pen.line([tuple(pixels[0]), tuple(pixels[1])], (60, 50, 40), width)
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def posts(pitch: float, roll: float) -> np.ndarray:
    """Posts, and some slanted lines."""
    upright = [((x, 0, z), (x, 2.2, z), 20) for x, z in ((-1.5, -1), (-0.8, 0), (0.1, -2), (0.9, 0.3), (1.6, -1))]
    return drawn(pitch, roll, upright + [((x, 0.2, 0), (x + 0.7, 1.1, 0), 12) for x in (-1.0, 0.4)])


def boards(pitch: float, roll: float) -> np.ndarray:
    """Two posts, and a floor of boards: those straight ahead are nearly upright in the picture."""
    upright = [((x, 0, -1), (x, 2.0, -1), 14) for x in (-1.2, 1.1)]
    ahead = [((x, 0, -2.0), (x, 0, 1.5), 12) for x in (-0.5, -0.25, 0.05, 0.3, 0.6)]
    return drawn(pitch, roll, upright + ahead + [((-1.2, 0, z), (1.2, 0, z), 8) for z in (-1.5, 0.4)])


def segments(image: np.ndarray, mask: np.ndarray = NOBODY, K: np.ndarray = K, guessed: bool = False):
    return find_segments([image], [mask], K, np.eye(3)[None], guessed)


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (20, 5), (-12, -8)])
def test_posts_tell_where_up_is(pitch: float, roll: float) -> None:
    told = segments(posts(pitch, roll)).tell(np.array([pitch + 6.0, roll - 5.0]))
    np.testing.assert_allclose(told.tilt, [pitch, roll], atol=1.0)


@pytest.mark.parametrize("focal", [0.85, 1.0])
def test_boards_that_run_ahead_are_not_upright(focal: float) -> None:
    guess = K * [[focal], [focal], [1]] + [[0, 0, K[0, 2] * (1 - focal)], [0, 0, K[1, 2] * (1 - focal)], [0, 0, 0]]
    told = segments(boards(20, -2), K=guess, guessed=True).tell(np.array([28.0, 0.0]))
    np.testing.assert_allclose(told.tilt, [20, -2], atol=2.0)


@pytest.mark.parametrize("guess", [0.8, 0.9, 1.0])
def test_lines_at_right_angles_tell_the_focal_length(guess: float) -> None:
    wrong = K * [[guess], [guess], [1]] + [[0, 0, K[0, 2] * (1 - guess)], [0, 0, K[1, 2] * (1 - guess)], [0, 0, 0]]
    told = segments(boards(20, -2), K=wrong, guessed=True).tell_focal()
    assert abs(np.log(told.times * guess)) < 0.08 and told.sigma < 0.1


@pytest.mark.parametrize("picture", [posts(0, 0), np.full((HEIGHT, WIDTH, 3), 90, np.uint8)])
def test_upright_lines_and_bare_walls_tell_no_focal_length(picture: np.ndarray) -> None:
    assert segments(picture, guessed=True).tell_focal().sigma > 0.1


def test_lines_and_what_was_known_before_count_as_they_are_sure() -> None:
    guess = GUESS.and_also(Focal(1.4, 0.2))
    assert guess.times == pytest.approx(1.4**0.5) and guess.sigma == pytest.approx(0.2 / 2**0.5)
    lines = segments(
        boards(20, -2), K=K * [[0.8], [0.8], [1]] + 0.2 * K * [[0, 0, 1], [0, 0, 1], [0, 0, 0]], guessed=True
    )
    alone, both, sure = (lines.tell_focal(before) for before in (GUESS, Focal(1.4, 0.1), Focal(1.4, 0.005)))
    assert alone.times < both.times < sure.times and sure.sigma < both.sigma < alone.sigma
    assert sure.times == pytest.approx(1.4, abs=0.02)


def test_what_few_lines_tell_is_less_sure() -> None:
    sure, unsure = (
        segments(image, guessed=True).tell(np.array([18.0, 0.0])) for image in (boards(20, 0), posts(20, 0))
    )
    one = drawn(20, 0, [((0.3, 0, -1), (0.3, 1.2, -1), 14)])
    alone = segments(one, guessed=True).tell(np.array([18.0, 0.0]))
    assert sure.covariance[0, 0] < unsure.covariance[0, 0]
    assert alone is None or alone.covariance[0, 0] > unsure.covariance[0, 0]


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
