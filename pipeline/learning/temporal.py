"""The temporal network trained, and judged on people it has not seen."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from pipeline.estimators.smplify.corrector import USED, Corrector, about_hips
from pipeline.estimators.smplify.temporal import HALF, Network, TemporalCorrector, corrected_windows, window_tokens
from pipeline.learning.repertoire import Repertoire
from pipeline.learning.samples import Frames
from pipeline.learning.training import JOINTS, errors
from pipeline.learning.windows import ErrorBank, Windows, mirrored, rolled
from pipeline.runtime.progress import track

_WIDTH = 192  # channels
_BATCH, _RATE, _DECAY = 256, 1e-3, 1e-3
_RATE_ON = 3e-4  # of a network that is trained already
_FRESH = 200  # steps after which the windows are made anew: other rolls, focal lengths and motion
_KEPT = 4  # makings that are drawn from
_REPLAYED = 6000  # windows of a making that were never filmed
_FOCAL_SPREAD = 0.15  # of the guessed focal length about the true one, in its logarithm
_PITCHES = np.radians([-25, -15, -5, 5])  # cameras are of five kinds, ten degrees each
_LOG_SIGMA = (-5.0, 0.0)  # of what is left, metres: limits
_LEAST_SPREAD = 0.02  # of a token's value: one that never changes is not blown up
log = logging.getLogger(__name__)


def learnt_over_time(
    films: Windows,
    repertoire: Repertoire,
    linear: Corrector,
    steps: int,
    seed: int,
    texts: tuple[str, str],
    start: Network | None = None,
) -> TemporalCorrector:
    """Train the network on top of a linear map: AdamW, the likelihood of a distance with an unknown scale.

    Args:
        films: windows of the people to learn from; half of each batch is of theirs, half of motion never filmed.
        repertoire: what is performed in those.
        linear: what is corrected before.
        steps: of 256 windows.
        seed: of all choices.
        texts: licence and attribution.
        start: a network to go on from, at a lower rate; it stays as it is. None: a new one.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    bank, network = ErrorBank(films), Network(_WIDTH) if start is None else copy.deepcopy(start).train()
    rate = _RATE if start is None else _RATE_ON
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    makings: list[tuple[Tensor, Tensor, Tensor]] = []
    for step in track(range(steps), "train", steps, "step"):
        if step % _FRESH == 0:
            makings = [*makings, _made(films, bank, repertoire, linear, rng)][-_KEPT:]
            tokens, wanted, weights = (torch.cat(parts) for parts in zip(*makings))
            if step == 0 and start is None:
                network.mean.copy_(tokens.mean((0, 1)))
                network.spread.copy_(tokens.std((0, 1)).clamp(min=_LEAST_SPREAD))
        chosen = torch.multinomial(weights, _BATCH, replacement=True)
        added, log_sigma = network(tokens[chosen])
        log_sigma = log_sigma.clamp(*_LOG_SIGMA)
        off = (wanted[chosen] - added).square().sum(-1).add(1e-6).sqrt()
        optimizer.zero_grad()
        (3 * log_sigma + off / log_sigma.exp()).mean().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return TemporalCorrector(network.eval(), linear, *texts)


def soup(trained: Sequence[TemporalCorrector]) -> TemporalCorrector:
    """The network whose weights are the mean of several, all trained on from one start.

    A "model soup" (Wortsman et al. 2022, arXiv 2203.05482): from one start they end in one valley of the loss. Of
    networks that began apart the mean is worth nothing.
    """
    states = [corrector.network.state_dict() for corrector in trained]
    network = copy.deepcopy(trained[0].network)
    network.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    return replace(trained[0], network=network)


def _made(
    films: Windows, bank: ErrorBank, repertoire: Repertoire, linear: Corrector, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, what is to be added to the linear map's landmarks, and how often each window is drawn."""
    filmed = rolled(films, rng)
    windows, guess, weights = seen_anew(filmed, bank.replayed(repertoire, _REPLAYED, rng), rng)
    tokens, corrected, view = window_tokens(windows.xy, windows.visibility, windows.world, guess, linear)
    truth = np.einsum("nji,nlj->nli", view, about_hips(windows.truth[:, HALF])) / windows.size[:, None, None]
    wanted = torch.from_numpy((truth[:, USED] - corrected).astype(np.float32))
    return torch.from_numpy(tokens), wanted, weights


def seen_anew(filmed: Windows, replayed: Windows, rng: np.random.Generator) -> tuple[Windows, np.ndarray, Tensor]:
    """Both together, or the mirror image of both; a guessed camera (3, 3); and how often each is drawn.

    Half of what is drawn was filmed.
    """
    windows = filmed.and_also(replayed)
    windows = mirrored(windows) if rng.uniform() < 0.5 else windows
    focal = np.exp(rng.normal(0, _FOCAL_SPREAD))
    weights = [0.5 * evenly(half) for half in np.split(windows.pitch, [len(filmed)])]
    return windows, np.diag([focal, focal, 1.0]), torch.from_numpy(np.concatenate(weights))


def evenly(pitch: np.ndarray) -> np.ndarray:
    """(N,) how often each is drawn, in sum 1, so that each kind of pitch is drawn as often as any other.

    What is rare is pulled towards what is usual: people seen from above were leant as if the camera were level.
    """
    _, kind, counts = np.unique(np.digitize(pitch, _PITCHES), return_inverse=True, return_counts=True)
    return 1 / (len(counts) * counts[kind])


def judged_over_time(windows: Windows, corrector: TemporalCorrector) -> tuple[np.ndarray, np.ndarray]:
    """Mean `errors` (3,) of the windows' middle frames, corrected, and their lean; the focal length is the true one.

    Lean (5,): degrees about the camera's x axis by which a frame's landmarks are best turned to the truth, the mean for
    each kind of pitch, from steeply down to up; not a number where there is none.
    """
    found = corrected_windows(windows.xy, windows.visibility, windows.world, corrector)
    middle = Frames(*(part[:, HALF] for part in (windows.xy, windows.visibility, windows.world, windows.truth)),
                    windows.size, windows.person)  # fmt: skip
    pairs = zip(about_hips(middle.truth)[:, JOINTS], about_hips(found)[:, JOINTS])
    turn = np.degrees([Rotation.align_vectors(truth, points)[0].as_rotvec()[0] for truth, points in pairs])
    kind = np.digitize(windows.pitch, _PITCHES)
    lean = [turn[kind == each].mean() if (kind == each).any() else np.nan for each in range(len(_PITCHES) + 1)]
    return errors(middle, found).mean(0), np.array(lean)
