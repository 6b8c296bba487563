"""Whether the fit explains the video better than the initial motion, and what was better where it does not.

A part of the body is judged by putting its initial rotations back into the refined motion, the others left as they are:
an arm before the chest, or one that the outline would give to the leg beside it, cannot be told by its own residuals.
It is judged in stretches of about a second: a fit that loses an arm loses it for a while, and single frames are noisy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.body import BodyModel
from pipeline.fit.data import Clip
from pipeline.fit.explained import PARTS, TRUNK, Explained, Witness, part_columns
from pipeline.fit.marks import Marks
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.settings import FitSettings

_STRETCH = 1.0  # seconds, about, that are judged together
_BLEND = 0.25  # seconds in which one motion passes into the other
_RATE = 15.0  # frames a second that are looked at, and those held out
# Costs are sums of squares over the errors expected. On studio clips whose refined motion was disturbed any tolerance
# from 0 to 1 does as well: parts that got worse were 10 and more worse.
_TOLERANCE = 0.5
# As a whole it must be clearly better, or parts that chance has favoured would make it so: on those clips costs fall by
# 45% and more.
_CLEARLY = 0.95
_SAME_COLOURS = 1.01  # a factor on the colours' error; what a fit mends, mends 2 to 15% of it
# Or colours say so, and by more than the rest speaks against it: an initial motion that was fitted to outline and
# landmarks leaves little of them.
_CLEARER_COLOURS = 0.97

Pair = tuple[float | None, float | None]  # before and after


@dataclass(frozen=True)
class PartVerdict:
    """One part, its initial rotations in the refined motion against the refined ones."""

    landmarks: Pair  # mm
    outline: Pair  # mm
    kept: float  # share of the time in which the refined rotations stay

    def facts(self) -> dict[str, Any]:
        sizes = {"landmarks": self.landmarks, "outline": self.outline}
        return _before_after(sizes, " mm", 1) | {"kept": round(self.kept, 3)}


@dataclass(frozen=True)
class Verdict:
    """What is kept of a fit."""

    better: bool  # as a whole; if not, all of the motion is the initial one
    landmarks: Pair  # mm, of the initial motion; and of what is kept, or if nothing is, of what the fit had found
    outline: Pair  # mm
    colours: Pair  # of held-out frames, or where none is, of every other one; share of full scale
    held_out: bool
    seconds: float  # length of the clip
    parts: dict[str, PartVerdict]

    def words(self) -> str:
        """The verdict as one line for people."""
        sizes = [
            f"{name} {before:.0f} → {after:.0f} mm"
            for name, (before, after) in (("outline", self.outline), ("landmarks", self.landmarks))
            if before is not None and after is not None
        ]
        where = "held-out frames" if self.held_out else "other frames"
        before, after = self.colours
        told = ", ".join([*sizes, f"colours of {where} {100 * before:.1f} → {100 * after:.1f}%"])
        if not self.better:
            return f"Not better: the motion is the initial one, for the fit explains the video no better ({told})."
        given_back = [self._named(name) for name, part in self.parts.items() if part.kept < 1]
        if given_back:
            listed = " and ".join([", ".join(given_back[:-1]), given_back[-1]] if given_back[1:] else given_back)
            return (
                f"Not better everywhere: the motion of {listed} is the initial one. The rest explains the video better "
                f"than the initial motion: {told}."
            )
        return f"The fit explains the video better than the initial motion: {told}."

    def _named(self, name: str) -> str:
        kept = self.parts[name].kept
        when = f" ({(1 - kept) * self.seconds:.1f} of {self.seconds:.1f} s)" if kept > 0 else ""
        return f"the {name}{when}"

    def facts(self) -> dict[str, Any]:
        """What provenance/fit.json tells of it."""
        sizes = _before_after({"landmarks": self.landmarks, "outline": self.outline}, " mm", 1)
        colours = _before_after({"colours": self.colours}, "", 4)
        parts = {name: part.facts() for name, part in self.parts.items()}
        return {"words": self.words(), "better": self.better} | sizes | colours | {"parts": parts}


@torch.no_grad()
def keep_better(
    clip: Clip,
    body: BodyModel,
    betas: Tensor,  # [10]
    thickness: Tensor | None,  # [24] metres that clothes stand off; None where the fit has none
    rows: PoseRows,
    marks: Marks | None,
    fps: float,
    settings: FitSettings,
    fitted: bool,
) -> Verdict:
    """Compare the motion of `rows` with the initial one, and give back to it what was better there.

    Shape, clothes and focal length are the fit's for both.

    Args:
        clip: as the fit corrected it.
        rows: every frame's row is written where the initial motion was better.
        marks: as the fit used them; None: they are made where the clip has landmarks.
        fitted: whether the initial motion was fitted to the landmarks.
    """
    device = betas.device
    count, seen = len(clip), clip.train | clip.heldout
    every = max(1, round(fps / _RATE))
    frames = np.flatnonzero(seen & ((np.arange(count) % every == 0) | clip.heldout))
    if marks is None and clip.landmarks is not None:
        marks = Marks.of(clip.landmarks, body, betas, rows)
    thickness = betas.new_zeros(24) if thickness is None else thickness
    witness = Witness(clip, frames.tolist(), body, betas, thickness, marks, settings.align, settings.seed)
    stretches = np.array_split(np.arange(count), max(1, round(count / fps / _STRETCH)))
    columns, looked_at = part_columns(device), torch.as_tensor(frames, device=device)
    found = torch.stack([rows.correction(frame) for frame in range(count)])
    shares = torch.ones(count, len(PARTS), device=device)  # of the correction that stays, for each part

    def motion(kept: Tensor) -> Tensor:  # [T, P] -> [F, 75]
        return (found * (kept @ columns))[looked_at]

    def explained(kept: Tensor) -> Explained:
        return witness.explained(rows, motion(kept))

    def cost(found: Explained) -> Tensor:  # [F]
        return found.cost(settings.align, fitted)

    initial, refined = explained(torch.zeros_like(shares)), explained(shares)
    present, parts = refined, {}
    for part, name in enumerate(PARTS):
        without = shares.clone()
        without[:, part] = 0
        put_back = explained(without)
        worse = (cost(present) - cost(put_back)).cpu().numpy()
        landmarks = witness.landmarks_mm(put_back, part), witness.landmarks_mm(present, part)
        outline = witness.outline_mm(put_back, present, part), witness.outline_mm(present, put_back, part)
        stays = _blended(_stays(worse, frames, stretches), fps)
        parts[name] = PartVerdict(landmarks, outline, float(stays.mean()))
        if (stays < 1).any():
            shares[:, part] = torch.as_tensor(stays, dtype=shares.dtype, device=device)
            present = explained(shares)

    held_out = bool(clip.heldout.any())
    judged = torch.as_tensor(clip.heldout[frames] if held_out else np.arange(len(frames)) % 2 == 1, device=device)
    colours = tuple(witness.colour_error(rows, motion(kept), judged) for kept in (torch.zeros_like(shares), shares))
    costs = float(cost(initial).mean()), float(cost(present).mean())
    better = _better(costs, colours)
    if not better:
        shares[:] = 0
        parts = {name: PartVerdict(part.landmarks, part.outline, 0.0) for name, part in parts.items()}
    rows.params["rows"] -= found * (1 - shares @ columns)
    last = present if better else refined
    return Verdict(
        better,
        (witness.landmarks_mm(initial, TRUNK), witness.landmarks_mm(last, TRUNK)),
        (witness.outline_mm(initial, last, TRUNK), witness.outline_mm(last, initial, TRUNK)),
        colours,
        held_out,
        count / fps,
        parts,
    )


def _better(costs: Pair, colours: Pair) -> bool:
    """Whether a motion is better as a whole, by its cost and the colours' error, before and after."""
    (cost, cost_after), (error, error_after) = costs, colours
    told = cost_after < _CLEARLY * cost and error_after <= _SAME_COLOURS * error
    return told or (
        cost_after * error + error_after * cost < 2 * cost * error and error_after <= _CLEARER_COLOURS * error
    )


def _stays(worse: np.ndarray, frames: np.ndarray, stretches: list[np.ndarray]) -> np.ndarray:
    """(T,) 0 in the stretches in whose frames (F,) the refined part is worse (F,), else 1; unseen ones stay."""
    stays = np.ones(sum(map(len, stretches)))
    for stretch in stretches:
        inside = (frames >= stretch[0]) & (frames <= stretch[-1])
        if inside.any() and worse[inside].mean() > _TOLERANCE:
            stays[stretch] = 0
    return stays


def _blended(stays: np.ndarray, fps: float) -> np.ndarray:
    """(T,) the same with steps that take a while."""
    half = max(1, round(_BLEND * fps / 2))
    padded = np.pad(stays, half, mode="edge")
    return np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid").round(9)


def _before_after(pairs: dict[str, Pair], unit: str, digits: int) -> dict[str, float]:
    return {
        f"{name} {when}{unit}": round(value, digits)
        for name, pair in pairs.items()
        for when, value in zip(("before", "after"), pair)
        if value is not None
    }
