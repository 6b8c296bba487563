"""Colours of what is hardly seen (pipeline/fit/spread.py)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.avatar.gaussians import Posable
from pipeline.body import JOINT_NAMES, load_body
from pipeline.fit.mirror import Mirror, mirror_pairs
from pipeline.fit.spread import _pairs, bone_axes, colour_evidence, spread

COUNT = 600
AXES = torch.tensor([[0.0, 1, 0]]).repeat(24, 1)
NOTHING = np.zeros(0, int)
ALONE = Mirror(NOTHING, NOTHING, np.zeros(0))  # nobody is anybody's mirror image


def cylinder(seed: int = 0) -> Posable:
    """Gaussians around an upright limb: 10 cm thick, 40 cm long."""
    rng = np.random.default_rng(seed)
    angle, height = rng.uniform(0, 2 * np.pi, COUNT), rng.uniform(0, 0.4, COUNT)
    means = np.stack([0.05 * np.cos(angle), height, 0.05 * np.sin(angle)], axis=1)
    weights = torch.zeros(COUNT, 24)
    weights[:, 4] = 1
    rest = (torch.zeros(COUNT, size) for size in (4, 3, 1, 3))
    quats, scales, opacities, sh = rest
    return Posable(torch.as_tensor(means, dtype=torch.float32), quats, scales, opacities[:, 0], sh[:, None], weights)


def cost(x, before, told, values, strength):
    first, second = _pairs(*(part.double().numpy() for part in (values.means, values.weights, AXES)))
    believed = told**2 / (told + 0.1) + 1e-6
    pull = strength / (1 + np.minimum(told[first], told[second]) / 0.1)
    ties = (torch.as_tensor(pull)[:, None] * (x[first] - x[second]).square()).sum() / 2  # each pair stands there twice
    return (torch.as_tensor(believed)[:, None] * (x - before).square()).sum() + ties


def test_evidence_is_the_sum_of_squared_weights():
    rng = torch.Generator().manual_seed(0)
    weights = torch.rand(400, 6 * 5, 4, generator=rng) * torch.tensor([1.0, 0.1, 2.0, 0.0])

    def draw(frame, sh):
        return (weights[frame] @ sh[:, 0]).view(6, 5, 3)

    found = colour_evidence(draw, range(400), 4, 0, torch.device("cpu"))
    expected = weights.square().sum((0, 1))
    torch.testing.assert_close(found, expected / expected.mean(), rtol=0.15, atol=1e-6)
    assert found[3] == 0


@pytest.mark.parametrize("strength", [0.03, 1.0])
def test_colours_are_the_least_squares_solution(strength):
    values = cylinder()
    rng = torch.Generator().manual_seed(1)
    told = torch.rand(COUNT, generator=rng) ** 4 * 5
    before = torch.randn(COUNT, 3, generator=rng)
    found = before.clone()
    share = spread([found], values, told, AXES, ALONE, strength)
    x = found.double().requires_grad_(True)
    value = cost(x, before.double(), told.double().numpy(), values, strength)
    (gradient,) = torch.autograd.grad(value, x)
    assert gradient.abs().max() < 1e-5
    assert value < cost(before.double(), before.double(), told.double().numpy(), values, strength)
    assert ((share >= 0) & (share <= 1)).all()
    order = told.argsort()
    assert share[order[:50]].max() < share[order[-50:]].min()


def test_one_colour_stays_whatever_is_seen():
    colours = torch.full((COUNT, 1, 3), 0.3)
    spread([colours], cylinder(), torch.rand(COUNT, generator=torch.Generator().manual_seed(0)), AXES, ALONE, 0.3)
    torch.testing.assert_close(colours, torch.full((COUNT, 1, 3), 0.3), rtol=1e-5, atol=1e-6)


def test_the_back_takes_the_colours_around_the_limb():
    """A limb, seen from the front, with a hem half way up; the unseen back starts with what no cloth has."""
    values = cylinder()
    front, upper = values.means[:, 2] > 0, values.means[:, 1] > 0.2
    colours = torch.where(upper, 0.8, 0.1)[:, None].clone()
    colours[~front] = 5.0
    told = front.float() * 2
    share = spread([colours], values, told, AXES, ALONE, 0.3)
    assert colours.max() <= 0.8 + 1e-3
    away = (values.means[:, 1] - 0.2).abs() > 0.05
    assert (colours[~front & upper & away] > 0.6).all()
    assert (colours[~front & ~upper & away] < 0.3).all()
    assert share[~front].max() < 1e-4
    facing = values.means[:, 2] > 0.02
    assert (colours[:, 0] - torch.where(upper, 0.8, 0.1))[facing].abs().mean() < 0.02


def two_arms() -> tuple[Posable, torch.Tensor]:
    """A limb on either side of the body, at x = 0.4 and -0.4 from a plane at 0.1; True where it is the left one."""
    limb = cylinder()
    place = limb.means + torch.tensor([0.5, 0.0, 0.0])
    image = place * torch.tensor([-1.0, 1, 1]) + torch.tensor([0.2, 0.0, 0.0])
    left, right = JOINT_NAMES.index("left_elbow"), JOINT_NAMES.index("right_elbow")
    weights = torch.zeros(2 * COUNT, 24)
    weights[:COUNT, left] = weights[COUNT:, right] = 1
    other = torch.cat([place, image])
    doubled = [torch.cat([part, part]) for part in limb]
    doubled[0], doubled[5] = other, weights
    return Posable(*doubled), torch.arange(2 * COUNT) < COUNT


def stripes(values: Posable) -> torch.Tensor:  # [N, 3] in [0, 1]
    return (0.5 + 0.4 * torch.sin(60 * values.means[:, 1]))[:, None] * torch.tensor([1.0, 0.5, 0.2])


def pairs_of(values: Posable, colours: torch.Tensor, told: torch.Tensor) -> Mirror:
    arrays = (part.double().numpy() for part in (values.means, values.weights, colours, told))
    means, weights, colours, told = arrays
    return mirror_pairs(means, weights, 0.1, colours, told)


def test_the_far_arm_takes_the_stripes_of_the_near_one():
    values, left = two_arms()
    true, told = stripes(values), left.float() * 2
    colours = torch.where(left[:, None], true, 5.0)
    mirror = pairs_of(values, colours, told)
    assert set(zip(mirror.first.tolist(), mirror.second.tolist())) >= {(k, COUNT + k) for k in range(COUNT)}
    found = colours.clone()
    spread([found], values, told, AXES, mirror, 0.3)
    assert (found - true)[~left].abs().mean() < 0.03
    assert (found - true)[left].abs().mean() < 0.02
    around = colours.clone()
    spread([around], values, told, AXES, ALONE, 0.3)
    assert (around - true)[~left].abs().mean() > 0.5


def test_a_sleeve_of_another_colour_is_not_taken_for_the_other():
    """Of the far arm a third is shown, and it is blue: the rest of it is no mirror image of the near one."""
    values, left = two_arms()
    shown = left | (values.means[:, 1] > 0.27)
    true = torch.where(left[:, None], torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.9]))
    told = shown.float() * 2
    mirror = pairs_of(values, true, told)
    assert (mirror.alike == 0).all()
    found = torch.where(shown[:, None], true, 0.5)
    spread([found], values, told, AXES, mirror, 0.3)
    assert (found - true)[~shown].abs().mean() < 0.05


def test_an_arm_that_is_half_told_keeps_the_light_on_it():
    values, left = two_arms()
    true = torch.where(left[:, None], torch.full((3,), 0.5), torch.full((3,), 0.42))
    told = torch.where(left, 2.0, 0.5)
    mirror = pairs_of(values, true, told)
    assert (mirror.alike > 0.5).all()
    found = true.clone()
    spread([found], values, told, AXES, mirror, 0.3)
    assert (found - true)[~left].abs().max() < 0.02


def test_what_has_no_image_has_no_partner():
    values, left = two_arms()
    lonely = values._replace(means=torch.where(left[:, None], values.means, values.means + 0.3))
    assert len(pairs_of(lonely, stripes(lonely), torch.ones(2 * COUNT)).first) == 0


def test_axes_follow_the_bones():
    axes = bone_axes(load_body("free").rest_joints(torch.zeros(10)))
    torch.testing.assert_close(axes.norm(dim=-1), torch.ones(24))
    for name, way in {"left_knee": 1, "pelvis": 1, "spine3": 1, "head": 1, "left_elbow": 0, "left_hand": 0}.items():
        assert axes[JOINT_NAMES.index(name)].abs().argmax() == way, name
