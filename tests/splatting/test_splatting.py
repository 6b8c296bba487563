"""What only the CPU rasterizer has: threads, `meta`, machine code; and the choice between it and gsplat.

Pictures and gradients: see test_rasterizers.py.
"""

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
from splat_scenes import PARAMETERS, as_dtype, backward, make_scene

from pipeline.runtime import jit, threads
from pipeline.runtime.errors import UserError
from pipeline.splatting import compositing, rasterization, reference


@pytest.fixture(autouse=True)
def default_threads():
    yield
    threads.set_threads(None)


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


def test_meta_of_one_round_gaussian_is_what_the_formula_says():
    scene = make_scene(1, 31, 21)
    scene |= {
        "means": torch.tensor([[0.0, 0, 2]]),
        "scales": torch.full((1, 3), 0.1),
        "opacities": torch.tensor([0.7]),
        "Ks": torch.tensor([[[40.0, 0, 15.5], [0, 40, 10.5], [0, 0, 1]]]),
    }
    *_, meta = rasterization(**scene)
    variance = (40 * 0.1 / 2) ** 2 + 0.3
    assert meta["means2d"].tolist() == [[[15.5, 10.5]]]
    assert meta["depths"].tolist() == [[2]]
    torch.testing.assert_close(meta["conics"], torch.tensor([[[1 / variance, 0, 1 / variance]]]))
    assert meta["radii"].tolist() == [[[np.ceil(np.sqrt(2 * np.log(0.7 * 255) * variance))] * 2]]


def test_radius_clip_leaves_out_small_ones():
    scene = make_scene(90, seed=8)
    *_, meta = rasterization(**scene)
    clip = int(meta["radii"].max(-1).values.median())
    small = (meta["radii"][0] <= clip).all(-1)
    kept = scene | {name: scene[name][~small] for name in PARAMETERS}
    torch.testing.assert_close(rasterization(**scene, radius_clip=clip)[0], rasterization(**kept)[0])


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


class CudaTensor(torch.Tensor):
    """Says that it is on a GPU."""

    is_cuda = True


@pytest.fixture
def cuda_scene(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    scene = make_scene()
    return scene | {"means": scene["means"].as_subclass(CudaTensor)}


@pytest.fixture
def calls(monkeypatch):
    """What gsplat is called with."""
    calls = []
    fake = types.ModuleType("gsplat")
    fake.rasterization = lambda *args, **kwargs: calls.append((args, kwargs)) or "rendered"
    monkeypatch.setitem(sys.modules, "gsplat", fake)
    return calls


def test_gpu_tensors_go_to_gsplat_as_they_are(cuda_scene, calls):
    assert rasterization(**cuda_scene, absgrad=True) == "rendered"
    ((args, kwargs),) = calls
    assert args[0] is cuda_scene["means"]
    assert torch.equal(args[3], cuda_scene["opacities"])
    assert kwargs["absgrad"] is True
    assert kwargs["packed"] is False  # so that meta has the same layout as ours


@pytest.mark.parametrize("name", PARAMETERS)
def test_gsplat_gets_no_opacity_of_what_has_bad_numbers(cuda_scene, calls, name):
    cuda_scene[name][::7] = torch.nan
    cuda_scene["opacities"].requires_grad_()
    rasterization(**cuda_scene)
    drawn = calls[0][0][3]
    drawn.sum().backward()
    bad = torch.arange(150) % 7 == 0
    assert not drawn[bad].any() and (drawn[~bad] == cuda_scene["opacities"][~bad]).all()
    assert torch.equal(cuda_scene["opacities"].grad, (~bad).float())


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
