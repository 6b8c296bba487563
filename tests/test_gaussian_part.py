"""The part of a step that CUDA graphs replay: replayed on a CPU as a graph would be, it fits as the plain step does."""

import pytest
import torch
from helpers_fit import short_settings
from torch.fx.experimental.proxy_tensor import make_fx

from benchmarks.steps import torch_operations
from pipeline.errors import UserError
from pipeline.fit.data import load_clip
from pipeline.fit.optimise import JointFit
from pipeline.formats.pose import Pose

CPU = torch.device("cpu")


class Replay:
    """What `torch.cuda.make_graphed_callables` makes, of the operations that were traced: Python is not run again,
    inputs, results and gradients lie where they lay at first."""

    def __init__(self, function, sample):
        self.inputs, self.graph, self.calls = sample, make_fx(function)(*sample), 0
        copied = [node for node in self.graph.graph.nodes if "lift_fresh" in str(node.target)]
        assert not copied, f"copied from the host in each step: {copied}"
        self.outputs = [output.detach().clone() for output in self.graph(*sample)]
        self.gradients = [torch.zeros_like(tensor) if tensor.requires_grad else None for tensor in sample]

    def __call__(self, *inputs):
        self.calls += 1
        return _Replayed.apply(self, *inputs)


class _Replayed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, replay, *inputs):
        for kept, given in zip(replay.inputs, inputs):
            assert kept.requires_grad == given.requires_grad
            if kept.data_ptr() != given.data_ptr():
                kept.copy_(given)
        with torch.enable_grad():
            live = replay.graph(*replay.inputs)
        for kept, found in zip(replay.outputs, live):
            kept.copy_(found)
        ctx.replay, ctx.live = replay, live
        results = tuple(kept.detach() for kept in replay.outputs)
        ctx.mark_non_differentiable(*(result for result, found in zip(results, live) if not found.requires_grad))
        return results

    @staticmethod
    def backward(ctx, *gradients):
        replay = ctx.replay
        ends = [(found, gradient) for found, gradient in zip(ctx.live, gradients) if found.requires_grad]
        moved = [(tensor, kept) for tensor, kept in zip(replay.inputs, replay.gradients) if kept is not None]
        (outputs, given), (inputs, _) = zip(*ends), zip(*moved)
        found = torch.autograd.grad(outputs, inputs, given, allow_unused=True)
        for (_, kept), gradient in zip(moved, found):
            kept.copy_(torch.zeros_like(kept) if gradient is None else gradient)
        return None, *(kept if kept is None else kept.detach() for kept in replay.gradients)


@pytest.fixture
def fit_of(results, body):
    def make(**overrides):
        settings = short_settings(gaussians=300, align={"coarse": 0, "middle": 0}, **overrides)
        pose = Pose.load(results.pose_init)
        return JointFit(load_clip(results, pose, settings, CPU), body, pose, settings, CPU)

    return make


@pytest.mark.parametrize("binding", ["camel", "gom", "none"])
def test_replayed_it_fits_the_same(fit_of, binding):
    """Through phases, searches for neighbours, growth, and the spreading of colours."""
    plain, replayed = fit_of(binding=binding), fit_of(binding=binding)
    made = []
    replayed.part.capture = lambda *arguments: made.append(Replay(*arguments)) or made[-1]
    with torch_operations():
        for _ in range(plain.settings.steps.total):
            plain.step()
            replayed.step()
    assert len(plain.gaussians) > 300
    assert 4 <= len(made) < sum(replay.calls for replay in made) / 3
    moved = plain.gaussians.params | plain.rows.params | {"thickness": plain.thickness}
    also = replayed.gaussians.params | replayed.rows.params | {"thickness": replayed.thickness}
    for name, value in moved.items():
        assert torch.equal(value, also[name]), name


@pytest.mark.parametrize("overrides", [{"binding": "lsw"}, {"refine_betas": True}])
def test_what_is_not_captured_is_refused(overrides):
    with pytest.raises(UserError, match=r"fit\.cuda_graphs"):
        short_settings(cuda_graphs=True, **overrides)
