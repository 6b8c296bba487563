"""PeopleSnapshot (Alldieck et al. 2018): a person turns before a fixed camera, arms out.

Read in the layout that InstantAvatar prepares of it (pipeline/datasets/instant_avatar.py), which takes lens distortion
out and needs no HDF5: python scripts/peoplesnapshot/preprocess_PeopleSnapshot.py of
https://github.com/tijiang13/InstantAvatar. A sequence is a subject: female-3-casual. Its shape is of the body that its
name says (InstantAvatar's confs/dataset/peoplesnapshot).
"""

from fractions import Fraction
from pathlib import Path

from pipeline.datasets import instant_avatar
from pipeline.datasets.files import require
from pipeline.datasets.sequence import Located, Sequence
from pipeline.datasets.smpl import Bodies
from pipeline.runtime.errors import UserError

TITLE = "PeopleSnapshot"
_PREPARATION = "scripts/peoplesnapshot of https://github.com/tijiang13/InstantAvatar"
WHERE = f"https://graphics.tu-bs.de/people-snapshot (on request), prepared with {_PREPARATION}"
FPS = Fraction(30)  # not stated; the subjects turn at a plausible speed with it
GENDERED = True
# First frame, last frame and step (InstantAvatar's confs/dataset/peoplesnapshot; GART's
# lib_data/instant_avatar_people_snapshot.py).
_SPLITS: dict[str, instant_avatar.Splits] = {
    "female-3-casual": {"train": (0, 445, 4), "val": (446, 446, 4), "test": (446, 647, 4)},
    "female-4-casual": {"train": (0, 335, 4), "val": (335, 335, 4), "test": (335, 523, 4)},
    "female-4-sport": {"train": (1, 336, 4), "val": (336, 336, 8), "test": (336, 524, 4)},
    "male-3-casual": {"train": (0, 455, 4), "val": (456, 456, 4), "test": (456, 675, 4)},
    "male-3-sport": {"train": (1, 230, 2), "val": (230, 230, 6), "test": (230, 460, 6)},
    "male-4-casual": {"train": (0, 659, 6), "val": (660, 660, 6), "test": (660, 872, 6)},
}


def sequences(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir() if (child / "cameras.npz").is_file())


def locate(folder: Path, sequence: str) -> Located:
    root = require(folder / sequence, f"a subject of {TITLE}, one of {', '.join(sequences(folder)) or 'none there'}")
    if (root / "camera.pkl").is_file() and not (root / "cameras.npz").is_file():
        raise UserError(f"{root}: is as downloaded; prepare it with {_PREPARATION}, which writes cameras.npz")
    return instant_avatar.locate(root)


def read(folder: Path, sequence: str, bodies: Bodies) -> Sequence:
    locate(folder, sequence)
    gender = sequence.split("-")[0]
    if gender not in ("female", "male"):
        raise UserError(f"{folder / sequence}: a subject's name should begin with female- or male-")
    return instant_avatar.read(folder / sequence, bodies, TITLE, FPS, gender, _SPLITS.get(sequence))
