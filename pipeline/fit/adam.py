"""Adam with a state for every row: a row that is not stepped does not move.

torch's Adam moves all rows of a tensor by their old momentum whenever one of them has a gradient, so that the pose of a
frame would drift while other frames are drawn. Here each row counts its own steps. Rows can also be reordered, dropped
and duplicated, which densification needs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.fit.adam_kernel import adam, adam_of_rows
from pipeline.runtime.jit import has_kernels
from pipeline.runtime.threads import run_parallel, split

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-15
_MICROSECONDS = 1e-3  # a value
_CONSTANTS = _BETA1, _BETA2, np.float32(_EPSILON)


class RowAdam:
    """Adam (Kingma and Ba 2015) over named tensors, whose first dimension is rows."""

    def __init__(self, params: dict[str, Tensor], rates: dict[str, float | Tensor]) -> None:
        """
        Args:
            params: what is optimised, leaf tensors; stepped in place.
            rates: learning rate of each: a number, or a tensor that broadcasts against a row or has a row for each.
        """
        self.params, self.rates = params, rates
        self.first = {name: torch.zeros_like(value) for name, value in params.items()}
        self.second = {name: torch.zeros_like(value) for name, value in params.items()}
        self.counts = {name: torch.zeros(len(value), device=value.device) for name, value in params.items()}

    def zero_grad(self) -> None:
        for value in self.params.values():
            value.grad = None

    @torch.no_grad()
    def step(self, rows: dict[str, Tensor] | None = None, factor: float = 1.0) -> None:
        """Move every parameter that has a gradient.

        Args:
            rows: for a parameter, the rows (int64, each once) to step; a parameter that is not named steps all.
            factor: multiplies all rates.
        """
        whole: list[tuple[str, float]] = []
        some: dict[str, Tensor | None] = {}
        for name, value in self.params.items():
            if value.grad is None:
                continue
            chosen, rate = None if rows is None else rows.get(name), self.rates[name]
            if chosen is None and not isinstance(rate, Tensor):
                whole.append((name, rate * factor))
            elif has_kernels(value) and chosen is not None and isinstance(rate, Tensor) and value.dim() == 2:
                rates = torch.atleast_2d(rate).expand(-1, value.shape[1]).numpy()
                adam_of_rows(chosen.numpy(), *self._arrays(name), rates, np.float32(factor), *_CONSTANTS)
            else:
                some[name] = chosen
        if some:
            self._step_rows(some, factor)
        if all(has_kernels(self.params[name]) for name, _ in whole):
            self._step_by_kernels(whole)
        else:
            self._step_by_torch(whole)

    def _step_by_kernels(self, rates: list[tuple[str, float]]) -> None:
        """Move all rows of the parameters named, each at its rate."""
        states = [[array.reshape(-1) for array in self._arrays(name)] for name, _ in rates]

        def step_all(worker: int, workers: int) -> None:
            for arrays, (name, rate) in zip(states, rates):
                adam(*split(len(self.params[name]), worker, workers), *arrays, np.float32(rate), *_CONSTANTS)

        run_parallel(step_all, _MICROSECONDS * sum(arrays[0].size for arrays in states))

    def _step_by_torch(self, rates: list[tuple[str, float]]) -> None:
        """The same by torch operations."""
        names = [name for name, _ in rates]
        values = [self.params[name] for name in names]
        states = ([states[name] for name in names] for states in (self.first, self.second, self.counts))
        changes = self._updates([value.grad for value in values], *states)
        torch._foreach_mul_(changes, [-rate for _, rate in rates])
        torch._foreach_add_(values, changes)

    def _step_rows(self, chosen: dict[str, Tensor | None], factor: float) -> None:
        """Move some rows of the parameters named, all where there is None, each at its own rate times `factor`."""
        grads = {name: self.params[name].grad for name in chosen}
        states = self.first, self.second, self.counts
        picked = [
            [each[name] if rows is None else each[name][rows] for name, rows in chosen.items()]
            for each in (grads, *states)
        ]
        changes = self._updates(*picked)
        for (name, rows), change, *moved in zip(chosen.items(), changes, *picked[1:]):
            value, rate = self.params[name], self.rates[name]
            if rows is None:
                value -= change * (rate * factor)
                continue
            for stored, new in zip(states, moved):
                stored[name][rows] = new
            if isinstance(rate, Tensor) and rate.shape == value.shape:
                rate = rate[rows]
            value[rows] -= change * (rate * factor)

    def _arrays(self, name: str) -> list[np.ndarray]:
        """Values, gradient, moments and counts, as the kernels take them."""
        value = self.params[name]
        tensors = value.detach(), value.grad.contiguous(), self.first[name], self.second[name], self.counts[name]
        return [tensor.numpy() for tensor in tensors]

    @staticmethod
    def _updates(grads: list[Tensor], first: list[Tensor], second: list[Tensor], counts: list[Tensor]) -> list[Tensor]:
        """Advance the moments in place; the steps for a rate of one. Each operation takes all parameters at once: on a
        GPU, to launch one takes longer than to run it."""
        torch._foreach_add_(counts, 1)
        torch._foreach_lerp_(first, grads, 1 - _BETA1)
        torch._foreach_mul_(second, _BETA2)
        torch._foreach_addcmul_(second, grads, grads, 1 - _BETA2)
        # sqrt(1 - beta2^n) / (1 - beta1^n), a number a row
        ratios = torch._foreach_pow(_BETA2, counts)
        torch._foreach_sub_(ratios, 1)
        torch._foreach_neg_(ratios)
        torch._foreach_sqrt_(ratios)
        damped = torch._foreach_pow(_BETA1, counts)
        torch._foreach_sub_(damped, 1)
        torch._foreach_neg_(damped)
        torch._foreach_div_(ratios, damped)
        steps = [ratio.view(-1, *[1] * (moment.dim() - 1)) * moment for ratio, moment in zip(ratios, first)]
        roots = torch._foreach_sqrt(second)
        torch._foreach_add_(roots, _EPSILON)
        torch._foreach_div_(steps, roots)
        return steps

    def select(self, index: Tensor, fresh: Tensor) -> None:
        """Follow a reordering of the rows; call after the parameters in `params` were replaced.

        Args:
            index: for each new row the old one it comes from. [M] int64
            fresh: new rows that begin without momentum. [M] bool
        """
        for states in (self.first, self.second, self.counts):
            for name, state in states.items():
                states[name] = state[index]
                states[name][fresh] = 0

    def state(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint keeps of the optimiser."""
        return {"first": self.first, "second": self.second, "counts": self.counts}

    def load_state(self, state: dict[str, dict[str, Tensor]]) -> None:
        self.first, self.second, self.counts = state["first"], state["second"], state["counts"]
