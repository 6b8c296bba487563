"""The cloth-aware mesh-embedded loss against closed forms and finite differences."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from pipeline.geometry.rotations import axis_angle_to_matrix, quaternion_to_matrix
from pipeline.losses import search
from pipeline.losses.camel import coverage, flatness, point_to_mesh, protrusion, surface_alignment, tips
from pipeline.losses.search import Searchable, by_distances

MARGIN = 0.03


@pytest.fixture
def plane():
    """Points of the plane z = 0, 1 cm apart, and their normals."""
    x, y = torch.meshgrid(torch.arange(8) * 0.01, torch.arange(8) * 0.01, indexing="ij")
    points = torch.stack([x.flatten(), y.flatten(), torch.zeros(64)], dim=1).double()
    return points, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).repeat(64, 1)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_both_searches_find_the_nearest_in_order(count, monkeypatch):
    points, targets = torch.rand(40, 3), torch.rand(30, 3)
    expected = torch.cdist(points.double(), targets.double()).argsort(1)[:, :count]
    expected = expected[:, 0] if count == 1 else expected
    monkeypatch.setattr(search, "_PAIRS", 7 * len(targets))  # in several parts, the last a short one
    assert torch.equal(Searchable(targets).nearest(points, count), expected)
    assert torch.equal(by_distances(points, targets, count), expected)


def test_point_to_mesh_is_zero_within_the_margin_and_linear_beyond(plane):
    surface, normals = plane
    heights = torch.tensor([0.0, 0.029, -0.029, 0.05, -0.10], dtype=torch.float64)
    means = torch.stack([torch.full((5,), 0.033), torch.full((5,), 0.041), heights], dim=1)
    found = point_to_mesh(means, surface, normals, Searchable(surface).nearest(means), MARGIN)
    assert found.item() == pytest.approx((0.02 + 0.07) / 5)


def test_point_to_mesh_measures_along_the_normal_only(plane):
    surface, normals = plane
    aside = torch.tensor([[0.5, 0.2, 0.01]], dtype=torch.float64)  # far from the patch, but near its plane
    assert point_to_mesh(aside, surface, normals, Searchable(surface).nearest(aside), MARGIN) == 0


def test_coverage_counts_bare_surface(plane):
    surface, _ = plane
    means = torch.tensor([[0.0, 0.0, 0.0]], dtype=torch.float64)
    expected = (surface.norm(dim=1) - MARGIN).clamp(min=0).mean()
    assert coverage(means, surface, Searchable(means).nearest(surface), MARGIN).item() == pytest.approx(expected.item())
    assert expected > 0
    assert coverage(surface, surface, Searchable(surface).nearest(surface), MARGIN) == 0


def test_flatness_is_zero_at_the_ratio_in_any_order_of_axes():
    thin, broad = 0.002, 0.01
    flat = torch.tensor([[thin, broad, broad], [broad, thin, broad], [broad, broad, thin]], dtype=torch.float64).log()
    assert flatness(flat, broad / thin).item() == pytest.approx(0, abs=1e-12)
    sphere = torch.full((2, 3), 0.01, dtype=torch.float64).log()
    assert flatness(sphere, 5.0).item() == pytest.approx(2 * math.log(5))


@pytest.mark.parametrize("degrees", [0, 30, 90, 180])
def test_surface_alignment_is_one_minus_the_cosine(degrees):
    turn = axis_angle_to_matrix(torch.tensor([[math.radians(degrees), 0.0, 0.0]], dtype=torch.float64))
    log_scales = torch.tensor([[0.01, 0.01, 0.002]], dtype=torch.float64).log()
    normals = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    expected = 1 - abs(math.cos(math.radians(degrees)))
    assert surface_alignment(turn, log_scales, normals).item() == pytest.approx(expected, abs=1e-12)


def disc(length, turned):
    """A flat Gaussian in the plane z = 0, turned about its short axis by so many degrees; its log scales."""
    turn = axis_angle_to_matrix(torch.tensor([[0.0, math.radians(turned), 0.0]], dtype=torch.float64))
    return turn, torch.tensor([[length, 0.004, 0.001]], dtype=torch.float64).log()


def protrudes(height, length, turned, surface, normals, margin):
    means = torch.tensor([[0.03, 0.04, height]], dtype=torch.float64)
    ends, of = tips(means, *disc(length, turned)), Searchable(surface)
    near = of.nearest(means), of.nearest(ends.flatten(0, 1)).view(-1, 6)
    return protrusion(means, ends, surface, normals, *near, margin).item()


def test_tips_are_two_standard_deviations_away_along_each_axis():
    turn, log_scales = disc(0.01, 90)
    expected = [[0, 0, -0.02], [0, 0, 0.02], [0, 0.008, 0], [0, -0.008, 0], [0.002, 0, 0], [-0.002, 0, 0]]
    found = tips(torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64), turn, log_scales)[0]
    torch.testing.assert_close(found - torch.tensor([1.0, 2.0, 3.0]), torch.tensor(expected, dtype=torch.float64))


def test_a_tip_counts_by_how_much_farther_than_its_centre_it_stands_off(plane):
    rise = 0.02 * math.sin(math.radians(30))
    for height in (0.0, 0.02):  # of a centre off the surface, the surface is farther away, and nothing else changes
        assert protrudes(height, 0.01, 30, *plane, 0.004) == pytest.approx(rise - 0.004)
    assert protrudes(-0.004, 0.01, 30, *plane, 0.004) == pytest.approx(rise - 0.008)  # what is under it does not show
    assert protrudes(0.02, 0.01, 0, *plane, 0.0021) == 0
    assert protrudes(0.02, 0.01, 30, *plane, 0.011) == 0


def test_a_tip_that_leaves_a_limb_counts():
    """A Gaussian on a cylinder, along it or across: across, its ends are off the limb by Pythagoras."""
    angle, along = torch.meshgrid(torch.linspace(0, 2 * math.pi, 721)[:-1], torch.linspace(0, 0.1, 51), indexing="ij")
    normals = torch.stack([angle.cos(), torch.zeros_like(angle), angle.sin()], dim=-1).flatten(0, 1).double()
    points = 0.04 * normals + torch.tensor([0.0, 1.0, 0.0]) * along.flatten()[:, None]
    means, of = torch.tensor([[0.0, 0.05, 0.04]], dtype=torch.float64), Searchable(points)
    log_scales = torch.tensor([[0.02, 0.02, 0.001]], dtype=torch.float64).log()
    ends = tips(means, torch.eye(3, dtype=torch.float64)[None], log_scales)
    near = of.nearest(means), of.nearest(ends.flatten(0, 1)).view(-1, 6)
    off = math.hypot(0.04, 0.04) - 0.04
    assert protrusion(means, ends, points, normals, *near, 0.003).item() == pytest.approx(2 * (off - 0.003), rel=1e-3)


def test_gradients_agree_with_finite_differences(plane):
    surface, normals = plane
    rng = np.random.default_rng(0)
    means = torch.tensor(rng.normal(0.03, 0.05, (12, 3)), requires_grad=True)
    log_scales = torch.tensor(rng.normal(-4, 0.5, (12, 3)), requires_grad=True)
    quats = torch.tensor(rng.normal(size=(12, 4)), requires_grad=True)
    to_surface, to_mean = Searchable(surface).nearest(means), Searchable(means).nearest(surface)
    assert gradcheck(lambda m: point_to_mesh(m, surface, normals, to_surface, MARGIN), means)
    assert gradcheck(lambda m: coverage(m, surface, to_mean, MARGIN), means)
    assert gradcheck(lambda s: flatness(s, 5.0), log_scales)
    ends = tips(means, quaternion_to_matrix(quats), log_scales).detach()
    to_tips = Searchable(surface).nearest(ends.flatten(0, 1)).view(-1, 6)

    def stands_out(m, q, s):
        return protrusion(m, tips(m, quaternion_to_matrix(q), s), surface, normals, to_surface, to_tips, 0.005)

    assert gradcheck(stands_out, (means, quats, log_scales))
    assert gradcheck(
        lambda q: surface_alignment(quaternion_to_matrix(q), log_scales.detach(), normals[to_surface]), quats
    )
