"""Masks by SAM 2's video predictor (Ravi et al. 2024, Apache-2.0), prompted with a box on one frame.

mediapipe finds the person and the frame in which they show best. From there SAM 2 goes to the clip's end, and then
back to its start. It holds its frames in memory, so a clip is cut into chunks; each begins with the prompted frame and
the last frame of the chunk before with its mask, so that what is followed stays the same.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.errors import UserError
from pipeline.estimators.boxes import Box, clip, grow, iou, mask_box
from pipeline.estimators.detector import PoseDetector, check_mediapipe
from pipeline.estimators.everybody import Subject, parse_person
from pipeline.estimators.networks import choose_device, import_package
from pipeline.estimators.settings import MasksSettings, Sam2Settings
from pipeline.estimators.subject import find_subject
from pipeline.formats.images import FrameFolder, write_mask
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.progress import track
from pipeline.published import check_published
from pipeline.weights import needed, require

PACKAGES = ("sam2", "torch", "torchvision", "mediapipe", "numpy")
_SAME = 0.5  # overlap of two boxes of one person
_PART = 0.1  # parts of a mask smaller than this share of the largest go: a leg behind a pole stays
_HOLE = 0.002  # holes smaller than this share of the person are filled: the space within a bent arm stays


def check(settings: MasksSettings) -> None:
    """Raise a UserError, before any work, where weights, a GPU or a package are missing or `masks.person` is wrong."""
    parse_person(settings.person)
    require(needed("masks", {"backend": "sam2", "sam2": {"checkpoint": settings.sam2.checkpoint}}))
    choose_device("sam2", settings.sam2.device)
    import_package("sam2", "sam2.build_sam")
    check_mediapipe()


def estimate(directory: VideoDir, settings: MasksSettings, out: Path, provenance: Provenance) -> None:
    """Write out/%06d.png for each frame, an empty mask where the person is not seen.

    Raises:
        UserError: nobody is in the clip, `masks.person` means nobody, or the weights do not fit the configuration.
    """
    frames, source = FrameFolder(directory.frames), VideoInfo.load(directory.video).source
    _, subject = find_subject(directory, frames, settings, provenance)
    box = tight_box(frames[subject.seed], subject, settings.min_confidence)
    predictor = load_predictor(settings.sam2)
    lost = []
    passes = (range(subject.seed, len(frames)), range(subject.seed, -1, -1))
    for number, order in enumerate(passes):
        name = ("masks, to the end", "masks, to the start")[number]
        for index, logits in track(_follow(predictor, frames, order, box, settings.sam2.chunk), name, len(order)):
            if number == 1 and index == subject.seed:
                continue  # written by the first pass
            mask = soft_mask(logits)
            write_mask(out / f"{index:06d}.png", mask)
            if mask.max() < 128:
                lost.append(index)
    if len(lost) == len(frames):
        raise UserError(
            f"{source}: SAM 2 finds nobody in the box {box} of frame {subject.seed}; are its weights right?"
        )
    provenance.facts |= {
        "checkpoint": Path(settings.sam2.checkpoint).name,
        "device": str(predictor.device),
        "prompt": {"frame": subject.seed, "box": [round(float(side), 1) for side in box]},
        "frames": len(frames),
        "lost_frames": sorted(lost),
    }
    if lost:
        provenance.warn(f"{source}: the person is not seen in {len(lost)} of {len(frames)} frames: empty masks")


def load_predictor(settings: Sam2Settings) -> Any:
    """The video predictor on its device.

    Raises:
        UserError: there is no such configuration, or the weights do not fit it.
    """
    build = import_package("sam2", "sam2.build_sam")
    for name in ("sam2.sam2_video_predictor", "sam2.utils.misc"):
        import_package("sam2", name).tqdm = lambda items, **_: items  # ours shows the progress
    check_published(Path(settings.checkpoint))
    logging.getLogger("sam2").setLevel(logging.ERROR)  # says at every start that its optional compiled part is absent
    try:
        predictor = build.build_sam2_video_predictor(
            settings.config,
            ckpt_path=settings.checkpoint,
            device=str(choose_device("sam2", settings.device)),
            hydra_overrides_extra=[f"++model.image_size={settings.image_size}"],
        )
    except Exception as error:  # hydra, omegaconf, pickle and torch each raise their own
        text = " ".join(str(error).split())[:300]
        raise UserError(
            f"{settings.checkpoint}: cannot be loaded as {settings.config} ({type(error).__name__}: {text}); "
            "masks.sam2.config must belong to masks.sam2.checkpoint; if it does, delete the file and fetch it again"
        ) from error
    predictor.fill_hole_area = 0  # needs the compiled part; soft_mask fills them
    return predictor


def tight_box(image: np.ndarray, subject: Subject, min_confidence: float) -> Box:
    """The box of the subject's mask in its best frame: SAM 2 was trained on boxes that fit closely."""
    with PoseDetector(tracking=False, segmentation=True, min_confidence=min_confidence) as detector:
        found = detector.detect(image, grow(subject.box, 1.4))
    box = None if found is None else mask_box(np.round(255 * found.mask).astype(np.uint8))
    height, width = image.shape[:2]
    return box if box is not None and iou(box, subject.box) > _SAME else clip(subject.box, width, height)


@torch.inference_mode()
def _follow(
    predictor: Any, frames: FrameFolder, order: Sequence[int], box: Box, chunk: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Logits (H, W) of the person in each frame, in the order given; the box is that of its first frame."""
    autocast = torch.autocast("cuda", torch.bfloat16) if predictor.device.type == "cuda" else nullcontext()
    last: np.ndarray | None = None
    for start in range(0, len(order), chunk):
        ahead = list(order[start : start + chunk])
        before = [] if start == 0 else [order[0], order[start - 1]]
        with tempfile.TemporaryDirectory() as folder, autocast:
            _link([frames.files[index] for index in before + ahead], Path(folder))
            state = predictor.init_state(folder, offload_video_to_cpu=True)
            predictor.add_new_points_or_box(state, frame_idx=0, obj_id=1, box=np.array(box, np.float32))
            if before and last is not None and (last > 0).any():
                predictor.add_new_mask(state, frame_idx=1, obj_id=1, mask=last > 0)
            for place, _, logits in predictor.propagate_in_video(state, start_frame_idx=0):
                if place >= len(before):
                    last = logits[0, 0].float().cpu().numpy()
                    yield ahead[place - len(before)], last


def _link(files: list[Path], folder: Path) -> None:
    """Make the files known in a folder as 000000.jpg, 000001.jpg, ..., the order in which SAM 2 goes through them.

    A clip in reverse is so a clip like any other; SAM 2's memory does not know which way time runs.
    """
    for number, file in enumerate(files):
        os.symlink(file.resolve(), folder / f"{number:06d}{file.suffix}")


def soft_mask(logits: np.ndarray) -> np.ndarray:
    """uint8 (H, W), 255 = person: the logits' sigmoid on the person's parts, with holes filled.

    Args:
        logits: (H, W) float, above 0 where SAM 2 says person.
    """
    import cv2

    solid = (logits > 0).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    if count == 1:
        return np.zeros(solid.shape, np.uint8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the background
    person = (areas >= _PART * areas.max())[labels]
    filled = person | _holes(person)
    # The soft edge reaches as far outwards as the sigmoid does, but not into parts that were dropped.
    others = (solid > 0) & ~person
    reach = cv2.dilate(filled.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    soft = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    soft = np.where(filled & ~person, 1.0, np.where(reach & ~others, soft, 0.0))
    return np.round(255 * soft).astype(np.uint8)


def _holes(person: np.ndarray) -> np.ndarray:
    """Small holes in a mask, bool (H, W)."""
    import cv2

    _, labels, stats, _ = cv2.connectedComponentsWithStats((~person).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < _HOLE * person.sum()
    small[0] = False  # the person
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        small[np.unique(edge)] = False
    return small[labels]
