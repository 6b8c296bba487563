"""Posing by compiled kernels, where Gaussians are float32 on the CPU: autograd functions around `posing_kernels`."""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from pipeline.avatar import posing_kernels as kernels
from pipeline.jit import array_of
from pipeline.threads import run_parallel, split


class Pose(torch.autograd.Function):
    """`pose_gaussians`; `joints` [24, 16] holds the twelve entries of each joint's motion, then its quaternion."""

    @staticmethod
    def forward(ctx, means, quats, weights, joints):
        blended = weights @ joints
        arrays = [array_of(tensor) for tensor in (means, quats, blended)]
        posed, turned = np.empty_like(arrays[0]), np.empty_like(arrays[1])
        run_parallel(lambda *share: kernels.pose_forward(*split(len(means), *share), *arrays, posed, turned))
        ctx.save_for_backward(means, quats, blended, weights, joints)
        return torch.from_numpy(posed), torch.from_numpy(turned)

    @staticmethod
    @once_differentiable
    def backward(ctx, g_posed, g_turned):
        *inputs, weights, joints = ctx.saved_tensors
        arrays = [array_of(tensor) for tensor in (*inputs, g_posed, g_turned)]
        outputs = [np.empty_like(array) for array in arrays[:3]]
        run_parallel(lambda *share: kernels.pose_backward(*split(len(weights), *share), *arrays, *outputs))
        g_means, g_quats, g_blended = (torch.from_numpy(array) for array in outputs)
        g_weights = g_blended @ joints.T if ctx.needs_input_grad[2] else None
        g_joints = weights.T @ g_blended if ctx.needs_input_grad[3] else None
        return g_means, g_quats, g_weights, g_joints


class Free(torch.autograd.Function):
    """`free_gaussians`."""

    @staticmethod
    def forward(ctx, offsets, quats, log_scales, logit_opacities, thickness, points, frames, frame_quats, weights):
        inputs = offsets, quats, log_scales, logit_opacities, weights @ thickness, points, frames, frame_quats
        arrays = [array_of(tensor) for tensor in inputs]
        outputs = [np.empty_like(array) for array in arrays[:4]]
        run_parallel(lambda *share: kernels.free_forward(*split(len(points), *share), *arrays, *outputs))
        results = tuple(torch.from_numpy(array) for array in outputs)
        ctx.save_for_backward(frames, frame_quats, *results[2:], weights)
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        *inputs, weights = ctx.saved_tensors
        arrays = [array_of(tensor) for tensor in (*inputs, *gradients)]
        outputs = [np.empty_like(array) for array in arrays[4:]]
        run_parallel(lambda *share: kernels.free_backward(*split(len(weights), *share), *arrays, *outputs))
        results = [torch.from_numpy(array) for array in outputs]
        g_thickness = weights.T @ results[0][:, 2] if ctx.needs_input_grad[4] else None
        return *results, g_thickness, None, None, None, None
