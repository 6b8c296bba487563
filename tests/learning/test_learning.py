"""Learning from the studio: films are what they say, the map undoes what is linear, the command does it all."""

import logging

import numpy as np
import pytest
import torch

from pipeline.__main__ import main
from pipeline.body import load_body
from pipeline.estimators.smplify.corrector import FEATURES, Corrector, mirrored_features, mirrored_outputs
from pipeline.formats.arrays import read_npz
from pipeline.landmarks.detector import LANDMARK_NAMES
from pipeline.learning.films import Shooting, film, film_people
from pipeline.learning.repertoire import Repertoire
from pipeline.learning.samples import Frames, mirrored, read_films, replayed, rolled, targets, true_landmarks
from pipeline.learning.training import errors, judged, learnt
from pipeline.motion.library import lowest

TINY = Shooting(frames=2, views=2, longest=200)


@pytest.fixture(scope="module")
def repertoire():
    return Repertoire(load_body("free"), None)


@pytest.fixture(scope="module")
def films(tmp_path_factory, repertoire):
    return film_people(tmp_path_factory.mktemp("films"), range(2), repertoire, TINY)


@pytest.fixture(scope="module")
def made(repertoire) -> Frames:
    """Frames of a detector whose errors are linear: it halves depths, and leans people back."""
    rng = np.random.default_rng(0)
    parts = []
    for person in range(12):
        piece = repertoire.piece(rng, np.zeros(10), 8, 5.0)
        truth, size = true_landmarks(repertoire.body, piece.poses.reshape(-1, 72), piece.trans, np.zeros(10))
        truth = (truth - truth[:, 23:25].mean(1, keepdims=True)) * [1, -1, -1] + [0, 0, 3]
        world = (truth - [0, 0, 3]) / size
        world[..., 2] = 0.5 * world[..., 2] + 0.2 * world[..., 1]
        xy = truth[..., :2] / truth[..., 2:]
        parts.append((xy, np.ones(xy.shape[:2]), world, truth, np.full(8, size), np.full(8, person)))
    return Frames(*(np.concatenate(part) for part in zip(*parts)))


def test_a_performance_stands_on_the_ground(repertoire):
    piece = repertoire.perform(np.random.default_rng(1), np.zeros(10), 5, 10.0)
    assert piece.poses.shape == (5, 24, 3) and piece.trans.shape == (5, 3)
    heights = lowest(repertoire.body, piece.poses.reshape(5, 72), np.zeros(10), piece.trans)
    assert heights.min() == pytest.approx(0, abs=1e-5)


def test_landmarks_lie_on_the_body(repertoire):
    points, size = true_landmarks(repertoire.body, np.zeros((1, 72)), np.zeros((1, 3)), np.zeros(10))
    joints = repertoire.body.rest_joints(torch.zeros(10)).numpy()
    at = LANDMARK_NAMES.index
    assert np.linalg.norm(points[0, at("left_knee")] - joints[4]) < 0.05
    assert 0.9 < size < 1.1
    assert np.isnan(points[0, at("mouth_left")]).all()


def test_a_film_is_what_it_says_and_the_same_again(films, repertoire):
    again = film(1, repertoire, TINY)
    for key, value in read_npz(films[1]).items():
        np.testing.assert_array_equal(again[key], value)
    assert again["found"].mean() > 0.5
    assert again["xy"].shape == (2, 2, 33, 2) and again["poses"].shape == (2, 72)


def test_what_is_filmed_already_is_not_filmed_again(films, repertoire):
    before = films[0].stat().st_mtime_ns
    assert film_people(films[0].parent, range(2), repertoire, TINY) == films
    assert films[0].stat().st_mtime_ns == before


def test_the_detector_sees_the_truth_about_where_it_is(films, repertoire):
    frames = read_films(films, repertoire.body)
    assert len(frames) >= 3
    off = np.linalg.norm(frames.xy - frames.truth[..., :2] / frames.truth[..., 2:], axis=-1) * frames.truth[..., 2]
    assert np.nanmedian(off) < 0.1  # metres at the person's distance


def test_mirrored_frames_give_mirrored_targets(made):
    rolls = rolled(made, np.random.default_rng(3))
    for ours, theirs, mirror in zip(
        targets(rolls, np.eye(3)), targets(mirrored(rolls), np.eye(3)), (mirrored_features, mirrored_outputs)
    ):
        np.testing.assert_allclose(theirs, mirror(ours), atol=1e-9)


def test_rolling_the_camera_changes_no_error(made):
    some = made[np.arange(10)]
    turned = rolled(some, np.random.default_rng(0))
    assert np.nanmax(np.abs(turned.xy - some.xy)) > 0.01
    np.testing.assert_allclose(errors(turned, turned.world)[:, 2], errors(some, some.world)[:, 2], atol=1e-6)


def test_replayed_frames_have_the_errors_of_the_films(made, repertoire):
    frames = replayed(made, repertoire, np.random.default_rng(0))
    assert len(frames) >= len(made) and np.isfinite(targets(frames, np.eye(3))[0]).all()
    # In this film the image is exact, and so it is in the replay; the error in depth comes along.
    np.testing.assert_allclose(frames.xy[:, 25], frames.truth[:, 25, :2] / frames.truth[:, 25, 2:], atol=1e-9)
    assert errors(frames, frames.world)[:, 1].mean() > 30


def test_the_map_takes_away_most_of_an_error_that_is_linear(made, repertoire):
    weights = learnt(made, repertoire, 1e-6, np.random.default_rng(0))
    mean = judged(made, Corrector(weights, "", ""))
    assert mean["after"][0] < 0.35 * mean["before"][0]
    np.testing.assert_array_equal(mirrored_outputs(mirrored_features(weights[:-1].T).T), weights[:-1])


def test_the_command_films_learns_and_writes(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    out = tmp_path / "map.npz"
    films = ["--films", str(tmp_path / "films"), "--people", "4", "--frames", "2", "--views", "1", "--longest", "200"]
    assert main(["learn", *films, "--out", str(out)]) == 0
    assert len(list((tmp_path / "films").glob("*.npz"))) == 4
    corrector = Corrector.load(out)
    assert corrector.weights.shape[0] == FEATURES + 1 and "studio" in corrector.attribution
    assert "cmu.edu" not in corrector.attribution  # none of their motion was given


@pytest.mark.parametrize(
    ("arguments", "said"), [(["--people", "0"], "above 0"), (["--motion", "nowhere.npz"], "nowhere.npz: not found")]
)
def test_a_wrong_command_gets_one_line(tmp_path, capsys, arguments, said):
    assert main(["learn", "--films", str(tmp_path), *arguments]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]
