"""The least-squares problem of one step: evidence of all frames, priors, and conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_ITERATIONS = 40  # of conjugate gradients, at most
_ENOUGH = 1e-8  # of the residual at the start
_AT_ONCE = 256  # frames whose blocks are inverted at a time: doubles of a long clip would fill the memory
Parts = tuple[Tensor, ...]


def conjugate_gradients(apply: Callable[[Parts], Parts], right: Parts, precondition: Callable[[Parts], Parts]) -> Parts:
    """Solve apply(x) = right, both tuples of tensors, for a symmetric positive definite `apply`."""
    x = tuple(torch.zeros_like(part) for part in right)
    residual, direction = right, precondition(right)
    rho = first = _dot(right, direction)
    for _ in range(_ITERATIONS):
        pushed = apply(direction)
        step = (rho / _dot(direction, pushed)).to(right[0])
        x = tuple(a + step * b for a, b in zip(x, direction))
        residual = tuple(a - step * b for a, b in zip(residual, pushed))
        z = precondition(residual)
        previous, rho = rho, _dot(residual, z)
        if rho < _ENOUGH * first:
            break
        direction = tuple(a + (rho / previous).to(a) * b for a, b in zip(z, direction))
    return x


def _dot(a: Parts, b: Parts) -> Tensor:
    return sum((p.double() * q.double()).sum() for p, q in zip(a, b))


class Chain:
    """Precision of Ornstein-Uhlenbeck processes over the frames: errors of an estimator that are alike for a while."""

    def __init__(
        self,
        gaps: Tensor,  # [F - 1]
        correlation: float,
        sigmas: Tensor,  # [U]
    ) -> None:
        """
        Args:
            gaps: between neighbouring frames, seconds.
            correlation: seconds over which errors change.
            sigmas: of each unknown.
        """
        kept = torch.exp(-gaps / correlation)
        fresh = 1 / (1 - kept**2)
        self._diagonal = torch.ones(len(gaps) + 1, device=gaps.device, dtype=gaps.dtype)
        self._diagonal[1:] = fresh
        self._diagonal[:-1] += kept**2 * fresh
        self._neighbour = -kept * fresh
        self.inverse = 1 / sigmas**2

    def __call__(
        self,
        values: Tensor,  # [F, U]
    ) -> Tensor:  # [F, U]
        """The precision times `values`."""
        result = self._diagonal[:, None] * values
        result[1:] += self._neighbour[:, None] * values[:-1]
        result[:-1] += self._neighbour[:, None] * values[1:]
        return result * self.inverse

    def diagonal(self) -> Tensor:  # [F, U]
        return self._diagonal[:, None] * self.inverse

    def neighbours(self) -> Tensor:  # [F - 1, U]
        """The precision between each frame's unknowns and the next's, a diagonal."""
        return self._neighbour[:, None] * self.inverse


class Bend:
    """Precision of second derivatives in time: an error that bends faster than bodies do is noise."""

    def __init__(
        self,
        seconds: Tensor,  # [F]
        sigmas: Tensor,  # [U]
    ) -> None:
        """
        Args:
            seconds: of the frames, ascending.
            sigmas: of each unknown's second derivative, its unit a second squared.
        """
        gaps = seconds.diff()
        before, after = gaps[:-1], gaps[1:]
        slope = 2 / (before + after)
        self._parts = torch.stack([slope / before, -slope * (1 / before + 1 / after), slope / after])[..., None]
        self._inverse = 1 / sigmas**2

    def __call__(
        self,
        values: Tensor,  # [F, U]
    ) -> Tensor:  # [F, U]
        """The precision times `values`."""
        first, middle, last = self._parts
        bent = self._inverse * (first * values[:-2] + middle * values[1:-1] + last * values[2:])
        return self._spread([part * bent for part in self._parts], values)

    def diagonal(self, values: Tensor) -> Tensor:  # [F, U] both
        """Of the precision, for values of this shape."""
        return self._spread([part**2 * self._inverse for part in self._parts], values)

    @staticmethod
    def _spread(parts: list[Tensor], values: Tensor) -> Tensor:
        """What each triple of frames says, added up."""
        result = torch.zeros_like(values)
        for at, part in enumerate(parts):
            result[at : at + len(part)] += part
        return result


class Preconditioner:
    """Each part of the unknowns solved for alone."""

    def __init__(self, *blocks: Tensor) -> None:
        """
        Args:
            blocks: of each part, symmetric and positive definite: [U, U], or [F, U, U] of a part with rows.
        """
        # Explicit inverses: as rows times small matrices they take a quarter of the time of triangular solves.
        self._inverses = [
            torch.cat([_inverse(part) for part in block.split(_AT_ONCE)]) if block.dim() == 3 else _inverse(block)
            for block in blocks
        ]

    def __call__(self, parts: Parts) -> Parts:
        return tuple((part[..., None, :] @ inverse).squeeze(-2) for part, inverse in zip(parts, self._inverses))


def _inverse(block: Tensor) -> Tensor:
    return torch.cholesky_inverse(torch.linalg.cholesky(block.double() + _ridge(block))).to(block)


def _ridge(block: Tensor) -> Tensor:
    """A little of the identity: single precision leaves eigenvalues a hair below zero."""
    size = 1e-7 * block.diagonal(dim1=-2, dim2=-1).amax(-1).double()
    return size[..., None, None] * torch.eye(block.shape[-1], dtype=torch.float64, device=block.device)
