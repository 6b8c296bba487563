"""World landmarks corrected by a small network that sees most of a second of the clip, learnt on the studio.

`python -m pipeline learn --temporal` trains it (pipeline/learning). It adds to what the linear map of `corrector.py`
gives, in the same view axes and units, and sees nine frames, a tenth of a second apart: a limb that moves tells more of
where it is than one picture does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.estimators.smplify.corrector import (
    FEATURES,
    OTHER_SIDE,
    OUTPUTS,
    USED,
    Corrector,
    about_hips,
    in_view,
    shipped_corrector,
    with_face,
)
from pipeline.formats.arrays import read_npz, read_text, write_npz
from pipeline.landmarks.swaps import mirror_order
from pipeline.runtime.errors import UserError
from pipeline.setup.shipped import LANDMARK_NETWORK

SHIPPED = LANDMARK_NETWORK.path
HALF, RATE = 4, 10.0  # frames before and after the one that is corrected, and frames a second
WINDOW = 2 * HALF + 1
TOKEN = FEATURES + OUTPUTS + 3  # what it sees of a frame
_FLIP = np.array([-1.0, 1.0, 1.0])
_CHUNK = 512  # frames at a time


class Network(nn.Module):
    """Four convolutions over a window, from tokens to what is to be added to the middle frame's landmarks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(TOKEN))
        self.register_buffer("spread", torch.ones(TOKEN))
        self.enter = nn.Linear(TOKEN, width)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3) for _ in range(HALF))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(HALF))
        self.drop = nn.Dropout(0.1)
        self.leave = nn.Linear(width, OUTPUTS + len(USED))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self,
        tokens: Tensor,  # [N, WINDOW, TOKEN]
    ) -> tuple[Tensor, Tensor]:  # [N, L, 3] metres, [N, L]
        """What to add to each used landmark, and the logarithm of the error that is left."""
        return self.told(self.features(tokens))

    def told(
        self,
        features: Tensor,  # [N, width]
    ) -> tuple[Tensor, Tensor]:  # [N, L, 3] metres, [N, L]
        """What the last layer makes of the features, as `forward`."""
        out = self.leave(features)
        return out[:, :OUTPUTS].unflatten(1, (-1, 3)), out[:, OUTPUTS:]

    def features(
        self,
        tokens: Tensor,  # [N, WINDOW, TOKEN]
    ) -> Tensor:  # [N, width]
        """What the last layer reads."""
        inside = nn.functional.gelu(self.enter((tokens - self.mean) / self.spread)).transpose(1, 2)
        for layer, norm in zip(self.layers, self.norms):
            moved = norm(layer(inside).transpose(1, 2)).transpose(1, 2)
            inside = inside[..., 1:-1] + self.drop(nn.functional.gelu(moved))
        return inside[..., 0]


@dataclass(frozen=True)
class TemporalCorrector:
    """The network, and the linear map that it was trained on top of."""

    network: Network
    linear: Corrector
    licence: str
    attribution: str  # of the data that it was learnt from

    def save(self, path: Path) -> None:
        """Write the network's weights, at half precision; the linear map has its own file."""
        write_npz(path, {**half_precision(self.network), "licence": self.licence, "attribution": self.attribution})

    @staticmethod
    def load(path: Path, linear: Corrector) -> TemporalCorrector:
        """Read a network. Raises UserError where the file is missing, or holds none."""
        arrays = read_npz(path)
        texts = [read_text(path, arrays, key) for key in ("licence", "attribution")]
        if "enter.bias" not in arrays:
            raise UserError(
                f"{path}: key 'enter.bias' is missing; python -m pipeline learn --temporal writes such files"
            )
        network = Network(len(arrays["enter.bias"]))
        fill(network, path, arrays)
        return TemporalCorrector(network.eval(), linear, *texts)


def half_precision(module: nn.Module) -> dict[str, np.ndarray]:
    """A module's weights, for a file."""
    return {name: value.numpy().astype(np.float16) for name, value in module.state_dict().items()}


def fill(module: nn.Module, path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Put a file's weights into a module. Raises UserError where one is missing, or of another shape."""
    for name, wanted in module.state_dict().items():
        if name not in arrays or arrays[name].shape != tuple(wanted.shape):
            found = arrays[name].shape if name in arrays else "none"
            raise UserError(f"{path}: key {name!r} should be of shape {tuple(wanted.shape)}, found {found}")
    module.load_state_dict({name: torch.from_numpy(arrays[name].astype(np.float32)) for name in module.state_dict()})


@cache
def shipped_temporal() -> TemporalCorrector:
    """Raises a UserError where its file is gone."""
    return TemporalCorrector.load(LANDMARK_NETWORK.require(), shipped_corrector())


def corrected_over_time(
    frames: np.ndarray,  # (B,) int, index of each in the clip, rising
    fps: float,
    xy: np.ndarray,  # (B, 33, 2) px
    visibility: np.ndarray,  # (B, 33) in [0, 1]
    world: np.ndarray,  # (B, 33, 3) m, camera axes
    K: np.ndarray,  # (3, 3) px
    corrector: TemporalCorrector | None = None,
) -> np.ndarray:  # (B, 33, 3)
    """World landmarks about the middle of the hips, corrected; left and right already put right.

    A mirrored clip gives the mirrored result. Sizes are those of a body of the detector's usual size.

    Args:
        frames: in which the person was found; where one is missing in a window, the nearest one stands for it.
        fps: of the clip.
        xy, visibility, world: the landmarks in those frames, mediapipe's 33.
        K: of the camera; a guess of the focal length will do.
        corrector: None: the one that ships.
    """
    corrector = corrector or shipped_temporal()
    seen = windows_in_chunks(frames, fps, xy, visibility, world, K)
    return np.concatenate([corrected_windows(*some, corrector) for some in seen])


def windows_in_chunks(
    frames: np.ndarray, fps: float, xy: np.ndarray, visibility: np.ndarray, world: np.ndarray, K: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Windows about the frames, some hundred at a time: xy on the plane z = 1, visibility, world.

    Arguments as of `corrected_over_time`.
    """
    plane = (xy - K[:2, 2]) / K[[0, 1], [0, 1]]
    rows = window_rows(frames, fps)
    for some in np.array_split(rows, max(1, -(-len(rows) // _CHUNK))):
        yield plane[some], visibility[some], world[some]


def corrected_windows(
    xy: np.ndarray,  # (N, WINDOW, 33, 2) on the plane z = 1
    visibility: np.ndarray,  # (N, WINDOW, 33)
    world: np.ndarray,  # (N, WINDOW, 33, 3) m
    corrector: TemporalCorrector,
) -> np.ndarray:  # (N, 33, 3)
    """`corrected_over_time` of the middle frames of windows: the mean of what is seen and of its mirror image."""
    direct, view = _run(corrector, xy, visibility, world)
    other, _ = _run(corrector, *mirrored_windows(xy, visibility, world))
    points = (direct + other[:, OTHER_SIDE] * _FLIP) / 2
    about = about_hips(world[:, HALF])  # the detector looks at a crop: it means view axes
    return np.einsum("tij,tlj->tli", view, with_face(about, points - about[:, USED]))


def mirrored_windows(
    xy: np.ndarray, visibility: np.ndarray, world: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What would be seen of the mirror image; arguments as of `corrected_windows`."""
    order = mirror_order()
    return xy[:, :, order] * _FLIP[:2], visibility[:, :, order], world[:, :, order] * _FLIP


def window_rows(frames: np.ndarray, fps: float) -> np.ndarray:  # (B,) -> (B, WINDOW)
    """For each frame the positions in `frames` of those around it, a tenth of a second apart, or as near as may be."""
    stride = max(1, round(fps / RATE))
    wanted = frames[:, None] + stride * np.arange(-HALF, HALF + 1)
    after = np.searchsorted(frames, wanted).clip(0, len(frames) - 1)
    before = (after - 1).clip(0)
    return np.where(np.abs(frames[after] - wanted) <= np.abs(frames[before] - wanted), after, before)


@torch.no_grad()
def _run(corrector: TemporalCorrector, xy: np.ndarray, visibility: np.ndarray, world: np.ndarray):
    """The used landmarks (N, L, 3) of windows' middle frames in view axes, and those axes (N, 3, 3)."""
    tokens, linear, view = window_tokens(xy, visibility, world, np.eye(3), corrector.linear)
    added, _ = corrector.network(torch.from_numpy(tokens))
    return linear + added.double().numpy(), view


def window_tokens(
    xy: np.ndarray,  # (N, WINDOW, 33, 2) px
    visibility: np.ndarray,  # (N, WINDOW, 33)
    world: np.ndarray,  # (N, WINDOW, 33, 3) m
    K: np.ndarray,  # (3, 3)
    linear: Corrector,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens (N, WINDOW, TOKEN) float32; what the linear map makes of the middle frames (N, L, 3); their view axes.

    A token has the linear map's features and what it adds, how far the hips are beside those of the middle frame, in
    units of the body, and how much larger the person is.
    """
    count = len(xy)
    flat = [values.reshape(count * WINDOW, *values.shape[2:]) for values in (xy, visibility, world)]
    seen = in_view(*flat, K)
    change = seen.features @ linear.weights[:-1] + linear.weights[-1]
    hips, scale = seen.hips.reshape(count, WINDOW, 2), seen.scale.reshape(count, WINDOW, 1)
    middle = slice(HALF, HALF + 1)
    beside = np.clip((hips - hips[:, middle]) / scale[:, middle], -2, 2)
    larger = np.clip(np.log(scale / scale[:, middle]), -1, 1)
    parts = [seen.features.reshape(count, WINDOW, -1), change.reshape(count, WINDOW, -1), beside, larger]
    tokens = np.concatenate(parts, -1).astype(np.float32)
    corrected = (seen.points + change.reshape(seen.points.shape)).reshape(count, WINDOW, len(USED), 3)[:, HALF]
    return tokens, corrected, seen.view.reshape(count, WINDOW, 3, 3)[:, HALF]
