"""Rotations against scipy, and their gradients at and near the zero rotation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from pipeline.geometry.rotations import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    quaternion_multiply,
    quaternion_to_matrix,
)

# Angles from none through the switch to the series at 0.01 rad up to beyond a full turn.
vectors = arrays(np.float64, (5, 3), elements=st.floats(-4, 4)).flatmap(
    lambda vector: st.sampled_from([1.0, 1e-1, 1e-2, 5.7e-3, 1e-5, 1e-9, 0.0]).map(lambda scale: vector * scale)
)


@settings(max_examples=80, deadline=None)
@given(vectors)
def test_axis_angle_agrees_with_scipy_in_both_directions(vector: np.ndarray) -> None:
    expected = Rotation.from_rotvec(vector)
    matrix = axis_angle_to_matrix(torch.from_numpy(vector))
    np.testing.assert_allclose(matrix.numpy(), expected.as_matrix(), atol=1e-12)
    # Near half a turn the axis flips sign for rounding errors, so compare rotations.
    again = Rotation.from_rotvec(matrix_to_axis_angle(matrix).numpy())
    assert (again * expected.inv()).magnitude().max() < 1e-7
    assert matrix_to_axis_angle(matrix).norm(dim=-1).max() <= np.pi + 1e-9


@settings(max_examples=80, deadline=None)
@given(vectors, vectors)
def test_quaternions_agree_with_scipy(first: np.ndarray, second: np.ndarray) -> None:
    left, right = Rotation.from_rotvec(first), Rotation.from_rotvec(second)
    q = matrix_to_quaternion(torch.from_numpy(left.as_matrix()))
    p = matrix_to_quaternion(torch.from_numpy(right.as_matrix()))
    assert (q[:, 0] >= 0).all()
    np.testing.assert_allclose(q.norm(dim=-1).numpy(), 1, atol=1e-12)
    np.testing.assert_allclose(quaternion_to_matrix(3.0 * q).numpy(), left.as_matrix(), atol=1e-12)
    product = quaternion_to_matrix(quaternion_multiply(q, p)).numpy()
    np.testing.assert_allclose(product, (left * right).as_matrix(), atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
def test_half_turns_keep_their_axis(axis: int) -> None:
    vector = torch.zeros(3, dtype=torch.float64)
    vector[axis] = torch.pi
    quaternion = matrix_to_quaternion(axis_angle_to_matrix(vector))
    assert quaternion[1 + axis].abs() == pytest.approx(1)
    assert matrix_to_axis_angle(axis_angle_to_matrix(vector)).abs()[axis] == pytest.approx(torch.pi)


def test_small_angles_survive_float32() -> None:
    """1 - cos of a small angle cancels in float32 when it is computed as written."""
    vector = np.array([[0.011, -0.002, 0.004], [2e-4, 1e-4, 0], [0.02, 0.03, -0.01]])
    matrix = axis_angle_to_matrix(torch.tensor(vector, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(matrix, Rotation.from_rotvec(vector).as_matrix(), atol=1.2e-7)


@pytest.mark.parametrize("size", [0.0, 1e-8, 1e-3, 0.0099, 0.0101, 1.0, 3.0])
def test_gradients_against_finite_differences(size: float) -> None:
    direction = torch.tensor([[0.6, -0.48, 0.64], [0.0, 0.0, 1.0]], dtype=torch.float64)
    vector = (size * direction).requires_grad_()
    other = torch.tensor([[0.2, -0.4, 0.1], [0.3, 0.0, -0.7]], dtype=torch.float64)

    def round_trip(vector: torch.Tensor) -> torch.Tensor:
        return matrix_to_axis_angle(axis_angle_to_matrix(vector))

    def as_quaternion(vector: torch.Tensor) -> torch.Tensor:
        turned = matrix_to_quaternion(axis_angle_to_matrix(vector))
        return quaternion_to_matrix(quaternion_multiply(turned, matrix_to_quaternion(axis_angle_to_matrix(other))))

    for function in (axis_angle_to_matrix, round_trip, as_quaternion):
        assert torch.autograd.gradcheck(function, (vector,), eps=1e-6, atol=1e-5)


def test_leading_dimensions_are_kept() -> None:
    vector = torch.randn(4, 1, 6, 3)
    matrix = axis_angle_to_matrix(vector)
    assert matrix.shape == (4, 1, 6, 3, 3)
    assert matrix_to_axis_angle(matrix).shape == (4, 1, 6, 3)
    assert matrix_to_quaternion(matrix).shape == (4, 1, 6, 4)
    assert quaternion_multiply(matrix_to_quaternion(matrix), torch.ones(6, 4)).shape == (4, 1, 6, 4)
