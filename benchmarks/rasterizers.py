"""The rasterizer, forward and forward with backward, against plain torch, the float64 reference and the floor."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import tiled
from benchmarks.floor import Machine, floor_seconds
from benchmarks.rows import Row, case_of, timed
from benchmarks.scene import person
from benchmarks.timing import interleave
from pipeline.splatting import rasterization, reference

SECTION = "rasterizer"
LEARNED = ("means", "quats", "scales", "opacities", "colors")
AGREEMENT = 1e-5  # mean difference of two float32 images in [0, 1] that rounding explains


def ours(scene: dict[str, Tensor | int]) -> tuple[Tensor, Tensor]:
    return rasterization(**scene, render_mode="RGB+ED")[:2]


def exact(scene: dict[str, Tensor | int]) -> tuple[Tensor, Tensor]:
    return reference.rasterization(**scene, render_mode="RGB+ED")


def difference(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    """Mean absolute difference of two renderings: the larger of that of colours in [0, 1] and that of alpha.

    The mean, for a pair whose alpha is all but 1/255 may count in one and not in the other.
    """
    return max(float((a[..., :3] - b[..., :3]).abs().mean()) for a, b in zip(one, other))


def bench(
    machine: Machine, counts: tuple[int, ...], sizes: tuple[int, ...], rounds: int, tiny: tuple[int, int]
) -> list[Row]:
    """Ours at every count and size; plain torch at the first count and every size, for it is slow.

    `tiny`: count and size for the reference, in which every pixel looks at every Gaussian, all in memory.
    """
    rows = []
    for count in counts:
        for size in sizes:
            scene = person(count, size).arguments()
            case = case_of(count, size)
            renderers: dict[str, Callable] = {"ours": ours}
            if count == counts[0]:
                renderers["torch tiles"] = _tiles
                if size == sizes[0] and machine.threads > 1:
                    # A tile's tensors are small, and torch's threads seldom help: shown once, and the better counts
                    renderers[f"torch tiles, {machine.threads} threads"] = lambda scene: _threaded(
                        scene, machine.threads
                    )
                apart = difference(ours(scene), _tiles(scene))
                if apart > AGREEMENT:
                    raise RuntimeError(f"{case}: plain torch and our rasterizer differ by {apart:.1e}")
                rows.append(Row(SECTION, case, "torch tiles: mean difference", "", apart))
            pairs = tiled.contributing_pairs(scene)
            rows += _compare(scene, case, renderers, "torch tiles", rounds, machine, pairs)
    count, size = tiny
    scene = person(count, size).arguments()
    renderers = {"ours": ours, "reference": lambda scene: exact(_doubled(scene))}
    return rows + _compare(scene, f"{count} @ {size}", renderers, "reference", rounds)


def _tiles(scene: dict[str, Tensor | int]) -> tuple[Tensor, Tensor]:
    return tiled.rasterization(**scene)


def _threaded(scene: dict[str, Tensor | int], threads: int) -> tuple[Tensor, Tensor]:
    """Forward with torch's own threads, and backward too: autograd on the CPU runs in the caller's settings."""
    torch.set_num_threads(threads)
    return _tiles(scene)


def _compare(
    scene: dict[str, Tensor | int],
    case: str,
    renderers: dict[str, Callable],
    rival: str,
    rounds: int,
    machine: Machine | None = None,
    pairs: int = 0,
) -> list[Row]:
    learned = scene | {name: scene[name].clone().requires_grad_(True) for name in LEARNED}
    calls: dict[str, Callable[[], object]] = {}
    for name, render in renderers.items():
        calls[f"{name} forward"] = lambda render=render: _forward(render, scene)
        calls[f"{name} forward + backward"] = lambda render=render: _both(render, learned)
    timings = interleave(calls, rounds, f"rasterizer {case}", budget=30)
    rivals = {}
    if rival in renderers:
        for what in ("forward", "forward + backward"):
            named = [f"{name} {what}" for name in renderers if name.startswith(rival)]
            rivals[f"ours {what}"] = min(named, key=lambda name: timings.spread(name).median)
    rows = timed(timings, SECTION, case, rivals)
    if machine is None:
        return rows
    for what, backward in (("forward", False), ("forward + backward", True)):
        bound = floor_seconds(machine, pairs, len(scene["means"]), scene["width"] * scene["height"], backward)
        over = timings.spread(f"ours {what}")
        ratio = (over.median / bound, over.low / bound, over.high / bound, f"ours {what}")
        rows.append(Row(SECTION, case, f"floor {what}", "ms", 1e3 * bound, None, None, *ratio, f"{pairs} pairs"))
    return rows


@torch.no_grad()
def _forward(render: Callable, scene: dict[str, Tensor | int]) -> None:
    render(scene)
    torch.set_num_threads(1)


def _both(render: Callable, scene: dict[str, Tensor | int]) -> None:
    for name in LEARNED:
        scene[name].grad = None
    image, alpha = render(scene)
    (image.sum() + alpha.sum()).backward()
    torch.set_num_threads(1)


def _doubled(scene: dict[str, Tensor | int]) -> dict[str, Tensor | int]:
    """In float64; a part of the graph, so that the gradient still reaches the float32 leaves."""
    return {name: value.double() if isinstance(value, Tensor) else value for name, value in scene.items()}
