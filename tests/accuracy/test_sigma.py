"""Calibration of how sure the fit says it is."""

from dataclasses import replace

import numpy as np
import pytest
from clip_files import make_clip

from pipeline.accuracy.sigma import calibrate, errors_of, main
from pipeline.fit.uncertainty import FLOOR, SCALE
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.runtime.errors import UserError


def test_scale_and_floor_are_found_again():
    rng = np.random.default_rng(0)
    model = rng.uniform(0, 0.03, 40_000)
    errors = rng.normal(size=len(model)) * np.hypot(2.5 * model, 0.01)
    scale, floor = calibrate(errors, model)
    assert scale == pytest.approx(2.5, rel=0.04) and floor == pytest.approx(0.01, rel=0.06)


def test_studio_clips_are_calibrated(tmp_path, capsys):
    """Errors are in the axes of the rays, and what calibrated sigma is taken out."""
    results, truth = make_clip(tmp_path, frames=6)
    file = VideoDir(results).pose_refined
    true = Pose.load(truth / "pose.npz")
    with pytest.raises(UserError, match=r"pose_refined\.npz: expected sigma, and 6 frames"):
        errors_of(results, truth)
    model = np.tile([0.01, 0.03], (6, 24, 1))
    sigma = np.hypot(SCALE * model, FLOOR)
    replace(true, transl=true.transl + np.array([0.0, 0.0, 0.4]), sigma=sigma).save(file)
    errors, found = errors_of(results, truth)
    assert errors.shape == (6, 12, 3) and np.abs(errors).max() < 1e-5, "another place is no error"
    np.testing.assert_allclose(found, model[:, :12], rtol=1e-6)
    replace(true, body_pose=true.body_pose + 0.05, sigma=sigma).save(file)
    main([str(results), str(truth)])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("across: scale ") and said[2].startswith("along: scale ")
    assert 60 <= int(said[1].split(": ")[1].split("%")[0]) <= 76
    with pytest.raises(SystemExit):
        main([str(results)])
