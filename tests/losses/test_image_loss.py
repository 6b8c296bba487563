"""L1 + SSIM against torchmetrics, float64 autograd, finite differences and closed forms."""

import pytest
import torch
from kernel_code import share_of_packed
from torchmetrics.functional.image import structural_similarity_index_measure

from pipeline.losses import ssim_kernels
from pipeline.losses.image import Target, photometric
from pipeline.runtime import threads


@pytest.fixture(autouse=True)
def default_threads():
    yield
    threads.set_threads(None)


def images(height, width, noise=0.2, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(height, width, 3, generator=generator)
    target[height // 2 :] *= 0.1  # a dark half and a flat patch: small variances
    target[: height // 4, : width // 4] = 0.5
    rendered = (target + noise * torch.randn(target.shape, generator=generator)).clamp(0, 1)
    return rendered.to(dtype), target.to(dtype)


def value_and_gradient(rendered, target, ssim_weight):
    rendered = rendered.clone().requires_grad_()
    loss = photometric(rendered, target, ssim_weight)
    loss.backward()
    return loss.item(), rendered.grad


def torchmetrics_loss(rendered, target, ssim_weight):
    """torchmetrics reflects images at their borders: leave out windows that reach over them."""
    channels_first = (image.double().permute(2, 0, 1)[None] for image in (rendered, target))
    _, similarity = structural_similarity_index_measure(*channels_first, data_range=1.0, return_full_image=True)
    ssim = similarity[..., 5:-5, 5:-5].mean()
    return ((rendered - target).abs().mean() + ssim_weight * (1 - ssim)).item()


# Square, smallest, wider than a strip of the kernels (320 pixels), and just as wide as one and two.
SIZES = [(40, 40), (11, 11), (30, 700), (12, 330), (13, 331), (60, 23), (15, 650)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ssim_weight", [0.0, 0.2, 1.0])
def test_value_is_that_of_torchmetrics(size, ssim_weight):
    rendered, target = images(*size)
    expected = torchmetrics_loss(rendered, target, ssim_weight)
    assert photometric(rendered, target, ssim_weight).item() == pytest.approx(expected, abs=2e-6)
    assert photometric(rendered.double(), target.double(), ssim_weight).item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("size", SIZES)
def test_gradient_is_that_of_autograd_in_float64(size):
    rendered, target = images(*size)
    value, gradient = value_and_gradient(rendered, target, 0.3)
    expected_value, expected = value_and_gradient(rendered.double(), target.double(), 0.3)
    assert value == pytest.approx(expected_value, abs=1e-6)
    assert (gradient - expected).norm() <= 1e-5 * expected.norm()
    assert (gradient - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_gradient_matches_finite_differences_of_torchmetrics():
    rendered, target = images(24, 19, dtype=torch.float64)
    _, gradient = value_and_gradient(rendered.float(), target.float(), 0.5)
    for seed in range(3):
        direction = torch.randn(rendered.shape, generator=torch.Generator().manual_seed(seed)).double()
        step = 1e-7 * direction
        up, down = (torchmetrics_loss(image, target, 0.5) for image in (rendered + step, rendered - step))
        assert (up - down) / 2e-7 == pytest.approx(
            (gradient * direction).sum().item(), abs=1e-4 * gradient.norm().item()
        )


def test_equal_images_cost_nothing_and_pull_nowhere():
    image, _ = images(30, 30)
    value, gradient = value_and_gradient(image, image.clone(), 0.2)
    assert value == pytest.approx(0, abs=1e-6)
    assert gradient.abs().max() < 1e-6


def test_flat_images_have_a_closed_form():
    rendered, target = torch.full((20, 20, 3), 0.4), torch.full((20, 20, 3), 0.6)
    ssim = (2 * 0.4 * 0.6 + 1e-4) / (0.4**2 + 0.6**2 + 1e-4)
    # variances are differences of squares in float32
    assert photometric(rendered, target, 0.5).item() == pytest.approx(0.2 + 0.5 * (1 - ssim), abs=5e-5)


def test_target_is_reused_for_any_number_of_steps_and_sizes():
    for size in [(20, 30), (33, 17), (20, 30)]:
        rendered, image = images(*size)
        target = Target.of(image)
        for ssim_weight in (0.1, 0.7):
            expected = photometric(rendered, image, ssim_weight)
            assert torch.equal(photometric(rendered, target, ssim_weight), expected)


def test_crop_of_a_render_gets_its_gradient_in_place():
    rendered, target = images(40, 40)
    whole = torch.zeros(1, 60, 70, 4)
    whole[0, 7:47, 11:51, :3] = rendered
    whole.requires_grad_()
    photometric(whole[0, 7:47, 11:51, :3], target, 0.2).backward()
    _, expected = value_and_gradient(rendered, target, 0.2)
    torch.testing.assert_close(whole.grad[0, 7:47, 11:51, :3], expected)
    assert whole.grad.count_nonzero() == expected.count_nonzero()


def test_results_do_not_depend_on_the_number_of_threads():
    rendered, target = images(50, 400)
    results = []
    for count in (1, 2, 3):
        threads.set_threads(count)
        results.append(value_and_gradient(rendered, Target.of(target), 0.2))
    assert all(value == results[0][0] and torch.equal(gradient, results[0][1]) for value, gradient in results)


@pytest.mark.parametrize(
    ("rendered", "target", "message"),
    [
        ((20, 20, 4), (20, 20, 4), r"target: expected .* found \(20, 20, 4\)"),
        ((20, 10, 3), (20, 20, 3), r"rendered: expected .* found \(20, 10, 3\)"),
        ((20, 20, 3), (20, 21, 3), r"rendered: expected the target's shape \(20, 21, 3\), found \(20, 20, 3\)"),
        ((1, 20, 20, 3), (20, 20, 3), r"rendered: expected .* found \(1, 20, 20, 3\)"),
    ],
)
def test_wrong_shapes_are_named(rendered, target, message):
    with pytest.raises(ValueError, match=message):
        photometric(torch.zeros(rendered), torch.zeros(target), 0.2)


@pytest.mark.parametrize("kernel", [ssim_kernels.window_statistics, ssim_kernels.similarity, ssim_kernels.gradient])
def test_kernels_are_vectorised(kernel):
    """Lost vectorisation costs a factor of four and no error."""
    rendered, image = images(20, 30)
    value_and_gradient(rendered, Target.of(image), 0.2)
    assert share_of_packed(kernel) > 0.25


@pytest.mark.parametrize("count", [1, 3])
def test_map_parallel_keeps_the_order_and_gives_each_task_one_thread(count):
    threads.set_threads(count)
    results = threads.map_parallel(lambda item: (item * item, threads.get_threads()), range(20))
    assert list(results) == [(item * item, 1) for item in range(20)]
    assert threads.get_threads() == count


def test_map_parallel_passes_errors_on():
    threads.set_threads(2)
    results = threads.map_parallel(lambda item: 1 // (3 - item), range(20))
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
