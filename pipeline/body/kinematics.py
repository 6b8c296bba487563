"""The joints of one pose by compiled kernels, in float32 on the CPU: autograd functions around `kinematics_kernels`."""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from pipeline.body import kinematics_kernels as kernels
from pipeline.runtime.jit import array_of


class Motions(torch.autograd.Function):
    """(rotmats [J, 3, 3], rest joints [J, 3], transl [3], parents) -> motions from the rest pose [J, 3, 4]."""

    @staticmethod
    def forward(ctx, rotmats, rest, transl, parents):
        ctx.arrays = [array_of(tensor) for tensor in (rotmats, rest, transl)]
        ctx.parents = np.array(parents)
        ctx.world, motions = np.empty((2, len(rotmats), 3, 4), np.float32)
        kernels.motions_forward(*ctx.arrays, ctx.parents, ctx.world, motions)
        return torch.from_numpy(motions)

    @staticmethod
    @once_differentiable
    def backward(ctx, g_motions):
        gradients = [np.zeros_like(array) for array in ctx.arrays]
        incoming = array_of(g_motions)
        inputs = *ctx.arrays[:2], ctx.parents, ctx.world
        kernels.motions_backward(*inputs, incoming, np.empty_like(incoming), *gradients)
        return *(torch.from_numpy(gradient) for gradient in gradients), None


class Quaternions(torch.autograd.Function):
    """(motions [J, 3, 4], parents) -> unit quaternions of their rotations [J, 4], each on its parent's side."""

    @staticmethod
    def forward(ctx, motions, parents):
        count = len(motions)
        quats, rows, scales = np.empty((count, 4), np.float32), np.empty(count, np.int64), np.empty(count, np.float32)
        kernels.quaternions_forward(array_of(motions), np.array(parents), quats, rows, scales)
        ctx.saved = quats.copy(), rows, scales
        return torch.from_numpy(quats)

    @staticmethod
    @once_differentiable
    def backward(ctx, g_quats):
        gradient = np.zeros((len(g_quats), 3, 4), np.float32)
        kernels.quaternions_backward(*ctx.saved, array_of(g_quats), gradient)
        return torch.from_numpy(gradient), None
