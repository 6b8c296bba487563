"""Frames that are blurred say less of colours (pipeline/fit/sharpness.py)."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from helpers_fit import prepare, short_settings

from pipeline.fit.data import FULL, Clip, View, load_clip
from pipeline.fit.loop import JointFit
from pipeline.fit.sharpness import frame_weights, sharpness
from pipeline.formats.pose import Pose

CPU = torch.device("cpu")


def texture(grain: float = 1.0, seed: int = 0) -> np.ndarray:
    """A picture with detail of all sizes from `grain` px on. (80, 80, 3) float, 0 to 255"""
    noise = np.random.default_rng(seed).normal(size=(3, 80, 80, 3))
    layers = [cv2.GaussianBlur(each, (0, 0), grain * 2**k) * grain * 2**k for k, each in enumerate(noise)]
    return 128 + 60 * sum(layers) / np.std(sum(layers))


def view(picture: np.ndarray, mask: np.ndarray | None = None) -> View:
    mask = np.full(picture.shape[:2], 255) if mask is None else mask
    image = torch.from_numpy(picture.round().clip(0, 255).astype(np.uint8))
    return View(image, torch.from_numpy(mask.astype(np.uint8)), None, torch.eye(3))


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def clip_of(views: list[View], train: list[bool]) -> Clip:
    trained = np.array(train)
    return Clip(tuple({FULL: each} for each in views), trained, ~trained, False, "")


def test_blur_counts_and_light_does_not():
    picture = texture()
    sharp, *soft = (sharpness(view(blurred(picture, sigma) if sigma else picture)) for sigma in (0.0, 1.0, 2.0, 3.0))
    assert sharp > 1.5 * soft[0] and soft[0] > 1.5 * soft[1] and soft[1] > 1.5 * soft[2]
    faint = 128 + 0.4 * (picture - 128)
    assert sharpness(view(faint)) == pytest.approx(sharp, rel=0.1)
    assert sharpness(view(texture(seed=1))) == pytest.approx(sharp, rel=0.1)


def test_noise_does_not_hide_a_blur():
    """Noise is as fine as detail can be: without a picture smoothed first a blurred one would be the sharper."""
    noise = 2 * np.random.default_rng(3).normal(size=(80, 80, 3))
    picture = 128 + 0.4 * (texture() - 128)
    assert sharpness(view(blurred(picture, 2.5) + noise)) < 0.6 * sharpness(view(picture + noise))


def test_blur_in_one_direction_counts_too():
    picture = texture()
    streaked = cv2.blur(picture, (9, 1))
    assert sharpness(view(streaked)) < 0.7 * sharpness(view(picture))


def test_nothing_outside_the_person_counts():
    """Neither the background, nor the mask's edge, nor what is unknown, nor a person without any texture."""
    mask = np.zeros((80, 80))
    mask[15:65, 15:65] = 255
    soft = blurred(texture(), 2.0)
    striped = soft.copy()
    striped[mask == 0] = 255 * (np.indices((80, 80))[1] % 2)[mask == 0][:, None]
    assert sharpness(view(striped, mask)) == sharpness(view(soft, mask))
    seen, sure = view(striped), torch.from_numpy(mask.astype(np.uint8))
    assert sharpness(replace(seen, sure=sure)) == sharpness(view(soft, mask))
    assert np.isnan(sharpness(view(np.full((80, 80, 3), 90.0)))) and np.isnan(sharpness(view(soft, 0 * mask)))


def test_weights_are_of_trained_frames_and_bounded():
    picture = texture()
    flat = view(np.full((80, 80, 3), 90.0))
    slight = view(blurred(picture, 0.4))
    views = [view(picture)] * 3 + [slight, view(blurred(picture, 1.2)), view(blurred(picture, 9.0)), flat, slight]
    weights = frame_weights(clip_of(views, [True] * 7 + [False]))
    assert weights[:7].mean() == pytest.approx(1) and weights[7] == 1
    assert weights[6] == weights[3] == weights[0] > 1.2 * weights[4] > 1.5 * weights[5]
    assert weights[5] == pytest.approx(0.2 * weights[0])
    assert frame_weights(clip_of([flat] * 3, [True] * 3)).tolist() == [1, 1, 1]


@pytest.fixture(scope="module")
def results(studio_clip, body, tmp_path_factory):
    return prepare(studio_clip, body, tmp_path_factory.mktemp("sharpness") / "tiny")


@pytest.mark.parametrize("known", [True, False], ids=["weighed", "alike"])
def test_colours_of_a_blurred_frame_count_less_in_the_full_phase(results, body, known):
    settings, pose = short_settings(frame_sharpness=known), Pose.load(results.pose_init)
    clip = load_clip(results, pose, settings, CPU)
    frames = np.flatnonzero(clip.train)
    soft = int(frames[1])
    image = torch.from_numpy(blurred(clip.views[soft][FULL].image.numpy().copy(), 3.0))
    views = list(clip.views)
    views[soft] = clip.views[soft] | {FULL: replace(clip.views[soft][FULL], image=image)}
    clip = replace(clip, views=tuple(views))
    fit = JointFit(clip, body, pose, settings, CPU)
    expected = frame_weights(clip)
    assert expected[soft] < 0.8 and expected[frames].mean() == pytest.approx(1)
    background = torch.zeros(3)
    for step in (0, settings.steps.surface):  # small crops, which hide a blur, and the full phase
        plan = fit.schedule.plan(step)
        fit.unknowns.free(plan)
        compared = fit.objective(fit.unknowns, soft, plan, background)
        plain = fit.objective._image_terms(compared.view, compared.view, compared.rendered, background, plan.full)
        share = compared.terms.detach()[compared.names.index("colour")] / plain["colour"].detach()
        assert float(share) == pytest.approx(expected[soft] if known and plan.full else 1, rel=1e-5)
        mask = compared.terms.detach()[compared.names.index("mask")]
        assert float(mask) == pytest.approx(float(plain["mask"].detach()))
