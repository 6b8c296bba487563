"""The CPU rasterizer against a dense float64 reference, finite differences and closed forms."""

import multiprocessing
import os
import sys
import threading
import types
from collections import Counter

import numpy as np
import pytest
import torch
from kernel_code import share_of_packed

from pipeline.runtime import jit, threads
from pipeline.runtime.errors import UserError
from pipeline.splatting import compositing, rasterization, reference

PARAMETERS = ("means", "quats", "scales", "opacities", "colors")


@pytest.fixture(autouse=True)
def default_threads():
    yield
    threads.set_threads(None)


def make_scene(count=150, width=40, height=33, cameras=1, sh_degree=None, seed=0):
    """Gaussians in a box in front of cameras that stand side by side; some are large, some nearly opaque."""
    rng = np.random.default_rng(seed)
    viewmats = np.tile(np.eye(4), (cameras, 1, 1))
    for c in range(cameras):
        angle = 0.3 * c
        viewmats[c, :3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        viewmats[c, :3, 3] = [0.1 * c, -0.05 * c, 0.2 * c]
    K = np.array([[1.2 * width, 0, 0.52 * width], [0, 1.3 * width, 0.47 * height], [0, 0, 1]])
    scene = {
        "means": rng.uniform([-1.2, -1, 2], [1.2, 1, 4], (count, 3)),
        "quats": rng.normal(size=(count, 4)),
        "scales": np.exp(rng.uniform(np.log(0.01), np.log(0.3), (count, 3))),
        "opacities": rng.uniform(0.02, 0.9995, count),
        "colors": rng.uniform(0, 1, (count, 3)) if sh_degree is None else rng.normal(size=(count, 4, 3)) * 0.5,
        "viewmats": viewmats,
        "Ks": np.tile(K, (cameras, 1, 1)),
    }
    tensors = {name: torch.tensor(value, dtype=torch.float32) for name, value in scene.items()}
    return {**tensors, "width": width, "height": height, "sh_degree": sh_degree}


def as_dtype(scene, dtype):
    return {name: value.detach().to(dtype) if torch.is_tensor(value) else value for name, value in scene.items()}


def backward(function, scene, dtype, *, seed=1):
    """Renders, alphas, and gradients of a random linear function of them by all that takes gradients."""
    scene = as_dtype(scene, dtype)
    inputs = [name for name in (*PARAMETERS, "backgrounds") if name in scene]
    for name in inputs:
        scene[name].requires_grad_()
    renders, alphas, *_ = function(**scene)
    generator = torch.Generator().manual_seed(seed)
    loss = sum((x * torch.randn(x.shape, generator=generator).to(dtype)).sum() for x in (renders, alphas))
    loss.backward()
    gradients = {
        name: torch.zeros_like(scene[name]) if scene[name].grad is None else scene[name].grad for name in inputs
    }
    return renders.detach(), alphas.detach(), gradients


def assert_same_gradient(name, found, expected, relative=2e-4):
    found = found.double()
    if not expected.any():
        assert not found.any(), name
        return
    assert (found - expected).norm() <= relative * expected.norm(), name
    cosine = (found * expected).sum() / (found.norm() * expected.norm())
    assert cosine >= 1 - 1e-7, name


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
def test_values_and_gradients_match_the_reference(render_mode, sh_degree, cameras, with_background):
    scene = make_scene(cameras=cameras, sh_degree=sh_degree) | {"render_mode": render_mode}
    if with_background:
        scene["backgrounds"] = torch.rand(cameras, 3, generator=torch.Generator().manual_seed(2))
    renders, alphas, gradients = backward(rasterization, scene, torch.float32)
    expected_renders, expected_alphas, expected_gradients = backward(reference.rasterization, scene, torch.float64)
    torch.testing.assert_close(renders.double(), expected_renders, atol=5e-5, rtol=0)
    torch.testing.assert_close(alphas.double(), expected_alphas, atol=2e-6, rtol=0)
    for name, expected in expected_gradients.items():
        assert_same_gradient(name, gradients[name], expected)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 17), (64, 16), (50, 70)])
def test_image_sizes_that_do_not_fill_tiles(width, height):
    scene = make_scene(60, width, height, seed=3) | {"render_mode": "RGB+D"}
    renders, _, gradients = backward(rasterization, scene, torch.float32)
    expected, _, expected_gradients = backward(reference.rasterization, scene, torch.float64)
    torch.testing.assert_close(renders.double(), expected, atol=5e-5, rtol=0)
    for name in PARAMETERS:
        assert_same_gradient(name, gradients[name], expected_gradients[name], relative=1e-3)


def test_many_gaussians_on_a_tile_until_it_is_opaque():
    scene = make_scene(700, 32, 24, seed=4) | {"render_mode": "RGB+ED"}
    scene["scales"] *= 2
    renders, _, gradients = backward(rasterization, scene, torch.float32)
    expected, expected_alphas, expected_gradients = backward(reference.rasterization, scene, torch.float64)
    assert (expected_alphas > 0.999).double().mean() > 0.8
    # the Gaussian that closes a pixel can differ where rounding decides: nearly all pixels, and the gradient as a whole
    assert ((renders - expected).abs().amax(-1) < 1e-4).double().mean() > 0.99
    for name in PARAMETERS:
        assert_same_gradient(name, gradients[name], expected_gradients[name], relative=1e-2)


@pytest.mark.parametrize("name", [*PARAMETERS, "backgrounds"])
def test_gradients_match_finite_differences_in_float64(name):
    scene = make_scene(80, 24, 24, sh_degree=1, seed=5)
    scene |= {"render_mode": "RGB+ED", "backgrounds": torch.rand(1, 3)}
    _, _, gradients = backward(rasterization, scene, torch.float32)
    exact = as_dtype(scene, torch.float64)
    generator = torch.Generator().manual_seed(1)
    renders, alphas = reference.rasterization(**exact)
    weights = [torch.randn(x.shape, generator=generator).double() for x in (renders, alphas)]

    def loss(value):
        return sum((x * w).sum() for x, w in zip(reference.rasterization(**exact | {name: value}), weights))

    for seed in range(4):
        direction = torch.randn(exact[name].shape, generator=torch.Generator().manual_seed(seed)).double()
        step = 1e-7 * direction
        slope = (loss(exact[name] + step) - loss(exact[name] - step)) / 2e-7
        scale = gradients[name].double().norm()  # of a slope along a random direction
        assert abs(slope - (gradients[name] * direction).sum()) <= 1e-3 * scale


def test_one_round_gaussian_is_what_the_formula_says():
    width, height, focal, depth, sigma, opacity = 31, 21, 40.0, 2.0, 0.1, 0.7
    scene = {
        "means": torch.tensor([[0.0, 0, depth]]),
        "quats": torch.tensor([[2.0, 0, 0, 0]]),
        "scales": torch.full((1, 3), sigma),
        "opacities": torch.tensor([opacity]),
        "colors": torch.tensor([[0.2, 0.5, 0.9]]),
        "viewmats": torch.eye(4)[None],
        "Ks": torch.tensor([[[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]]),
        "width": width,
        "height": height,
    }
    renders, alphas, meta = rasterization(**scene, render_mode="RGB+ED", backgrounds=torch.ones(1, 3))
    variance = (focal * sigma / depth) ** 2 + 0.3
    y, x = np.mgrid[:height, :width]
    expected = opacity * np.exp(-((x - width // 2) ** 2 + (y - height // 2) ** 2) / (2 * variance))
    expected[expected < 1 / 255] = 0
    np.testing.assert_allclose(alphas[0, ..., 0], expected, atol=1e-6)
    np.testing.assert_allclose(renders[0, ..., 1], expected * 0.5 + 1 - expected, atol=1e-6)
    np.testing.assert_allclose(renders[0, ..., 3], depth * (expected > 0), atol=1e-5)
    assert meta["means2d"].tolist() == [[[width / 2, height / 2]]]
    assert meta["depths"].tolist() == [[depth]]
    reach = np.sqrt(2 * np.log(opacity * 255) * variance)
    assert meta["radii"].tolist() == [[[np.ceil(reach)] * 2]]


def test_background_gradient_is_the_light_that_passes():
    scene = make_scene(cameras=2) | {"backgrounds": torch.rand(2, 3).requires_grad_(), "render_mode": "RGB+D"}
    renders, alphas, _ = rasterization(**scene)
    renders[..., :3].sum().backward()
    expected = (1 - alphas).sum((1, 2)).expand(2, 3)
    torch.testing.assert_close(scene["backgrounds"].grad, expected, rtol=1e-5, atol=0)


def test_means2d_keep_the_gradient_in_pixels():
    scene = make_scene(60, 24, 24, seed=6)
    scene["means"] *= torch.tensor(
        [0.6, 0.6, 1]
    )  # in the image: there the projection's clamp does not follow cx and cy
    scene["means"].requires_grad_()
    renders, _, meta = rasterization(**scene)
    meta["means2d"].retain_grad()
    weights = torch.rand(renders.shape)
    (renders * weights).sum().backward()
    # moving the principal point moves all of them
    exact = as_dtype(scene, torch.float64)
    exact["Ks"].requires_grad_()
    (reference.rasterization(**exact)[0] * weights).sum().backward()
    found, expected = meta["means2d"].grad.sum((0, 1)).double(), exact["Ks"].grad[0, :2, 2]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert meta["means2d"].shape == (1, 60, 2)
    assert meta["radii"].shape == (1, 60, 2)


def test_sh_degree_zero_ignores_the_other_coefficients():
    scene = make_scene(sh_degree=0)
    renders, _, gradients = backward(rasterization, scene, torch.float32)
    scene["colors"] = scene["colors"].clone()
    scene["colors"][:, 1:] = 7
    torch.testing.assert_close(rasterization(**scene)[0], renders)
    assert gradients["colors"][:, 0].any()
    assert not gradients["colors"][:, 1:].any()


def test_nothing_from_behind_the_camera_or_beyond_the_planes():
    scene = make_scene(90, seed=7) | {"near_plane": 2.5, "far_plane": 3.5, "render_mode": "RGB+D"}
    scene["means"][::3, 2] *= -1
    renders, _, gradients = backward(rasterization, scene, torch.float32)
    drawn = (scene["means"][:, 2] >= 2.5) & (scene["means"][:, 2] <= 3.5)
    assert 0 < drawn.sum() < 60
    kept = scene | {name: scene[name][drawn] for name in PARAMETERS}
    torch.testing.assert_close(renders, rasterization(**kept)[0])
    assert not any(gradients[name][~drawn].any() for name in PARAMETERS)


def test_radius_clip_leaves_out_small_ones():
    scene = make_scene(90, seed=8)
    *_, meta = rasterization(**scene)
    clip = int(meta["radii"].max(-1).values.median())
    small = (meta["radii"][0] <= clip).all(-1)
    kept = scene | {name: scene[name][~small] for name in PARAMETERS}
    torch.testing.assert_close(rasterization(**scene, radius_clip=clip)[0], rasterization(**kept)[0])


@pytest.mark.parametrize("case", ["no Gaussians", "all out of view"])
def test_empty_view_shows_the_background(case):
    scene = make_scene(0 if case == "no Gaussians" else 20) | {"render_mode": "RGB+ED"}
    scene["means"] = scene["means"] + 1000
    scene["backgrounds"] = torch.tensor([[0.1, 0.2, 0.3]])
    renders, alphas, gradients = backward(rasterization, scene, torch.float32)
    assert not alphas.any()
    assert (renders == torch.tensor([0.1, 0.2, 0.3, 0])).all()
    assert not any(gradients[name].any() for name in PARAMETERS)


BAD_NUMBERS = [(name, bad) for name in ("means", "quats", "scales") for bad in (np.nan, np.inf, -np.inf)]


@pytest.mark.parametrize(("name", "bad"), [*BAD_NUMBERS, ("opacities", np.nan), ("opacities", -np.inf)])
def test_bad_numbers_are_not_drawn(name, bad):
    scene = make_scene(60, seed=9) | {"render_mode": "RGB+ED"}
    scene[name][::7] = bad
    good = torch.arange(60) % 7 != 0
    renders, _, gradients = backward(rasterization, scene, torch.float32)
    kept = scene | {key: scene[key][good] for key in PARAMETERS}
    torch.testing.assert_close(renders, rasterization(**kept)[0])
    assert all(gradients[key].isfinite().all() for key in PARAMETERS)
    assert not any(gradients[key][~good].any() for key in PARAMETERS)


@pytest.mark.parametrize("sh_degree", [None, 1])
def test_results_do_not_depend_on_the_number_of_threads(sh_degree):
    scene = make_scene(400, 70, 50, cameras=2, sh_degree=sh_degree) | {"render_mode": "RGB+ED"}
    results = []
    for count in (1, 2, 3):
        threads.set_threads(count)
        renders, alphas, gradients = backward(rasterization, scene, torch.float32)
        results.append([renders, alphas, *gradients.values()])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_works_in_a_forked_child():
    threads.set_threads(2)
    scene = make_scene()
    expected = rasterization(**scene)[0]

    def child():
        os._exit(0 if torch.equal(rasterization(**scene)[0], expected) else 3)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(30)
    if process.exitcode is None:
        process.kill()
    assert process.exitcode == 0


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(32)), raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    assert threads.get_threads() == 32
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    assert threads.get_threads() == 6
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert threads.get_threads() == 1
    threads.set_threads(5)
    assert threads.get_threads() == 5
    with pytest.raises(ValueError, match="at least 1"):
        threads.set_threads(0)


def test_work_from_within_and_from_other_threads_is_done_once():
    threads.set_threads(3)
    done, failed = [], []

    def within(worker, workers):
        threads.run_parallel(lambda *share: done.append((worker, *share)))

    def many():
        try:
            for _ in range(50):
                threads.run_parallel(within)
        except BaseException as error:
            failed.append(error)

    callers = [threading.Thread(target=many) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert not failed and not any(caller.is_alive() for caller in callers)
    assert Counter(done) == {(a, b, 3): 150 for a in range(3) for b in range(3)}


def test_little_work_is_done_by_the_caller_alone(monkeypatch):
    monkeypatch.setattr(threads, "WORTH_SHARING", 100.0)
    threads.set_threads(2)
    for microseconds, shares in ((99.0, {(0, 1)}), (100.0, {(0, 2), (1, 2)})):
        done = set()
        threads.run_parallel(lambda *share, done=done: done.add(share), microseconds)
        assert done == shares


def test_an_error_in_a_thread_reaches_the_caller():
    def work(worker, workers):
        if worker == 1:
            raise RuntimeError("in a thread")

    threads.set_threads(2)
    with pytest.raises(RuntimeError, match="in a thread"):
        threads.run_parallel(work)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_shares_cover_each_item_once(count, workers):
    shares = [threads.split(count, worker, workers) for worker in range(workers)]
    assert [i for start, end in shares for i in range(start, end)] == list(range(count))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"render_mode": "RGBD"}, "render_mode: expected one of RGB, D, ED, .* found 'RGBD'"),
        ({"sh_degree": 2}, "sh_degree: .* found 2"),
        ({"absgrad": True}, "absgrad: the CPU rasterizer has only False, found True"),
        ({"rasterize_mode": "antialiased"}, "rasterize_mode: .* found 'antialiased'"),
        ({"packed": True}, "packed: "),
        ({"covars": torch.zeros(150, 6)}, "covars: "),
        ({"colour": 1}, "colour: not an argument"),
        ({"near_plane": -1.0}, "near_plane: expected at least 0"),
        ({"width": 0}, "width and height: .* found 0 x 33"),
        ({"means": torch.zeros(150, 2)}, r"means: expected the shape \(150, 3\), found \(150, 2\)"),
        ({"opacities": torch.zeros(150, 1)}, r"opacities: expected the shape \(150,\), found \(150, 1\)"),
        ({"colors": torch.zeros(150, 4)}, r"colors: expected the shape \(150, 3\), found \(150, 4\)"),
        ({"colors": torch.zeros(150, 3, 3), "sh_degree": 1}, r"colors: expected the shape \(150, 4 or more, 3\)"),
        ({"backgrounds": torch.zeros(2, 3)}, r"backgrounds: expected the shape \(1, 3\), found \(2, 3\)"),
        ({"scales": torch.zeros(150, 3).double()}, "scales: expected float32 on the CPU, found torch.float64 on cpu"),
        ({"viewmats": torch.eye(4)[None].requires_grad_()}, "no gradients for cameras"),
    ],
)
def test_what_is_not_supported_is_said(change, message):
    with pytest.raises(ValueError, match=message):
        rasterization(**make_scene() | change)


class FakeCudaTensor:
    is_cuda = True


@pytest.fixture
def cuda_scene(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return make_scene() | {"means": FakeCudaTensor()}


def test_gpu_tensors_go_to_gsplat_as_they_are(cuda_scene, monkeypatch):
    calls = []
    fake = types.ModuleType("gsplat")
    fake.rasterization = lambda *args, **kwargs: calls.append((args, kwargs)) or "rendered"
    monkeypatch.setitem(sys.modules, "gsplat", fake)
    assert rasterization(**cuda_scene, absgrad=True) == "rendered"
    ((args, kwargs),) = calls
    assert args[0] is cuda_scene["means"]
    assert kwargs["absgrad"] is True
    assert kwargs["packed"] is False  # so that meta has the same layout as ours


def test_missing_gsplat_says_what_to_install(cuda_scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(UserError, match=r"pip install gsplat==1\.5\.3"):
        rasterization(**cuda_scene)


def test_gsplat_is_not_imported_without_cuda(cuda_scene, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(UserError, match="cannot use"):
        rasterization(**cuda_scene)


def test_an_install_that_cannot_be_written_is_no_error(monkeypatch, tmp_path, caplog):
    class Dispatcher:
        def __init__(self, works_with):
            self.works_with, self.cached = works_with, False

        def enable_caching(self):
            if jit.numba.config.CACHE_DIR not in self.works_with:
                raise RuntimeError("cannot cache function: no locator available")
            self.cached = True

    monkeypatch.setattr(jit.numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(jit.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = tmp_path / f"numba-{os.getuid()}"
    dispatcher = Dispatcher([str(folder)])
    jit._enable_cache(dispatcher)
    assert dispatcher.cached
    # a folder in which another user could put code is not used
    folder.chmod(0o777)
    monkeypatch.setattr(jit.numba.config, "CACHE_DIR", "")
    dispatcher = Dispatcher([str(folder)])
    jit._enable_cache(dispatcher)
    assert not dispatcher.cached
    assert "NUMBA_CACHE_DIR" in caplog.text


@pytest.mark.parametrize("kernel", [compositing.composite_forward, compositing.composite_backward])
def test_kernels_are_vectorised(kernel):
    """Lost vectorisation costs a factor of five and no error."""
    backward(rasterization, make_scene(50, 32, 32) | {"render_mode": "RGB+ED"}, torch.float32)
    assert share_of_packed(kernel) > 0.25
