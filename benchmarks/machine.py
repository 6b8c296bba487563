"""What the benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any


def describe(threads: int) -> dict[str, Any]:
    """The machine by name, the threads used, and the versions that matter."""
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "threads": threads,
        "vector_instructions": _vectors(),
        "memory_gb": _memory(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("torch", "numba", "numpy", "scipy")},
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    pairs = (line.split(":", 1) for line in path.read_text().split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _processor() -> str:
    info = _cpuinfo()
    name = info.get("model name") or platform.processor() or platform.machine()
    return f"{name} (family {info['cpu family']}, model {info['model']})" if "cpu family" in info else name


def _vectors() -> str:
    flags = _cpuinfo().get("flags", "").split()
    return next((name for name in ("avx512f", "avx2", "avx", "sse2") if name in flags), platform.machine())


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
