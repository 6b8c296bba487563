"""What can be known to be missing before any job runs: the packages and files of the backends chosen."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from pipeline.runtime.errors import UserError
from pipeline.setup.shipped import read_by
from pipeline.setup.weights import needed, require, require_smpl

# Estimators that are not of the embedded preset: stage and backend, and the packages that its code imports.
ESTIMATORS = {
    ("masks", "sam2"): ("torchvision", "hydra", "iopath", "sam2"),
    ("depth", "unidepth"): ("torchvision", "timm", "einops", "huggingface_hub", "unidepth"),
    ("landmarks", "rtmw"): ("rtmlib", "onnxruntime"),
    ("pose", "hmr2"): ("torchvision", "timm", "einops", "yacs", "smplx", "pytorch_lightning", "hmr2"),
    ("pose", "instanthmr"): ("onnxruntime",),
}
_EXTRAS = ("rtmw", "instanthmr")  # that pip installs by themselves, as extras of the same names
INSTALL = "make paper-env installs it (or run with --sdm conda)"


def estimator(config: Mapping[str, Any], stage: str) -> Mapping[str, Any] | None:
    """The settings of a stage's estimator of `ESTIMATORS`, where the config chooses it: `masks.sam2`."""
    backend = config.get(stage, {}).get("backend")
    return config[stage][backend] if (stage, backend) in ESTIMATORS else None


def check_backends(config: Mapping[str, Any], packages: bool) -> None:
    """Stop where a stage that comes late would fail for something missing.

    Args:
        config: the whole configuration.
        packages: also look for packages; not where each stage has an environment of its own.

    Raises:
        UserError: names the first package or file missing, and what mends it. A GPU is looked for by the stages.
    """
    if packages and config["fit"]["device"] == "cuda" and importlib.util.find_spec("gsplat") is None:
        raise UserError(f"settings fit.device: cuda needs the package gsplat, which is not installed; {INSTALL}")
    for shipped in read_by(config):
        shipped.require()
    require(needed("landmarks", config["landmarks"]))
    for (stage, backend), imported in ESTIMATORS.items():
        if config[stage]["backend"] != backend:
            continue
        absent = [name for name in imported if importlib.util.find_spec(name) is None]
        if packages and absent:
            install = f"pip install -e '.[{backend}]'" if backend in _EXTRAS else INSTALL
            raise UserError(f"backend {backend}: the package {absent[0]} is not installed; {install}")
        require(needed(stage, config[stage]))
        if backend == "hmr2":
            require_smpl(config["body_model"])
