"""Where an avatar's picture differs from frames that it was not trained on, and what would explain it.

`python -m benchmarks.residual results/<video>` splits the squared error in the crop, the person over white by the
refined mask: by place, by part of the body, and by what would take it away (light, a shift of each part, a smooth warp,
blur).
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.avatar import Avatar
from pipeline.avatar.gaussians import SH_C0
from pipeline.body import JOINT_NAMES
from pipeline.evaluation.clip import Clip, load_clip, spread
from pipeline.evaluation.image_metrics import person_box
from pipeline.evaluation.observed import draw_refined
from pipeline.evaluation.table import HELD_OUT
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.runtime.threads import get_threads, set_threads

_PADDING = 0.1  # of the crop, as evaluate.crop_padding
_EDGE = 3  # px of the outline's band to either side
_REACH = 4  # px that a part may be shifted by, each way
_SMOOTH = 8.0  # px over which the warp is smooth
_BLURS = (1, 2, 3)  # px
_PARTS = {  # joints whose names hold one of these, the first that does
    "head": ("head", "neck"),
    "hands": ("hand", "wrist"),
    "left arm": ("left_elbow", "left_shoulder"),
    "right arm": ("right_elbow", "right_shoulder"),
    "left thigh": ("left_hip",),
    "right thigh": ("right_hip",),
    "left shank": ("left_knee", "left_ankle", "left_foot"),
    "right shank": ("right_knee", "right_ankle", "right_foot"),
    "trunk": ("",),
}
Errors = dict[str, float]  # sums of squared differences


def residual(clip: Clip, frames: np.ndarray) -> tuple[Errors, float]:
    """Sums over frames of mean squared differences in the crop, by name; and the mean share of pixels unknown.

    "all" counts every pixel; all else leaves out what is unknown.
    """
    avatar = Avatar.from_file(clip.avatar, clip.body)
    labels = _labelled(avatar)
    sums: Errors = defaultdict(float)
    unknown = 0.0
    for frame in track(frames, "frames", unit="frame"):
        mask = clip.masks_refined[frame].astype(np.float32) / 255
        box = person_box(clip.masks[frame].astype(np.float32) / 255, _PADDING)
        if box is None:
            continue
        left, top, right, bottom = box
        cut = np.s_[top:bottom, left:right]
        drawn = draw_refined(avatar, clip, frame, torch.ones(3))[0].numpy()[cut]
        target = (clip.frames[frame].astype(np.float32) / 255 * mask[..., None] + 1 - mask[..., None])[cut]
        sums["all"] += ((drawn - target) ** 2).mean()
        if clip.masks_unknown is not None:
            hidden = clip.masks_unknown[frame][cut] > 0
            unknown += hidden.mean() / len(frames)
            target = np.where(hidden[..., None], drawn, target)
        parts = _nearest([draw_refined(each, clip, frame, torch.zeros(3))[0].numpy()[cut] for each in labels])
        for name, value in explained(drawn, target, mask[cut] > 0.5, parts).items():
            sums[name] += value / drawn.size
    return dict(sums), unknown


def explained(drawn: np.ndarray, target: np.ndarray, person: np.ndarray, parts: np.ndarray) -> Errors:
    """Sums of squared differences of a crop, by name."""
    squared = ((drawn - target) ** 2).sum(2)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _EDGE + 1,) * 2)
    inner, near = (change(person.astype(np.uint8), disc) > 0 for change in (cv2.erode, cv2.dilate))
    found = {"known": squared.sum(), "place: inside": squared[inner].sum(), "place: outside": squared[~near].sum()}
    found["place: outline"] = found["known"] - found["place: inside"] - found["place: outside"]
    found |= {f"part: {name}": squared[parts == index].sum() for index, name in enumerate(_PARTS)}
    scaled = [_fitted(drawn[inner][:, channel], target[inner][:, channel]) for channel in range(3)]
    found["without: gain and offset of the frame"] = found["known"] - found["place: inside"] + sum(scaled)
    found["without: a shift of each part"] = _shifted(drawn, target, parts)
    found["without: a smooth warp"] = ((_warped(drawn, target) - target) ** 2).sum()
    for sigma in _BLURS:
        found[f"blur: drawn against the frame blurred by {sigma} px"] = ((drawn - _blurred(target, sigma)) ** 2).sum()
        found[f"blur: the difference blurred by {sigma} px"] = (_blurred(drawn - target, sigma) ** 2).sum()
    return found


def _fitted(drawn: np.ndarray, target: np.ndarray) -> float:
    """What is left after the best gain and offset, of values (P,)."""
    known = np.stack([drawn, np.ones_like(drawn)], axis=1)
    return float(((known @ np.linalg.lstsq(known, target, rcond=None)[0] - target) ** 2).sum())


def _shifted(drawn: np.ndarray, target: np.ndarray, parts: np.ndarray) -> float:
    """What is left if each part may be shifted by whole pixels."""
    padded = cv2.copyMakeBorder(drawn, *[_REACH] * 4, cv2.BORDER_REPLICATE)
    height, width = parts.shape
    best = np.full(len(_PARTS), np.inf)
    for down in range(2 * _REACH + 1):
        for across in range(2 * _REACH + 1):
            squared = ((padded[down : down + height, across : across + width] - target) ** 2).sum(2)
            best = np.minimum(best, np.bincount(parts.ravel(), squared.ravel(), len(_PARTS)))
    return float(best.sum())


def _warped(drawn: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The picture, moved to the frame by optical flow that is smooth."""
    grey = [cv2.cvtColor(np.rint(255 * each).astype(np.uint8), cv2.COLOR_RGB2GRAY) for each in (target, drawn)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    flow = _blurred(flow, _SMOOTH)
    y, x = np.mgrid[: drawn.shape[0], : drawn.shape[1]].astype(np.float32)
    return cv2.remap(drawn, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def _labelled(avatar: Avatar) -> list[Avatar]:
    """The avatar in colours that say which of `_PARTS` is where, three a picture."""
    groups = [
        next(i for i, names in enumerate(_PARTS.values()) if any(n in joint for n in names)) for joint in JOINT_NAMES
    ]
    own = torch.eye(len(_PARTS))[torch.tensor(groups)[avatar.weights.argmax(1)]]
    return [replace(avatar, sh=_plain(colours), cloth=None) for colours in own.split(3, dim=1)]


def _plain(
    colours: Tensor,  # [N, 3]
) -> Tensor:  # [N, 1, 3]
    return ((colours - 0.5) / SH_C0)[:, None]


def _nearest(labels: list[np.ndarray]) -> np.ndarray:
    """(h, w) int: which part a pixel shows, or which is nearest."""
    shares = np.concatenate(labels, axis=2)
    parts, bare = shares.argmax(2), (shares.sum(2) < 0.5).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(bare, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    of_label = np.zeros(nearest.max() + 1, int)
    of_label[nearest[bare == 0]] = parts[bare == 0]
    return of_label[nearest]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.residual", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="results/<video>, evaluated or at least fitted")
    parser.add_argument("--frames", type=int, default=20, help="at most so many, evenly spread (default: %(default)s)")
    parser.add_argument("--split", default=HELD_OUT, help='"held-out" or "train" (default: %(default)s)')
    args = parser.parse_args()
    set_threads(get_threads())
    torch.set_num_threads(1)
    try:
        clip = load_clip(args.folder, "free")
        if clip.masks_refined is None:
            raise UserError(f"{args.folder}: has no masks_refined/; run the fit again")
        frames = spread(np.flatnonzero(clip.splits == args.split), args.frames)
        sums, unknown = residual(clip, frames)
    except UserError as error:
        raise SystemExit(str(error)) from error
    print(f"{args.folder}: {len(frames)} {args.split} frames, {unknown:.1%} of the crops unknown")
    for name, value in sums.items():
        print(f"{name:45} {100 * value / sums['known']:6.1f}%  {10 * math.log10(len(frames) / value):6.2f} dB")


if __name__ == "__main__":
    main()
