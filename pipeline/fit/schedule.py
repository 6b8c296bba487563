"""When what happens in the joint optimisation, and how fast: see pipeline/fit/optimise.py for the phases.

Steps count from 0 on. What comes "after" a step comes when it has been taken.
"""

from __future__ import annotations

from pipeline.fit.data import COARSE, FULL, MIDDLE
from pipeline.fit.settings import FitSettings


class Schedule:
    """The settings, asked by the number of a step."""

    def __init__(self, settings: FitSettings) -> None:
        self._settings, self._steps = settings, settings.steps
        self._poses_begin = max(self._steps.colours, round(settings.pose_start * self._steps.total))

    def full(self, step: int) -> bool:
        """Whether this is the full phase: Gaussians are free."""
        return step >= self._steps.surface

    def level(self, step: int) -> str:
        """Of the crops."""
        return FULL if self.full(step) else MIDDLE if step >= self._steps.colours + self._steps.coarse else COARSE

    def poses_move(self, step: int) -> bool:
        return self._settings.optimise_pose and step >= self._poses_begin

    def sh_degree(self, step: int) -> int:
        """Of the harmonics that have been freed."""
        settings = self._settings
        return settings.sh_degree if self.full(step) and self._progress(step) >= settings.sh_start else 0

    def skinning_moves(self, step: int) -> bool:
        return self.full(step) and self._progress(step) >= self._settings.skinning_start

    def growing(self, step: int) -> bool:
        """Whether a step's gradients count for the growth of the Gaussians."""
        return self._at(self._settings.densify.start) <= step < self._at(self._settings.densify.stop)

    def grows_after(self, step: int) -> bool:
        return self.growing(step) and (step + 1 - self._steps.surface) % self._settings.densify.every == 0

    def spreads_after(self, step: int) -> bool:
        """Whether colours are spread then (pipeline/fit/spread.py)."""
        return self._settings.spread.strength > 0 and step + 1 == self._at(self._settings.spread.at)

    def smooths_after(self, step: int) -> bool:
        """Whether a phase in which poses may have moved ends then."""
        steps = self._steps
        return self._settings.optimise_pose and step + 1 in (steps.colours + steps.coarse, steps.surface, steps.total)

    def gaussian_rates(self, step: int) -> dict[str, float]:
        """Rates of the Gaussians' parameters; the places slow down exponentially, as in 3DGS."""
        rates = self._settings.rates
        done = max(0.0, self._progress(step))
        return {
            "offsets": rates.offsets * (rates.offsets_final / rates.offsets) ** done,
            "quats": rates.quats,
            "log_scales": rates.scales,
            "logit_opacities": rates.opacities,
            "sh0": rates.sh0 if self.full(step) else rates.sh0_surface,
            "sh_rest": rates.sh_rest,
        }

    def shared_rates(self, step: int) -> dict[str, float]:
        """Rates of what all frames share; the skinning weights slow down exponentially (GART)."""
        rates, steps = self._settings.rates, self._steps
        begun = steps.surface + self._settings.skinning_start * steps.full
        done = max(0.0, step - begun) / max(1.0, steps.total - begun)
        skinning = rates.skinning_weights * (rates.skinning_weights_final / rates.skinning_weights) ** done
        return {"thickness": rates.thickness, "betas": rates.betas, "skinning_weights": skinning}

    def pose_factor(self, step: int) -> float:
        """On the rates of the poses, which fall from where poses begin to move."""
        done = (step - self._poses_begin) / max(1, self._steps.total - self._poses_begin)
        return self._settings.rates.pose_final**done

    def _progress(self, step: int) -> float:
        """Of the full phase: 0 where it begins, 1 at its end."""
        return (step - self._steps.surface) / max(1, self._steps.full)

    def _at(self, share: float) -> int:
        """The step at a share of the full phase."""
        return self._steps.surface + round(share * self._steps.full)
