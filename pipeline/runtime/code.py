"""Which code runs: results say what made them, and a fit that was killed goes on with the same alone."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_DIGITS = 10


@cache
def code_digest(root: Path = _ROOT) -> str:
    """Ten hexadecimal digits of all files of the package `pipeline`, its data among them, whatever git says of them."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in inside.parts):
            content = path.read_bytes()
            digest.update(f"{inside.as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:_DIGITS]
