"""A pretended GPU: tensors on a device of their own that the CPU computes, and that do not mix with tensors of the CPU.

As on a real one an operation on both kinds stops, and numpy gets nothing without `.cpu()`. So code is tried for its
devices where there is no GPU. On torch's python backend for such devices, which came with torch 2.10.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_NAME = "pretended"
_MAY_MIX = ("copy_", "_to_copy", "index", "index_put_", "_index_put_impl_")  # so they may on a GPU


class Pretended(torch.Tensor):
    """A tensor on the pretended GPU."""

    raw: torch.Tensor  # its values, on the CPU

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> Pretended:
        layout = {"strides": raw.stride(), "storage_offset": raw.storage_offset(), "dtype": raw.dtype}
        own = torch.Tensor._make_wrapper_subclass(cls, raw.size(), device=DEVICE, **layout)
        own.raw = raw
        return own

    @classmethod
    def __torch_dispatch__(cls, op: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _compute(op, *args, **(kwargs or {}))

    __torch_function__ = torch._C._disabled_torch_function_impl


def is_pretended(thing: Any) -> bool:
    """Whether a tensor lies on the pretended GPU, or a device is it."""
    device = thing.device if isinstance(thing, torch.Tensor) else thing
    return isinstance(device, torch.device | str) and torch.device(device).type == _NAME


def _compute(op: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation by the CPU, its results on the pretended GPU unless it copies to the CPU."""
    name, inputs = op.__name__.split(".")[0], tree_leaves((args, kwargs))
    own = [value for value in inputs if isinstance(value, Pretended)]
    others = [v for v in inputs if isinstance(v, torch.Tensor) and not isinstance(v, Pretended) and v.dim() > 0]
    if own and others and name not in _MAY_MIX:
        raise RuntimeError(f"{op}: some tensors are on the GPU, others on the CPU")

    def lowered(value: Any) -> Any:
        if isinstance(value, Pretended):
            return value.raw
        return torch.device("cpu") if isinstance(value, torch.device) and is_pretended(value) else value

    found = op(*tree_map(lowered, args), **tree_map(lowered, kwargs))
    if name == "copy_" and not isinstance(args[0], Pretended):
        return args[0]
    if name == "_to_copy" and not is_pretended(kwargs.get("device") or DEVICE):
        return found

    def lifted(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        for each in own:
            if each.raw is value:  # an operation in place
                return each
        return Pretended(value)

    return tree_map(lifted, found)


class Placing(torch.overrides.TorchFunctionMode):
    """Where it is in force, what torch cannot do for a device in Python is done by way of the CPU."""

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        if device is not None and is_pretended(device) and not any(isinstance(x, torch.Tensor) for x in args):
            learns = kwargs.pop("requires_grad", False)  # a new tensor
            return function(*args, **{**kwargs, "device": "cpu"}).to(device).requires_grad_(learns)
        if not (args and isinstance(args[0], torch.Tensor) and is_pretended(args[0])):
            return function(*args, **kwargs)
        first, *others = args
        if function is torch.Tensor.new_tensor:
            return torch.tensor(*others, **{"dtype": first.dtype, **kwargs}).to(first.device)
        if function is torch.Tensor.tolist:
            return first.cpu().tolist()
        if function in (torch.Tensor.__matmul__, torch.Tensor.matmul, torch.matmul) and first.dim() == 1:
            return (first[None] @ others[0]).squeeze(0 if others[0].dim() == 1 else -2)
        if function in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            index = others[0] if isinstance(others[0], tuple) else (others[0],)
            index = tuple(torch.as_tensor(part) if isinstance(part, list | np.ndarray) else part for part in index)
            return function(first, index, *others[1:])
        return function(*args, **kwargs)


_setup_privateuseone_for_python_backend(_NAME)
_library = torch.library.Library("_", "IMPL", "PrivateUse1")
_library.fallback(_compute)
DEVICE = torch.device(_NAME, 0)
