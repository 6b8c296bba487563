"""`python -m pipeline.accuracy.sigma RESULTS TRUTH ...`: calibrates how sure the fit says it is, on studio clips.

Prints the scale and the floor (pipeline.fit.uncertainty) at which 68.3% of the errors lie within one sigma, and how
many do in each clip. RESULTS are folders results/<clip> that were fitted, each followed by its NAME.truth.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

from pipeline.body import load_body
from pipeline.evaluation.against_truth import HIPS, LIMBS
from pipeline.evaluation.clip import joints_of
from pipeline.evaluation.pose_metrics import across_and_along
from pipeline.fit.uncertainty import FLOOR, SCALE
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.runtime.errors import UserError

SHARE = 0.6827  # of Gaussian errors, within one standard deviation
_STARTS = ((1.0, 0.02), (2.0, 0.02), (0.4, 0.05), (3.0, 0.007))  # scale, and floor in metres


@torch.no_grad()
def errors_of(results: Path, truth: Path) -> tuple[np.ndarray, np.ndarray]:
    """Errors (T, 12, 3), two axes across the ray and along it, and the model's sigma (T, 12, 2), metres.

    Raises:
        UserError: the fit says nothing of how sure it is, or the truth is not of this clip.
    """
    path = VideoDir(results).pose_refined
    found, true = Pose.load(path), Pose.load(truth / "pose.npz")
    if found.sigma is None or len(found) != len(true):
        raise UserError(f"{path}: expected sigma, and {len(true)} frames as in {truth}; fit the whole clip again")
    body = load_body("free")
    joints, true_joints = joints_of(body, found), joints_of(body, true)
    middled = (each - each[:, HIPS].mean(1, keepdims=True) for each in (joints, true_joints))
    errors = across_and_along(np.subtract(*middled), joints)
    model = np.sqrt(np.maximum(found.sigma**2 - np.square(FLOOR), 0)) / SCALE
    return errors[:, LIMBS], model[:, LIMBS]


def calibrate(errors: np.ndarray, model: np.ndarray) -> tuple[float, float]:
    """Scale and floor for which SHARE of errors (N,) lie within sigma, given the model's (N,): quantile regression
    (Koenker and Bassett 1978)."""

    def loss(logs: np.ndarray) -> float:
        beyond = np.abs(errors) - np.hypot(np.exp(logs[0]) * model, np.exp(logs[1]))
        return 1000 * float(np.where(beyond > 0, SHARE * beyond, (SHARE - 1) * beyond).mean())

    found = [minimize(loss, np.log(start), method="Nelder-Mead", options={"xatol": 1e-4}) for start in _STARTS]
    scale, floor = np.exp(min(found, key=lambda each: each.fun).x)
    return float(scale), float(floor)


def main(arguments: Sequence[str]) -> None:
    clips = [Path(argument) for argument in arguments]
    if not clips or len(clips) % 2:
        raise SystemExit(__doc__)
    parts = {results.name: errors_of(results, truth) for results, truth in zip(clips[::2], clips[1::2])}
    for where, axes, which in (("across", [0, 1], 0), ("along", [2], 1)):
        flat = {
            name: (errors[..., axes].ravel(), np.repeat(model[..., which], len(axes)))
            for name, (errors, model) in parts.items()
        }
        scale, floor = calibrate(*(np.concatenate(part) for part in zip(*flat.values())))
        print(f"{where}: scale {scale:.2f}, floor {1000 * floor:.1f} mm")
        for name, (errors, model) in flat.items():
            print(f"  {name}: {(np.abs(errors) <= np.hypot(scale * model, floor)).mean():.0%} within one sigma")


if __name__ == "__main__":
    main(sys.argv[1:])
