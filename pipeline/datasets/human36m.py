"""Human3.6M (Ionescu et al. 2014): actors in a motion capture studio with four cameras.

The layout is Moon's parsed data with NeuralAnnot's or SMPLify-X's SMPL parameters, as in
mks0601/I2L-MeshNet_RELEASE: data/Human36M/Human36M.py and mks0601/NeuralAnnot_RELEASE: README.md

    annotations/Human36M_subject9_camera.json: by camera R (3, 3), t (3,) millimetres, world to camera, f (2,), c (2,)
    annotations/Human36M_subject9_SMPL_NeuralAnnot.json or …_smpl_param.json: by action, subaction and frame pose (72,),
        shape (10,), trans (3,) metres in the world, of the neutral body
    images/s_09_act_02_subact_01_ca_04/s_09_act_02_subact_01_ca_04_000001.jpg, frame 0

A sequence is named as the folder of its images. Frames without parameters (SMPLify-X has every fifth) are not valid.
Lens distortion, which these files do not hold, is left in, as by all code that reads them.
"""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.datasets.files import entry, listed, require
from pipeline.datasets.sequence import Located, Sequence
from pipeline.datasets.smpl import Annotation, Bodies, in_camera
from pipeline.formats.arrays import check_arrays
from pipeline.formats.records import read_json
from pipeline.runtime.errors import UserError

TITLE = "Human3.6M"
WHERE = "http://vision.imar.ro/human3.6m (registration), parsed as linked from https://github.com/mks0601/NeuralAnnot_RELEASE"
FPS = Fraction(50)  # hongsukchoi/TCMR_RELEASE issue 38
GENDERED = False
_NAME = re.compile(r"s_(\d\d)_act_(\d\d)_subact_(\d\d)_ca_(\d\d)")
_MOTIONS = ("Human36M_subject{}_SMPL_NeuralAnnot.json", "Human36M_subject{}_smpl_param.json")


def sequences(folder: Path) -> list[str]:
    return sorted(child.name for child in (folder / "images").glob("s_*") if _NAME.fullmatch(child.name))


def locate(folder: Path, sequence: str) -> Located:
    subject = _numbers(sequence)[0]
    notes = require(folder / "annotations", f"the parsed annotations of {TITLE}")
    choices = [notes / name.format(subject) for name in _MOTIONS]
    motion = next((path for path in choices if path.is_file()), None)
    if motion is None:
        raise UserError(f"{notes}: expected {choices[0].name} or {choices[1].name}; get it from {WHERE}")
    camera = require(notes / f"Human36M_subject{subject}_camera.json", "the cameras")
    return Located((motion, camera, require(folder / "images" / sequence, "its frames")), frozenset({"camera"}))


def read(folder: Path, sequence: str, bodies: Bodies) -> Sequence:
    motion_path, camera_path, image_folder = locate(folder, sequence).inputs
    _, action, subaction, camera = map(str, _numbers(sequence))
    images = listed(image_folder, (".jpg",))
    frames = [_frame(image) for image in images]
    stated = entry(motion_path, read_json(motion_path), action, subaction)

    count = len(images)
    values = {"pose": np.zeros((count, 72)), "trans": np.zeros((count, 3)), "shape": np.zeros((count, 10))}
    valid = np.array([str(frame) in stated for frame in frames])
    for row in np.flatnonzero(valid):
        where = f"{motion_path}: action {action}, subaction {subaction}, frame {frames[row]}"
        found = {key: _floats(stated[str(frames[row])].get(key)) for key in values}
        check_arrays(where, found, {"pose": (72,), "trans": (3,), "shape": (10,)})
        for key, value in found.items():
            values[key][row] = value
    stated = entry(camera_path, read_json(camera_path), camera)
    found = {key: _floats(entry(camera_path, stated, key)) for key in ("R", "t", "f", "c")}
    found["R"] = found["R"].reshape(3, 3)
    check_arrays(camera_path, found, {"R": (3, 3), "t": (3,), "f": (2,), "c": (2,)})

    annotation = Annotation(values["pose"].reshape(count, 24, 3), values["trans"], values["shape"], valid, "neutral")
    reference, notes = in_camera(annotation, found["R"], found["t"] / 1000, bodies, motion_path)
    (fx, fy), (cx, cy) = found["f"], found["c"]
    fitter = "NeuralAnnot" if "NeuralAnnot" in motion_path.name else "SMPLify-X"
    return Sequence(
        title=TITLE,
        images=images,
        fps=FPS / max(1, int(np.median(np.diff(frames)))) if count > 1 else FPS,
        K=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        metric=True,
        reference=reference,
        reference_source=f"SMPL fitted to the markers' joints by {fitter}",
        notes=notes,
    )


def _numbers(sequence: str) -> tuple[int, int, int, int]:
    """Subject, action, subaction and camera."""
    found = _NAME.fullmatch(sequence)
    if not found:
        raise UserError(f"{sequence}: a sequence of {TITLE} is named like s_09_act_02_subact_01_ca_04")
    return tuple(map(int, found.groups()))


def _frame(image: Path) -> int:
    """Number of the frame; files count from 1."""
    number = image.stem.rpartition("_")[2]
    if not number.isdigit():
        raise UserError(f"{image}: expected a name that ends in the frame's number, such as …_ca_04_000001.jpg")
    return int(number) - 1


def _floats(value: object) -> np.ndarray:
    """Numbers of a JSON list, flat; none where it is something else."""
    try:
        return np.array(value, dtype=float).reshape(-1)
    except (TypeError, ValueError):
        return np.zeros(0)
