"""Constant tensors, put on their device once: to copy one there from the host makes the host wait for a GPU."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


@lru_cache(maxsize=128)
def constant(values: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of `values` (nested tuples), the same one at each call: not to be changed."""
    with torch.inference_mode(False):  # whoever asks first: gradients may flow past it later
        return torch.tensor(values, dtype=dtype, device=device)
