"""The layers that tell local rotations trained, and judged on people that they have not seen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.estimators.smplify.rotations import TOLD, Head, RotationTeller, features_and_points, told_windows
from pipeline.estimators.smplify.temporal import TemporalCorrector, window_tokens
from pipeline.learning.repertoire import Repertoire
from pipeline.learning.temporal import seen_anew
from pipeline.learning.windows import ErrorBank, Windows, rolled
from pipeline.runtime.progress import track

_BATCH, _RATE, _DECAY = 256, 1e-3, 1e-3
_FRESH, _KEPT = 200, 4  # steps after which the windows are made anew, and makings that are drawn from
_REPLAYED = 9000  # windows of a making that were never filmed
_TURNED = 0.25  # rad: those perform no motion of the repertoire as it is, or rotations would be learnt by heart
_FIRST_SCALE = -1.5  # logarithm of radians


def learnt_rotations(
    films: Windows, repertoire: Repertoire, corrector: TemporalCorrector, steps: int, seed: int, texts: tuple[str, str]
) -> RotationTeller:
    """Train the layers on top of a network, which stays as it is: AdamW, the likelihood of Laplace errors.

    Args:
        films: windows of the people to learn from; half of each batch is of theirs, half of motion never filmed.
        repertoire: what is performed in those.
        corrector: whose features and landmarks are read.
        steps: of 256 windows.
        seed: of all choices.
        texts: licence and attribution.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    bank, head = ErrorBank(films), Head(corrector.network.leave.in_features)
    optimizer = torch.optim.AdamW(head.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    makings: list[tuple[Tensor, ...]] = []
    for step in track(range(steps), "train", steps, "step"):
        if step % _FRESH == 0:
            makings = [*makings, _made(films, bank, repertoire, corrector, rng)][-_KEPT:]
            features, points, wanted, weights = (torch.cat(parts) for parts in zip(*makings))
            if step == 0:
                first = torch.stack([wanted.mean(0), torch.full_like(wanted[0], _FIRST_SCALE)])
                head.leave.bias.data.copy_(first.flatten())
        chosen = torch.multinomial(weights, _BATCH, replacement=True)
        pose, log_scale = head(features[chosen], points[chosen])
        likelihood = log_scale + (wanted[chosen] - pose).abs() / log_scale.exp()
        optimizer.zero_grad()
        likelihood[:, TOLD].mean().backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return RotationTeller(head.eval(), corrector, *texts)


@torch.no_grad()
def _made(
    films: Windows, bank: ErrorBank, repertoire: Repertoire, corrector: TemporalCorrector, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The network's features, its landmarks, the true rotations, and how often each window is drawn."""
    filmed = rolled(films, rng)
    windows, guess, weights = seen_anew(filmed, bank.replayed(repertoire, _REPLAYED, rng, _TURNED), rng)
    tokens, linear, _ = window_tokens(windows.xy, windows.visibility, windows.world, guess, corrector.linear)
    wanted = torch.from_numpy(windows.pose.astype(np.float32))
    return *features_and_points(corrector.network, tokens, linear), wanted, weights


def judged_rotations(windows: Windows, teller: RotationTeller, usual: np.ndarray) -> tuple[float, float, float]:
    """Degrees, means over joints and components: off by, off if the usual pose (23, 3) were told, and expected."""
    pose, scale = told_windows(windows.xy, windows.visibility, windows.world, teller)
    off, before = (np.abs(told - windows.pose)[:, TOLD].mean() for told in (pose, usual))
    return tuple(float(np.degrees(value)) for value in (off, before, scale[:, TOLD].mean()))
