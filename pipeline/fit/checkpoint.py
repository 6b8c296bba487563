"""Checkpoints of the fit: a killed run goes on where it was, and ends with the same result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.fit.settings import FitSettings
from pipeline.formats.atomic import atomic_path
from pipeline.formats.pose import Pose

log = logging.getLogger(__name__)


def fingerprint(settings: FitSettings, pose: Pose, clip_digest: str, code: str) -> str:
    """Of all that the result depends on. A checkpoint with another one is of another fit.

    Args:
        code: `code_digest` of the stage. Without it a finished checkpoint would be what an edited fit makes.
    """
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(settings), sort_keys=True).encode())
    digest.update(f"{clip_digest} {torch.__version__} {code}".encode())
    for field in dataclasses.fields(pose):
        if (value := getattr(pose, field.name)) is not None:  # the bytes of None are its place in this process
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def save_checkpoint(path: Path, mark: str, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values), whole or not at all."""
    with atomic_path(path) as temporary:
        torch.save({"fingerprint": mark, "state": state}, temporary)


def load_checkpoint(path: Path, mark: str, device: torch.device) -> dict[str, Any] | None:
    """The state of a fit with this fingerprint; None where there is none, which the log tells."""
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError) as error:
        log.info("%s: not a readable checkpoint (%s): starting anew", path, " ".join(str(error).split())[:100])
        return None
    if content.get("fingerprint") != mark:
        log.info("%s: made with other settings, inputs or code: starting anew", path)
        return None
    return content["state"]
