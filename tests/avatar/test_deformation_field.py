"""The deformation field: a network that moves Gaussians by the pose."""

import dataclasses

import pytest
import torch
from torch.autograd import gradcheck

from pipeline.avatar import Avatar, canonical_transforms, legs_apart
from pipeline.avatar.deformation_field import COUNT, DeformationField
from pipeline.body import load_body
from pipeline.geometry.rotations import axis_angle_to_matrix

PLACES = torch.rand(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="module")
def body():
    return load_body("free")


@pytest.fixture
def field() -> DeformationField:
    """One that moves things by about a centimetre."""
    field = DeformationField.still(0)
    field.values += 0.01 * torch.randn(COUNT, generator=torch.Generator().manual_seed(2))
    return field


def transforms(body, bend: float, turn: float = 0.0) -> torch.Tensor:  # [24, 4, 4]
    """A knee bent, the whole body turned and carried off."""
    pose = torch.zeros(24, 3)
    pose[4, 0], pose[0, 1] = bend, turn
    return body.transforms(axis_angle_to_matrix(pose)[None], torch.zeros(10), torch.tensor([[0.3, -turn, 2.0]]))[0]


def test_a_new_field_moves_nothing_and_costs_nothing(body):
    field = DeformationField.still(3)
    assert not field.moves
    assert torch.equal(field.offsets(PLACES.float(), transforms(body, 1.0)), torch.zeros(6, 3))
    field.values.requires_grad_()
    assert field.moves, "its gradient is needed to leave zero"
    field.offsets(PLACES.float(), transforms(body, 1.0)).square().sum().backward()
    target = field.offsets(PLACES.float(), transforms(body, 1.0))
    (grad,) = torch.autograd.grad((target - 0.01).square().sum(), field.values)
    assert grad.abs().max() > 0


def test_the_pose_decides_and_where_the_person_stands_does_not(field, body):
    places = PLACES.float()
    straight, bent = (field.offsets(places, transforms(body, bend)) for bend in (0.0, 1.0))
    assert 1e-4 < (bent - straight).norm(dim=1).max() < 0.1
    torch.testing.assert_close(field.offsets(places, transforms(body, 1.0, turn=2.0)), bent, atol=1e-6, rtol=0)


def test_gradients_agree_with_finite_differences(field, body):
    field = DeformationField(field.values.double())
    turns = transforms(body, 0.7).double()
    weights = torch.randn(COUNT, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    def moved(along: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
        return DeformationField(field.values + 1e-3 * weights @ along).offsets(PLACES, turns)

    gradcheck(moved, (torch.zeros(4, dtype=torch.float64, requires_grad=True), turns.requires_grad_()))


def test_an_avatar_keeps_its_field_in_its_file(field, body, tmp_path):
    from pipeline.formats.avatar import AvatarFile

    places = body.v_template[:50]
    quats = torch.tensor([1.0, 0, 0, 0]).repeat(50, 1)
    plain = Avatar(places, quats, torch.full((50, 3), 0.01), torch.full((50,), 0.9), torch.zeros(50, 1, 3),
                   body.weights[:50], torch.zeros(10))  # fmt: skip
    avatar = dataclasses.replace(plain, field=field)
    avatar.to_file(body, "field", torch.ones(3, dtype=torch.bool).numpy()).save(tmp_path / "avatar.npz")
    again = Avatar.from_file(AvatarFile.load(tmp_path / "avatar.npz"), body)
    torch.testing.assert_close(again.means, avatar.means, atol=1e-5, rtol=0)
    posed = canonical_transforms(body, torch.zeros(10), legs_apart())
    torch.testing.assert_close(again.posed(posed)[0], avatar.posed(posed)[0], atol=1e-5, rtol=0)
    assert (avatar.posed(posed)[0] - plain.posed(posed)[0]).norm(dim=1).max() > 1e-4
