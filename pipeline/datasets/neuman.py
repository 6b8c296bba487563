"""NeuMan (Jiang et al. 2022): a walker filmed by a phone that walks along.

Three layouts are read, told apart by their files:

HUGS' (https://github.com/apple/ml-hugs; apple/ml-hugs: hugs/datasets/neuman.py, hugs/models/hugs_wo_trimlp.py)
    SEQUENCE/images/*.png, sparse/{cameras,images,points3D}.txt, and in 4d_humans/:
    smpl_optimized_aligned_scale.npz  the reference: global_orient (T, 3), body_pose (T, 69), betas (T, 10),
                                      transl (T, 3), scale (T,), rows in the order of the images' names;
                                      COLMAP's world = scale * SMPL(pose without translation) + transl
    smpl_aligned_scale.npz            the same before their optimisation: the initial estimate (optional)
    sam_segmentations/*.png           masks, white = person (optional)
NeuMan's own (https://github.com/apple/ml-neuman: data_io/neuman_helper.py, preprocess/export_alignment.py)
    the same images/ and sparse/, and smpl_output_optimized.pkl, smpl_output_romp.pkl (joblib: one person's pose (T, 72)
    and betas (T, 10), rows by the number in the image's name), alignments.npy (by image name a (4, 3) matrix:
    COLMAP's world = [SMPL 1] matrix), segmentations/*.png (black = person), mono_depth/*.png
InstantAvatar's (see pipeline/datasets/instant_avatar.py): cameras.npz, images/, masks/, poses_optimized.npz

COLMAP's unit is arbitrary. A frame's scale, which its SMPL has in COLMAP's world, makes it metres.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.stats import theilslopes

from pipeline.datasets import instant_avatar
from pipeline.datasets.colmap import Reconstruction, View, read_reconstruction
from pipeline.datasets.files import listed, read_grey, require
from pipeline.datasets.sequence import Located, Motion, Sequence
from pipeline.datasets.smpl import Annotation, Bodies, in_camera
from pipeline.formats.arrays import check_arrays, read_npz
from pipeline.motion.readers.content import arrays_of, read_content
from pipeline.runtime.errors import UserError

TITLE = "NeuMan"
WHERE = (
    "https://docs-assets.developer.apple.com/ml-research/models/hugs/neuman_data.zip (https://github.com/apple/ml-hugs)"
)
# Every tenth frame of the videos (apple/ml-neuman: preprocess/gen_run.py). Their rate is not stated; at 60 a second the
# clips last the 10 to 20 s that the paper speaks of.
FPS = Fraction(6)
GENDERED = False

_REFERENCE, _INITIAL = "smpl_optimized_aligned_scale.npz", "smpl_aligned_scale.npz"
_OPTIMIZED, _ROMP, _ALIGNMENTS = "smpl_output_optimized.pkl", "smpl_output_romp.pkl", "alignments.npy"
_MONO_UNIT = 1e-4  # of a count, in mono_depth/ (apple/ml-neuman: cameras/contents.py)
_FEWEST_POINTS = 10  # of COLMAP's in a view, to fit its depth to
_MOST_POINTS = 400  # all pairs of them are looked at


def sequences(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir() if (child / "images").is_dir())


def locate(folder: Path, sequence: str) -> Located:
    root = require(folder / sequence, f"a sequence of {TITLE}, one of {', '.join(sequences(folder)) or 'none there'}")
    if (root / "cameras.npz").is_file():
        return instant_avatar.locate(root)
    hugs = root / "4d_humans"
    inputs = [require(root / "images", "the frames"), require(root / "sparse", "COLMAP's reconstruction")]
    parts = {"camera"}
    if (hugs / _REFERENCE).is_file():
        inputs.append(hugs / _REFERENCE)
    else:
        inputs += [require(root / _OPTIMIZED, f"the reference motion, here or as 4d_humans/{_REFERENCE}")]
        inputs += [require(root / _ALIGNMENTS, "where the motion lies in COLMAP's world")]
    for part, choices in {
        "masks": (hugs / "sam_segmentations", root / "segmentations"),
        "pose": (hugs / _INITIAL, root / _ROMP),
        "depth": (root / "mono_depth",),
    }.items():
        there = next((path for path in choices if path.exists()), None)
        if there is not None and (there.name != _ROMP or (root / _ALIGNMENTS).is_file()):
            parts.add(part)
            inputs.append(there)
    return Located(tuple(inputs), frozenset(parts))


def read(folder: Path, sequence: str, bodies: Bodies) -> Sequence:
    parts, root = locate(folder, sequence).parts, folder / sequence
    if (root / "cameras.npz").is_file():
        return instant_avatar.read(root, bodies, TITLE, FPS, "neutral")
    scene = read_reconstruction(root / "sparse")
    images = tuple(require(root / "images" / view.name, "an image that COLMAP registered") for view in scene.views)
    hugs = (root / "4d_humans" / _REFERENCE).is_file()
    if hugs:
        reference, scales, notes = _aligned(root / "4d_humans" / _REFERENCE, scene, bodies)
    else:
        reference, scales, notes = _by_alignments(root / _OPTIMIZED, scene, bodies)
    initial, initial_source = None, ""
    if "pose" in parts and (root / "4d_humans" / _INITIAL).is_file():
        initial, initial_source = _aligned(root / "4d_humans" / _INITIAL, scene, bodies)[0], "4D-Humans, by HUGS"
    elif "pose" in parts:
        initial, initial_source = _by_alignments(root / _ROMP, scene, bodies)[0], "ROMP, by NeuMan"
    depth = None
    if "depth" in parts:
        notes += ("its depth is relative: fitted to COLMAP's points, and in metres by the scale of the reference SMPL",)
        maps = [require(root / "mono_depth" / view.name, "a depth map for each image") for view in scene.views]

        def depth(index: int) -> np.ndarray:
            return _depth(maps[index], scene.views[index], scales[index])

    return Sequence(
        title=TITLE,
        images=images,
        fps=FPS,
        K=scene.K,
        metric=True,
        reference=reference,
        reference_source=f"SMPL optimised by the authors of {'HUGS' if hugs else 'NeuMan'}",
        initial=initial,
        initial_source=initial_source,
        mask=_masks(root, scene) if "masks" in parts else None,
        depth=depth,
        notes=notes,
    )


def _aligned(path: Path, scene: Reconstruction, bodies: Bodies) -> tuple[Motion, np.ndarray, tuple[str, ...]]:
    """The motion of a file of HUGS, its scale in each frame (T,), and notes."""
    shapes = {
        "global_orient": ("T", 3),
        "body_pose": ("T", 69),
        "betas": ("T", 10),
        "transl": ("T", 3),
        "scale": ("T",),
    }
    arrays = read_npz(path)
    count = check_arrays(path, arrays, shapes)["T"]
    if count != len(scene.views):
        raise UserError(f"{path}: holds {count} frames, COLMAP registered {len(scene.views)} images")
    rotations = np.concatenate([arrays["global_orient"], arrays["body_pose"]], axis=1).reshape(-1, 24, 3)
    annotation = Annotation(rotations, np.zeros((count, 3)), arrays["betas"], np.ones(count, bool), "neutral")
    rotation = np.stack([view.rotation for view in scene.views])
    translation = np.stack([view.translation for view in scene.views])
    scales = arrays["scale"].astype(float)
    moved = (np.einsum("tij,tj->ti", rotation, arrays["transl"]) + translation) / scales[:, None]
    motion, notes = in_camera(annotation, rotation, moved, bodies, path)
    return motion, scales, notes


def _by_alignments(path: Path, scene: Reconstruction, bodies: Bodies) -> tuple[Motion, np.ndarray, tuple[str, ...]]:
    """The motion of a file of NeuMan, its scale in each frame (T,), and notes."""
    content, placed = read_content(path), path.with_name(_ALIGNMENTS)
    if not isinstance(content, dict) or len(content) != 1:
        raise UserError(f"{path}: expected a dict of one person; use the file as NeuMan ships it")
    person = arrays_of(path, next(iter(content.values())), {"pose": ("T", 72), "betas": ("T", 10)})
    rows = [_number(view.name, path) for view in scene.views]
    if max(rows) >= len(person["pose"]):
        raise UserError(f"{path}: holds {len(person['pose'])} frames, image {scene.views[-1].name} needs {max(rows)}")
    alignments = read_content(placed)
    names = {view.name: (4, 3) for view in scene.views}
    matrices = arrays_of(placed, alignments if isinstance(alignments, dict) else {}, names)
    rotation, translation, scales = [], [], []
    for view in scene.views:
        matrix = matrices[view.name].astype(float)
        turned = view.rotation @ matrix[:3].T  # a rotation times the scale
        scale = np.cbrt(np.linalg.det(turned))
        rotation.append(turned / scale)
        translation.append((view.rotation @ matrix[3] + view.translation) / scale)
        scales.append(scale)
    count = len(rows)
    rotations = person["pose"][rows].reshape(count, 24, 3).astype(float)
    annotation = Annotation(rotations, np.zeros((count, 3)), person["betas"][rows], np.ones(count, bool), "neutral")
    motion, notes = in_camera(annotation, np.stack(rotation), np.stack(translation), bodies, path)
    return motion, np.array(scales), notes


def _number(name: str, path: Path) -> int:
    stem = Path(name).stem
    if not stem.isdigit():
        raise UserError(f"{path}: its rows go by the numbers of the images, found an image named {name}")
    return int(stem)


def _masks(root: Path, scene: Reconstruction):
    sam = root / "4d_humans" / "sam_segmentations"
    if sam.is_dir():
        files, white_is_person = listed(sam, (".png",)), True
        if len(files) != len(scene.views):
            raise UserError(f"{sam}: expected {len(scene.views)} masks, one an image, found {len(files)}")
    else:
        files, white_is_person = [root / "segmentations" / view.name for view in scene.views], False
        for file in files:
            require(file, "a mask for each image")

    def mask(index: int) -> np.ndarray:
        values = read_grey(files[index]).astype(np.uint8)
        # Detectron2's masks are COLMAP's, white where features may be looked for: off the person.
        return values if white_is_person else np.where(values == 255, 0, 255).astype(np.uint8)

    return mask


def _depth(path: Path, view: View, scale: float) -> np.ndarray:
    """Metres (H, W): affine to what the file holds, by COLMAP's points in this view; 0 everywhere if there are few."""
    relative = read_grey(path).astype(float) * _MONO_UNIT
    height, width = relative.shape
    columns, rows = np.floor(view.xy).astype(int).T
    z = view.points @ view.rotation[2] + view.translation[2]
    usable = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height) & (z > 0)
    if usable.sum() < _FEWEST_POINTS:
        return np.zeros_like(relative)
    chosen = np.flatnonzero(usable)
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(_MOST_POINTS, len(chosen))).astype(int)]
    slope, offset = theilslopes(z[chosen], relative[rows[chosen], columns[chosen]])[:2]
    return np.maximum(slope * relative + offset, 0) / scale
