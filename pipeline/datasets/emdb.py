"""EMDB (Kaufmann et al. 2023): people outdoors and indoors, motion from electromagnetic sensors and a moving phone.

eth-ait/emdb: dataset.md, visualize.py; yohanshin/WHAM: lib/data_utils/emdb_eval_utils.py

    P0/09_outdoor_walk/P0_09_outdoor_walk_data.pkl: gender, good_frames_mask (N,), camera {intrinsics (3, 3),
        extrinsics (N, 4, 4) world to camera, width, height}, smpl {poses_root (N, 3), poses_body (N, 69), trans (N, 3),
        betas (10,)}
    P0/09_outdoor_walk/images/%05d.jpg

A sequence is named P0/09_outdoor_walk. The camera's motion goes to the truth: with it evaluation gives the figures of
EMDB's second protocol (W-MPJPE and WA-MPJPE by segments of 100 frames, the root's path).
"""

from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.datasets.files import entry, listed, read_pickle, require
from pipeline.datasets.sequence import Located, Sequence
from pipeline.datasets.smpl import Annotation, Bodies, in_camera
from pipeline.formats.arrays import check_arrays
from pipeline.runtime.errors import UserError

TITLE = "EMDB"
WHERE = "https://emdb.ait.ethz.ch (fill in its form)"
FPS = Fraction(30)  # eth-ait/emdb: visualize.py
GENDERED = True
_SMPL = {"poses_root": ("N", 3), "poses_body": ("N", 69), "trans": ("N", 3), "betas": (10,)}


def sequences(folder: Path) -> list[str]:
    return sorted(f"{file.parent.parent.name}/{file.parent.name}" for file in folder.glob("P*/*/*_data.pkl"))


def locate(folder: Path, sequence: str) -> Located:
    file = _file(folder, sequence)
    return Located((file, require(file.parent / "images", "the frames")), frozenset({"camera"}))


def read(folder: Path, sequence: str, bodies: Bodies) -> Sequence:
    path = _file(folder, sequence)
    data = read_pickle(path, TITLE)
    arrays = {key: np.asarray(entry(path, data, "smpl", key)) for key in _SMPL}
    arrays |= {key: np.asarray(entry(path, data, "camera", key)) for key in ("intrinsics", "extrinsics")}
    arrays["good_frames_mask"] = np.asarray(entry(path, data, "good_frames_mask"))
    count = check_arrays(
        path, arrays, _SMPL | {"intrinsics": (3, 3), "extrinsics": ("N", 4, 4), "good_frames_mask": ("N",)}
    )["N"]
    images = listed(path.parent / "images", (".jpg",))
    if len(images) != count:
        raise UserError(
            f"{path.parent / 'images'}: expected {count} images, one a row of {path.name}, found {len(images)}"
        )
    rotations = np.concatenate([arrays["poses_root"], arrays["poses_body"]], axis=1).reshape(count, 24, 3)
    annotation = Annotation(
        rotations=rotations.astype(float),
        transl=arrays["trans"].astype(float),
        betas=arrays["betas"].astype(float),
        valid=arrays["good_frames_mask"].astype(bool),
        gender=str(entry(path, data, "gender")),
    )
    camera = arrays["extrinsics"].astype(float)
    reference, notes = in_camera(annotation, camera[:, :3, :3], camera[:, :3, 3], bodies, path)
    return Sequence(
        title=TITLE,
        images=images,
        fps=FPS,
        K=arrays["intrinsics"].astype(float),
        metric=True,
        reference=reference,
        reference_source="electromagnetic sensors and video (EMP)",
        world_from_camera=np.linalg.inv(camera),
        notes=notes,
    )


def _file(folder: Path, sequence: str) -> Path:
    root = require(folder / sequence, f"a sequence of {TITLE} such as P0/09_outdoor_walk")
    return require(root / f"{root.parent.name}_{root.name}_data.pkl", "its annotations")
