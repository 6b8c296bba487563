"""Numba compilation whose on-disk cache is a convenience, never a reason to stop.

Numba looks for a writable place beside the source, then in the user's cache folder, and raises where it finds neither
(a read-only install without a home). Here a folder in the temporary directory comes next, then no cache at all.

Numba's cache notices a change of the file that holds a kernel, not of a file that the kernel's file imports from: a
kernel, the helpers it inlines and the constants it reads belong in one file.
"""

import logging
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

log = logging.getLogger(__name__)

# What "fast maths" may do without assuming that there are no NaNs: those come in with bad inputs and must be seen.
KEEP_NAN = frozenset({"nsz", "arcp", "contract", "afn", "reassoc"})


def kernel(nan_safe: bool = True) -> Callable[[Callable], Any]:
    """Decorator: compile to machine code that releases the GIL, with relaxed float rules and a cache where possible.

    `nan_safe=False` lets the compiler assume that there is no NaN or infinity (faster; only behind checks).
    """
    fastmath = set(KEEP_NAN) if nan_safe else True

    def compile_(function: Callable) -> Any:
        dispatcher = numba.njit(nogil=True, fastmath=fastmath, error_model="numpy")(function)
        _enable_cache(dispatcher)
        return dispatcher

    return compile_


inline = numba.njit(inline="always")


def has_kernels(tensor: torch.Tensor) -> bool:
    """Whether compiled kernels serve a tensor: float32 on the CPU. All else takes the torch operations beside them."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's values as kernels take them, without gradient; shared with the tensor where that is contiguous."""
    return np.asarray(tensor.detach().numpy(), order="C")


def _enable_cache(dispatcher: Any) -> None:
    try:
        dispatcher.enable_caching()
        return
    except RuntimeError:  # numba: "no locator available"
        folder = _private_temporary_folder()
    if folder is None:
        log.warning("no writable folder for compiled kernels: every process compiles anew; set NUMBA_CACHE_DIR")
        return
    numba.config.CACHE_DIR = str(folder)
    dispatcher.enable_caching()


def _private_temporary_folder() -> Path | None:
    """A folder that only this user can write: the cache holds code that is loaded and run."""
    folder = Path(tempfile.gettempdir()) / f"numba-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    owned = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o022
    return folder if owned and private and os.access(folder, os.W_OK) else None
