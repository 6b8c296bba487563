"""The bundle's derivatives against differences, and what it makes of exact observations."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.camera.bundle import Lens, Path, Sightings, _left, _Terms, adjust, errors

K = np.array([[500.0, 0, 320], [0, 480.0, 240], [0, 0, 1]])
FRAMES, POINTS = 6, 60


@pytest.fixture
def scene() -> tuple[Sightings, Path]:
    """Points seen exactly by all cameras; the first third of them are found by the third camera."""
    rng = np.random.default_rng(0)
    turns = Rotation.from_rotvec(rng.normal(0, 0.08, (FRAMES, 3))).as_matrix()
    centres = rng.normal(0, 0.15, (FRAMES, 3))
    turns[0], centres[0] = np.eye(3), 0
    path = Path(turns, centres, rng.uniform(0.4, 1.6, POINTS), focal=1.1)
    of = np.where(np.arange(POINTS) < POINTS // 3, 2, 0)
    frame, point = (grid.ravel() for grid in np.meshgrid(np.arange(FRAMES), np.arange(POINTS)))
    kept = frame != of[point]
    frame, point = frame[kept], point[kept]
    rays = np.column_stack([rng.uniform(-0.4, 0.4, (POINTS, 2)), np.ones(POINTS)])[point]
    shape = np.tile(np.diag([1, 0.6]), (len(frame), 1, 1))
    seen = Sightings(frame, of[point], point, rays, np.zeros((len(frame), 2)), shape)
    left, _ = _left(K, seen, path)
    return replace(seen, xy=-left / [1, 0.6]), path


def test_the_derivatives_are_those_of_differences(scene):
    seen, path = scene
    path = replace(path, bend=-0.07)
    terms = _Terms(K, seen, path, np.ones(FRAMES, bool), 1e9, True, True, Lens(0.1, 0.15))
    found, step = terms.cameras.toarray(), 1e-6

    def change(moved) -> np.ndarray:
        return -(_left(K, seen, moved(step))[0] - _left(K, seen, moved(-step))[0]).ravel() / (2 * step)

    for camera in range(FRAMES):
        for axis in range(3):

            def turned(h, camera=camera, axis=axis):
                turns = path.turns.copy()
                turns[camera] = turns[camera] @ Rotation.from_rotvec(h * np.eye(3)[axis]).as_matrix()
                return replace(path, turns=turns)

            def moved(h, camera=camera, axis=axis):
                centres = path.centres.copy()
                centres[camera, axis] += h
                return replace(path, centres=centres)

            for offset, by in ((0, turned), (3, moved)):
                np.testing.assert_allclose(found[:, 6 * camera + offset + axis], change(by), atol=1e-4)
    np.testing.assert_allclose(
        found[:, -1], change(lambda h: replace(path, focal=path.focal * np.exp(h))), rtol=1e-6, atol=1e-4
    )
    np.testing.assert_allclose(found[:, -2], change(lambda h: replace(path, bend=path.bend + h)), rtol=1e-6, atol=1e-4)
    depths = terms.depths.toarray()
    for point in (0, POINTS - 1):
        by = lambda h, point=point: replace(path, rho=path.rho + h * (np.arange(POINTS) == point))  # noqa: E731
        np.testing.assert_allclose(depths[:, point], change(by), atol=1e-4)


def test_from_a_guess_it_finds_the_cameras_that_exact_observations_tell(scene):
    seen, path = scene
    rng = np.random.default_rng(1)
    guess = Path(
        path.turns @ Rotation.from_rotvec(rng.normal(0, 0.01, (FRAMES, 3))).as_matrix(),
        path.centres + rng.normal(0, 0.03, (FRAMES, 3)),
        np.ones(POINTS),
        path.focal,
    )
    guess.turns[0], guess.centres[0] = path.turns[0], 0
    found = adjust(K, seen, guess, np.arange(FRAMES) > 0, 1.0, 200)
    assert np.median(errors(K, seen, found)) < 0.05
    scale = (found.centres * path.centres).sum() / (found.centres**2).sum()
    assert np.abs(scale * found.centres - path.centres).max() < 5e-3
    assert (Rotation.from_matrix(found.turns).inv() * Rotation.from_matrix(path.turns)).magnitude().max() < 2e-3


def test_a_held_camera_stays(scene):
    seen, path = scene
    guess = replace(path, turns=np.tile(np.eye(3), (FRAMES, 1, 1)), rho=np.ones(POINTS))
    found = adjust(K, seen, guess, np.arange(FRAMES) > 2, 1.0, 10)
    assert (found.turns[:3] == guess.turns[:3]).all() and (found.centres[:3] == guess.centres[:3]).all()


def test_a_lens_that_bends_lines_is_found_by_a_camera_that_turns(scene):
    seen, path = scene
    path = replace(path, centres=np.zeros((FRAMES, 3)), focal=1.0, bend=-0.08)
    straight = replace(seen, xy=np.tile(K[:2, 2], (len(seen.frame), 1)))
    wanted = -_left(K, straight, path)[0] / [1, 0.6]  # px from the middle, of a straight lens
    bent = wanted.copy()
    for _ in range(20):
        bent = wanted / (1 + path.bend * ((bent / K[[0, 1], [0, 1]]) ** 2).sum(1, keepdims=True))
    seen = replace(seen, xy=bent + K[:2, 2])
    free, guess = np.arange(FRAMES) > 0, replace(path, turns=np.tile(np.eye(3), (FRAMES, 1, 1)), bend=0.0)
    found = adjust(K, seen, guess, free, 1.0, 100, travels=False, lens=Lens(sigma_bend=0.1))
    assert found.bend == pytest.approx(path.bend, abs=2e-3)
    assert np.median(errors(K, seen, found)) < 0.02
    assert np.median(errors(K, seen, adjust(K, seen, guess, free, 1.0, 100, travels=False))) > 0.2
