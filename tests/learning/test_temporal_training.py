"""Training the temporal network: windows are what they say, errors are replayed, what is late is mended."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.body import load_body
from pipeline.estimators.smplify.corrector import FEATURES, OUTPUTS, Corrector, about_hips, shipped_corrector
from pipeline.estimators.smplify.rotations import RotationTeller
from pipeline.estimators.smplify.temporal import HALF, RATE, WINDOW, TemporalCorrector, shipped_temporal
from pipeline.formats.arrays import read_npz, write_npz
from pipeline.learning import rotations, temporal
from pipeline.learning.films import Shooting, film_people
from pipeline.learning.repertoire import Repertoire
from pipeline.learning.rotations import judged_rotations, learnt_rotations
from pipeline.learning.samples import true_landmarks
from pipeline.learning.temporal import evenly, judged_over_time, learnt_over_time, soup
from pipeline.learning.windows import ErrorBank, Windows, mirrored, read_windows, rolled
from pipeline.runtime.errors import UserError

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
            pose = piece.poses[first + HALF, 1:]
            parts.append((xy[taken], np.ones((WINDOW, 33)), world[taken], truth[taken], size, person, 0.0, pose))
    return Windows(*(np.stack(part) for part in zip(*parts)))


def test_windows_of_films_are_about_their_frames(tmp_path, repertoire):
    paths = film_people(tmp_path, range(3, 4), repertoire, Shooting(frames=9, views=1, longest=200))
    windows = read_windows(paths, repertoire.body)
    assert len(windows) == 9 and windows.xy.shape[1:] == (WINDOW, 33, 2)
    # The last of the first frame's window is the middle of the fifth's.
    np.testing.assert_array_equal(windows.world[0, -1], windows.world[HALF, HALF])
    off = np.linalg.norm(windows.xy - windows.truth[..., :2] / windows.truth[..., 2:], axis=-1) * windows.truth[..., 2]
    assert np.nanmedian(off) < 0.1  # metres
    # A level camera sees heads straight above hips; one that looks down sees them nearer.
    up = read_npz(paths[0])["viewmats"][0, :3, 1]
    np.testing.assert_allclose(windows.pitch, np.arcsin(up[2]))


def test_films_in_which_nobody_was_found_say_so(tmp_path, repertoire):
    paths = film_people(tmp_path, range(3, 4), repertoire, Shooting(frames=9, views=1, longest=200))
    film = read_npz(paths[0])
    write_npz(paths[0], film | {"found": np.zeros_like(film["found"])})
    with pytest.raises(UserError, match="found nobody in 8 frames"):
        read_windows(paths, repertoire.body)


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
    before = judged_over_time(late, TemporalCorrector(temporal.Network(8).eval(), NOTHING, "", ""))[0]
    corrector = learnt_over_time(late, repertoire, NOTHING, 150, 0, ("", ""))
    after = judged_over_time(late, corrector)[0]
    assert before[0] > 20 and after[0] < 0.7 * before[0]


def test_training_goes_on_from_a_network_slowly_and_leaves_it_as_it_was(late, repertoire, monkeypatch):
    monkeypatch.setattr(temporal, "_REPLAYED", 40)
    monkeypatch.setattr(temporal, "_WIDTH", 48)
    new = learnt_over_time(late, repertoire, NOTHING, 150, 0, ("", ""))
    weights = {name: value.clone() for name, value in new.network.state_dict().items()}
    more = learnt_over_time(late, repertoire, NOTHING, 70, 1, ("", ""), new.network)
    for name, value in new.network.state_dict().items():
        assert torch.equal(value, weights[name])
    assert torch.equal(more.network.mean, new.network.mean) and torch.equal(more.network.spread, new.network.spread)
    # From nothing seventy steps gain little; from there they begin where the first training ended.
    nothing = learnt_over_time(late, repertoire, NOTHING, 70, 1, ("", ""))
    errors = [judged_over_time(late, network)[0][0] for network in (new, more, nothing)]
    assert errors[1] < 0.97 * errors[0] < errors[2]


def test_a_soup_has_the_mean_of_the_weights():
    torch.manual_seed(0)
    networks = [temporal.Network(8).eval() for _ in range(3)]
    mean = soup([TemporalCorrector(network, NOTHING, "a licence", "data") for network in networks])
    for name, value in mean.network.state_dict().items():
        torch.testing.assert_close(value, sum(network.state_dict()[name] for network in networks) / 3)
    assert not mean.network.training and mean.licence == "a licence"
    assert not torch.equal(mean.network.enter.weight, networks[0].enter.weight)


def test_cameras_of_every_pitch_are_drawn_alike():
    pitch = np.radians([-30.0, -28, 0, 1, 2, 3, 4, -1])
    chances = evenly(pitch)
    assert chances.sum() == pytest.approx(1)
    np.testing.assert_allclose(chances, [1 / 4] * 2 + [1 / 12] * 6)


def test_lean_is_told_by_pitch(late):
    turned = Rotation.from_rotvec([np.radians(-6), 0, 0]).as_matrix()
    # All hips lie on the z axis: view axes, which world landmarks are of, are the camera's.
    np.testing.assert_allclose(late.truth[:, HALF, 23:25, :2].mean(1), 0, atol=1e-6)
    pitch = np.where(late.person < 5, np.radians(-30), 0.0)
    leant = replace(late, world=about_hips(late.truth) @ turned.T, pitch=pitch)
    _, lean = judged_over_time(leant, TemporalCorrector(temporal.Network(8).eval(), NOTHING, "", ""))
    np.testing.assert_allclose(lean[[0, 3]], 6, atol=0.1)
    assert np.isnan(lean[[1, 2, 4]]).all()


def test_the_command_trains_and_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(temporal, "_REPLAYED", 8)
    out, films = tmp_path / "network.npz", ["--films", str(tmp_path / "films"), "--people", "2-2"]
    small = ["--frames", "9", "--views", "1", "--longest", "200", "--steps", "2"]
    assert main(["learn", *films, *small, "--temporal", "--out", str(out)]) == 0
    corrector = TemporalCorrector.load(out, shipped_corrector())
    assert "studio" in corrector.attribution and "cmu.edu" not in corrector.attribution


def test_the_command_goes_on_with_several_seeds_and_keeps_whose_data_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(temporal, "_REPLAYED", 8)
    start, out = tmp_path / "start.npz", tmp_path / "network.npz"
    people = ["--films", str(tmp_path / "films"), "--people", "3-3", "4-4"]
    films = [*people, "--frames", "9", "--views", "1", "--longest", "240"]
    first = TemporalCorrector(temporal.Network(8), shipped_corrector(), "Apache-2.0", "Somebody's data.")
    first.save(start)
    seeds = ["--start", str(start), "--seed", "0", "1", "--steps", "2"]
    assert main(["learn", *films, *seeds, "--temporal", "--out", str(out)]) == 0
    assert sorted(path.name for path in (tmp_path / "films").iterdir()) == ["00003.npz", "00004.npz"]
    corrector = TemporalCorrector.load(out, shipped_corrector())
    assert corrector.attribution.startswith("Somebody's data.") and "studio" in corrector.attribution
    assert corrector.network.enter.weight.shape[0] == 8
    told = capsys.readouterr().err
    for stage in ("before", "seed 0", "seed 1", "their mean"):
        assert re.search(rf"held out, \d frames, {stage}: MPJPE", told)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--seed", "0", "1", "--temporal"], "--start"),
        (["--start", "network.npz"], "--temporal"),
        (["--people", "9-3"], "9-3"),
        (["--people", "some"], "some"),
    ],
)
def test_options_that_make_no_sense_are_told(tmp_path, capsys, options, told):
    assert main(["learn", "--films", str(tmp_path), *options]) != 0
    assert told in capsys.readouterr().err


# --- Rotations on top of the network ---------------------------------------------------------------------------------


def test_mirrored_windows_hold_the_mirrored_pose(late):
    np.testing.assert_allclose(mirrored(mirrored(late)).pose, late.pose)
    left, right = mirrored(late).pose[:, 0], late.pose[:, 1]  # hips
    np.testing.assert_allclose(left, right * [1, -1, -1])


def test_training_learns_rotations_and_leaves_the_network_as_it_was(late, repertoire, monkeypatch):
    monkeypatch.setattr(rotations, "_REPLAYED", 40)
    torch.manual_seed(0)
    corrector = TemporalCorrector(temporal.Network(16).eval(), NOTHING, "", "")
    weights = {name: value.clone() for name, value in corrector.network.state_dict().items()}
    teller = learnt_rotations(late, repertoire, corrector, 200, 0, ("", ""))
    off, before, expected = judged_rotations(late, teller, late.pose.mean(0))
    assert off < 0.7 * before and 0.3 * off < expected < 3 * off
    for name, value in corrector.network.state_dict().items():
        assert torch.equal(value, weights[name])


def test_the_command_trains_rotations_and_names_whose_motion_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rotations, "_REPLAYED", 8)
    out = tmp_path / "rotations.npz"
    films = ["--films", str(tmp_path / "films"), "--people", "3-4", "--frames", "9", "--views", "1", "--longest", "240"]
    assert main(["learn", *films, "--rotations", "--steps", "2", "--out", str(out)]) == 0
    teller = RotationTeller.load(out, shipped_temporal())
    assert "studio" in teller.attribution and "cmu.edu" not in teller.attribution
    told = capsys.readouterr().err
    for people in ("learnt from", "held out"):
        assert f"{people}, 9 frames: rotations off / by the mean pose / expected, degrees: " in told


@pytest.mark.parametrize("more", [["--temporal"], ["--seed", "0", "1"]])
def test_what_does_not_go_with_rotations_is_refused(tmp_path, more, capsys):
    assert main(["learn", "--films", str(tmp_path), "--rotations", *more]) == 1
    assert "learn: " in capsys.readouterr().err
