"""Where Gaussians start (pipeline/fit/unknowns.py): denser where people look, without gaps."""

from __future__ import annotations

import torch
from helpers_fit import short_settings
from scipy.spatial import cKDTree

from pipeline.body import JOINT_NAMES
from pipeline.fit.unknowns import _on_surface

HEAD = JOINT_NAMES.index("head")


def test_head_and_hands_have_more_and_finer_gaussians(body):
    betas = torch.zeros(10)
    even, dense = (_on_surface(body, betas, short_settings(gaussians=3000, denser=value)) for value in (1.0, 2.5))
    on_head = [each.anchors.weights[:, HEAD] > 0.9 for each in (even, dense)]
    assert len(even) == len(dense) == 3000
    assert on_head[1].sum() > 1.5 * on_head[0].sum()
    scales = dense.params["log_scales"][:, 0].exp()
    assert scales[on_head[1]].mean() < 0.75 * scales[~on_head[1]].mean()
    even_scales = even.params["log_scales"][:, 0].exp()
    assert even_scales.max() - even_scales.min() < 1e-6
    covered = []
    for each in (even, dense):  # no gaps: the nearest neighbour is about as near as two standard deviations
        points, own = each.anchors.points.numpy(), each.params["log_scales"][:, 0].exp().numpy()
        covered.append((cKDTree(points).query(points, k=2)[0][:, 1] < 2.2 * own).mean())
    assert covered[0] > 0.99 and covered[1] > 0.985
