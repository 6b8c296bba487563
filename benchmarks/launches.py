"""How many operations a step launches: what keeps the host of a GPU busy, and can be counted without one.

A GPU runs most of them faster than they are launched. Views and allocations launch nothing and do not count; the
rasterizer is left out, which is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.clips import make_clip
from benchmarks.gpu import PlainLoop
from benchmarks.rows import Row, case_of
from benchmarks.steps import fit_of, torch_operations
from pipeline.fit.loop import JointFit
from pipeline.losses import depth

SECTION = "launches"
_FRAMES = 12
_GRAPHS = 5  # forward, backward, and copies of a frame's correction, rotations and place
_WITHOUT = frozenset(
    {
        *("view", "_unsafe_view", "_reshape_alias", "as_strided", "alias", "detach", "expand", "select", "slice"),
        *("squeeze", "unsqueeze", "t", "transpose", "permute", "diagonal", "unflatten"),
        *("unbind", "split", "split_with_sizes"),
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"),
    }
)


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ not in _WITHOUT
        return func(*args, **(kwargs or {}))


@contextmanager
def as_on_gpu() -> Iterator[None]:
    """Within, the pipeline takes the operations that it takes on a GPU, but for the rasterizer."""
    plain = depth.by_operations
    fixed = mock.patch.object(depth, "by_operations", lambda *a, fixed_size: plain(*a, fixed_size=True))
    with torch_operations(), fixed:
        yield


def launches(call: Callable[[], object]) -> int:
    """Operations that `call` launches by torch operations, as on a GPU."""
    with as_on_gpu(), _Counter() as counter:
        call()
    return counter.count


def replayed(fit: JointFit) -> int:
    """Of a fit's step in its full phase those that CUDA graphs launch at once, forward and backward."""
    frame, unknowns = int(fit.frames[0]), fit.unknowns
    correction = unknowns.rows.correction(frame).detach().requires_grad_()

    def part() -> None:
        placed = fit.objective.part(unknowns, frame, correction, True, fit.settings.sh_degree)
        outputs = [*placed.values, placed.means, placed.quats, *placed.terms.values()]
        ends = [output for output in outputs if output.requires_grad]
        leaves = [*unknowns.gaussians.params.values(), unknowns.thickness, correction]
        torch.autograd.grad(ends, leaves, [torch.empty_like(end) for end in ends])

    return launches(part)


def bench(gaussians: int, side: int) -> list[Row]:
    """What a step launches: of the plain loop, and of the fit without and with its part of fixed shapes replayed.

    Two graphs and the copies of what they read stand for what is replayed.
    """
    fit = fit_of(_FRAMES, gaussians, side)
    clip, pose = make_clip(_FRAMES, fit.settings)
    plain = PlainLoop(clip, pose, fit.settings, torch.device("cpu"))
    for step in (fit.step, plain):
        step()  # the first looks for neighbours
    loop, whole = launches(plain), launches(fit.step)
    left = whole - replayed(fit) + _GRAPHS
    case = case_of(gaussians, side)

    def row(what: str, count: int) -> Row:
        return Row(SECTION, case, what, "a step", count, note=f"{count / loop:.2f} of the plain loop's")

    return [
        Row(SECTION, case, "plain eager loop", "a step", loop),
        row("whole step", whole),
        row("whole step, with graphs", left),
    ]
