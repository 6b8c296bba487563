"""A neural motion field: the correction of the pose as a network of time (NeMo; NeuHMR, section 3.3.2)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from pipeline.fit.adam import RowAdam
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.settings import FitSettings, MotionFieldSettings, Rates
from pipeline.formats.pose import Pose

_LAYERS = 4  # NeuHMR, section 4.3


class MotionField(PoseRows):
    """`PoseRows` whose smooth part is a network over radial basis functions of time, in place of knots.

    While the field is trained, a frame has no part of its own: rows move only where `fit_frozen` fits the pose of a
    frame that was held out, on top of what the field says of it.

    Attributes:
        params: "rows" [T, 75], and "weight0" [W, B], "bias0" [W], ... of the network.
        basis: radial basis functions of each frame's time. [T, B]
    """

    def __init__(
        self,
        pose: Pose,
        rest_pelvis: Tensor,  # [3]
        frames: np.ndarray,  # [T']
        settings: MotionFieldSettings,
        rates: Rates,
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__(pose, rest_pelvis, frames, len(pose), device)
        self.basis = radial_basis(len(pose), settings.bases, settings.spread).to(device)
        self._rate = settings.rate
        # Turns, shifts and the distance move at rates in the proportion of the rows'; a network has but one rate.
        rates_of_rows = super().optimiser(rates).rates["rows"]
        self._scale = rates_of_rows / rates.joint_rotations
        widths = [settings.bases, *[settings.width] * (_LAYERS - 1), len(self._scale)]
        active = float(self.basis.square().sum(1).mean())
        network = _network(widths, active, torch.Generator().manual_seed(seed))
        self.params = {"rows": self.params["rows"]} | {
            name: value.to(device).requires_grad_(True) for name, value in network.items()
        }

    def optimiser(self, rates: Rates) -> RowAdam:
        """An optimiser whose `step` takes the rows of `touched`."""
        row_rates = super().optimiser(rates).rates["rows"]
        return RowAdam(self.params, {name: row_rates if name == "rows" else self._rate for name in self.params})

    def touched(self, frame: int) -> dict[str, Tensor]:
        """No row, and the whole network."""
        return {"rows": torch.zeros(0, dtype=torch.int64, device=self.basis.device)}

    def field(self, frames: Tensor | slice) -> Tensor:  # [F, 75]
        """The network's corrections for some frames."""
        values = self.basis[frames]
        for layer in range(_LAYERS):
            values = values @ self.params[f"weight{layer}"].T + self.params[f"bias{layer}"]
            if layer < _LAYERS - 1:
                values = torch.nn.functional.silu(values)
        return values * self._scale

    def correction(self, frame: int) -> Tensor:  # [75]
        return self.params["rows"][frame] + self.field(slice(frame, frame + 1))[0]

    def mean_depthwise(self) -> Tensor:
        """Mean over the trained frames of the logarithm by which distances were changed."""
        with torch.no_grad():
            return (self.params["rows"][:, -1] + self.field(slice(None))[:, -1])[self.frames].mean()

    def smooth(self, frames: np.ndarray, width: float) -> None:
        """Nothing: the field is smooth, and says what frames between have."""


def corrections(
    pose: Pose,
    rest_pelvis: Tensor,  # [3]
    frames: np.ndarray,  # [T']
    settings: FitSettings,
    device: torch.device,
) -> PoseRows:
    """What the settings (key `corrections`) choose to correct the motion with."""
    if settings.corrections == "motion_field":
        return MotionField(pose, rest_pelvis, frames, settings.motion_field, settings.rates, settings.seed, device)
    return PoseRows(pose, rest_pelvis, frames, settings.knot_spacing, device)


def radial_basis(count: int, bases: int, spread: float) -> Tensor:  # [count, bases]
    """Gaussians of time, their centres evenly over the clip.

    Args:
        count: how many frames.
        bases: how many centres.
        spread: standard deviation of each, frames. Where it is below the distance of the centres, that distance is
            taken: a time between two centres would otherwise be far from both.
    """
    time = torch.linspace(0, 1, count)
    centres = torch.linspace(0, 1, bases)
    width = max(spread / max(1, count - 1), 1 / (bases - 1))
    return torch.exp(-0.5 * ((time[:, None] - centres) / width) ** 2)


def _network(widths: list[int], active: float, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights (He et al. 2015) and biases of a multi-layer perceptron that answers zero at first.

    Args:
        widths: of the input, of each hidden layer and of the output.
        active: expected sum of squares of the input.
    """
    params = {}
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        variance = 2 / (active if layer == 0 else inputs)
        gain = 0.0 if layer == len(widths) - 2 else variance**0.5
        params[f"weight{layer}"] = torch.randn(outputs, inputs, generator=generator) * gain
        params[f"bias{layer}"] = torch.zeros(outputs)
    return params
