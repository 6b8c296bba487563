"""The benchmarks: that they compare like with like, and that they run."""

import json
import time

import numpy as np
import pytest
import torch

from benchmarks import __main__ as benchmarks
from benchmarks import launches, rasterizers, scale, stages, targets, tiled, timing
from benchmarks.clips import make_clip, settings
from benchmarks.convergence import Curve, describe, plot, read
from benchmarks.floor import Machine, floor_seconds
from benchmarks.gpu import PlainLoop
from benchmarks.residual import explained
from benchmarks.rows import Row
from benchmarks.scene import person
from benchmarks.steps import fit_of, torch_operations
from pipeline.losses import image
from pipeline.runtime.threads import set_threads
from pipeline.splatting import rasterization, reference


@pytest.fixture(autouse=True)
def threads_of_the_tests():
    yield
    set_threads(None)
    torch.set_num_threads(1)


@pytest.fixture
def scene():
    return person(300, 50).arguments()  # 50: the tiles at the border are cut


def test_torch_tiles_and_our_rasterizer_give_the_same_image_and_gradient(scene):
    found = []
    for render in (lambda values: tiled.rasterization(**values), rasterizers.ours):
        values = scene | {name: scene[name].clone().requires_grad_(True) for name in rasterizers.LEARNED}
        rendered, alpha = render(values)
        inside = alpha.detach() > 0.1  # expected depth is a quotient by alpha
        weights = torch.linspace(-1, 1, rendered.numel()).view_as(rendered)
        ((rendered * weights * inside).sum() + alpha.sum()).backward()
        found.append([rendered * inside, alpha, *(values[name].grad for name in rasterizers.LEARNED)])
    for one, other in zip(*found):
        assert (one - other).norm() <= 1e-3 * other.norm()


def test_contributing_pairs_are_those_with_weight_in_the_reference(scene):
    covariances = reference._covariances(scene["quats"], scene["scales"])
    size = scene["width"], scene["height"]
    projected = reference.project(scene["means"], covariances, scene["viewmats"][0], scene["Ks"][0], *size, 0.3)
    weights, _ = reference._weights(*projected, scene["opacities"], *size)
    assert tiled.contributing_pairs(scene) == pytest.approx(int((weights > 0).sum()), rel=1e-3)


@pytest.mark.parametrize("count, size", [(7000, 256), (2000, 512)])
def test_the_person_covers_a_quarter_of_the_image_and_is_all_inside(count, size):
    _, alphas, _ = rasterization(**person(count, size).arguments())
    cover = alphas[0, ..., 0] > 0.5
    assert cover.float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert not (cover[0].any() or cover[-1].any() or cover[:, 0].any() or cover[:, -1].any())


def test_the_scene_is_the_same_each_time(scene):
    again = person(300, 50).arguments()
    assert all(torch.equal(scene[name], again[name]) for name in rasterizers.LEARNED)


def test_ratios_of_known_durations():
    calls = {"short": lambda: time.sleep(0.02), "long": lambda: time.sleep(0.06)}
    timings = timing.interleave(calls, 5, "sleeps", least_seconds=0.01)
    ratio = timings.times_as_fast("short", "long")
    assert ratio.low <= ratio.median <= ratio.high
    assert ratio.median == pytest.approx(3, rel=0.3)
    assert timings.spread("long").median == pytest.approx(0.06, rel=0.3)
    assert timings.rounds == 5


def test_a_timing_ends_when_its_budget_is_spent():
    timings = timing.interleave({"slow": lambda: time.sleep(0.01)}, 100, "sleeps", least_seconds=0, budget=0)
    assert timings.rounds == 3


def test_the_floor_is_the_larger_of_arithmetic_and_traffic():
    assert floor_seconds(Machine(1, 1e9, 1e15), 10**6, 10, 10, False) == pytest.approx(25e-3)
    assert floor_seconds(Machine(1, 1e15, 1e6), 10, 1000, 100, False) == pytest.approx((56 * 1000 + 20 * 100) / 1e6)


def test_the_step_without_kernels_is_the_same_step():
    with_kernels, without = fit_of(3, 200, 48), fit_of(3, 200, 48)
    with torch_operations() as replaced:
        assert "pipeline.losses.image" in replaced
        assert not image.has_kernels(torch.zeros(1))
        without.step()
    assert image.has_kernels(torch.zeros(1))
    with_kernels.step()
    # Adam's first step is the sign of the gradient, which rounding decides where there is next to none
    moved, other = (fit.unknowns.gaussians.params["sh0"].detach() for fit in (with_kernels, without))
    assert moved.abs().mean() > 1e-3
    assert (moved - other).abs().mean() < 0.02 * moved.abs().mean()


def test_the_step_has_all_losses_and_grows_nothing():
    fit = fit_of(3, 200, 48)
    for _ in range(20):
        fit.step()
    row = fit.history.rows[-1]
    assert {"colour", "mask", "depth", "initial", "smooth", "thickness", "neighbours", "camel"} <= row.keys()
    assert len(fit.unknowns.gaussians) == 200


def test_launches_are_counted_without_views():
    one, two = torch.ones(3, 3), torch.ones(3, 3)
    assert launches.launches(lambda: (one.T.reshape(-1)[:4] * 2).sum()) == 3  # a copy, a product, a sum
    assert launches.launches(lambda: torch._foreach_add([one, two], 1)) == 1


def test_graphs_leave_less_than_half_of_the_plain_loops_launches():
    plain, whole, replayed = (row.value for row in launches.bench(200, 48))
    assert replayed < 0.5 * plain < plain < whole < 1.3 * plain


def test_the_plain_loop_lowers_its_loss():
    chosen = settings(200, 48)
    clip, pose = make_clip(1, chosen)
    loop = PlainLoop(clip, pose, chosen, torch.device("cpu"))
    torch.manual_seed(0)  # the backgrounds are random, and what a loss is over one of them differs by a fifth
    losses = [float(loop()) for _ in range(30)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_peak_memory_of_this_process_is_plausible():
    assert 50 < scale.peak_memory() < 1e6


def test_stages_are_skipped_where_there_is_no_run(tmp_path):
    assert "skipped" in stages.bench(None)[0].what
    assert "skipped" in stages.bench(tmp_path)[0].what


def test_targets_know_which_way_is_better():
    row = Row("rasterizer", "7k @ 256", "ours forward + backward", "ms", 5, ratio=50.0)
    fit = Row("stages", "fit", "frames a second", "1/s", 1, note="70.00 s, run once")
    found = {target.name: target for target in targets.targets([row, fit])}
    assert found["rasterizer, 7k at 256, over plain torch tiles"].met is True
    assert found["fit of the results given"].met is False
    assert found["avatar rendering, 7k at 512"].met is None


def test_convergence_is_drawn(tmp_path):
    (tmp_path / "fit").mkdir()
    rows = "\n".join(f"{20 * k},{k * 0.5},{15 + k}" for k in range(1, 9))
    (tmp_path / "fit" / "history.csv").write_text(f"step,seconds,psnr_person\n{rows}\n")
    run = read(tmp_path)
    np.testing.assert_allclose(run.picture, [(k * 0.5, 15 + k) for k in range(1, 9)])
    fitted = Curve("a", run.picture, np.array([(0, 90.0), (1, 60), (2, 50), (3, 50.5), (4, 50)]))
    for curves in ([run], [run, fitted]):
        plot(curves, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").stat().st_size > 1000
    assert "MPJPE 90.0 -> 50.0 mm, within 2% of the last from 2.0 s on" in describe(fitted)


def test_what_is_left_is_split_and_told_apart():
    """A patterned square before white, drawn 2 px beside its place, or too dark."""
    target, person = np.ones((60, 50, 3), np.float32), np.zeros((60, 50), bool)
    person[15:45, 12:38] = True
    target[person] = np.random.default_rng(0).uniform(0.2, 0.6, (person.sum(), 3))
    parts = np.where(np.arange(60)[:, None] < 30, 0, 1).repeat(50, axis=1)
    beside = explained(np.roll(target, 2, axis=1), target, person, parts)
    for split in ("place: ", "part: "):
        assert sum(value for name, value in beside.items() if name.startswith(split)) == pytest.approx(beside["known"])
    assert beside["without: a shift of each part"] < 1e-6 < beside["without: gain and offset of the frame"]
    dark = explained(np.where(person[..., None], 0.7 * target + 0.05, target), target, person, parts)
    assert dark["place: outside"] == 0
    inside = dark["known"] - dark["without: gain and offset of the frame"]
    assert inside == pytest.approx(dark["place: inside"])


def test_a_quick_run_prints_a_table_and_writes_json(tmp_path, capsys):
    out = tmp_path / "bench.json"
    sections = ["rasterizer", "rendering", "start", "stages"]
    benchmarks.main(["--quick", "--threads", "1", "--out", str(out), "--only", *sections])
    values = json.loads(out.read_text())
    assert values.keys() == {"machine", "quick", "seconds", "rows", "targets"}
    assert values["quick"] is True
    assert {"processor", "threads", "peak_operations_per_second"} <= values["machine"].keys()
    assert {row["section"] for row in values["rows"]} == set(sections)
    ratios = [row for row in values["rows"] if row["rival"] == "torch tiles forward + backward"]
    assert len(ratios) == 1
    assert ratios[0]["ratio_low"] <= ratios[0]["ratio"] <= ratios[0]["ratio_high"]
    assert {"name", "found", "at_least", "aim", "met"} <= values["targets"][0].keys()
    assert "torch tiles" in capsys.readouterr().out
