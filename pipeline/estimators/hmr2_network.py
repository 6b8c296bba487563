"""HMR2.0's network: loading it safely, its crops, and what it says of them."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.body import BodyModel
from pipeline.estimators.networks import import_package, load_tensors
from pipeline.formats.images import FrameFolder
from pipeline.formats.pickles import NUMPY_NAMES, AdmittingUnpickler
from pipeline.geometry.boxes import Box
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.setup.weights import HMR2_CHECKPOINT, HMR2_CONFIG, HMR2_MEAN, HMR2_REGRESSOR

CROP = 256  # px a side, of which the network sees the middle 192 columns
_ASPECT = 192 / 256
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # ImageNet's


@dataclass(frozen=True)
class Prediction:
    """What HMR2.0 says of B crops."""

    rotmats: Tensor  # [B, 24, 3, 3]
    betas: Tensor  # [B, 10]
    camera: np.ndarray  # (B, 3) s, tx, ty
    centre: np.ndarray  # (B, 2) px, of the crops
    side: np.ndarray  # (B,) px

    def rows(self, chosen: np.ndarray) -> Prediction:
        """Those crops for which `chosen` (B,) is true."""
        keep = torch.from_numpy(chosen)
        return Prediction(
            self.rotmats[keep], self.betas[keep], self.camera[chosen], self.centre[chosen], self.side[chosen]
        )


def import_models() -> Any:
    # pyrender draws, and needs a display or EGL.
    return import_package("hmr2", "hmr2.models", unused=("pyrender",))


def load_model(folder: Path, body: BodyModel, device: torch.device) -> torch.nn.Module:
    """HMR2.0 in evaluation mode, from the owners' checkpoint; neither it nor the body file can run code here.

    Raises:
        UserError: a file is not what it should be, or the checkpoint lacks a key.
    """
    models = import_models()
    get_config = import_package("hmr2", "hmr2.configs").get_config
    config = get_config(str(folder / HMR2_CONFIG))
    with tempfile.TemporaryDirectory() as clean:
        _write_pickle(Path(clean) / "SMPL_NEUTRAL.pkl", _smpl_arrays(body))
        _write_pickle(Path(clean) / "regressor.pkl", _read_regressor(folder / HMR2_REGRESSOR))
        config.defrost()
        config.SMPL.MODEL_PATH = clean
        config.SMPL.GENDER = "neutral"
        config.SMPL.JOINT_REGRESSOR_EXTRA = str(Path(clean) / "regressor.pkl")
        config.SMPL.MEAN_PARAMS = str(folder / HMR2_MEAN)
        config.MODEL.BBOX_SHAPE = [192, 256]
        if "PRETRAINED_WEIGHTS" in config.MODEL.BACKBONE:  # of the training; all weights come from the checkpoint
            config.MODEL.BACKBONE.pop("PRETRAINED_WEIGHTS")
        config.freeze()
        model = models.HMR2(config, init_renderer=False)
    checkpoint = folder / HMR2_CHECKPOINT
    state = load_tensors(checkpoint, "state_dict")
    own = {key for key in model.state_dict() if key.startswith(("smpl.", "discriminator."))}  # from SMPL; not used
    result = model.load_state_dict({key: value for key, value in state.items() if key not in own}, strict=False)
    missing = sorted(set(result.missing_keys) - own)
    if missing:
        raise UserError(f"{checkpoint}: lacks {len(missing)} keys of HMR2.0 such as {missing[0]!r}; fetch it again")
    return model.to(device).eval()


def _smpl_arrays(body: BodyModel) -> dict[str, np.ndarray]:
    """The body in the layout that smplx reads, as plain arrays: no chumpy is needed."""
    parents = np.array([2**32 - 1, *body.parents[1:]], np.uint32)
    return {
        "v_template": body.v_template.double().numpy(),
        "shapedirs": body.shapedirs.double().numpy(),
        "posedirs": body.posedirs.double().numpy().copy(),
        "J_regressor": body.J_regressor.double().numpy(),
        "weights": body.weights.double().numpy(),
        "f": body.faces.numpy().astype(np.uint32),
        "kintree_table": np.stack([parents, np.arange(24, dtype=np.uint32)]),
    }


def _read_regressor(path: Path) -> np.ndarray:
    """SMPL_to_J19.pkl: (19, 6890), of the joints beyond SMPL's."""
    try:
        with path.open("rb") as file:
            regressor = AdmittingUnpickler(file, NUMPY_NAMES, "regressor", encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UserError(f"{path}: not a pickled array ({error}); delete it and fetch it again") from error
    if np.shape(regressor) != (19, 6890):
        raise UserError(f"{path}: expected an array (19, 6890), found {np.shape(regressor)}; fetch it again")
    return np.asarray(regressor)


def _write_pickle(path: Path, content: Any) -> None:
    with path.open("wb") as file:
        pickle.dump(content, file)


@torch.inference_mode()
def predict(model: torch.nn.Module, frames: FrameFolder, boxes: dict[int, Box], batch: int) -> Prediction:
    """What HMR2.0 says of the box of each frame, in their order."""
    parts: dict[str, list[Tensor]] = {"global_orient": [], "body_pose": [], "betas": [], "camera": []}
    centres, sides = zip(*(crop_place(box) for box in boxes.values()))
    for images in track(_batches(frames, boxes, centres, sides, batch), "HMR2.0", -(-len(boxes) // batch), "batch"):
        out = model({"img": images.to(model.device)})
        for name in ("global_orient", "body_pose", "betas"):
            parts[name].append(out["pred_smpl_params"][name].float().cpu())
        parts["camera"].append(out["pred_cam"].float().cpu())
    joined = {name: torch.cat(values) for name, values in parts.items()}
    rotmats = torch.cat([joined["global_orient"].view(-1, 1, 3, 3), joined["body_pose"].view(-1, 23, 3, 3)], dim=1)
    return Prediction(rotmats, joined["betas"], joined["camera"].double().numpy(), np.array(centres), np.array(sides))


def _batches(
    frames: FrameFolder, boxes: dict[int, Box], centres: Sequence[np.ndarray], sides: Sequence[float], batch: int
) -> Iterator[Tensor]:
    indices = list(boxes)
    for start in range(0, len(indices), batch):
        part = range(start, min(start + batch, len(indices)))
        yield torch.stack([crop_image(frames[indices[i]], centres[i], sides[i]) for i in part])


def crop_place(box: Box) -> tuple[np.ndarray, float]:
    """Centre (2,) and side, px, of the square that HMR2.0 is shown: as high as a 3:4 box around the given one."""
    x0, y0, x1, y1 = box
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2]), float(max(y1 - y0, (x1 - x0) / _ASPECT))


def crop_image(image: np.ndarray, centre: np.ndarray, side: float) -> Tensor:
    """The square of an image as HMR2.0's input, float32 [3, 256, 256]: blurred before it is shrunk, as in training.

    Args:
        image: uint8 (H, W, 3) RGB.
        centre, side: px; pixel centres lie at +0.5.
    """
    import cv2

    shrink = side / CROP / 2
    if shrink > 1.1:
        image = cv2.GaussianBlur(image, (0, 0), (shrink - 1) / 2)
    corner, zoom = centre - side / 2, CROP / side
    # OpenCV counts from the first pixel's centre.
    shift = zoom * (0.5 - corner) - 0.5
    warp = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    part = cv2.warpAffine(image, warp, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return torch.from_numpy(((part / 255 - _MEAN) / _STD).transpose(2, 0, 1).astype(np.float32))
