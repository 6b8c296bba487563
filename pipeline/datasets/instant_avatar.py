"""The layout that InstantAvatar prepares from PeopleSnapshot and from any video, NeuMan's among them.

tijiang13/InstantAvatar: scripts/peoplesnapshot/preprocess_PeopleSnapshot.py, scripts/custom/run-romp.py,
instant_avatar/datasets/{peoplesnapshot,custom}.py; JiahuiLei/GART: lib_data/instant_avatar_{people_snapshot,wild}.py

    cameras.npz             intrinsic (3, 3), extrinsic (4, 4) world to camera, height, width
    images/*.png            undistorted
    masks/*.npy or *.png    0 and 1, or 0 to 255
    poses.npz               betas, transl, and thetas (T, 72) or global_orient (T, 3) with body_pose (T, 69)
    poses_optimized.npz     the same keys, refined
    poses/anim_nerf_{train,val,test}.npz  the same keys, of the frames of a split, refined (PeopleSnapshot)
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.datasets.files import listed, read_grey, require
from pipeline.datasets.sequence import Located, Sequence
from pipeline.datasets.smpl import Annotation, Bodies, in_camera
from pipeline.formats.arrays import check_arrays, read_npz
from pipeline.runtime.errors import UserError

# First frame, last frame (included) and step of each split that poses/ holds (InstantAvatar's
# confs/dataset/peoplesnapshot; GART's START_END).
Splits = dict[str, tuple[int, int, int]]


def locate(root: Path) -> Located:
    """What lies in a sequence's folder. Raises a UserError where something that is needed does not."""
    inputs = [require(root / "cameras.npz", "the camera"), require(root / "images", "the frames")]
    parts = {"camera"}
    if (root / "masks").is_dir():
        parts.add("masks")
        inputs.append(root / "masks")
    refined = [path for path in (root / "poses", root / "poses_optimized.npz") if path.exists()]
    if refined and (root / "poses.npz").is_file():
        parts.add("pose")
    inputs += [*refined, *([root / "poses.npz"] if "pose" in parts or not refined else [])]
    require(inputs[-1], "SMPL parameters, or poses_optimized.npz beside it")
    return Located(tuple(inputs), frozenset(parts))


def read(root: Path, bodies: Bodies, title: str, fps: Fraction, gender: str, splits: Splits | None = None) -> Sequence:
    """Read a sequence's folder.

    Args:
        root: the folder.
        bodies: SMPL's.
        title: of the dataset.
        fps: of the images.
        gender: of the body that the parameters are for.
        splits: which frames the files in poses/ are of, if there are such.
    """
    located = locate(root)
    images = listed(root / "images")
    path = root / "cameras.npz"
    camera = read_npz(path)
    check_arrays(path, camera, {"intrinsic": (3, 3), "extrinsic": (4, 4)})
    world = camera["extrinsic"].astype(float)

    def motion(annotation: Annotation, where: Path):
        return in_camera(annotation, world[:3, :3], world[:3, 3], bodies, where)

    first, initial, source = root / "poses.npz", None, ""
    if splits and (root / "poses").is_dir():
        reference, notes = motion(_refined(root / "poses", splits, len(images), gender), root / "poses")
        source = "SMPL refined by Anim-NeRF"
    elif (root / "poses_optimized.npz").is_file():
        path = root / "poses_optimized.npz"
        reference, notes = motion(_annotation(path, len(images), gender), path)
        source = "SMPL refined by InstantAvatar"
    else:
        reference, notes = motion(_annotation(require(first, "SMPL parameters"), len(images), gender), first)
        source = "SMPL fitted by the authors"
    if "pose" in located.parts:
        initial = motion(_annotation(first, len(images), gender), first)[0]
    return Sequence(
        title=title,
        images=images,
        fps=fps,
        K=camera["intrinsic"].astype(float),
        metric=True,
        reference=reference,
        reference_source=source,
        initial=initial,
        initial_source="SMPL before that refinement",
        mask=_masks(root / "masks", len(images)) if "masks" in located.parts else None,
        notes=notes,
    )


def _annotation(path: Path, frames: int, gender: str) -> Annotation:
    rotations, transl, betas = _parameters(path)
    if len(transl) < frames:
        raise UserError(f"{path}: holds {len(transl)} frames, images/ {frames}; prepare the sequence again")
    return Annotation(rotations[:frames], transl[:frames], betas, np.ones(frames, bool), gender)


def _refined(folder: Path, splits: Splits, frames: int, gender: str) -> Annotation:
    """Parameters of the frames in the splits' files; the other frames are not valid."""
    rotations, transl, valid = np.zeros((frames, 24, 3)), np.zeros((frames, 3)), np.zeros(frames, bool)
    shapes = []
    for split, (start, end, step) in splits.items():
        path = folder / f"anim_nerf_{split}.npz"
        if not path.is_file():
            continue
        found, moved, betas = _parameters(path)
        rows = np.arange(start, min(end + 1, frames), step)
        if len(rows) != len(moved):
            raise UserError(
                f"{path}: expected {len(rows)} frames ({start} to {end}, every {step} of {frames} images), found "
                f"{len(moved)}; prepare the sequence again"
            )
        rotations[rows], transl[rows], valid[rows] = found, moved, True
        shapes.append(betas)
    if not shapes:
        raise UserError(f"{folder}: holds none of anim_nerf_{{{','.join(splits)}}}.npz; remove it or fill it")
    return Annotation(rotations, transl, shapes[0], valid, gender)


def _parameters(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotations (T, 24, 3), translations (T, 3) and betas (10,)."""
    arrays = read_npz(path)
    if "thetas" not in arrays and {"global_orient", "body_pose"} <= set(arrays):
        arrays["thetas"] = np.concatenate([arrays["global_orient"], arrays["body_pose"]], axis=-1)
    check_arrays(path, arrays, {"thetas": ("T", 72), "transl": ("T", 3)})
    betas = arrays.get("betas", np.zeros(0)).reshape(-1)
    check_arrays(path, {"betas": betas}, {"betas": (10,)})
    return arrays["thetas"].reshape(-1, 24, 3).astype(float), arrays["transl"].astype(float), betas.astype(float)


def _masks(folder: Path, frames: int) -> Callable[[int], np.ndarray]:
    files = listed(folder, (".npy", ".png"))
    if len(files) < frames:
        raise UserError(f"{folder}: expected {frames} masks, one an image, found {len(files)}")

    def mask(index: int) -> np.ndarray:
        values = read_grey(files[index]).astype(np.uint8)
        return values * np.uint8(255) if values.max() <= 1 else values

    return mask
