"""When what moves in the joint optimisation, and how fast.

Four phases, coarse to fine. While poses are wrong, free Gaussians fade where limbs disagree, and then nothing pulls the
pose back; so Gaussians first stay opaque and on the surface, and only colours, poses and the clothes' thickness move.
Before all of them, second-order steps bring the poses of the whole clip near at once (pipeline/fit/alignment).

    colours   poses held, so that there is a texture to align to           small crops
    coarse    + poses, thickness                                           small crops
    middle    the same                                                     middling crops
    full      + places, shapes, opacities, harmonics; growth and pruning   large crops

Within the full phase second-order steps bring the poses to where the avatar fits best (pipeline/fit/refit.py): early,
so that it learns what is fine in right poses, and again when it has. From there on they are held: the avatar gets
sharp only in poses that stand still. Once more they are aligned before its end: it learns in those that it is drawn in.
Late in the full phase the colours of what is hardly seen are taken from what is around (pipeline/fit/spread.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.fit.data import COARSE, FULL, MIDDLE
from pipeline.fit.settings import FitSettings


@dataclass(frozen=True)
class Plan:
    """What one step does, and what comes after it."""

    level: str  # of the crops
    full: bool  # the full phase: Gaussians are free
    poses_move: bool
    skinning_moves: bool  # skinning weights, or the deformation field, are freed
    sh_degree: int  # of the harmonics that have been freed
    gaussian_rates: dict[str, float]  # of the Gaussians' parameters
    shared_rates: dict[str, float]  # of what all frames share
    pose_factor: float  # on the rates of the poses
    searches: bool  # neighbours are searched anew
    growing: bool  # the gradients count for the growth of the Gaussians
    smooths: bool  # afterwards: a phase in which poses may have moved ends
    refits: bool  # afterwards: poses are aligned with the avatar as it is, and masks are found anew
    settles: bool  # afterwards: poses are aligned with it, and no more
    grows: bool  # afterwards: Gaussians are cloned, split and pruned
    spreads: bool  # afterwards: colours of what is hardly seen are taken from what is around


def drawn(order: Tensor, count: int, generator: torch.Generator) -> tuple[int, Tensor]:
    """One of `count` frames, in random order, each once before any comes again; and those that come next."""
    if len(order) == 0:
        order = torch.randperm(count, generator=generator)
    return int(order[0]), order[1:]


class Schedule:
    """The plan of each step."""

    def __init__(self, settings: FitSettings) -> None:
        self._settings, self._steps = settings, settings.steps
        steps = settings.steps
        self._refit = self._at(settings.align.refit_at) if settings.refits else steps.total
        others = settings.align.early_at, settings.align.settle_at
        self._settles = [self._at(share) for share in others] if settings.refits else []
        self._ends = [steps.colours + steps.coarse, steps.surface, self._refit]  # after them poses are smoothed
        self._poses_begin = max(self._steps.colours, round(settings.pose_start * self._steps.total))

    def plan(self, step: int) -> Plan:
        """Of a step, counted from 0 on."""
        settings, steps, done = self._settings, self._steps, step + 1
        full, progress = step >= steps.surface, self._progress(step)
        growing = self._at(settings.densify.start) <= step < self._at(settings.densify.stop)
        return Plan(
            level=FULL if full else MIDDLE if step >= steps.colours + steps.coarse else COARSE,
            full=full,
            poses_move=settings.optimise_pose and self._poses_begin <= step < self._refit,
            skinning_moves=full and progress >= settings.skinning_start,
            sh_degree=settings.sh_degree if full and progress >= settings.sh_start else 0,
            gaussian_rates=self._gaussian_rates(full, progress),
            shared_rates=self._shared_rates(step),
            pose_factor=self._pose_factor(step),
            searches=step % settings.neighbours_every == 0,
            growing=growing,
            smooths=settings.optimise_pose and done in self._ends,
            refits=settings.refits and done == self._refit,
            settles=done in self._settles and step >= self._poses_begin,
            grows=growing and (done - steps.surface) % settings.densify.every == 0,
            spreads=settings.spread.strength > 0 and done == self._at(settings.spread.at),
        )

    def _gaussian_rates(self, full: bool, progress: float) -> dict[str, float]:
        """The places slow down exponentially, as in 3DGS."""
        rates = self._settings.rates
        return {
            "offsets": rates.offsets * (rates.offsets_final / rates.offsets) ** max(0.0, progress),
            "quats": rates.quats,
            "log_scales": rates.scales,
            "logit_opacities": rates.opacities,
            "sh0": rates.sh0 if full else rates.sh0_surface,
            "sh_rest": rates.sh_rest,
        }

    def _shared_rates(self, step: int) -> dict[str, float]:
        """The skinning weights slow down exponentially (GART)."""
        rates, steps = self._settings.rates, self._steps
        begun = steps.surface + self._settings.skinning_start * steps.full
        done = max(0.0, step - begun) / max(1.0, steps.total - begun)
        skinning = rates.skinning_weights * (rates.skinning_weights_final / rates.skinning_weights) ** done
        return {"thickness": rates.thickness, "betas": rates.betas, "skinning_weights": skinning, "field": rates.field}

    def _pose_factor(self, step: int) -> float:
        """Falls from where poses begin to move."""
        done = max(0, step - self._poses_begin) / max(1, self._steps.total - self._poses_begin)
        return self._settings.rates.pose_final**done

    def _progress(self, step: int) -> float:
        """Of the full phase: 0 where it begins, 1 at its end."""
        return (step - self._steps.surface) / max(1, self._steps.full)

    def _at(self, share: float) -> int:
        """The step at a share of the full phase."""
        return self._steps.surface + round(share * self._steps.full)
