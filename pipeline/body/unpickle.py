"""Read SMPL's pickles without chumpy, and without running what a pickle may hold.

SMPL's site gives Python 2 pickles whose arrays are numpy arrays, chumpy arrays and scipy sparse matrices. The
unpickler admits the few names that such a file needs, puts plain stand-ins in place of chumpy and scipy classes, and
refuses everything else by name.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from pipeline.formats.pickles import NUMPY_NAMES, AdmittingUnpickler
from pipeline.runtime.errors import UserError


class _Record:
    """Stands in for an instance of a class that is not imported: it only keeps the attributes pickled with it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__["state"] = dict(state)


class _ChumpyArray(_Record):
    """chumpy.ch.Ch, an array in attribute `x`."""

    def to_array(self) -> np.ndarray:
        return _to_array(self.state["x"])


class _ChumpySelect(_Record):
    """chumpy.reordering.Select, entries `idxs` of the flattened array `a`, in shape `preferred_shape`."""

    def to_array(self) -> np.ndarray:
        chosen = _to_array(self.state["a"]).ravel()[_to_array(self.state["idxs"])]
        return chosen.reshape(self.state["preferred_shape"]) if "preferred_shape" in self.state else chosen


class _SparseColumns(_Record):
    """scipy's compressed sparse column matrix, under any of the names it had over time."""

    kind = sparse.csc_matrix

    def to_array(self) -> np.ndarray:
        shape = self.state.get("_shape", self.state.get("shape"))
        return self.kind((self.state["data"], self.state["indices"], self.state["indptr"]), shape=shape).toarray()


class _SparseRows(_SparseColumns):
    """scipy's compressed sparse row matrix."""

    kind = sparse.csr_matrix


def _new_record(cls: type, _base: type, _state: object) -> _Record:
    """copy_reg._reconstructor, for the stand-ins only."""
    if not (isinstance(cls, type) and issubclass(cls, _Record)):
        raise pickle.UnpicklingError(f"an object of class {cls!r} is built, which no SMPL file needs")
    return cls.__new__(cls)


_ADMITTED: dict[tuple[str, str], Any] = {
    **NUMPY_NAMES,
    ("copy_reg", "_reconstructor"): _new_record,
    ("copyreg", "_reconstructor"): _new_record,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("scipy.sparse.csc", "csc_matrix"): _SparseColumns,
    ("scipy.sparse._csc", "csc_matrix"): _SparseColumns,
    ("scipy.sparse.csr", "csr_matrix"): _SparseRows,
    ("scipy.sparse._csr", "csr_matrix"): _SparseRows,
    ("chumpy.ch", "Ch"): _ChumpyArray,
    ("chumpy.reordering", "Select"): _ChumpySelect,
}


def _to_array(value: Any) -> np.ndarray:
    return value.to_array() if isinstance(value, _Record) else np.asarray(value)


def load_smpl_pickle(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an SMPL pickle, chumpy and sparse ones made dense; entries that are not arrays are left out.

    Raises:
        UserError: naming the file, and the class refused, when the file is not what SMPL's site gives.
    """
    advice = "use the file from https://smpl.is.tue.mpg.de as it was downloaded"
    try:
        with path.open("rb") as file:
            content = AdmittingUnpickler(file, _ADMITTED, "SMPL", encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UserError(f"{path}: not an SMPL pickle: {error}; {advice}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: an SMPL pickle holds a dict, found {type(content).__name__}; {advice}")
    arrays = {}
    for key, value in content.items():
        if isinstance(value, (_Record, np.ndarray)):
            try:
                arrays[str(key)] = _to_array(value)
            except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
                raise UserError(f"{path}: key '{key}' cannot be read as an array ({error!r}); {advice}") from error
    return arrays
