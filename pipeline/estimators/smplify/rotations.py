"""Local rotations of the joints, told by the network that corrects the landmarks (`temporal.py`).

Landmarks are points. How a limb is twisted about its bone, which of spine, neck and collars bends, and how an elbow
that is nearly straight is turned, they do not tell, and the relaxed pose decided it. A person's motion does tell. Three
layers on the network's last features and on the landmarks that it corrected give the rotations, and how far off each of
their components is expected to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.body import JOINT_NAMES
from pipeline.body.model import MIRRORED_JOINTS
from pipeline.estimators.smplify.corrector import OUTPUTS, USED
from pipeline.estimators.smplify.temporal import (
    Network,
    TemporalCorrector,
    fill,
    half_precision,
    mirrored_windows,
    shipped_temporal,
    window_tokens,
    windows_in_chunks,
)
from pipeline.formats.arrays import read_npz, read_text, write_npz
from pipeline.landmarks.on_body import USED_NAMES
from pipeline.landmarks.swaps import mirror_order
from pipeline.motion.limbs import torso_rotation
from pipeline.setup.shipped import ROTATION_LAYERS

SHIPPED = ROTATION_LAYERS.path
TOLD = [k for k, name in enumerate(JOINT_NAMES[1:]) if name.split("_")[-1] not in ("foot", "hand")]  # of 23
OTHER = np.array(MIRRORED_JOINTS[1:]) - 1  # of each joint but the pelvis, that of the other side
_HIDDEN = (384, 256)
_LOG_SCALE = (-4.0, 1.0)  # of the error expected, radians: limits
_BONES = [
    *((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (
        ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "index"), ("wrist", "pinky"), ("hip", "knee"),
        ("knee", "ankle"), ("ankle", "foot_index"), ("heel", "foot_index"), ("shoulder", "ear"), ("hip", "shoulder"),
    )),
    ("left_ear", "nose"), ("right_ear", "nose"), ("left_ear", "right_ear"), ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
]  # fmt: skip
_ENDS = torch.tensor([[USED_NAMES.index(end) for end in bone] for bone in _BONES])


class Head(nn.Module):
    """From the network's features and the corrected landmarks to rotations and their expected errors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one = nn.Linear(width + OUTPUTS + 3 * len(_BONES), _HIDDEN[0])
        self.two = nn.Linear(*_HIDDEN)
        self.drop = nn.Dropout(0.1)
        self.leave = nn.Linear(_HIDDEN[1], 6 * len(OTHER))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self,
        features: Tensor,  # [N, width] of `Network.features`
        points: Tensor,  # [N, L, 3] metres, the used landmarks, corrected
    ) -> tuple[Tensor, Tensor]:  # [N, 23, 3] axis-angle, [N, 23, 3]
        """Local rotations of all joints but the pelvis, and the logarithms of their components' expected errors."""
        everyone = points.new_zeros(len(points), mirror_order().size, 3)
        everyone[:, USED] = points
        own = points @ torso_rotation(everyone)
        bones = nn.functional.normalize(own[:, _ENDS[:, 1]] - own[:, _ENDS[:, 0]], dim=-1)
        seen = torch.cat([features, own.flatten(1), bones.flatten(1)], 1)
        inside = nn.functional.gelu(self.two(nn.functional.gelu(self.one(seen))))
        pose, log_scale = self.leave(self.drop(inside)).unflatten(1, (2, -1, 3)).unbind(1)
        return pose, log_scale.clamp(*_LOG_SCALE)


@dataclass(frozen=True)
class RotationTeller:
    """The layers, and the network that they were trained on top of."""

    head: Head
    corrector: TemporalCorrector
    licence: str
    attribution: str  # of the data that it was learnt from

    def save(self, path: Path) -> None:
        """Write the layers' weights, at half precision; the network has its own file."""
        write_npz(path, {**half_precision(self.head), "licence": self.licence, "attribution": self.attribution})

    @staticmethod
    def load(path: Path, corrector: TemporalCorrector) -> RotationTeller:
        """Read the layers. Raises UserError where the file is missing, or holds none for this network."""
        arrays = read_npz(path)
        texts = [read_text(path, arrays, key) for key in ("licence", "attribution")]
        head = Head(corrector.network.leave.in_features)
        fill(head, path, arrays)
        return RotationTeller(head.eval(), corrector, *texts)


@cache
def shipped_teller() -> RotationTeller:
    """Raises a UserError where its file is gone."""
    return RotationTeller.load(ROTATION_LAYERS.require(), shipped_temporal())


def expected_pose(
    frames: np.ndarray,  # (B,) int, index of each in the clip, rising
    fps: float,
    xy: np.ndarray,  # (B, 33, 2) px
    visibility: np.ndarray,  # (B, 33) in [0, 1]
    world: np.ndarray,  # (B, 33, 3) m, camera axes
    K: np.ndarray,  # (3, 3) px
    teller: RotationTeller | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # (B, 69) axis-angle, (B, 69) radians
    """`body_pose` as the motion tells it, and the errors expected of it; infinite for feet and hands.

    A mirrored clip gives the mirrored result. Arguments as of `corrected_over_time`: landmarks as detected.
    """
    teller = teller or shipped_teller()
    told = [told_windows(*some, teller) for some in windows_in_chunks(frames, fps, xy, visibility, world, K)]
    pose, scale = (np.concatenate(parts) for parts in zip(*told))
    known = np.isin(np.arange(len(OTHER)), TOLD)[:, None]
    return pose.reshape(len(pose), -1), np.where(known, scale, np.inf).reshape(len(pose), -1)


def told_windows(
    xy: np.ndarray,  # (N, WINDOW, 33, 2) on the plane z = 1
    visibility: np.ndarray,  # (N, WINDOW, 33)
    world: np.ndarray,  # (N, WINDOW, 33, 3) m
    teller: RotationTeller,
) -> tuple[np.ndarray, np.ndarray]:  # (N, 23, 3) axis-angle, (N, 23, 3) radians
    """Rotations of the middle frames of windows, and their expected errors: means of what is seen and mirrored."""
    direct = _run(teller, xy, visibility, world)
    other = _run(teller, *mirrored_windows(xy, visibility, world))
    pose = (direct[0] + other[0][:, OTHER] * [1, -1, -1]) / 2
    return pose, np.exp((direct[1] + other[1][:, OTHER]) / 2)


def features_and_points(network: Network, tokens: np.ndarray, linear: np.ndarray) -> tuple[Tensor, Tensor]:
    """What the layers read of windows: the network's features [N, width], and its landmarks [N, L, 3].

    Args:
        network: the one that they are on top of.
        tokens, linear: of `window_tokens`.
    """
    features = network.features(torch.from_numpy(tokens))
    return features, torch.from_numpy(linear.astype(np.float32)) + network.told(features)[0]


@torch.no_grad()
def _run(
    teller: RotationTeller, xy: np.ndarray, visibility: np.ndarray, world: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    tokens, linear, _ = window_tokens(xy, visibility, world, np.eye(3), teller.corrector.linear)
    pose, log_scale = teller.head(*features_and_points(teller.corrector.network, tokens, linear))
    return pose.double().numpy(), log_scale.double().numpy()
