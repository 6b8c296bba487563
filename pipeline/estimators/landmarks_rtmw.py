"""RTMW's landmarks (Jiang et al. 2024): the 133 of COCO-WholeBody, hands and face among them, on crops from the masks.

The network comes through the package rtmlib, on onnxruntime. It gives pixels alone, so there is no `world`.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.estimators.networks import onnx_finds_gpu
from pipeline.estimators.settings import LandmarksSettings, RtmwSettings, refuse_facing
from pipeline.estimators.sharper import Pictures, pictures
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import inside, mask_box
from pipeline.landmarks.names import WHOLE_BODY
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.setup.weights import needed, require

PACKAGES = ("rtmlib", "onnxruntime", "numpy")
_SEEN = 0.3  # of the network's score; its authors draw what is above 0.3 to 0.43
_ON_MASK = 0.5  # share of the landmarks seen that lie on the mask, from which they are the person's
_DEVICE = "landmarks.rtmw.device"


def check(settings: LandmarksSettings) -> None:
    """Raise a UserError, before any work, where the package, the weights or the GPU asked for are missing."""
    refuse_facing(settings, "rtmw")
    require(needed("landmarks", asdict(settings)))
    _import_rtmlib()
    onnx_finds_gpu(_DEVICE, settings.rtmw.device)


def estimate(directory: VideoDir, settings: LandmarksSettings, provenance: Provenance) -> Landmarks:
    """The landmarks of the person that the masks show.

    Raises:
        UserError: there is not one mask a frame, or the file is no network of this kind.
    """
    info = VideoInfo.load(directory.video)
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    if len(masks) != len(frames):
        raise UserError(f"{directory.masks}: {len(frames)} masks expected, found {len(masks)}; rerun the masks stage")
    network = load_network(settings.rtmw)
    xy, visibility = np.zeros((len(frames), len(WHOLE_BODY), 2)), np.zeros((len(frames), len(WHOLE_BODY)))
    boxes = [mask_box(mask) for mask in masks]
    looked_at = pictures(directory, info, frames, boxes, provenance) if settings.sharper else Pictures(frames)
    for index, box in enumerate(track(boxes, "landmarks", unit="frame")):
        if box is None:
            continue
        mask = masks[index]
        points, scores = (values[0] for values in network(looked_at[index], [looked_at.box(box)]))
        points = points / looked_at.scale
        seen = (scores > _SEEN) & inside(points, info.width, info.height)
        on = np.floor(points[seen]).astype(int)
        if len(on) and (mask[on[:, 1], on[:, 0]] > 127).mean() > _ON_MASK:
            xy[index] = points
            visibility[index] = scores.clip(0, 1) * inside(points, info.width, info.height)
    found = int(visibility.any(1).sum())
    source = f"rtmw {Path(settings.rtmw.weights).name}"
    provenance.facts |= {"source": source, "frames": len(frames), "found_frames": found, "device": network.device}
    if not found:
        provenance.warn(f"{info.source}: the person is found in no frame: there are no landmarks")
    return Landmarks(WHOLE_BODY, xy, visibility, source=source)


def load_network(settings: RtmwSettings) -> Any:
    """rtmlib's RTMPose with these weights: (image (H, W, 3) RGB, boxes) -> points (N, 133, 2) px, scores (N, 133).

    Raises:
        UserError: the file is no network, or one of other landmarks.
    """
    rtmlib = _import_rtmlib()
    device = "cuda" if onnx_finds_gpu(_DEVICE, settings.device) else "cpu"
    file = Path(settings.weights) / "end2end.onnx"
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
            network = rtmlib.RTMPose(str(file), backend="onnxruntime", device=device)
        _, channels, height, width = network.session.get_inputs()[0].shape
        outputs = [output.shape for output in network.session.get_outputs()]
    except Exception as error:  # onnxruntime has an error class for each reason
        raise UserError(
            f"{file}: not a network that onnxruntime reads ({error}); delete it and fetch it again"
        ) from error
    bins = [shape[-1] for shape in outputs]
    if channels != 3 or [shape[1] for shape in outputs] != [len(WHOLE_BODY)] * 2 or bins != [2 * width, 2 * height]:
        raise UserError(
            f"{file}: expected RTMW's 133 landmarks, two bins a pixel along x and y, found {width}x{height} and "
            f"outputs {outputs}"
        )
    network.model_input_size = (width, height)
    return network


def _import_rtmlib() -> Any:
    try:
        import onnxruntime  # noqa: F401 - rtmlib imports it late
        import rtmlib
    except ImportError as error:
        raise UserError(f"backend rtmw: cannot be imported ({error}); pip install -e '.[rtmw]'") from error
    return rtmlib
