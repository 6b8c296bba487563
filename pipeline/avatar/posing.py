"""Posing by compiled kernels, where Gaussians are float32 on the CPU: autograd functions around `posing_kernels`."""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from pipeline.avatar import posing_kernels as kernels
from pipeline.runtime.jit import array_of
from pipeline.runtime.threads import run_parallel, split

_MICROSECONDS = 0.02  # a Gaussian


class Pose(torch.autograd.Function):
    """`move_gaussians`."""

    @staticmethod
    def forward(ctx, means, quats, blended):
        arrays = [array_of(tensor) for tensor in (means, quats, blended)]
        posed, turned = np.empty_like(arrays[0]), np.empty_like(arrays[1])
        size = len(means)
        run_parallel(lambda *w: kernels.pose_forward(*split(size, *w), *arrays, posed, turned), _MICROSECONDS * size)
        ctx.save_for_backward(means, quats, blended)
        return torch.from_numpy(posed), torch.from_numpy(turned)

    @staticmethod
    @once_differentiable
    def backward(ctx, g_posed, g_turned):
        arrays = [array_of(tensor) for tensor in (*ctx.saved_tensors, g_posed, g_turned)]
        outputs = [np.empty_like(array) for array in arrays[:3]]
        size = len(arrays[0])
        run_parallel(lambda *w: kernels.pose_backward(*split(size, *w), *arrays, *outputs), _MICROSECONDS * size)
        return tuple(torch.from_numpy(array) for array in outputs)


class Free(torch.autograd.Function):
    """`free_gaussians`."""

    @staticmethod
    def forward(ctx, offsets, quats, log_scales, logit_opacities, thickness, points, frames, frame_quats, weights):
        inputs = offsets, quats, log_scales, logit_opacities, weights @ thickness, points, frames, frame_quats
        arrays = [array_of(tensor) for tensor in inputs]
        outputs = [np.empty_like(array) for array in arrays[:4]]
        size = len(points)
        run_parallel(lambda *w: kernels.free_forward(*split(size, *w), *arrays, *outputs), _MICROSECONDS * size)
        results = tuple(torch.from_numpy(array) for array in outputs)
        ctx.save_for_backward(frames, frame_quats, *results[2:], weights)
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        *inputs, weights = ctx.saved_tensors
        arrays = [array_of(tensor) for tensor in (*inputs, *gradients)]
        outputs = [np.empty_like(array) for array in arrays[4:]]
        size = len(weights)
        run_parallel(lambda *w: kernels.free_backward(*split(size, *w), *arrays, *outputs), _MICROSECONDS * size)
        results = [torch.from_numpy(array) for array in outputs]
        g_thickness = weights.T @ results[0][:, 2] if ctx.needs_input_grad[4] else None
        return *results, g_thickness, None, None, None, None
