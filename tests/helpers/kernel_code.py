"""What the machine code of a kernel says of its vectorisation, whatever the machine's speed is."""

import platform
import re

import numba
import pytest

_PACKED = re.compile(r"\bv?(?:fn?m(?:add|sub)\w*|mul|add|sub)ps\b")
_SCALAR = re.compile(r"\bv?(?:fn?m(?:add|sub)\w*|mul|add|sub)ss\b")


def share_of_packed(kernel) -> float:
    """Share of float32 additions and multiplications in the code of a kernel, called before, that are of vectors.

    It is compiled anew, for a kernel that came from the cache has no code to show. Without vectorisation: 0.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("reads the code of x86-64 alone")
    options = {name: kernel.targetoptions[name] for name in ("nogil", "fastmath", "error_model")}
    signature = kernel.signatures[0]
    anew = numba.njit(**options)(kernel.py_func)
    anew.compile(signature)
    code = anew.inspect_asm(signature)
    packed, scalar = len(_PACKED.findall(code)), len(_SCALAR.findall(code))
    return packed / max(1, packed + scalar)
