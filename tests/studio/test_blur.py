"""Motion blur: what moves while the shutter is open is smeared along its way, and nothing else changes."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.body import load_body
from pipeline.runtime.errors import UserError
from pipeline.studio.blur import picture_motion, smeared
from pipeline.studio.cameras import Stance, held_camera
from pipeline.studio.clip import ClipRequest
from pipeline.studio.render import DRAFT, Renderer
from pipeline.studio.room import build_scene
from pipeline.studio.subject import dress

EXPOSURE = 0.03


def bar(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Red pixels, `width` of them in a row in the middle of a picture."""
    colors, seen = np.zeros((9, 61, 3), np.float32), np.zeros((9, 61), bool)
    seen[4, 20 : 20 + width] = True
    colors[seen] = [0.8, 0.1, 0.1]
    return colors, seen


def test_a_bar_that_moves_is_seen_for_its_share_of_the_time():
    colors, seen = bar(4)
    total, share = smeared(colors, seen, np.tile([16.0, 0.0], (4, 1)))
    # A box of 4 px moved evenly over 16: at full height nowhere, a quarter of the time in the middle.
    np.testing.assert_allclose(share[4, 17:27], 0.25, atol=0.02)
    assert share[4, :11].max() == 0 and share[4, 33:].max() == 0
    np.testing.assert_allclose(share.sum(), 4, rtol=1e-5)
    np.testing.assert_allclose(total[4, 20] / share[4, 20], [0.8, 0.1, 0.1], rtol=1e-5)


@given(st.floats(-30, 30), st.floats(-30, 30), st.integers(1, 12))
def test_nothing_is_seen_for_longer_than_always(x, y, width):
    colors, seen = bar(width)
    total, share = smeared(colors, seen, np.tile([x, y], (width, 1)))
    assert share.max() <= 1 + 1e-6 and share.sum() <= width + 1e-4
    assert (total <= share[..., None] * np.float32([0.8, 0.1, 0.1]) + 1e-6).all()


def test_what_does_not_move_stays_as_it_is():
    colors, seen = bar(5)
    total, share = smeared(colors, seen, np.zeros((5, 2)))
    np.testing.assert_allclose(total, colors, atol=1e-6)
    np.testing.assert_allclose(share, seen, atol=1e-6)


def test_motion_in_the_picture_is_the_derivative_of_the_projection():
    rng = np.random.default_rng(0)
    K = np.array([[500.0, 0, 160], [0, 480, 120], [0, 0, 1]])
    viewmat = held_camera(rng.uniform([-1, 0, -1], [1, 2, 1], (1, 20, 3)), 320, 240, Stance(pitch=-10)).viewmats[0]
    points, speed = rng.uniform(-0.5, 0.5, (20, 3)), rng.normal(0, 2, (20, 3))

    def pixels(at: np.ndarray) -> np.ndarray:
        seen = (at @ viewmat[:3, :3].T + viewmat[:3, 3]) @ K.T
        return seen[:, :2] / seen[:, 2:]

    step = 1e-5
    expected = (pixels(points + step * speed) - pixels(points - step * speed)) / (2 * step)
    np.testing.assert_allclose(picture_motion(points, speed, K, viewmat), expected, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def walker():
    """Somebody who is carried sideways by 3 metres a second, a camera, and one frame's pictures of any instant."""
    subject, speed, fps = dress(load_body("free"), np.zeros(10), "shirt", 1), 3.0, 30.0

    def transforms(time: float) -> np.ndarray:
        moved = np.tile(np.eye(4), (2, 24, 1, 1))
        moved[..., 1, 3] = -subject.rest[:, 1].min()
        moved[:, :, 0, 3] = (speed * (np.array([-1, 0]) / fps + time))[:, None]
        return moved

    camera = held_camera(subject.rest[None, ::50] + [[0, -subject.rest[:, 1].min(), 0]], 120, 160, Stance(tall=0.6))
    scene = build_scene(6, 1)

    def drawn(time: float, exposure: float):
        held = replace(camera, viewmats=np.repeat(camera.viewmats, 2, 0), exposure=exposure)
        return Renderer(subject, scene, [held], transforms(time), fps, DRAFT).draw(1)[0]

    return drawn


def test_a_blurred_picture_is_the_mean_of_sharp_ones(walker):
    blurred = walker(0.0, EXPOSURE)
    times = EXPOSURE * ((np.arange(24) + 0.5) / 24 - 0.5)
    masks = np.mean([walker(time, 0.0).mask for time in times], axis=0)
    sharp = walker(0.0, 0.0)
    moving = (masks > 5) & (masks < 250)
    assert moving.sum() > 300
    off = np.abs(blurred.mask - masks)
    # One ray a pixel knows an outline to half a pixel, of five that it moves.
    assert off[moving].mean() < 0.25 * np.abs(sharp.mask - masks)[moving].mean()
    assert np.abs((blurred.mask - masks)[moving].mean()) < 2
    np.testing.assert_array_equal(blurred.image[:8], sharp.image[:8])  # the room stands still
    np.testing.assert_array_equal(blurred.depth, sharp.depth)


def test_a_shutter_does_not_stay_open_into_the_next_frame():
    with pytest.raises(UserError, match="expected seconds from 0 to"):
        ClipRequest(5, 2, Fraction(10), 96, 128, "turn", "coat", "static", 0, exposure=0.2)


def test_a_camera_that_looks_over_the_person_says_so():
    points = np.array([[[x, y, 0.0] for x in (-0.3, 0.3) for y in (0.0, 1.7)]])
    with pytest.raises(UserError, match="does not see a person on the ground"):
        held_camera(points, 400, 300, Stance(pitch=20, focal=1.2))
