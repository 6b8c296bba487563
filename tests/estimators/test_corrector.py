"""The learnt map: exactly mirror-symmetric, written and read alike, indifferent to where the person stands."""

import numpy as np
import pytest

from pipeline.estimators.smplify.corrector import (
    FEATURES,
    OUTPUTS,
    SHIPPED,
    USED,
    Corrector,
    corrected_world,
    features,
    mirrored_features,
    mirrored_outputs,
    shipped_corrector,
    view_rotation,
)
from pipeline.landmarks.detector import LANDMARK_NAMES
from pipeline.landmarks.swaps import mirror_order
from pipeline.runtime.errors import UserError

K = np.array([[500.0, 0, 240], [0, 500, 320], [0, 0, 1]])
HIPS = [LANDMARK_NAMES.index(f"{side}_hip") for side in ("left", "right")]


def seen(frames: int = 7, seed: int = 0, at: tuple[float, float, float] = (0.4, -0.2, 3.0)):
    """Landmarks of a crowd of points near a place: xy, visibility, world."""
    rng = np.random.default_rng(seed)
    world = rng.normal(0, 0.3, (frames, 33, 3))
    world -= world[:, HIPS].mean(1, keepdims=True)
    points = world + rng.normal(0, 0.02, world.shape) + at
    uvw = points @ K.T
    return uvw[..., :2] / uvw[..., 2:], rng.uniform(0, 1, (frames, 33)), world


def mirrored(xy, visibility, world):
    order = mirror_order()
    return (xy[:, order] - [480, 0]) * [-1, 1], visibility[:, order], world[:, order] * [-1, 1, 1]


def test_the_shipped_map_treats_both_sides_alike():
    corrector = shipped_corrector()
    weights, added = corrector.weights[:-1], corrector.weights[-1]
    np.testing.assert_array_equal(mirrored_outputs(mirrored_features(weights.T).T), weights)
    np.testing.assert_array_equal(mirrored_outputs(added), added)
    there = corrected_world(*mirrored(*seen()), K)
    np.testing.assert_allclose(there, corrected_world(*seen(), K)[:, mirror_order()] * [-1, 1, 1], atol=1e-12)


def test_features_of_the_mirrored_frame_are_the_mirrored_features():
    ours, view = features(*seen(), K)
    theirs, there = features(*mirrored(*seen()), K)
    np.testing.assert_allclose(theirs, mirrored_features(ours), atol=1e-12)
    np.testing.assert_allclose(there, view * np.outer([-1, 1, 1], [-1, 1, 1]), atol=1e-12)


def test_the_shipped_map_is_small_and_says_whose_data_it_was_learnt_from():
    corrector = shipped_corrector()
    assert SHIPPED.stat().st_size < 40_000
    assert corrector.licence == "Apache-2.0"
    assert "mocap.cs.cmu.edu" in corrector.attribution and "NSF EIA-0196217" in corrector.attribution


def test_a_written_map_is_read_alike(tmp_path):
    weights = np.random.default_rng(0).normal(0, 0.1, (FEATURES + 1, OUTPUTS)).astype(np.float16)
    Corrector(weights, "CC0", "nobody's data").save(tmp_path / "map.npz")
    found = Corrector.load(tmp_path / "map.npz")
    np.testing.assert_array_equal(found.weights, weights)
    assert (found.licence, found.attribution) == ("CC0", "nobody's data")


def test_a_file_of_another_size_is_refused(tmp_path):
    np.savez(tmp_path / "map.npz", weights=np.zeros((3, 3)), licence="", attribution="")
    with pytest.raises(UserError, match="weights"):
        Corrector.load(tmp_path / "map.npz")


def test_without_weights_the_world_landmarks_are_only_turned_to_the_camera():
    nothing = Corrector(np.zeros((FEATURES + 1, OUTPUTS)), "", "")
    xy, visibility, world = seen()
    found = corrected_world(xy, visibility, world, K, nothing)
    ray = np.append((xy[0, HIPS].mean(0) - K[:2, 2]) / 500, 1)
    np.testing.assert_allclose(found[0], world[0] @ view_rotation(ray).T, atol=1e-12)
    np.testing.assert_allclose(view_rotation(ray) @ [0, 0, 1], ray / np.linalg.norm(ray))


def test_the_size_in_the_image_does_not_matter():
    near, far = (features(*seen(at=(0, 0, z)), K)[0][:, 3 * len(USED) : 5 * len(USED)] for z in (20.0, 40.0))
    assert np.abs(near - far).max() < 0.03  # perspective alone; the pixels differ by a factor of two


def test_landmarks_without_a_place_on_the_body_move_with_the_nose():
    xy, visibility, world = seen()
    found = corrected_world(xy, visibility, world, K)
    plain = corrected_world(xy, visibility, world, K, Corrector(np.zeros((FEATURES + 1, OUTPUTS)), "", ""))
    nose, mouth = LANDMARK_NAMES.index("nose"), LANDMARK_NAMES.index("mouth_left")
    np.testing.assert_allclose((found - plain)[:, mouth], (found - plain)[:, nose], atol=1e-12)
    assert np.abs((found - plain)[:, nose]).max() > 1e-3
