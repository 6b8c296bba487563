"""Training the temporal network: windows are what they say, errors are replayed, what is late is mended."""

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.body import load_body
from pipeline.estimators.smplify.corrector import FEATURES, OUTPUTS, Corrector, shipped_corrector
from pipeline.estimators.smplify.temporal import HALF, RATE, WINDOW, TemporalCorrector
from pipeline.learning import temporal
from pipeline.learning.films import Shooting, film_people
from pipeline.learning.repertoire import Repertoire
from pipeline.learning.samples import true_landmarks
from pipeline.learning.temporal import judged_over_time, learnt_over_time
from pipeline.learning.windows import ErrorBank, Windows, mirrored, read_windows, rolled

FRAMES = 14
NOTHING = Corrector(np.zeros((FEATURES + 1, OUTPUTS)), "", "")


@pytest.fixture(scope="module")
def repertoire() -> Repertoire:
    return Repertoire(load_body("free"), None)


@pytest.fixture(scope="module")
def late(repertoire: Repertoire) -> Windows:
    """Windows of a detector whose image is right, and whose world landmarks are of two frames ago."""
    rng = np.random.default_rng(0)
    parts = []
    for person in range(10):
        piece = repertoire.piece(rng, np.zeros(10), FRAMES, RATE)
        truth, size = true_landmarks(repertoire.body, piece.poses.reshape(-1, 72), piece.trans, np.zeros(10))
        truth = (truth - truth[:, 23:25].mean(1, keepdims=True)) * [1, -1, -1] + [0, 0, 3]
        world = (truth - [0, 0, 3])[np.arange(FRAMES).clip(2) - 2] / size
        xy = truth[..., :2] / truth[..., 2:]
        for first in range(FRAMES - WINDOW + 1):
            taken = slice(first, first + WINDOW)
            parts.append((xy[taken], np.ones((WINDOW, 33)), world[taken], truth[taken], size, person))
    return Windows(*(np.stack(part) for part in zip(*parts)))


def test_windows_of_films_are_about_their_frames(tmp_path, repertoire):
    paths = film_people(tmp_path, range(1), repertoire, Shooting(frames=9, views=1, longest=200))
    windows = read_windows(paths, repertoire.body)
    assert 8 <= len(windows) <= 9 and windows.xy.shape[1:] == (WINDOW, 33, 2)
    # The last of the first frame's window is the middle of the fifth's.
    np.testing.assert_array_equal(windows.world[0, -1], windows.world[HALF, HALF])
    off = np.linalg.norm(windows.xy - windows.truth[..., :2] / windows.truth[..., 2:], axis=-1) * windows.truth[..., 2]
    assert np.nanmedian(off) < 0.1  # metres


def test_rolled_and_mirrored_windows_are_seen_as_well(late):
    for turned in (rolled(late, np.random.default_rng(0)), mirrored(late)):
        assert np.nanmax(np.abs(turned.xy - late.xy)) > 0.01
        np.testing.assert_allclose(
            turned.xy[:, :, 25], turned.truth[:, :, 25, :2] / turned.truth[:, :, 25, 2:], atol=1e-9
        )


def test_errors_are_replayed_with_motion_that_was_not_filmed(late, repertoire):
    again = ErrorBank(late).replayed(repertoire, 10, np.random.default_rng(1))
    assert len(again) == 12  # four windows of each performance
    np.testing.assert_allclose(again.xy[:, :, 25], again.truth[:, :, 25, :2] / again.truth[:, :, 25, 2:], atol=1e-9)
    assert np.isfinite(again.world[:, :, 11:17]).all()
    still = np.nanmean(np.abs(np.diff(late.truth[:, :, 15], axis=1)))
    assert np.nanmean(np.abs(np.diff(again.world[:, :, 15], axis=1))) > 0.1 * still


def test_the_network_mends_what_one_frame_does_not_tell(late, repertoire, monkeypatch):
    monkeypatch.setattr(temporal, "_REPLAYED", 40)
    monkeypatch.setattr(temporal, "_WIDTH", 48)
    before = judged_over_time(late, TemporalCorrector(temporal.Network(8).eval(), NOTHING, "", ""))
    corrector = learnt_over_time(late, repertoire, NOTHING, 150, 0, ("", ""))
    after = judged_over_time(late, corrector)
    assert before[0] > 20 and after[0] < 0.7 * before[0]


def test_the_command_trains_and_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(temporal, "_REPLAYED", 8)
    out, films = tmp_path / "network.npz", ["--films", str(tmp_path / "films"), "--people", "1"]
    small = ["--frames", "9", "--views", "1", "--longest", "200", "--steps", "2"]
    assert main(["learn", *films, *small, "--temporal", "--out", str(out)]) == 0
    corrector = TemporalCorrector.load(out, shipped_corrector())
    assert "studio" in corrector.attribution and "cmu.edu" not in corrector.attribution
