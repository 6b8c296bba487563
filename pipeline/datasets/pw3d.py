"""3DPW (von Marcard et al. 2018): people outdoors, motion from inertial sensors and a moving phone.

mkocabas/VIBE: lib/data_utils/threedpw_utils.py; yohanshin/WHAM: lib/data_utils/threedpw_{eval,train}_utils.py; the
dataset's own readme

    sequenceFiles/{train,validation,test}/SEQUENCE.pkl, of Python 2, lists with an entry a person:
        poses (N, 72), trans (N, 3), betas (10 or more,), genders "m" or "f", campose_valid (N,);
        cam_poses (N, 4, 4) world to camera, cam_intrinsics (3, 3)
    imageFiles/SEQUENCE/image_%05d.jpg, one for each of the N rows

A sequence is named downtown_walking_00, and its second person downtown_walking_00:1.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.datasets.files import entry, listed, read_pickle, require
from pipeline.datasets.sequence import Located, Sequence
from pipeline.datasets.smpl import Annotation, Bodies, in_camera
from pipeline.formats.arrays import check_arrays
from pipeline.runtime.errors import UserError

TITLE = "3DPW"
WHERE = "https://virtualhumans.mpi-inf.mpg.de/3DPW (accept its licence there)"
FPS = Fraction(30)  # the dataset's readme
GENDERED = True
_GENDERS = {"m": "male", "f": "female"}


def sequences(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("sequenceFiles/**/*.pkl"))


def locate(folder: Path, sequence: str) -> Located:
    file, images, _ = _files(folder, sequence)
    return Located((file, images), frozenset({"camera"}))


def read(folder: Path, sequence: str, bodies: Bodies) -> Sequence:
    path, image_folder, person = _files(folder, sequence)
    data = read_pickle(path, TITLE)
    people = len(entry(path, data, "poses"))
    if person >= people:
        raise UserError(f"{path}: holds {people} people, person {person} was asked for; they count from 0")
    arrays = {key: np.asarray(entry(path, data, key, person)) for key in ("poses", "trans", "campose_valid")}
    arrays |= {key: np.asarray(entry(path, data, key)) for key in ("cam_poses", "cam_intrinsics")}
    betas = np.asarray(entry(path, data, "betas", person)).reshape(-1)[:10]
    shapes = {"poses": ("N", 72), "trans": ("N", 3), "campose_valid": ("N",), "cam_poses": ("N", 4, 4)}
    # Rows whose camera was not found may hold anything; `in_camera` looks at the others' numbers.
    shown = {key: np.nan_to_num(value) for key, value in arrays.items()} | {"betas": betas}
    count = check_arrays(path, shown, shapes | {"cam_intrinsics": (3, 3), "betas": (10,)})["N"]
    images = listed(image_folder, (".jpg",))
    if len(images) < count:
        raise UserError(f"{image_folder}: expected {count} images, one a row of {path.name}, found {len(images)}")

    annotation = Annotation(
        rotations=arrays["poses"].reshape(count, 24, 3),
        transl=arrays["trans"],
        betas=betas,
        valid=arrays["campose_valid"].astype(bool),
        gender=_GENDERS.get(entry(path, data, "genders", person), "unknown"),
    )
    camera = arrays["cam_poses"].astype(float)
    reference, notes = in_camera(annotation, camera[:, :3, :3], camera[:, :3, 3], bodies, path)
    return Sequence(
        title=TITLE,
        images=images[:count],
        fps=FPS,
        K=arrays["cam_intrinsics"].astype(float),
        metric=True,
        reference=reference,
        reference_source="inertial sensors and video (VIP)",
        notes=notes,
    )


def _files(folder: Path, sequence: str) -> tuple[Path, Path, int]:
    """The pickle, the folder of the images and the number of the person."""
    name, _, person = sequence.partition(":")
    if person and not person.isdigit():
        raise UserError(f"{sequence}: after the colon of a sequence of {TITLE} comes the number of the person, from 0")
    require(folder / "sequenceFiles", f"the motions of {TITLE}")
    found = sorted(folder.glob(f"sequenceFiles/**/{name}.pkl"))
    if len(found) != 1:
        raise UserError(f"{folder / 'sequenceFiles'}: expected one {name}.pkl in it, found {len(found)}")
    return found[0], require(folder / "imageFiles" / name, "the images of the sequence"), int(person or 0)
