"""Lets torchvision from the package index be imported beside a CPU build of torch. For tests only.

Its compiled part is linked to CUDA and cannot be loaded there, but its Python code asks for two operators when it is
imported. Declaring them is enough for transforms, which is all that the estimators use of it.
"""

import importlib.metadata

import torch

_libraries = []


def declare_operators() -> None:
    """Declare `nms` and `qnms` where the torchvision installed cannot bring its own."""
    if _libraries or torch.version.cuda or "+cpu" in importlib.metadata.version("torchvision"):
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _libraries.append(library)
