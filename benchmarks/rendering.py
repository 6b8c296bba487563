"""Frames a second of an avatar that moves: posed and rendered, without gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.rows import Row, case_of, timed
from benchmarks.scene import person
from benchmarks.timing import interleave
from pipeline.avatar import render_avatar
from pipeline.runtime.threads import set_threads

SECTION = "rendering"
_POSES = 8


def bench(gaussians: int, size: int, threads: int, rounds: int) -> list[Row]:
    """`gaussians` of an avatar in square images of `size` pixels, on all threads and on one."""
    scene = person(gaussians, size)
    generator = torch.Generator().manual_seed(5)
    poses = scene.pose + 0.1 * torch.randn(_POSES, 24, 3, generator=generator) * (torch.arange(24) > 0)[:, None]

    @torch.no_grad()
    def render(kernels: int) -> None:
        set_threads(kernels)
        for pose in poses:
            render_avatar(scene.avatar, scene.body, pose[0], pose[1:].flatten(), scene.transl, scene.K, size, size)

    calls: dict[str, Callable[[], object]] = {"avatar": lambda: render(threads)}
    if threads > 1:
        calls["avatar, 1 thread"] = lambda: render(1)
    timings = interleave(calls, rounds, "rendering", budget=30)
    set_threads(threads)
    case = case_of(gaussians, size)
    return timed(timings, SECTION, case, per_second=calls, calls=_POSES)
