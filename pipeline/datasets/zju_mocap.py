"""ZJU-MoCap (Peng et al. 2021): people in a studio with over twenty cameras.

zju3dv/neuralbody: lib/datasets/light_stage/multi_view_dataset.py, tools/custom/README.md, zju_smpl/smplmodel;
zju3dv/animatable_nerf: lib/datasets/tpose_dataset.py; JiahuiLei/GART: lib_data/zju_mocap.py

    CoreView_377/annots.npy: cams {K, D, R, T: one a camera, T in millimetres, world to camera},
        ims [{ims: [one path a camera]}: one a frame]
    CoreView_377/new_params/%d.npy (or smpl_params/, params/): poses (1, 72), shapes (1, 10), Rh (1, 3), Th (1, 3), of
        the neutral body; its vertices are Rh (SMPL of poses and shapes, not moved) + Th: turned about the origin
    CoreView_377/<path of an image>, and masks in mask_cihp/<path>.png, mask/<path>.png or, of the refined data,
        the path with "images" replaced by "mask"; not 0 = person

A sequence is named CoreView_377:0 with the number of the camera, from 0.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.datasets.files import entry, read_grey, require
from pipeline.datasets.sequence import Located, Sequence
from pipeline.datasets.smpl import Annotation, Bodies, in_camera, pelvis
from pipeline.motion.readers.content import arrays_of, read_content
from pipeline.runtime.errors import UserError

TITLE = "ZJU-MoCap"
WHERE = "https://github.com/zju3dv/neuralbody/blob/master/INSTALL.md#zju-mocap-dataset (fill in its form)"
FPS = Fraction(50)  # not stated in the files
GENDERED = False
_PARAMS = ("new_params", "smpl_params", "params")  # the newly fitted ones first
_SHAPES = {"poses": (1, 72), "shapes": (1, 10), "Rh": (1, 3), "Th": (1, 3)}


def sequences(folder: Path) -> list[str]:
    return sorted(file.parent.name for file in folder.glob("*/annots.npy"))


def locate(folder: Path, sequence: str) -> Located:
    root, _ = _split(folder, sequence)
    params = next((root / name for name in _PARAMS if (root / name).is_dir()), None)
    if params is None:
        raise UserError(f"{root}: expected SMPL parameters in {' or '.join(_PARAMS)}; unpack the dataset again")
    masks = [root / name for name in ("mask_cihp", "mask") if (root / name).is_dir()]
    parts = {"camera", *(("masks",) if masks else ())}
    return Located((root / "annots.npy", params, *masks[:1]), frozenset(parts))


def read(folder: Path, sequence: str, bodies: Bodies) -> Sequence:
    (path, params, *_), parts = locate(folder, sequence).inputs, locate(folder, sequence).parts
    root, camera = _split(folder, sequence)
    annotations = read_content(path)
    found = _camera(path, annotations, camera)
    names = [str(entry(path, frame, "ims", camera)) for frame in entry(path, annotations, "ims")]
    images = tuple(require(root / name, "an image that annots.npy names") for name in names)

    rows = [_parameters(params / f"{_index(root.name, image)}.npy") for image in images]
    poses, shapes, Rh, Th = (np.concatenate([row[key] for row in rows]).astype(float) for key in _SHAPES)
    world = Rotation.from_rotvec(Rh)
    rotations = poses.reshape(-1, 24, 3)
    rotations[:, 0] = (world * Rotation.from_rotvec(rotations[:, 0])).as_rotvec()
    root_offset = pelvis(bodies.neutral, shapes)
    transl = world.apply(root_offset) + Th - root_offset
    annotation = Annotation(rotations, transl, shapes, np.ones(len(images), bool), "neutral")
    reference, notes = in_camera(annotation, found["R"], found["T"] / 1000, bodies, params)
    K = found["K"].copy()
    K[:2, 2] += 0.5  # OpenCV's calibration: pixel centres at whole numbers
    return Sequence(
        title=TITLE,
        images=images,
        fps=FPS,
        K=K,
        metric=True,
        reference=reference,
        reference_source=f"SMPL fitted to all cameras (EasyMocap, {params.name})",
        distortion=found["D"] if found["D"].any() else None,
        mask=_masks(root, names) if "masks" in parts else None,
        notes=notes,
    )


def _split(folder: Path, sequence: str) -> tuple[Path, int]:
    """The sequence's folder and the number of the camera."""
    name, _, camera = sequence.partition(":")
    if not camera.isdigit():
        raise UserError(
            f"{sequence}: a sequence of {TITLE} is named like CoreView_377:0, with the camera's number from 0"
        )
    root = require(folder / name, f"a sequence of {TITLE}, one of {', '.join(sequences(folder)) or 'none there'}")
    require(root / "annots.npy", "cameras and names of the images")
    return root, int(camera)


def _camera(path: Path, annotations: Any, camera: int) -> dict[str, np.ndarray]:
    """K (3, 3), D (5,), R (3, 3) made a rotation again, for it is stored coarsely, and T (3,)."""
    cameras = entry(path, annotations, "cams")
    count = len(entry(path, cameras, "K"))
    if camera >= count:
        raise UserError(f"{path}: holds {count} cameras, camera {camera} was asked for; they count from 0")
    found = {key: np.asarray(entry(path, cameras, key, camera), dtype=float) for key in ("K", "D", "R", "T")}
    found["D"], found["T"] = found["D"].reshape(-1)[:5], found["T"].reshape(-1)
    found = arrays_of(f"{path}: camera {camera}", found, {"K": (3, 3), "D": (5,), "R": (3, 3), "T": (3,)})
    left, _, right = np.linalg.svd(found["R"])
    return found | {"R": left @ right}


def _index(sequence: str, image: Path) -> int:
    """Number of the frame's parameters, from the image's name; two sequences have it as the fifth part of theirs."""
    parts = image.name.split("_")
    number = parts[4] if sequence in ("CoreView_313", "CoreView_315") and len(parts) > 4 else image.stem
    if not number.isdigit():
        raise UserError(f"{image}: expected a name that is the frame's number")
    return int(number)


def _parameters(path: Path) -> dict[str, np.ndarray]:
    content = read_content(require(path, "the SMPL parameters of a frame"))
    return arrays_of(path, content if isinstance(content, dict) else {}, _SHAPES)


def _masks(root: Path, names: list[str]) -> Callable[[int], np.ndarray]:
    def mask(index: int) -> np.ndarray:
        stem = str(Path(names[index]).with_suffix(""))
        choices = [f"mask_cihp/{stem}.png", f"mask/{stem}.png", f"{stem.replace('images', 'mask')}.png"]
        found = next((root / name for name in choices if (root / name).is_file()), None)
        if found is None:
            raise UserError(f"{root / choices[0]}: not found; expected a mask for each image, there or as {choices[2]}")
        return np.where(read_grey(found) != 0, 255, 0).astype(np.uint8)

    return mask
