"""What the paper preset's estimators share: their packages, the device, and reading checkpoints of others."""

from __future__ import annotations

import importlib
import pickle
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from pipeline.runtime.errors import UserError
from pipeline.setup.gpus import take_gpu
from pipeline.setup.preflight import INSTALL

ONNX_GPU = "CUDAExecutionProvider"


def import_package(backend: str, module: str, unused: Iterable[str] = ()) -> ModuleType:
    """Import a module of an estimator's package.

    Args:
        backend: its name, for the message.
        module: "hmr2.models".
        unused: modules that it imports at its top for training or drawing and never uses to infer. Where they are
            absent, something empty takes their place.

    Raises:
        UserError: it is not installed, or cannot be imported.
    """
    for name in unused:
        _stand_in(name)
    try:
        with warnings.catch_warnings():  # of old names and optional parts that inference does not use
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"backend {backend}: the package {error.name} is not installed; {INSTALL}") from error
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: torchvision that does not fit torch
        raise UserError(f"backend {backend}: {module} cannot be imported ({error}); {INSTALL}") from error


class _Nothing(ModuleType):
    """A module in which every name is an empty class, for annotations such as `pyrender.Node`."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _stand_in(name: str) -> None:
    if name in sys.modules:
        return
    try:
        importlib.import_module(name)
    except (ImportError, OSError):  # pyrender: OSError where OpenGL is absent
        sys.modules[name] = _Nothing(name)


def choose_device(backend: str, name: str) -> torch.device:
    """The device for the setting "auto", "cpu" or "cuda".

    Raises:
        UserError: "cuda", and torch finds none.
    """
    if name != "cpu":
        take_gpu()
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise UserError(
            f"backend {backend}: needs a GPU and torch finds none; run it where there is one, or set its device to cpu "
            "(very slow), or use the embedded preset"
        )
    return torch.device("cuda" if name == "auto" and found else "cpu" if name == "auto" else name)


def onnx_finds_gpu(setting: str, device: str) -> bool:
    """Whether onnxruntime is to use a GPU.

    Args:
        setting: where `device` is from, for the message: "pose.instanthmr.device"; the backend's name is in it.
        device: "auto", "cpu" or "cuda".

    Raises:
        UserError: the package is not there; or "cuda", and it finds no GPU.
    """
    backend = setting.split(".")[1]
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"backend {backend}: onnxruntime cannot be imported ({error}); pip install -e '.[{backend}]'"
        ) from error
    if device == "cpu":
        return False
    take_gpu()
    found = ONNX_GPU in onnxruntime.get_available_providers()
    if device == "cuda" and not found:
        raise UserError(
            f"backend {backend}: needs a GPU and onnxruntime finds none; install onnxruntime-gpu in place of "
            f"onnxruntime, or set {setting} to cpu"
        )
    return found


def load_tensors(path: Path, key: str) -> dict[str, torch.Tensor]:
    """The tensors under `key` of a checkpoint written by torch.save, and nothing else of it.

    Checkpoints of Lightning hold objects of many classes beside the tensors, which torch.load refuses unless the file
    may run code. Here only what tensors are built of is built; an empty object takes the place of all others.

    Raises:
        UserError: the file is no such checkpoint.
    """
    reader = SimpleNamespace(Unpickler=_TensorUnpickler, load=None, __name__="pipeline tensors")
    try:
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=False, pickle_module=reader)
        state = content[key]
        if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
            raise ValueError(f"{key!r} does not hold tensors")
    except Exception as error:  # a damaged file raises nearly anything
        raise UserError(f"{path}: not the checkpoint expected ({error!r}); delete it and fetch it again") from error
    return dict(state)


class _Ignored(dict):
    """Stands in for an object of any class; takes whatever a pickle gives it and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __call__(self, *_: Any, **__: Any) -> _Ignored:
        return self

    def __setstate__(self, _: Any) -> None: ...

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...


class _TensorUnpickler(pickle.Unpickler):
    """Builds tensors and plain containers. torch.load adds the storages, which it knows by itself."""

    _ADMITTED = frozenset(
        {
            ("torch._utils", "_rebuild_tensor_v2"),
            ("torch._utils", "_rebuild_parameter"),
            ("collections", "OrderedDict"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._ADMITTED:
            return super().find_class(module, name)
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        return _Ignored
