"""GPUs of this machine: how many may be used, without loading torch, and one for each job."""

import fcntl
import os
import re
import tempfile
from pathlib import Path

_DEVICES = Path("/dev")
_held: list[int] = []  # open files whose locks are this process's, until it ends


def visible_gpus() -> list[str]:
    """Names of the NVIDIA GPUs that a process here may use, as CUDA_VISIBLE_DEVICES gives them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    numbers = (re.fullmatch(r"nvidia(\d+)", path.name) for path in _DEVICES.glob("nvidia*"))
    found = sorted(int(match[1]) for match in numbers if match)
    if found:
        return [str(index) for index in range(len(found))]  # CUDA counts those that it sees, from 0
    return ["0"] if (_DEVICES / "dxg").exists() else []  # Windows' GPU in WSL


def take_gpu() -> None:
    """Leave this process one GPU that no other job of this user has taken; to be called before torch looks for one.

    Snakemake runs as many jobs with a GPU as there are GPUs, and tells none which is its own. Where a scheduler has
    given this process one, or none is free, nothing changes.
    """
    gpus = visible_gpus()
    if len(gpus) < 2:
        return
    for gpu in gpus:
        name = f"humansplathmr-{os.getuid()}-gpu-{gpu.replace('/', '_')}.lock"
        lock = os.open(Path(tempfile.gettempdir()) / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        _held.append(lock)
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        return
