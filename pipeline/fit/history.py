"""What is kept of the course of an optimisation: history.csv."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from pipeline.fit.objective import Compared

_EVERY = 20  # steps


class History:
    """Rows of means over some steps.

    Attributes:
        rows: number of steps, each term and their total, PSNR of the person in the last frame drawn, number of
            Gaussians, seconds.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._sums: dict[tuple[str, ...], Tensor] = {}  # of the terms since the last row
        self._seconds_before, self._started = 0.0, time.monotonic()

    @torch.no_grad()
    def add(self, step: int, compared: Compared) -> None:
        """Count a step, from 0 on. Sums stay on the device until a row is complete: reading them would wait for it."""
        names, terms = compared.names, compared.terms.detach()
        self._sums[names] = self._sums[names] + terms if names in self._sums else terms
        if step % _EVERY < _EVERY - 1:
            return
        view, rendered = compared.view, compared.rendered
        error = (rendered.image - view.image.float() / 255)[view.mask > 127].square().mean()
        row: dict[str, float] = {"step": step + 1}
        for names_then, sums in self._sums.items():  # more than one set of terms where a phase has ended meanwhile
            for name, value in zip(names_then, (sums / _EVERY).tolist()):
                row[name] = row.get(name, 0.0) + value
        row["total"] = sum(value for name, value in row.items() if name != "step")
        row["psnr_person"] = float(-10 * torch.log10(error + 1e-10))
        self.rows.append(row | {"n_gaussians": len(rendered.means), "seconds": round(self._seconds(), 2)})
        self._sums = {}

    def _seconds(self) -> float:
        return self._seconds_before + time.monotonic() - self._started

    def state(self) -> dict[str, Any]:
        return {"rows": self.rows, "sums": self._sums, "seconds": self._seconds()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.rows, self._sums, self._seconds_before = state["rows"], state["sums"], state["seconds"]
