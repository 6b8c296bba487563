"""The paper preset's arithmetic, without its networks: cameras from rays and crops, one scale a clip, masks, crops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from pipeline.body import load_body
from pipeline.camera.intrinsics import intrinsics_from_rays
from pipeline.estimators.body_scale import betas_of_size, clip_scale, depth_quotient
from pipeline.estimators.depth_unidepth import keep_certain
from pipeline.estimators.hmr2_network import CROP, crop_image, crop_place
from pipeline.estimators.masks_sam2 import soft_mask
from pipeline.geometry.weak_perspective import (
    CROP_FOCAL,
    crop_pixels,
    place_points,
    project,
    translation_from_crop,
)

WIDTH, HEIGHT = 640, 360


@st.composite
def cameras(draw) -> np.ndarray:
    focal = draw(st.floats(300, 1500))
    cx, cy = draw(st.floats(0.3, 0.7)), draw(st.floats(0.3, 0.7))
    return np.array([[focal, 0, cx * WIDTH], [0, focal * draw(st.floats(0.95, 1.05)), cy * HEIGHT], [0, 0, 1]])


def rays_of(K: np.ndarray, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)])
    return rays / np.linalg.norm(rays, axis=0)


@settings(max_examples=20, deadline=None)
@given(K=cameras(), seed=st.integers(0, 99))
def test_the_camera_is_recovered_from_noisy_rays(K: np.ndarray, seed: int) -> None:
    rays = rays_of(K) + np.random.default_rng(seed).normal(0, 2e-3, (3, HEIGHT, WIDTH))  # 2 px of a focal of 1000
    np.testing.assert_allclose(intrinsics_from_rays(rays.astype(np.float32)), K, atol=1)


def test_the_camera_of_exact_rays_is_exact() -> None:
    K = np.array([[510.5, 0, 300.25], [0, 498, 190], [0, 0, 1]])
    np.testing.assert_allclose(intrinsics_from_rays(rays_of(K)), K, atol=1e-6)


# The crop's camera -> metres under K


@pytest.fixture(scope="module")
def body():
    return load_body("free")


def posed_joints(body, seed: int, count: int = 12) -> tuple[torch.Tensor, np.ndarray]:
    """Rotations and joints (B, 24, 3) of people who stand upright before the camera in all kinds of poses."""
    rng = np.random.default_rng(seed)
    rotvecs = rng.normal(0, 0.3, (count, 24, 3))
    rotvecs[:, 0] = (
        Rotation.from_euler("y", rng.uniform(0, 2 * np.pi, (count, 1))) * Rotation.from_euler("x", np.pi)
    ).as_rotvec()
    rotmats = torch.as_tensor(Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix(), dtype=torch.float32)
    rotmats = rotmats.view(count, 24, 3, 3)
    zeros = torch.zeros(count, 3)
    return rotmats, body.world_joints(rotmats, torch.zeros(10), zeros)[..., :3, 3].double().numpy()


def ideal_crop_camera(joints: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a perfect HMR2.0 says: the (s, tx, ty) whose picture of the joints is nearest to the true pixels."""
    low, high = pixels.min(1), pixels.max(1)
    centre, side = (low + high) / 2, 1.1 * (high - low).max(1)
    cameras = []
    for points, wanted, c, b in zip(joints, pixels, centre, side):

        def residual(camera, points=points, wanted=wanted, c=c, b=b):
            return (crop_pixels(points[None], camera[None], c[None], b[None])[0] - wanted).ravel()

        cameras.append(least_squares(residual, [1.0, 0, 0]).x)
    return np.array(cameras), centre, side


def place_in_view(joints: np.ndarray, K: np.ndarray, near: float, far: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = rng.uniform(near, far, len(joints))
    pixel = rng.uniform([0.3 * WIDTH, 0.4 * HEIGHT], [0.7 * WIDTH, 0.6 * HEIGHT], (len(joints), 2))
    return np.column_stack([(pixel - K[:2, 2]) / K[[0, 1], [0, 1]] * z[:, None], z])


@pytest.mark.parametrize(("near", "far", "worst"), [(5, 9, 1.0), (3, 5, 2.0)])
def test_people_come_back_to_their_place(body, near: float, far: float, worst: float) -> None:
    """Though a crop's camera sees no perspective: to a fraction of a pixel at the pelvis, and a percent of distance."""
    K = np.array([[700, 0, 330], [0, 700, 170], [0, 0, 1.0]])
    _, joints = posed_joints(body, 1, 60)
    transl = place_in_view(joints, K, near, far, 1)
    true = project(joints + transl[:, None], K)
    camera, centre, side = ideal_crop_camera(joints, true)
    found = place_points(joints, crop_pixels(joints, camera, centre, side), K)
    off = np.linalg.norm(project(joints + found[:, None], K)[:, 0] - true[:, 0], axis=1)
    assert np.median(off) < 0.4
    assert off.max() < worst
    np.testing.assert_allclose(found[:, 2], transl[:, 2], rtol=0.015)
    closed = translation_from_crop(camera, centre, side, K)  # the same distance for all points of the body
    np.testing.assert_allclose(closed[:, 2], transl[:, 2], rtol=0.1)


def test_true_pixels_give_the_true_place(body) -> None:
    K = np.array([[700, 0, 330], [0, 690, 170], [0, 0, 1.0]])
    _, joints = posed_joints(body, 2)
    transl = place_in_view(joints, K, 1.5, 9, 2)
    np.testing.assert_allclose(place_points(joints, project(joints + transl[:, None], K), K), transl, atol=1e-9)


def test_the_closed_form_is_the_crops_camera_seen_from_its_own_axis() -> None:
    """With K's centre in the crop's and K's focal length that of the crop, nothing is left to convert."""
    camera, side, centre = np.array([[0.9, 0.03, -0.1]]), np.array([200.0]), np.array([[310.0, 140.0]])
    focal = CROP_FOCAL * 200
    K = np.array([[focal, 0, 310], [0, focal, 140], [0, 0, 1.0]])
    np.testing.assert_allclose(translation_from_crop(camera, centre, side, K), [[0.03, -0.1, 2 * CROP_FOCAL / 0.9]])


# One scale a clip


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.08])
def test_the_clips_scale_is_that_of_the_depth_maps(body, factor: float) -> None:
    K = np.array([[150, 0, 60], [0, 150, 80], [0, 0, 1.0]])
    turned = torch.tensor([[np.pi, 0, 0]], dtype=torch.float32)
    transl = torch.tensor([[0.0, 0.2, 3.0]])
    vertices = body(turned, torch.zeros(1, 69), torch.zeros(10), transl).vertices[0].double().numpy()
    depth, mask = np.zeros((160, 120), np.float32), np.zeros((160, 120), np.uint8)
    pixels = np.floor(project(vertices, K)).astype(int)
    for (column, row), z in sorted(
        zip(pixels.tolist(), vertices[:, 2]), key=lambda pair: -pair[1]
    ):  # the near ones last
        depth[row, column], mask[row, column] = factor * z, 255
    noise = np.random.default_rng(0).normal(1, 0.02, (9, *depth.shape))
    scale = clip_scale([depth_quotient(vertices, body.faces, K, depth * n, mask) for n in noise] + [None, 40.0])
    assert scale.frames == 10
    assert scale.quotient == pytest.approx(factor, rel=0.02)
    assert scale.agrees(0.15)
    assert not scale.agrees(0.01) or factor == 1.0


def test_without_depth_there_is_no_scale(body) -> None:
    vertices = body.v_template.double().numpy() + np.array([0, 0, 3])
    K = np.array([[150, 0, 60], [0, 150, 80], [0, 0, 1.0]])
    mask = np.full((160, 120), 255, np.uint8)
    assert depth_quotient(vertices, body.faces, K, np.zeros((160, 120)), mask) is None
    assert clip_scale([None, None]) is None


def test_a_body_grows_by_its_betas(body) -> None:
    def height(betas: torch.Tensor) -> float:
        rest = body.shaped(betas)
        return float(rest[:, 1].max() - rest[:, 1].min())

    start = 0.3 * torch.ones(10)
    for factor in (0.95, 1.04):
        grown = betas_of_size(body, start, factor)
        assert height(grown) / height(start) == pytest.approx(factor, abs=0.012)
        assert grown.abs().max() < 3
    torch.testing.assert_close(betas_of_size(body, start, 1.0), start)


# Masks and crops


def test_a_mask_is_soft_whole_and_of_one_person() -> None:
    y, x = np.mgrid[:80, :100].astype(float)
    logits = 12 - np.hypot(x - 40, (y - 40) / 1.5) * 0.6  # the person
    logits = np.maximum(logits, 6 - np.hypot(x - 90, y - 10) * 3)  # somebody else, far away and small
    logits[40, 39:42] = -8  # a speck inside
    logits[30:40, 30:38] = -8  # the space within a bent arm
    mask = soft_mask(logits)
    assert mask[40, 40] == 255
    assert mask[35, 34] == 0
    assert mask[5:15, 85:].max() == 0
    edge = mask[55]
    assert ((edge > 10) & (edge < 245)).sum() >= 4
    decided = np.abs(logits[50:]) > 0.05
    np.testing.assert_array_equal((mask[50:] > 127)[decided], (logits[50:] > 0)[decided])


def test_no_person_no_mask() -> None:
    assert soft_mask(np.full((20, 30), -1024.0)).max() == 0


def test_uncertain_depth_is_unknown() -> None:
    depth, error = np.full((10, 10), 2.0), np.arange(100.0).reshape(10, 10)
    depth[0, 0] = np.nan
    kept = keep_certain(depth, error, 0.1)
    assert (kept[-1] == 0).all() and kept[0, 0] == 0 and (kept[1:-1] == 2).all()
    assert (keep_certain(depth, error, 0.0) > 0).sum() == 99


def test_a_crop_shows_what_its_place_says() -> None:
    """A dot in the image lands in the crop where the crop's pixels, in the unit of the network's camera, say."""
    image = np.zeros((200, 300, 3), np.uint8)
    image[96:104, 146:154] = 255  # around (150, 100)
    centre, side = crop_place((110.0, 40.0, 170.0, 140.0))
    assert side == 100
    np.testing.assert_array_equal(centre, [140, 90])
    assert crop_place((0.0, 0.0, 90.0, 60.0))[1] == 120  # a wide box: 3:4 around it
    crop = crop_image(image, centre, side)
    assert crop.shape == (3, CROP, CROP) and crop.dtype == torch.float32
    light = (crop[1] - crop[1].min()).double().numpy()
    v, u = np.mgrid[:CROP, :CROP] + 0.5
    found = np.array([(u * light).sum(), (v * light).sum()]) / light.sum() / CROP - 0.5
    np.testing.assert_allclose(found * side + centre, [150, 100], atol=0.05)
    np.testing.assert_allclose(float(crop[0].min()), -0.485 / 0.229, rtol=1e-5)
