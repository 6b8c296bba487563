"""The part of a step that CUDA graphs replay: replayed on a CPU as a graph would be, it fits as the plain step does."""

import contextlib

import pytest
import torch
from helpers_fit import reads_back, short_settings
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.steps import torch_operations
from pipeline.fit.data import load_clip
from pipeline.fit.loop import JointFit
from pipeline.formats.pose import Pose

CPU = torch.device("cpu")
aten = torch.ops.aten


class Graph:
    """A CUDA graph on the CPU: the operations that were recorded, run again into the memory where their results lay."""

    def __init__(self) -> None:
        self.recorded, self.replays = [], 0

    def replay(self) -> None:
        self.replays += 1
        for func, args, kwargs, before in self.recorded:
            found = func(*args, **kwargs)
            if not any(result.alias_info for result in func._schema.returns):  # neither a view nor in place
                for kept, new in zip(tree_leaves(before), tree_leaves(found)):
                    kept.detach().copy_(new)


class Recording(TorchDispatchMode):
    """In the place of `torch.cuda.graph`. What a GPU cannot capture is refused: reading back, copying from the host."""

    def __init__(self, graph: Graph, pool: object = None) -> None:
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        copies = func.overloadpacket in (aten.lift_fresh, aten.lift_fresh_copy)
        assert not (copies or reads_back(func, args)), f"{func} cannot be captured"
        results = func(*args, **(kwargs or {}))
        self.graph.recorded.append((func, args, kwargs or {}, results))
        return results


@pytest.fixture
def graphs(monkeypatch) -> list[Graph]:
    """Let torch's own `make_graphed_callables` run on the CPU; returns the graphs that it makes."""
    made: list[Graph] = []
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: made.append(Graph()) or made[-1])
    monkeypatch.setattr(torch.cuda, "graph", Recording)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    for name in ("Stream", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)
    monkeypatch.setattr(torch.cuda.graphs, "graph_pool_handle", lambda: None)
    return made


@pytest.fixture
def fit_of(results, body):
    def make(**overrides):
        settings = short_settings(gaussians=300, align={"coarse": 0, "middle": 0}, **overrides)
        pose = Pose.load(results.pose_init)
        return JointFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU)

    return make


@pytest.mark.parametrize("binding", ["camel", "gom", "none"])
def test_replayed_it_fits_the_same(fit_of, graphs, binding):
    """Through phases, searches for neighbours, growth, and the spreading of colours."""
    plain, replayed = fit_of(binding=binding), fit_of(binding=binding)
    replayed.objective.part.replays = True
    total = plain.settings.steps.total
    with torch_operations():
        for _ in range(total):
            plain.step()
            replayed.step()
    assert len(plain.unknowns.gaussians) > 300
    forward, backward = graphs[::2], graphs[1::2]
    assert 4 <= len(forward) < total / 3
    assert [sum(graph.replays for graph in each) for each in (forward, backward)] == [total, total]
    moved, also = (
        fit.unknowns.gaussians.params | fit.unknowns.rows.params | {"thickness": fit.unknowns.thickness}
        for fit in (plain, replayed)
    )
    for name, value in moved.items():
        assert torch.equal(value, also[name]), name


@pytest.mark.parametrize("overrides", [{"binding": "lsw"}, {"binding": "field"}, {"refine_betas": True}])
def test_what_is_not_captured_is_not_replayed(overrides):
    assert short_settings().replays
    assert not short_settings(**overrides).replays
    assert not short_settings(cuda_graphs=False).replays
