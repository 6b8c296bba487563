"""Where NeuHMR's joint matching finds joints, against a detector and the truth (its section 4.5 and figure 5).

Its figure shows the pelvis; here are twelve joints of arms and legs, which both the body and the detector have. The
detector's are other points than the body's by a centimetre or two: it names what it sees, the body where it bends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.avatar import Avatar
from pipeline.body import JOINT_NAMES, load_body
from pipeline.body.held_hands import with_held_hands
from pipeline.evaluation.against_truth import LIMBS
from pipeline.evaluation.clip import joints_of
from pipeline.fit.data import load_clip
from pipeline.fit.neuhmr import NeuHMRFit
from pipeline.fit.neuhmr.joint_matching import MATCHED
from pipeline.fit.settings import FitSettings
from pipeline.formats.atomic import atomic_path
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.images import FrameFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import build

STARTED, MATCHES, REFINED, DETECTED = "initial estimate", "matched from there", "after the fit", "detector"
_COLOURS = {STARTED: "#8a929c", MATCHES: "#c8553d", REFINED: "#1f6fb4", DETECTED: "#3f8f5b"}
_MARGIN = 40  # px around the joints
_SEEN = 0.5  # of a landmark's visibility: NeuHMR takes confidences above it
_ROWS = [MATCHED.index(joint) for joint in LIMBS]


@dataclass(frozen=True)
class Matches:
    """Places in the frames that were trained, px. [F, 12, 2] each; NaN where a joint is not shown."""

    frames: np.ndarray  # [F]
    true: np.ndarray
    found: dict[str, np.ndarray]

    def errors(self) -> dict[str, np.ndarray]:
        """Distances from the truth, px, of the joints that the matching found, so that all are of the same. [N]"""
        counted = ~np.isnan(self.found[MATCHES]).any(-1)
        distances = {name: np.linalg.norm(places - self.true, axis=-1)[counted] for name, places in self.found.items()}
        return {name: values[~np.isnan(values)] for name, values in distances.items()}


@torch.no_grad()
def find_matches(paths: VideoDir, truth: Path, detected: Path | None) -> Matches:
    """Match all trained frames of a fit by NeuHMR once more, from the initial poses.

    Args:
        paths: where the fit is.
        truth: the clip's.
        detected: landmarks of the same clip by a detector; None leaves them out.

    Raises:
        UserError: the fit is not NeuHMR's, or a file is missing.
    """
    record = read_provenance(paths.provenance("fit"))
    if "anchor_frames" not in record["facts"]:
        raise UserError(f"{paths.provenance('fit')}: expected a fit by NeuHMR, found none of its anchor frames")
    settings = build(FitSettings, record["settings"], str(paths.provenance("fit")))
    initial, refined, true = (Pose.load(path) for path in (paths.pose_init, paths.pose_refined, truth / "pose.npz"))
    body = with_held_hands(load_body(initial.body_model), initial)
    fit = NeuHMRFit(
        load_clip(paths, initial, settings, torch.device("cpu")), body, initial, settings, torch.device("cpu")
    )
    avatar = Avatar.from_file(AvatarFile.load(paths.avatar), body)
    registered, known = fit.register(avatar, np.array(record["facts"]["anchor_frames"]))
    matched = np.stack([_in_frame(fit, avatar, frame, registered, known, initial.K) for frame in fit.frames])
    found = {
        STARTED: _projected(body, initial, fit.frames),
        MATCHES: matched[:, _ROWS],
        REFINED: _projected(body, refined, fit.frames),
    }
    if detected is not None:
        found[DETECTED] = _landmarks(Landmarks.load(detected), fit.frames)
    return Matches(fit.frames, _projected(body, true, fit.frames), found)


def _in_frame(fit: NeuHMRFit, avatar: Avatar, frame: int, registered, known, K: np.ndarray) -> np.ndarray:  # (J, 2)
    """Where the joints are found, px of the frame; NaN where they are not shown."""
    targets, counted, crop_K = fit.found(avatar, frame, registered, known)
    places = np.concatenate([targets.numpy(), np.ones((len(targets), 1))], 1) @ (K @ np.linalg.inv(crop_K.numpy())).T
    return np.where(counted.numpy()[:, None], places[:, :2], np.nan)


def _projected(body, pose: Pose, frames: np.ndarray) -> np.ndarray:  # (F, 12, 2)
    places = joints_of(body, pose, frames)[:, LIMBS] @ pose.K.T
    return places[..., :2] / places[..., 2:]


def _landmarks(seen: Landmarks, frames: np.ndarray) -> np.ndarray:  # (F, 12, 2)
    columns = [seen.names.index(JOINT_NAMES[joint]) for joint in LIMBS]
    return np.where(seen.visibility[frames][:, columns, None] > _SEEN, seen.xy[frames][:, columns], np.nan)


def draw_matching(path: Path, paths: VideoDir, matches: Matches) -> None:
    """The figure as PNG: a frame with what was found, and how far all of them are from the truth."""
    row = int((~np.isnan(matches.found[MATCHES])).any(-1).sum(1).argmax())
    figure = Figure(figsize=(11, 5), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.5])
    image = FrameFolder(paths.frames)[int(matches.frames[row])]
    left.imshow(image)
    left.scatter(*matches.true[row].T, s=60, facecolors="none", edgecolors="white", linewidths=1.6, label="truth")
    for name in (STARTED, MATCHES):
        left.scatter(*matches.found[name][row].T, s=16, color=_COLOURS[name], label=name)
    for start, end in zip(matches.found[STARTED][row], matches.found[MATCHES][row]):
        left.plot(*zip(start, end), color=_COLOURS[MATCHES], linewidth=1)
    around = np.concatenate([matches.true[row], matches.found[STARTED][row]])
    low, high = np.maximum(around.min(0) - _MARGIN, 0), np.minimum(around.max(0) + _MARGIN, image.shape[1::-1])
    left.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), xticks=[], yticks=[])
    left.set_title(f"frame {matches.frames[row]}", loc="left", fontsize=10)
    left.legend(fontsize=8, loc="lower left", facecolor="#22272e", labelcolor="white", framealpha=0.8)
    for name, values in matches.errors().items():
        share = (np.arange(len(values)) + 1) / len(values)
        right.plot(
            np.sort(values), share, color=_COLOURS[name], linewidth=2, label=f"{name}, mean {values.mean():.1f} px"
        )
    right.set(
        xlim=(0, 25), ylim=(0, 1), xlabel="distance from the true joint in the image, px", ylabel="share of joints"
    )
    right.grid(color="#d8dde3", linewidth=0.7)
    right.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, loc="lower right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
