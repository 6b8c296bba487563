"""What the second-order steps expect of an initial pose that was fitted to landmarks."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers_fit import short_settings

from pipeline.fit import loop
from pipeline.fit.alignment import Alignment
from pipeline.fit.data import load_clip
from pipeline.fit.loop import JointFit
from pipeline.fit.pose_rows import PoseRows
from pipeline.formats.pose import Pose

CPU = torch.device("cpu")


def test_a_start_that_was_fitted_to_landmarks_leans_less_and_bends_more(results, body):
    """Against one of a network, by the same evidence."""
    pose, settings = Pose.load(results.pose_init), short_settings()
    clip, betas = load_clip(results, pose, settings, CPU), torch.as_tensor(pose.betas, dtype=torch.float32)
    root, knees = [], []
    for fitted in (False, True):
        rows = PoseRows(pose, body.rest_joints(betas)[0], np.flatnonzero(clip.train), settings.knot_spacing, CPU)
        alignment = Alignment(clip, body, betas, rows, None, None, settings.align, pose.fps, 0, fitted)
        alignment.run()
        turns = rows.correction(rows.frames)[:, :-3].detach().unflatten(1, (24, 3))
        root.append(float(turns[:, 0].square().mean().sqrt()))
        knees.append(float(turns[:, [4, 5]].square().mean().sqrt()))
    assert 0 < root[1] < 0.5 * root[0]
    assert knees[1] > knees[0]


@pytest.mark.parametrize("fitted", [True, False])
def test_the_fit_knows_a_start_that_was_fitted_to_landmarks_in_3d(results, body, fitted):
    pose, settings = dataclasses.replace(Pose.load(results.pose_init), fitted_in_3d=fitted), short_settings()
    fit = JointFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU)
    seen = []

    def watched(*arguments):
        seen.append(arguments[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "align", watched)
        patch.setattr(loop, "refit_poses", watched)
        patch.setattr(fit.objective, "correct", lambda unknowns: None)
        fit.align()
        fit.refit(0, masks=False)
    assert seen == [fitted, fitted]  # before the loop, and against the avatar
