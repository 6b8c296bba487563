"""Readers of public datasets: one module a dataset, each turning a sequence into what our stages read.

A reader module has
    TITLE, WHERE        its name for people, and where to get it
    FPS                 of its images
    GENDERED            whether it states shapes of SMPL's female and male bodies
    sequences(folder)   the names of the sequences in the dataset's folder
    locate(folder, sequence) -> Located    without reading it
    read(folder, sequence, bodies) -> Sequence

Real videos whose joints alone were measured are no sequences of these: measured.py, pose2sim.py.
"""

from pathlib import Path
from types import ModuleType

from pipeline.datasets import emdb, human36m, neuman, people_snapshot, pw3d, zju_mocap
from pipeline.runtime.errors import UserError

READERS: dict[str, ModuleType] = {
    "neuman": neuman,
    "3dpw": pw3d,
    "human36m": human36m,
    "emdb": emdb,
    "zju_mocap": zju_mocap,
    "people_snapshot": people_snapshot,
}


def reader_of(dataset: str, folder: Path) -> ModuleType:
    """The reader of a dataset whose folder is there.

    Raises:
        UserError: no such reader, or no such folder: then with the address where the dataset is to be had.
    """
    if dataset not in READERS:
        raise UserError(f"dataset {dataset!r}: not known; expected one of {', '.join(READERS)}")
    reader = READERS[dataset]
    if not folder.is_dir():
        raise UserError(
            f"{folder}: not found; it should hold {reader.TITLE}: get it from {reader.WHERE}; config/datasets.yaml "
            f"names the folder, and leaves the dataset out where datasets.folders.{dataset} is null"
        )
    return reader
