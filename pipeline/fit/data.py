"""What the fit looks at: each frame's crop around the person, at three resolutions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.camera.intrinsics import clip_camera
from pipeline.fit.gain_kernels import expose
from pipeline.fit.marks import Sighted
from pipeline.fit.masks import MaskRefiner, crop_box, cut
from pipeline.fit.matte import Matte
from pipeline.fit.plate import Crop
from pipeline.fit.settings import CropSides, FitSettings
from pipeline.fit.shelf import Place, Shelf
from pipeline.formats.images import DepthFolder, FrameFolder, MaskFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.runtime.errors import UserError
from pipeline.runtime.jit import has_kernels
from pipeline.runtime.progress import track
from pipeline.runtime.threads import map_parallel

COARSE, MIDDLE, FULL = LEVELS = ("coarse", "middle", "full")
Layers = dict[str, np.ndarray]  # of a crop, by their names in `View`
Levels = dict[str, tuple[np.ndarray, Layers]]  # for each of LEVELS K [3, 3], and the crop
_SMALLEST_SIDE = 12  # px of a crop; SSIM needs 11
_LEAST_FRAMES = 2
_LEVELS = torch.arange(256.0)[:, None]  # that a picture's values can have


@dataclass(frozen=True)
class View:
    """One frame's crop at one resolution."""

    image: Tensor  # [h, w, 3] uint8
    mask: Tensor  # [h, w] uint8
    depth: Tensor | None  # [h, w] metres, 0 = unknown
    K: Tensor  # [3, 3] px of the crop
    sure: Tensor | None = None  # [h, w] uint8, how much a pixel counts, of 255; None: all do
    found: Tensor | None = None  # [h, w] uint8, the detector's mask where `mask` is better; at the full level alone

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.image.shape[1], self.image.shape[0]

    @property
    def known(self) -> Tensor:  # [h, w] uint8
        """The mask without what is unknown."""
        return self.mask if self.sure is None else torch.minimum(self.mask, self.sure)

    def zoomed(self, factor: float) -> View:
        """The same view by a camera whose focal length is `factor` times as long."""
        return replace(self, K=self.K * self.K.new_tensor([[factor], [factor], [1.0]]) + self._centre(1 - factor))

    def _centre(self, part: float) -> Tensor:  # [3, 3]
        """A part of the principal point, in its place in K."""
        centre = torch.zeros_like(self.K)
        centre[:2, 2] = part * self.K[:2, 2]
        return centre

    def exposed(
        self,
        gain: Tensor,  # [3]
    ) -> View:
        """The same view divided by a gain, rounded and cut to what a picture can hold."""
        if not has_kernels(gain):
            return replace(self, image=(self.image / gain).add_(0.5).clamp_(0, 255).byte())
        levels, image = (_LEVELS / gain).add_(0.5).clamp_(0, 255).byte(), torch.empty_like(self.image)
        expose(self.image.numpy(), levels.numpy(), image.numpy())
        return replace(self, image=image)

    def corrected(self, plane: Tensor) -> View:
        """The same view with depth times 1 + plane . (1, x / z, y / z). `plane` [3]"""
        if self.depth is None:
            return self
        width, height = self.size
        across = (torch.arange(width, device=self.K.device) + 0.5 - self.K[0, 2]) * (plane[1] / self.K[0, 0])
        down = (torch.arange(height, device=self.K.device) + 0.5 - self.K[1, 2]) * (plane[2] / self.K[1, 1])
        return replace(self, depth=self.depth * (across + (1 + plane[0] + down)[:, None]))


@dataclass(frozen=True)
class Clip:
    """A video as the fit sees it. On the CPU the views that `load_clip` gives lie in a file: see `Shelf`."""

    views: tuple[dict[str, View] | None, ...]  # (T,) by level; None where there is nothing to fit to
    train: np.ndarray  # (T,) bool: frames that the Gaussians are trained on
    heldout: np.ndarray  # (T,) bool: frames that only the pose is fitted to, with a frozen avatar
    has_depth: bool
    digest: str  # of all that was read
    landmarks: Sighted | None = None
    planes: Tensor | None = None  # [T, 3] found of the depth maps' relative errors, see `View.corrected`
    facts: dict[str, Any] = field(default_factory=dict)  # what the provenance tells of its masks
    boxes: tuple[Crop | None, ...] = ()  # (T,) of the crops
    refiner: MaskRefiner | None = None  # of the masks; None where they stay as they were found
    log_gains: Tensor | None = None  # [T, 3] found of exposure and white balance (pipeline/fit/gains.py)

    def __len__(self) -> int:
        return len(self.views)

    def corrected(
        self,
        focal: float,
        planes: Tensor,  # [T, 3]
    ) -> Clip:
        """The same clip by a camera whose focal length is `focal` times as long, its depth maps freed of their planes
        of relative error, but in `views`: `view` gives them."""
        views = (each and {level: view.zoomed(focal) for level, view in each.items()} for each in self.views)
        return replace(self, views=tuple(views), planes=planes)

    def with_facts(self) -> Clip:
        """The same clip, that tells what was found of its masks."""
        if self.refiner is None:
            return self
        sure = [float((levels[COARSE].sure / 255.0).mean()) for levels in self.views if levels]
        unknown = {"unknown": f"{100 * (1 - np.mean(sure)):.1f}% of the crops"}
        return replace(self, facts=self.facts | {"masks": self.refiner.plate.facts() | unknown})

    def view(self, frame: int, level: str) -> View:
        """One frame at one level, its depth map corrected where its error is known, its colours freed of its gain."""
        view = self.views[frame][level]
        if self.planes is not None:
            view = view.corrected(self.planes[frame])
        return view if self.log_gains is None else view.exposed(self.log_gains[frame].exp())


def load_clip(directory: VideoDir, pose: Pose, settings: FitSettings, device: torch.device) -> Clip:
    """Read frames, masks, depth where there is one, and the camera of results/<video>/, and cut out the person.

    Raises:
        UserError: the folders do not hold one image a frame, or the person is in too few frames.
    """
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    camera = clip_camera(directory)
    has_depth = settings.reads_depth and directory.depth.is_dir()
    depths = DepthFolder(directory.depth) if has_depth else None
    for name, count in (("masks", len(masks)), ("depth", len(depths) if depths else None), ("pose_init", len(pose))):
        if count not in (None, len(frames)):
            raise UserError(
                f"{directory.root}: expected {len(frames)} frames in {name}, found {count}; rerun that stage"
            )

    shelf = Shelf(directory.fit)
    refiner = MaskRefiner.of(directory, frames, masks, camera.K, pose.fps) if settings.refine_masks else None
    shelved: list[dict[str, tuple[np.ndarray, dict[str, Place]]] | None] = []
    digest = hashlib.sha256(np.ascontiguousarray(camera.K).tobytes())

    boxes: list[Crop | None] = [None] * len(frames)

    def read(index: int) -> tuple[bytes, Levels] | None:
        """What tells a frame from another, and its crops; None where there is nobody."""
        mask = masks[index]
        box = crop_box(mask, settings.crop_padding, _SMALLEST_SIDE) if pose.valid[index] else None
        if box is None:
            return None
        boxes[index] = box
        layers = {"image": frames[index], "mask": mask} | ({"depth": depths[index]} if depths else {})
        crops = {name: cut(layer, box) for name, layer in layers.items()}
        own = hashlib.sha256(repr((index, box)).encode())
        for crop in crops.values():
            own.update(crop)
        levels = _pyramid(crops, camera.K, box[:2], settings.crop_sides)
        if refiner is not None:
            layers = levels[FULL][1]
            found = refiner(index, box, layers["image"], layers["mask"])
            own.update(np.stack([found.alpha, found.sure]))
            _put_matte(levels, found)
        return own.digest(), levels

    for found in track(map_parallel(read, range(len(frames))), "reading frames", len(frames), unit="frame"):
        if found is None:
            shelved.append(None)
            continue
        own, levels = found
        digest.update(own)
        shelved.append(
            {
                level: (K, {name: shelf.put(layer) for name, layer in layers.items()})
                for level, (K, layers) in levels.items()
            }
        )
    views = tuple(
        levels and {level: _view(shelf, *parts, device) for level, parts in levels.items()} for levels in shelved
    )

    seen = np.array([view is not None for view in views])
    if seen.sum() < _LEAST_FRAMES:
        raise UserError(
            f"{directory.root}: the person must be seen in at least {_LEAST_FRAMES} frames, found {seen.sum()}; "
            "give a longer clip or better masks"
        )
    heldout = _held_out(seen, settings)
    if not (seen & ~heldout).any():
        heldout[:] = False
    landmarks = None
    if settings.use_landmarks and (found := Landmarks.load(directory.landmarks)).names:
        for values in (found.xy, found.visibility):
            digest.update(np.ascontiguousarray(values).tobytes())
        xy, visibility, K = (
            torch.as_tensor(np.asarray(part), dtype=torch.float32, device=device)
            for part in (found.xy, found.visibility, camera.K)
        )
        landmarks = Sighted(found.names, xy, visibility, K, found.source)
    facts = {}
    if settings.refine_masks and refiner is None:
        facts["masks"] = {"background plate": "none, for there is no camera_track.npz; the masks are as found"}
    clip = Clip(views, seen & ~heldout, heldout, has_depth, digest.hexdigest(), landmarks, facts=facts)
    return replace(clip, boxes=tuple(boxes), refiner=refiner).with_facts()


def _held_out(
    seen: np.ndarray,  # (T,) bool
    settings: FitSettings,
) -> np.ndarray:
    """(T,) bool: the frames kept from the Gaussians, by the splits of section 4.5 that the settings ask for."""
    heldout = np.zeros_like(seen)
    if settings.holdout_every:
        chosen = np.arange(settings.holdout_every - 1, len(seen), settings.holdout_every)
        if 0 < settings.holdout_most < len(chosen):
            chosen = chosen[evenly(len(chosen), settings.holdout_most)]
        heldout[chosen] = True
    heldout[len(seen) - round(settings.holdout_last * len(seen)) :] = True
    left = np.flatnonzero(seen & ~heldout)
    if 0 < settings.train_views < len(left):
        heldout[left] = True
        heldout[left[evenly(len(left), settings.train_views)]] = False
    return seen & heldout


def evenly(count: int, few: int) -> np.ndarray:
    """`few` of the numbers below `count`, evenly spread, the first and the last included. [few]"""
    return np.linspace(0, count - 1, few).round().astype(int)


def _pyramid(crops: Layers, K: np.ndarray, corner: tuple[int, int], sides: CropSides) -> Levels:
    """For each of `LEVELS` K and the crop's layers, the longer side no longer than the level's."""
    height, width = crops["image"].shape[:2]
    levels = {}
    for level in LEVELS:
        shrink = min(1.0, getattr(sides, level) / max(height, width))
        size = [max(_SMALLEST_SIDE, round(side * shrink)) for side in (width, height)]
        scale = np.array([[size[0] / width], [size[1] / height], [1.0]])
        shifted = K - np.array([[0, 0, corner[0]], [0, 0, corner[1]], [0, 0, 0]])
        layers = {
            name: _resize_depth(crop, size) if name == "depth" else resized(crop, size) for name, crop in crops.items()
        }
        levels[level] = shifted * scale, layers
    return levels


def _put_matte(levels: Levels, found: Matte) -> None:
    """Put the mask found at the full level, and how sure it is, in place of the detector's at all levels."""
    levels[FULL][1]["found"] = levels[FULL][1]["mask"]
    for _, layers in levels.values():
        height, width = layers["mask"].shape
        layers |= {"mask": resized(found.alpha, [width, height]), "sure": resized(found.sure, [width, height])}


def resized(layer: np.ndarray, size: list[int]) -> np.ndarray:
    return np.array(Image.fromarray(layer).resize(size, Image.Resampling.BOX))


def _view(shelf: Shelf, K: np.ndarray, layers: dict[str, Place], device: torch.device) -> View:
    """The view whose layers lie on the shelf."""
    parts = {name: torch.as_tensor(shelf.get(place), device=device) for name, place in layers.items()}
    return View(**{"depth": None} | parts, K=torch.as_tensor(K, dtype=torch.float32, device=device))


def _resize_depth(depth: np.ndarray, size: list[int]) -> np.ndarray:
    """Nearest neighbours: a mean of near and far, or of known and unknown, would be a depth where nothing is."""
    return np.array(Image.fromarray(depth).resize(size, Image.Resampling.NEAREST))
