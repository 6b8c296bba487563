"""Gains of frames (pipeline/fit/gains.py): exposure and white balance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers_fit import prepare, short_settings
from scipy.optimize import minimize

from pipeline.fit.data import FULL, View, load_clip
from pipeline.fit.gains import Gains, gain_of
from pipeline.fit.loop import JointFit
from pipeline.fit.rendering import Rendered
from pipeline.formats.pose import Pose
from pipeline.losses.priors import robust_weight

CPU = torch.device("cpu")
TRUE = torch.tensor([1.2, 1.0, 0.85])
ALL = torch.ones(4000)


def pixels(count: int = 4000, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 0.7 + 0.05


def picture(gain: torch.Tensor, side: int = 40) -> tuple[View, Rendered]:
    """A frame filmed with a gain, and what an avatar that knows the colours shows there."""
    colours = pixels(side * side).view(side, side, 3)
    image = (colours * gain * 255).round().clamp(0, 255).byte()
    view = View(image, torch.full((side, side), 255, dtype=torch.uint8), None, torch.eye(3))
    return view, Rendered(colours, torch.ones(side, side), torch.zeros(1, 3), {})


def test_a_gain_is_the_least_of_its_equation():
    rendered = pixels()
    noise = 0.05 * torch.randn(rendered.shape, generator=torch.Generator().manual_seed(1))
    filmed, before = rendered * TRUE + noise, torch.ones(3)
    weight = robust_weight((before * rendered - filmed).square().sum(1, keepdim=True), 0.3).double().numpy()
    r, t = rendered.double().numpy(), filmed.double().numpy()

    def cost(g: np.ndarray) -> float:
        return float((weight * (g * r - t) ** 2).sum() + 0.003 * (weight.sum() + 50) * ((g - 1) ** 2).sum())

    expected = minimize(cost, np.ones(3), tol=1e-10).x
    assert gain_of(rendered, filmed, ALL, before).numpy() == pytest.approx(expected, abs=1e-4)


def test_kernels_are_the_operations():
    """Beside pixels that are not the person's, not covered, or far off, and with a depth channel."""
    view, rendered = picture(TRUE)
    generator = torch.Generator().manual_seed(2)
    view.mask[torch.rand(view.mask.shape, generator=generator) < 0.3] = 200
    rendered.alpha[torch.rand(view.mask.shape, generator=generator) < 0.3] = 0.9
    noisy = rendered.pixels + 0.2 * torch.randn(rendered.pixels.shape, generator=generator)
    rendered = replace(rendered, pixels=torch.cat([noisy, torch.ones_like(noisy[..., :1])], dim=-1))
    found = []
    for dtype in (torch.float32, torch.float64):
        gains = Gains(np.arange(1), 1, CPU)
        gains.log = gains.log.to(dtype) + 0.1
        own = replace(rendered, pixels=rendered.pixels.to(dtype), alpha=rendered.alpha.to(dtype))
        gains.find(0, view, own)
        found.append(gains.log.double())
    assert found[0].numpy() == pytest.approx(found[1].numpy(), abs=1e-5)
    assert (found[1] - 0.1).abs().min() > 0.01

    gain = torch.tensor([0.7, 1.0, 1.9])
    assert torch.equal(view.exposed(gain).image, (view.image / gain).add_(0.5).clamp_(0, 255).byte())


def test_nothing_to_find_is_one():
    assert gain_of(pixels(), pixels(), ALL, torch.ones(3)).numpy() == pytest.approx(np.ones(3), abs=1e-5)
    assert gain_of(pixels(), TRUE * pixels(), torch.zeros(4000), torch.ones(3)).numpy() == pytest.approx(np.ones(3))


def test_what_hides_the_person_is_no_matter_of_light():
    rendered = pixels()
    filmed = rendered * TRUE
    clean = gain_of(rendered, filmed, ALL, torch.ones(3))
    filmed[:800] = torch.tensor([0.0, 1.0, 0.0])  # a fifth of the pixels is something green
    assert (gain_of(rendered, filmed, ALL, clean) - clean).abs().max() < 0.03


def test_gains_converge_as_their_frames_are_drawn_again_and_again():
    view, rendered = picture(TRUE)
    gains = Gains(np.array([0]), 1, CPU)
    for _ in range(12):
        gains.find(0, view.exposed(gains.log[0].exp()), rendered)
    assert gains.log[0].exp().numpy() == pytest.approx(TRUE.numpy(), abs=0.03)


def test_a_frame_without_the_person_has_no_gain_of_its_own():
    view, rendered = picture(TRUE)
    gains = Gains(np.array([0]), 1, CPU)
    gains.find(0, replace(view, mask=torch.zeros_like(view.mask)), rendered)
    assert (gains.log == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["kernel", "torch"])
def test_what_is_unknown_says_nothing_of_the_light(dtype):
    view, rendered = picture(TRUE)
    rendered = replace(rendered, pixels=rendered.pixels.to(dtype), alpha=rendered.alpha.to(dtype))
    image, sure, mask = view.image.clone(), torch.full_like(view.mask, 255), view.mask.clone()
    image[: len(image) // 2] //= 2
    sure[: len(image) // 2] = mask[: len(image) // 2] = 0
    logs = []
    for seen in (replace(view, image=image, sure=sure), replace(view, mask=mask), replace(view, image=image)):
        gains = Gains(np.array([0]), 1, CPU)
        gains.log = gains.log.to(dtype)
        gains.find(0, seen, rendered)
        logs.append(gains.log)
    assert torch.equal(logs[0], logs[1]) and (logs[0] - logs[2]).abs().max() > 0.03


def test_the_gauge_is_fixed_and_frames_held_out_lie_between():
    gains = Gains(np.array([0, 2, 4]), 6, CPU)
    gains.log[[0, 2, 4]] = torch.tensor([[0.3], [0.1], [0.2]]).expand(3, 3)
    gains.settle()
    assert gains.log[[0, 2, 4]].mean(0).numpy() == pytest.approx(np.zeros(3), abs=1e-6)
    assert gains.log[:, 0].numpy() == pytest.approx([0.1, 0.0, -0.1, -0.05, 0.0, 0.0], abs=1e-6)


def test_a_view_divided_by_its_gain_is_the_view_without_it():
    view, rendered = picture(torch.tensor([1.1, 0.9, 1.0]))
    found = view.exposed(torch.tensor([1.1, 0.9, 1.0])).image.float() / 255
    assert (found - rendered.image).abs().max() < 0.004  # of a level of 255


def test_a_fit_finds_what_a_camera_changed(studio_clip, body, tmp_path):
    """Every other frame is a fifth darker: with gains the fit tells by how much, and the gauge stays."""
    results, settings = prepare(studio_clip, body, tmp_path / "tiny"), short_settings(steps=LONGER)
    pose = Pose.load(results.pose_init)
    clip = load_clip(results, pose, settings, CPU)
    dark = torch.ones(len(clip), 3)
    dark[::2] = 0.8
    views = (
        each and {level: view.exposed(1 / gain) for level, view in each.items()} for each, gain in zip(clip.views, dark)
    )
    changed = replace(clip, views=tuple(views))
    fit = JointFit(changed, body, pose, settings, CPU)
    result = fit.run()
    frames = np.flatnonzero(clip.train)
    found = result.clip.log_gains[frames].exp()
    ratio = found[frames % 2 == 0].mean() / found[frames % 2 == 1].mean()
    assert float(ratio) == pytest.approx(0.8, abs=0.06)
    assert result.clip.log_gains[frames].mean(0).abs().max() < 1e-5
    view = result.clip.view(int(frames[0]), FULL)
    assert (view.image.float() - changed.views[frames[0]][FULL].image.float()).abs().max() > 1


LONGER = {"colours": 60, "coarse": 0, "middle": 20, "full": 120, "heldout": 3, "clip_frames": 80}
