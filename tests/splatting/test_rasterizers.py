"""One suite for all that has the rasterizer's signature: our kernels, the float64 reference, and gsplat on a GPU.

First what a picture must be, then a table of poisonous inputs: each gives finite pictures and gradients, or an error
that names the argument.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from splat_scenes import PARAMETERS, as_dtype, backward, make_scene
from torch import Tensor

from pipeline.runtime.errors import UserError
from pipeline.splatting import cpu, rasterization, reference

nan, inf = float("nan"), float("inf")


@dataclass(frozen=True)
class Rasterizer:
    """One implementation, and how near to the exact result it comes."""

    function: Callable
    dtype: torch.dtype
    device: str
    pixel: float  # largest error of a colour
    error: float  # norm of a gradient's error over that of the gradient
    cosine: float  # one less the cosine between the two
    again: float = 1e-7  # how two runs may differ

    def draw(self, scene: dict) -> tuple[Tensor, Tensor]:
        """Renders and alphas of a scene on the CPU, as float64."""
        renders, alphas, *_ = self.function(**as_dtype(scene, self.dtype, self.device))
        return renders.cpu().double(), alphas.cpu().double()

    def backward(self, scene: dict) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The same, and all gradients of a random sum over them."""
        renders, alphas, gradients = backward(self.function, scene, self.dtype, self.device)
        return renders.double(), alphas.double(), {name: value.double() for name, value in gradients.items()}

    def assert_gradient(self, name: str, found: Tensor, expected: Tensor, slack: float = 1) -> None:
        if not expected.any():
            assert not found.any(), name
            return
        assert (found - expected).norm() <= slack * self.error * expected.norm(), name
        assert (found * expected).sum() >= (1 - self.cosine) * found.norm() * expected.norm(), name


KERNELS = Rasterizer(rasterization, torch.float32, "cpu", 5e-5, 2e-4, 1e-7)
REFERENCE = Rasterizer(reference.rasterization, torch.float64, "cpu", 1e-9, 1e-9, 1e-12)
# Limits as those of `gpu-check`; a Gaussian more or less at alpha = 1/255 is 0.004 of a colour. It adds gradients up in
# any order: on an H200 the same scene twice came to 8e-6 apart.
GSPLAT = Rasterizer(rasterization, torch.float32, "cuda", 5e-3, 1e-2, 1e-4, 2e-5)

no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="gsplat needs a GPU that torch can use")
FAST = [pytest.param(KERNELS, id="kernels"), pytest.param(GSPLAT, id="gsplat", marks=no_gpu)]


@pytest.fixture(params=[*FAST, pytest.param(REFERENCE, id="reference")])
def rasterizer(request) -> Rasterizer:
    return request.param


@pytest.fixture(params=FAST)
def fast(request) -> Rasterizer:
    """Those that are held against the reference."""
    return request.param


def wall(depths, colors, opacities, size=(9, 9), **more) -> dict:
    """Gaussians on the axis of one camera, so wide that each covers the picture evenly."""
    width, height = size
    count = len(depths)
    return {
        "means": torch.tensor([[0.0, 0, depth] for depth in depths]),
        "quats": torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        "scales": torch.full((count, 3), 1e3),
        "opacities": torch.tensor(opacities),
        "colors": torch.tensor(colors),
        "viewmats": torch.eye(4)[None],
        "Ks": torch.tensor([[[20.0, 0, width / 2], [0, 20, height / 2], [0, 0, 1]]]),
        "width": width,
        "height": height,
        **more,
    }


# What a picture must be


@pytest.mark.parametrize("case", ["no Gaussians", "all out of view"])
def test_an_empty_view_shows_the_background(rasterizer, case):
    scene = make_scene(0 if case == "no Gaussians" else 20, cameras=2) | {"render_mode": "RGB+ED"}
    scene["means"] = scene["means"] + 1000
    scene["backgrounds"] = torch.tensor([[0.25, 0.5, 0.75], [1, 2, 3]])
    renders, alphas, gradients = rasterizer.backward(scene)
    assert not alphas.any()
    assert (renders[0] == torch.tensor([0.25, 0.5, 0.75, 0])).all()
    assert (renders[1] == torch.tensor([1, 2, 3, 0])).all()
    assert not any(gradients[name].any() for name in PARAMETERS)


def test_the_background_s_gradient_is_the_light_that_passes(rasterizer):
    scene = as_dtype(make_scene(cameras=2) | {"backgrounds": torch.rand(2, 3)}, rasterizer.dtype, rasterizer.device)
    scene["backgrounds"].requires_grad_()
    renders, alphas, *_ = rasterizer.function(**scene, render_mode="RGB+D")
    renders[..., :3].sum().backward()
    expected = (1 - alphas).sum((1, 2)).expand(2, 3)
    torch.testing.assert_close(scene["backgrounds"].grad, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("opacity, covered", [(0.0, 0), (1 / 300, 0), (0.5, 0.5), (1.0, 0.999)])
def test_opacity_is_the_share_of_light_that_is_stopped(rasterizer, opacity, covered):
    scene = wall([2.0], [[1.0, 0.5, 0]], [opacity], backgrounds=torch.tensor([[0.0, 0, 1]]))
    renders, alphas = rasterizer.draw(scene)
    torch.testing.assert_close(alphas, torch.full_like(alphas, covered), atol=2e-5, rtol=0)
    expected = torch.tensor([covered, 0.5 * covered, 1 - covered]).double().expand_as(renders)
    torch.testing.assert_close(renders, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_the_nearer_hides_the_farther_whatever_their_order(rasterizer, order):
    depths, colors, opacities = [2.0, 3.0, 4.0], torch.eye(3).tolist(), [0.5, 0.5, 0.6]
    scene = wall(*([values[i] for i in order] for values in (depths, colors, opacities)), render_mode="RGB+D")
    renders, alphas = rasterizer.draw(scene)
    expected = torch.tensor([0.5, 0.25, 0.15, 0.5 * 2 + 0.25 * 3 + 0.15 * 4]).double()
    torch.testing.assert_close(renders, expected.expand_as(renders), atol=2e-4, rtol=0)
    torch.testing.assert_close(alphas, torch.full_like(alphas, 0.9), atol=1e-4, rtol=0)


def test_one_round_gaussian_is_what_the_formula_says(rasterizer):
    width, height, focal, depth, sigma, opacity = 31, 21, 40.0, 2.0, 0.1, 0.7
    scene = wall([depth], [[0.2, 0.5, 0.9]], [opacity], (width, height), render_mode="RGB+ED")
    scene |= {"scales": torch.full((1, 3), sigma), "quats": torch.tensor([[2.0, 0, 0, 0]])}
    scene["Ks"][:, [0, 1], [0, 1]] = focal
    renders, alphas = rasterizer.draw(scene | {"backgrounds": torch.ones(1, 3)})
    variance = (focal * sigma / depth) ** 2 + 0.3
    y, x = np.mgrid[:height, :width]
    expected = opacity * np.exp(-((x - width // 2) ** 2 + (y - height // 2) ** 2) / (2 * variance))
    expected[expected < 1 / 255] = 0
    np.testing.assert_allclose(alphas[0, ..., 0], expected, atol=1e-6)
    np.testing.assert_allclose(renders[0, ..., 1], expected * 0.5 + 1 - expected, atol=1e-6)
    np.testing.assert_allclose(renders[0, ..., 3], depth * (expected > 0), atol=1e-5)


@pytest.mark.parametrize("name", [*PARAMETERS, "backgrounds"])
def test_gradients_match_finite_differences_in_float64(rasterizer, name):
    scene = make_scene(80, 24, 24, sh_degree=1, seed=5)
    scene |= {"render_mode": "RGB+ED", "backgrounds": torch.rand(1, 3)}
    *_, gradients = rasterizer.backward(scene)
    exact = as_dtype(scene, torch.float64)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=generator).double() for x in reference.rasterization(**exact)]

    def loss(value):
        return sum((x * w).sum() for x, w in zip(reference.rasterization(**exact | {name: value}), weights))

    for seed in range(4):
        direction = torch.randn(exact[name].shape, generator=torch.Generator().manual_seed(seed)).double()
        step = 1e-7 * direction
        slope = (loss(exact[name] + step) - loss(exact[name] - step)) / 2e-7
        scale = gradients[name].norm()  # of a slope along a random direction
        assert abs(slope - (gradients[name] * direction).sum()) <= max(1e-3, rasterizer.error) * scale


@pytest.mark.parametrize(
    ("render_mode", "sh_degree", "cameras", "with_background"),
    [
        ("RGB", None, 1, False),
        ("RGB", 1, 2, True),
        ("D", None, 1, True),
        ("ED", 0, 1, False),
        ("RGB+D", 0, 2, True),
        ("RGB+ED", 1, 1, True),
        ("RGB+ED", None, 3, False),
    ],
)
def test_values_and_gradients_match_the_reference(fast, render_mode, sh_degree, cameras, with_background):
    scene = make_scene(cameras=cameras, sh_degree=sh_degree) | {"render_mode": render_mode}
    if with_background:
        scene["backgrounds"] = torch.rand(cameras, 3, generator=torch.Generator().manual_seed(2))
    renders, alphas, gradients = fast.backward(scene)
    expected_renders, expected_alphas, expected_gradients = REFERENCE.backward(scene)
    torch.testing.assert_close(renders, expected_renders, atol=fast.pixel, rtol=0)
    torch.testing.assert_close(alphas, expected_alphas, atol=0.04 * fast.pixel, rtol=0)
    for name, expected in expected_gradients.items():
        fast.assert_gradient(name, gradients[name], expected)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 17), (64, 16), (50, 70)])
def test_image_sizes_that_do_not_fill_tiles(fast, width, height):
    scene = make_scene(60, width, height, seed=3) | {"render_mode": "RGB+D"}
    renders, _, gradients = fast.backward(scene)
    expected, _, expected_gradients = REFERENCE.backward(scene)
    assert renders.shape == (1, height, width, 4)
    torch.testing.assert_close(renders, expected, atol=fast.pixel, rtol=0)
    for name in PARAMETERS:
        fast.assert_gradient(name, gradients[name], expected_gradients[name], slack=5)


def test_many_gaussians_on_a_tile_until_it_is_opaque(fast):
    scene = make_scene(700, 32, 24, seed=4) | {"render_mode": "RGB+ED"}
    scene["scales"] *= 2
    renders, _, gradients = fast.backward(scene)
    expected, expected_alphas, expected_gradients = REFERENCE.backward(scene)
    assert (expected_alphas > 0.999).double().mean() > 0.8
    # the Gaussian that closes a pixel can differ where rounding decides: nearly all pixels, and the gradient as a whole
    assert ((renders - expected).abs().amax(-1) < 2 * fast.pixel).double().mean() > 0.99
    for name in PARAMETERS:
        fast.assert_gradient(name, gradients[name], expected_gradients[name], slack=50)


def test_cameras_together_are_cameras_alone(rasterizer):
    scene = make_scene(cameras=3, sh_degree=1) | {"render_mode": "RGB+ED", "backgrounds": torch.rand(3, 3)}
    renders, alphas = rasterizer.draw(scene)
    for c in range(3):
        one = scene | {name: scene[name][c : c + 1] for name in ("viewmats", "Ks", "backgrounds")}
        for together, alone in zip((renders, alphas), rasterizer.draw(one)):
            torch.testing.assert_close(together[c], alone[0], atol=1e-6, rtol=0)
    assert (renders[0] - renders[1]).abs().max() > 0.1


@pytest.mark.parametrize("render_mode, channels", [("RGB", 3), ("D", 1), ("RGB+ED", 4)])
def test_what_comes_out_is_of_the_type_that_went_in(rasterizer, render_mode, channels):
    scene = as_dtype(make_scene(5, 12, 7, cameras=2), rasterizer.dtype, rasterizer.device)
    renders, alphas, *_ = rasterizer.function(**scene, render_mode=render_mode)
    assert renders.shape == (2, 7, 12, channels) and alphas.shape == (2, 7, 12, 1)
    for picture in (renders, alphas):
        assert picture.dtype == rasterizer.dtype and picture.device.type == rasterizer.device


def test_sh_degree_zero_ignores_the_other_coefficients(rasterizer):
    scene = make_scene(sh_degree=0)
    renders, _, gradients = rasterizer.backward(scene)
    scene["colors"][:, 1:] = nan
    torch.testing.assert_close(rasterizer.draw(scene)[0], renders)
    assert gradients["colors"][:, 0].any()
    assert not gradients["colors"][:, 1:].any()


def test_nothing_from_behind_the_camera_or_beyond_the_planes(rasterizer):
    scene = make_scene(90, seed=7) | {"near_plane": 2.5, "far_plane": 3.5, "render_mode": "RGB+D"}
    scene["means"][::3, 2] *= -1
    renders, _, gradients = rasterizer.backward(scene)
    drawn = (scene["means"][:, 2] >= 2.5) & (scene["means"][:, 2] <= 3.5)
    assert 0 < drawn.sum() < 60
    torch.testing.assert_close(renders, rasterizer.draw(only(scene, drawn))[0])
    assert not any(gradients[name][~drawn].any() for name in PARAMETERS)


# Poisonous inputs


def only(scene: dict, chosen: Tensor) -> dict:
    return scene | {name: scene[name][chosen] for name in PARAMETERS}


def poison(tensor: Tensor, bad: float) -> Tensor:
    """Every seventh Gaussian gets bad numbers: by turns throughout, and, if it is not small, in one number alone."""
    tensor = tensor.clone()
    for turn, i in enumerate(range(0, len(tensor), 7)):
        numbers = tensor[i].view(-1)
        if turn % 2 and not abs(bad) < 1:
            numbers[turn % len(numbers)] = bad
        else:
            numbers[:] = bad
    return tensor


def assert_finite(*tensors: Tensor) -> None:
    assert all(tensor.isfinite().all() for tensor in tensors)


NOT_DRAWN = [(name, bad) for name in PARAMETERS for bad in (nan, inf, -inf, 1e30, -1e30)]
NOT_DRAWN += [
    ("quats", 0.0),
    ("quats", 1e-12),
    ("quats", 1e12),
    ("means", 0.0),
    ("opacities", 0.0),
    ("opacities", -1.0),
]


@pytest.mark.parametrize("sh_degree", [None, 1])
@pytest.mark.parametrize(("name", "bad"), NOT_DRAWN)
def test_a_bad_gaussian_is_not_drawn_and_the_others_are_as_without_it(rasterizer, name, bad, sh_degree):
    scene = make_scene(60, sh_degree=sh_degree, seed=9)
    scene |= {"render_mode": "RGB+ED", "backgrounds": torch.rand(1, 3), name: poison(scene[name], bad)}
    good = torch.arange(60) % 7 != 0
    renders, alphas, gradients = rasterizer.backward(scene)
    without = rasterizer.backward(only(scene, good))
    torch.testing.assert_close((renders, alphas), without[:2])
    for key in PARAMETERS:
        assert not gradients[key][~good].any(), key
        torch.testing.assert_close(gradients[key][good], without[2][key], rtol=rasterizer.again, atol=rasterizer.again)


ODD = [("scales", bad) for bad in (0.0, 1e-30, -0.1, 1e4, 1e7)] + [("means", bad) for bad in (1e-30, 1e9, -1e9)]
ODD += [("quats", bad) for bad in (1e9, -1e9, 1e-9)] + [("opacities", bad) for bad in (1e-30, 1.0, 1e9)]
ODD += [("colors", bad) for bad in (0.0, 1e9, -1e9)]


@pytest.mark.parametrize("sh_degree", [None, 1])
@pytest.mark.parametrize(("name", "odd"), ODD)
def test_an_odd_gaussian_gives_finite_numbers(rasterizer, name, odd, sh_degree):
    scene = make_scene(60, sh_degree=sh_degree, seed=9)
    scene |= {"render_mode": "RGB+ED", name: poison(scene[name], odd)}
    renders, alphas, gradients = rasterizer.backward(scene)
    assert_finite(renders, alphas, *gradients.values())
    assert alphas.min() >= 0 and alphas.max() <= 1 and alphas.any()


@pytest.mark.parametrize("length", [1e-9, 1e9])
def test_quaternions_of_any_length_turn_alike(rasterizer, length):
    scene = make_scene(60)
    expected = rasterizer.draw(scene)
    torch.testing.assert_close(
        rasterizer.draw(scene | {"quats": length * scene["quats"]}), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("scale", [0.0, 1e-25, 1e-12])
def test_a_point_without_blur_gives_finite_numbers(rasterizer, scale):
    scene = make_scene(60) | {"eps2d": 0.0}
    scene["scales"][::7] = scale
    renders, alphas, gradients = rasterizer.backward(scene)
    assert_finite(renders, alphas, *gradients.values())


@pytest.mark.parametrize("size", [(1, 1), (40, 33)])
@pytest.mark.parametrize("seed", range(8))
def test_any_mixture_of_bad_numbers_gives_finite_ones(rasterizer, seed, size):
    rng = np.random.default_rng(seed)
    scene = make_scene(200, *size, sh_degree=seed % 2, seed=seed) | {"render_mode": "RGB+ED"}
    for name in PARAMETERS:
        numbers = scene[name].view(-1)
        hit = rng.random(len(numbers)) < 0.05
        bad = rng.choice([nan, inf, -inf, 0, 1e30, -1e30, 1e-30, 1e7, -1], hit.sum())
        numbers[torch.tensor(hit)] = torch.tensor(bad, dtype=torch.float32)
    renders, alphas, gradients = rasterizer.backward(scene)
    assert_finite(renders, alphas, *gradients.values())
    assert alphas.min() >= 0 and alphas.max() <= 1 and alphas.any()


def spoil_camera(scene: dict, name: str, bad: float, last: bool) -> dict:
    """The second of two cameras: one number of it, the last that counts, or all."""
    spoilt = scene[name].clone()
    if last:
        spoilt[1].view(-1)[{"viewmats": 11, "Ks": 5, "backgrounds": 2}[name]] = bad
    else:
        spoilt[1] = bad
    return scene | {name: spoilt}


@pytest.mark.parametrize("last", [True, False], ids=["one number", "all numbers"])
@pytest.mark.parametrize("bad", [nan, inf, -inf])
@pytest.mark.parametrize("name", ["viewmats", "Ks", "backgrounds"])
def test_a_camera_that_is_not_finite_is_an_error_that_names_it(rasterizer, name, bad, last):
    if rasterizer is GSPLAT:
        pytest.skip("to look at the cameras would be to wait for the GPU")
    scene = make_scene(30, cameras=2) | {"backgrounds": torch.rand(2, 3)}
    with pytest.raises(ValueError, match=rf"^{name}: expected finite numbers, found .* for camera 1$"):
        rasterizer.draw(spoil_camera(scene, name, bad, last))


@pytest.mark.parametrize("focal", [0.0, -20.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_focal_length_that_is_not_positive_is_an_error(rasterizer, axis, focal):
    if rasterizer is GSPLAT:
        pytest.skip("to look at the cameras would be to wait for the GPU")
    scene = make_scene(30)
    scene["Ks"][0, axis, axis] = focal
    with pytest.raises(ValueError, match=r"^Ks: expected focal lengths above 0, found .* for camera 0$"):
        rasterizer.draw(scene)


@pytest.mark.parametrize("sh_degree", [None, 1])
@pytest.mark.parametrize(
    ("name", "odd"),
    [(name, odd) for name in ("viewmats", "Ks", "backgrounds") for odd in (1e-30, 1e30)]
    + [("viewmats", 0.0), ("viewmats", -1e30), ("backgrounds", -1e30)],
)
def test_an_odd_camera_gives_finite_numbers(rasterizer, name, odd, sh_degree):
    if rasterizer is GSPLAT and name == "viewmats":
        pytest.skip("gsplat inverts the camera, and has no inverse to take")
    if rasterizer is GSPLAT and (name, odd) == ("Ks", 1e30):
        pytest.skip("the squares of gsplat's projection overflow")
    scene = make_scene(30, cameras=2, sh_degree=sh_degree) | {"backgrounds": torch.rand(2, 3)}
    renders, alphas, gradients = rasterizer.backward(spoil_camera(scene, name, odd, last=False))
    assert_finite(renders, alphas, *gradients.values())
    torch.testing.assert_close(renders[0], rasterizer.draw(scene)[0][0])


@pytest.mark.parametrize("side", [0, -1, 9.5, nan, inf, "9", 2**14 + 1, 10**12])
@pytest.mark.parametrize("name", ["width", "height"])
def test_a_side_that_is_no_number_of_pixels_is_an_error(rasterizer, name, side):
    with pytest.raises(ValueError, match=r"^width and height: expected whole numbers of at least 1 .*, found .* x "):
        rasterizer.draw(make_scene(5) | {name: side})


def test_gaussians_too_large_for_the_memory_are_an_error_that_names_scales(monkeypatch):
    monkeypatch.setattr(cpu, "MOST_ENTRIES", 100 * 9)
    scene = wall([2.0] * 100, [[1.0, 1, 1]] * 100, [0.5] * 100, (48, 48))
    KERNELS.draw(scene)
    with pytest.raises(
        UserError, match=r"^scales: expected .* at most 900 tiles .*, found 101 that cover 909 \(it has 9\)"
    ):
        KERNELS.draw(wall([2.0] * 101, [[1.0, 1, 1]] * 101, [0.5] * 101, (48, 48)))


@pytest.mark.parametrize("bad", [nan, -1.0])
@pytest.mark.parametrize("name", ["near_plane", "far_plane", "radius_clip", "eps2d"])
def test_limits_of_the_kernels_that_are_no_limits_are_errors(name, bad):
    with pytest.raises(ValueError, match=f"^{name}: expected at least 0, found {bad}"):
        KERNELS.draw(make_scene(5) | {name: bad})
