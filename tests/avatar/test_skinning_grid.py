"""Learnable skinning weights on voxels (equation 5)."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from pipeline.avatar.avatar import pose_gaussians
from pipeline.avatar.skinning_grid import SkinningGrid
from pipeline.body import load_body
from pipeline.geometry.rotations import axis_angle_to_matrix

BOX_VOXELS = 64 * 64 * 16


def small_grid(joints: int = 3) -> SkinningGrid:
    """Around the edges of a box; canonical space is the rest pose, moved."""
    generator = torch.Generator().manual_seed(0)
    surface = torch.rand(3000, 3, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 0.5, 0.2]).double()
    transforms = torch.eye(4, dtype=torch.float64).repeat(joints, 1, 1)
    transforms[:, :3, 3] = torch.tensor([0.02, -0.03, 0.01])
    return SkinningGrid(surface, transforms)


def voxels(grid: SkinningGrid) -> torch.Tensor:  # [V, 3] metres
    """Where the voxels are, in the order of their rows."""
    return torch.nonzero(grid._rows >= 0).double() * grid._pitch + grid._origin


@pytest.fixture
def inside():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(50, 3, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 0.5, 0.2]).double()


def test_sampling_gives_linear_functions_back(inside):
    grid = small_grid()
    slopes = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0], [0.0, -2.0, 1.0]]).double()
    grid.differences = voxels(grid) @ slopes + torch.tensor([0.1, 0.2, 0.3]).double()
    expected = inside @ slopes + torch.tensor([0.1, 0.2, 0.3]).double()
    torch.testing.assert_close(grid.sample(inside), expected)


def test_sampling_at_a_voxel_gives_its_row_and_half_way_the_mean():
    grid = small_grid()
    grid.differences = torch.rand(grid.differences.shape, dtype=torch.float64)
    places = voxels(grid)
    torch.testing.assert_close(grid.sample(places), grid.differences)
    one, other = grid._adjacent[100]
    between = (places[one] + places[other]) / 2
    expected = (grid.differences[one] + grid.differences[other]) / 2
    torch.testing.assert_close(grid.sample(between[None])[0], expected)


def test_far_from_the_body_there_are_no_differences():
    grid = small_grid()
    grid.differences = torch.ones_like(grid.differences)
    far = torch.tensor([[5.0, 0, 0], [-0.5, 0.2, 0.1], [0.5, 0.2, -0.4], [0.5, 1e6, 0.1]]).double()
    assert not grid.sample(far).any()


def test_weights_are_weights_and_look_in_canonical_space(inside):
    grid = small_grid()
    base = torch.rand(50, 3, dtype=torch.float64)
    base = base / base.sum(1, keepdim=True)
    assert grid.weights(inside, base) is base, "before they are freed they are the body's"
    grid.differences = 0.2 * torch.randn(grid.differences.shape, dtype=torch.float64)
    weights = grid.weights(inside, base)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(50).double())
    moved = inside + torch.tensor([0.02, -0.03, 0.01]).double()
    shifted = (base + grid.sample(moved)).clamp(min=0)
    torch.testing.assert_close(weights, shifted / shifted.sum(1, keepdim=True))


def test_gradients_agree_with_finite_differences(inside):
    grid = small_grid()
    base = torch.full((4, 3), 1 / 3, dtype=torch.float64)
    start = 0.05 * torch.randn(grid.differences.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    touched = torch.unique(torch.nonzero(_gradient(grid, inside[:4], base, start).any(1)).flatten())

    def with_rows(function):
        def run(rows: torch.Tensor) -> torch.Tensor:
            grid.differences = start.index_copy(0, touched, rows)
            return function()

        return run

    rows = start[touched].clone().requires_grad_()
    assert 8 <= len(touched) <= 32
    assert gradcheck(with_rows(lambda: grid.weights(inside[:4], base)), rows)
    assert gradcheck(with_rows(lambda: grid.sample(inside[:4])), rows)
    assert gradcheck(with_rows(grid.variation), rows)
    assert gradcheck(with_rows(grid.size), rows)


def _gradient(grid: SkinningGrid, means: torch.Tensor, base: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    grid.differences = start.clone().requires_grad_()
    grid.weights(means, base).square().sum().backward()
    return grid.differences.grad


def test_regularisers_are_means_over_the_box_of_gart():
    grid = small_grid()
    one, other = grid._adjacent[0]
    neighbours = int((grid._adjacent == one).sum())
    grid.differences[one] = torch.tensor([0.3, 0.0, -0.4]).double()
    assert grid.size().item() == pytest.approx(0.5 / BOX_VOXELS)
    assert grid.variation().item() == pytest.approx(neighbours * 0.7 / (3 * 3 * BOX_VOXELS))
    grid.differences[other] = grid.differences[one]
    shared = neighbours + int((grid._adjacent == other).sum()) - 2
    assert grid.variation().item() == pytest.approx(shared * 0.7 / (3 * 3 * BOX_VOXELS))


def test_size_at_zero_has_no_gradient():
    grid = small_grid()
    grid.differences.requires_grad_()
    (grid.size() + grid.variation()).backward()
    assert not grid.differences.grad.any()


def test_a_learned_difference_moves_what_lies_there_and_nothing_else():
    body, betas = load_body("free"), torch.zeros(10)
    grid = SkinningGrid.around(body, betas)
    means = body.shaped(betas)
    left_knee, right_knee = 4, 5
    assert ((grid._pitch * 63) / 1.2) == pytest.approx(_longest_side(grid, body, betas), rel=1e-5)
    places = torch.nonzero(grid._rows >= 0) * grid._pitch + grid._origin
    # The left shin, in canonical space out to the left; the knee loses its hold on it to the right one.
    shin = (places[:, 0] > 0.25) & (places[:, 1] < body.rest_joints(betas)[left_knee, 1] - 0.1)
    grid.differences[shin, right_knee] = 0.5
    weights = grid.weights(means, body.weights)
    changed = (weights - body.weights).abs().max(1).values > 0.01
    assert changed.any() and (means[changed, 0] > 0).all()
    transforms = torch.eye(4).repeat(24, 1, 1)
    transforms[right_knee, :3, :3] = axis_angle_to_matrix(torch.tensor([0.5, 0.0, 0.0]))
    quats = torch.tensor([1.0, 0, 0, 0]).repeat(len(means), 1)
    moved = (pose_gaussians(means, quats, weights, transforms)[0] - means).norm(dim=1)
    assert moved[changed].max() > 0.01
    assert math.isclose(float(moved[(means[:, 0] > 0.02) & ~changed].max()), 0, abs_tol=0.01)


def _longest_side(grid: SkinningGrid, body, betas: torch.Tensor) -> float:
    canonical = pose_gaussians(body.shaped(betas), torch.ones(len(body.weights), 4), body.weights, grid._transforms)[0]
    return float((canonical.max(0).values - canonical.min(0).values).max())
