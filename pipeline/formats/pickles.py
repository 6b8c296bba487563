"""Reading pickles of others without running what a pickle may hold: only admitted names are built."""

import codecs
import pickle
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

_scalar = np.core.multiarray.scalar
_frombuffer = np.core.numeric._frombuffer


class _NdArray:
    """Stands for numpy.ndarray, which a pickle of arrays names and never calls."""

    def __new__(cls, *_: Any) -> "_NdArray":
        raise pickle.UnpicklingError("it makes an array without what is in it")


def _reconstruct(kind: type, shape: tuple[int, ...], code: bytes | str) -> np.ndarray:
    """numpy's own, which makes an empty array that takes its shape later; a pickle may ask it for terabytes."""
    if kind is not _NdArray or shape != (0,):
        raise pickle.UnpicklingError(f"it asks for an array of shape {shape} before it tells what is in it")
    return np.core.multiarray._reconstruct(np.ndarray, (0,), code)


def _encode(text: str, encoding: str) -> bytes:
    """_codecs.encode, which Python 3 uses in protocol 2 for the bytes of an array."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text is encoded as {encoding!r}, which no such file needs")
    return codecs.encode(text, "latin1")


# What numpy's arrays, types and numbers are pickled with, by every numpy and pickle protocol.
NUMPY_NAMES: Mapping[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NdArray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
}


class AdmittingUnpickler(pickle.Unpickler):
    """Builds what `admitted` puts in a name's place; every other name is refused with an UnpicklingError."""

    def __init__(
        self, file: IO[bytes], admitted: Mapping[tuple[str, str], Any], kind: str, encoding: str = "ASCII"
    ) -> None:
        """
        Args:
            file: the pickle.
            admitted: a class or function for each (module, name) that such a file needs.
            kind: of file, for the message: "SMPL".
            encoding: of texts in pickles of Python 2.
        """
        super().__init__(file, encoding=encoding, fix_imports=False)
        self._admitted = admitted
        self._kind = kind

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._admitted[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no {self._kind} file needs") from None
