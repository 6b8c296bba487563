"""The whole step of the fit with all its losses, against the same step of torch operations and the prototype's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch

from benchmarks.clips import make_clip, on_device, settings
from benchmarks.prototype_step import PrototypeStep
from benchmarks.rows import Row, case_of, timed
from benchmarks.scene import person
from benchmarks.timing import interleave
from pipeline.body import load_body
from pipeline.fit.loop import JointFit
from pipeline.runtime.threads import set_threads

SECTION = "step"
_FRAMES = 24
_CPU = torch.device("cpu")
_SWITCH = "has_kernels"  # by which a module of the pipeline chooses between compiled kernels and torch operations


def fit_of(frames: int, gaussians: int, side: int, device: torch.device = _CPU, cuda_graphs: bool = False) -> JointFit:
    """A joint fit in its full phase on a clip in memory; its crops are `side` x `side` pixels."""
    chosen = settings(gaussians, side, cuda_graphs)
    clip, pose = make_clip(frames, chosen)
    return JointFit(on_device(clip, device), load_body("free"), pose, chosen, device)


def bench(gaussians: int, side: int, threads: int, rounds: int, steps: int) -> list[Row]:
    """Steps a second, in rounds of `steps` steps: as many as lie between two searches for neighbours, or fewer."""
    calls: dict[str, Callable[[], object]] = {}

    def add(name: str, step: Callable[[], object], kernels: int, torch_threads: int = 1) -> None:
        def run() -> None:
            set_threads(kernels)
            torch.set_num_threads(torch_threads)
            for _ in range(steps):
                step()

        calls[name] = run

    def whole() -> Callable[[], object]:
        return fit_of(_FRAMES, gaussians, side).step

    add("whole step", whole(), threads)
    if threads > 1:
        add("whole step, 1 thread", whole(), 1)
    plain = {"torch step": 1} | ({f"torch step, {threads} torch threads": threads} if threads > 1 else {})
    for name, torch_threads in plain.items():
        step = whole()
        add(name, lambda step=step: _plainly(step), threads, torch_threads)
    add("prototype step", PrototypeStep(person(gaussians, side)), threads)

    timings = interleave(calls, rounds, "whole step", least_seconds=0, budget=90)
    set_threads(threads)
    torch.set_num_threads(1)
    better = min(plain, key=lambda name: timings.spread(name).median)
    rivals = {"whole step": better, "prototype step": "whole step"}
    return timed(timings, SECTION, case_of(gaussians, side), rivals, per_second=calls, calls=steps)


def _plainly(step: Callable[[], object]) -> None:
    with torch_operations():
        step()


@contextmanager
def torch_operations() -> Iterator[list[str]]:
    """Within, the pipeline takes torch operations wherever it has the choice, but for the rasterizer.

    Yields the names of the functions replaced; raises RuntimeError where there is none, for then nothing would differ.
    """
    with ExitStack() as stack:
        replaced = []
        for name, module in list(sys.modules.items()):
            if not name.startswith("pipeline.") or name.startswith("pipeline.splatting"):
                continue
            if hasattr(module, _SWITCH):
                stack.enter_context(mock.patch.object(module, _SWITCH, _never))
                replaced.append(name)
        if not replaced:
            raise RuntimeError("no module of the pipeline chooses between kernels and torch operations any more")
        yield replaced


def _never(*_arguments: object, **_named: object) -> bool:
    return False
