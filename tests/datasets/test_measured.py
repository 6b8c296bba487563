"""Real videos with measured joints: which clips a configuration asks for, and what is read of Pose2Sim's trials."""

from pathlib import Path

import measured_clips as layouts
import numpy as np
import pytest

from pipeline.datasets import pose2sim
from pipeline.datasets.measured import measured_clips, read_truth
from pipeline.formats.pose import Pose
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import check_config, default_config
from pipeline.video.calibration import read_calibration


def config(use: list[str] | None = None, **folders: dict) -> dict:
    made = default_config() | {"measured": {"use": use or [], "folders": folders}}
    check_config(made)
    return made


@pytest.mark.parametrize("qualisys", [False, True])
def test_a_trial_of_pose2sim_is_read_in_the_cameras_axes(studio_clip, tmp_path: Path, qualisys: bool) -> None:
    trial = layouts.write_pose2sim(tmp_path, studio_clip.video, studio_clip.truth, studio_clip.request, qualisys)
    (name, (video, joints, calibration, camera)), *others = pose2sim.trials(trial, None).items()
    assert (name, video, others) == ("cam01", trial / "videos" / "cam01.mp4", [])
    assert joints.name == "Trial_0-14_filt_butterworth.trc"
    truth = read_truth(joints, calibration, camera)
    np.testing.assert_allclose(truth.joints, layouts.true_joints(studio_clip.truth), atol=1e-6)
    np.testing.assert_allclose(truth.seconds, np.arange(studio_clip.request.frames) / float(studio_clip.request.fps))
    K = Pose.load(studio_clip.truth / "pose.npz").K
    np.testing.assert_allclose(truth.K, K, atol=1e-6)
    lens = read_calibration(calibration, camera)
    assert (lens.width, lens.height) == (studio_clip.request.width, studio_clip.request.height)


def test_units_and_joints_that_were_lost(studio_clip, tmp_path: Path) -> None:
    trial = layouts.write_pose2sim(tmp_path, studio_clip.video, studio_clip.truth, studio_clip.request)
    _, (_, joints, calibration, camera) = next(iter(pose2sim.trials(trial, None).items()))
    world = layouts.in_world(layouts.true_joints(studio_clip.truth))
    world[3, 2] = np.nan
    joints.write_text(layouts.trc(world, 10.0, units="mm"))
    truth = read_truth(joints, calibration, camera)
    assert not truth.ok[3, 2] and truth.ok.sum() == truth.ok.size - 1
    np.testing.assert_allclose(truth.joints[4], layouts.true_joints(studio_clip.truth)[4], atol=1e-6)


def test_clips_are_found_and_told_what_is_theirs(studio_clip, tmp_path: Path) -> None:
    told = (studio_clip.video, studio_clip.truth, studio_clip.request)
    layouts.write_joints(tmp_path / "lab", "walk", *told, known=True)
    layouts.write_joints(tmp_path / "lab", "squat", *told, known=False)
    (tmp_path / "lab" / "holiday.mp4").write_bytes(b"")  # no joints beside it
    trial = layouts.write_pose2sim(tmp_path, *told)
    lab = {"path": str(tmp_path / "lab")}
    clips = measured_clips(
        config(
            lab=lab | {"each": {"squat": {"step": 4}, "walk": {"use": ["camera"]}}},
            demo={"path": str(trial), "layout": "pose2sim", "stop": 9},
        )
    )
    assert list(clips) == ["lab_squat", "lab_walk", "demo_cam01"]
    assert clips["lab_squat"].overlay == {"video": {"step": 4}}
    assert clips["lab_walk"].overlay["video"]["calibration"] == str(tmp_path / "lab" / "walk.npz")
    assert clips["demo_cam01"].overlay == {"video": {"stop": 9}}
    assert clips["demo_cam01"].options[-2:] == ["--camera", "int_cam01_img"]
    assert clips["lab_squat"].options == ["--truth", str(tmp_path / "lab" / "squat.npz")]
    with_camera = measured_clips(config(["camera"], demo={"path": str(trial), "layout": "pose2sim"}))
    assert with_camera["demo_cam01"].overlay["video"]["camera"] == "int_cam01_img"
    assert list(measured_clips(config(lab=lab | {"clips": ["walk"]}, demo=None))) == ["lab_walk"]
    assert measured_clips(default_config()) == {}


def test_what_is_missing_is_named(studio_clip, tmp_path: Path) -> None:
    told = (studio_clip.video, studio_clip.truth, studio_clip.request)
    with pytest.raises(UserError, match=r"measured\.folders\.lab: .*: no such folder; put videos with measured joints"):
        measured_clips(config(lab={"path": str(tmp_path / "lab")}))
    (tmp_path / "lab").mkdir()
    with pytest.raises(UserError, match=r"no video with joints there: NAME\.mp4 beside NAME\.npz"):
        measured_clips(config(lab={"path": str(tmp_path / "lab")}))
    layouts.write_joints(tmp_path / "lab", "walk", *told, known=False)
    with pytest.raises(UserError, match=r"no clip 'run' in .*; found walk"):
        measured_clips(config(lab={"path": str(tmp_path / "lab"), "clips": ["run"]}))
    with pytest.raises(UserError, match=r"walk\.npz: tells no camera \(K\)"):
        measured_clips(config(["camera"], lab={"path": str(tmp_path / "lab")}))
    trial = layouts.write_pose2sim(tmp_path, *told)
    joints = trial / "pose-3d" / "Trial_0-14_filt_butterworth.trc"
    with pytest.raises(UserError, match="give --calibration and --camera"):
        read_truth(joints, None, None)
    joints.with_name("Trial_other_filt.trc").write_text(joints.read_text())
    with pytest.raises(UserError, match=r"expected one \.trc of one person, found Trial_0-14_filt"):
        pose2sim.trials(trial, None)
    joints.with_name("Trial_other_filt.trc").unlink()
    (trial / "videos" / "cam02.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"of 1 cameras \(int_cam01_img\), but 2 videos"):
        pose2sim.trials(trial, None)
    (trial / "videos" / "cam02.mp4").unlink()
    scene = trial.parent / "calibration" / "Calib_scene.toml"
    scene.write_text((trial.parent / "calibration" / "Calib.toml").read_text())
    with pytest.raises(UserError, match=r"several calibrations \(Calib\.toml, Calib_scene\.toml\); name the one"):
        pose2sim.trials(trial, None)
    assert pose2sim.trials(trial, scene)["cam01"][2] == scene


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda text: text.replace("RKnee", "Nose"), "no joint 'RKnee' in it"),
        (lambda text: text.replace("\tm\t", "\tfeet\t"), r"expected a \.trc with joints in m or mm"),
        (lambda text: text[:300], r"expected a \.trc"),
        (lambda text: text + text.splitlines()[-1] + "\n", "its times do not rise"),
    ],
)
def test_a_bad_trc_is_told(studio_clip, tmp_path: Path, spoil, told: str) -> None:
    trial = layouts.write_pose2sim(tmp_path, studio_clip.video, studio_clip.truth, studio_clip.request)
    _, joints, calibration, camera = pose2sim.trials(trial, None)["cam01"]
    joints.write_text(spoil(joints.read_text()))
    with pytest.raises(UserError, match=told) as raised:
        read_truth(joints, calibration, camera)
    assert str(joints) in str(raised.value)


def test_a_calibration_that_declares_entities_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Calib.qca.txt"
    path.write_text('<!DOCTYPE x [<!ENTITY a "b">]><calibration/>')
    with pytest.raises(UserError, match=r"damaged .*entities"):
        read_calibration(path, None)
    path.write_text("<calibration><cameras><camera")
    with pytest.raises(UserError, match=r"damaged .*not Qualisys' layout"):
        read_calibration(path, None)
