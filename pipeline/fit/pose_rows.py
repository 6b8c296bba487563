"""The motion while it is being fitted: the initial pose and a correction for every frame.

A frame's correction is its own row plus a shared part: a constant over the clip, and what is linear between knots some
frames apart. Errors of a pose estimator change slowly and partly stay with a joint all along (a habit), and so the
constant learns from every frame, a knot from those around it, and both stand for frames that are not drawn.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.body import JOINT_NAMES
from pipeline.fit import correction_kernels
from pipeline.fit.adam import RowAdam
from pipeline.fit.settings import Rates
from pipeline.formats.pose import Pose
from pipeline.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from pipeline.runtime.jit import array_of, has_kernels

_JOINTS = len(JOINT_NAMES)
_REACH = 5  # standard deviations at which weights in time end
_COLUMNS = 3 * _JOINTS + 3  # a rotation vector a joint, then the place: two sideways, one depthwise


class PoseRows:
    """Corrections to a pose, and the pose that results.

    A joint's rotation is the initial one times exp(correction), in the joint's own frame. The pelvis is moved sideways
    by a part of its distance, and depthwise along its ray by a factor, so that the size in the image and the place in
    the image are separate.

    Attributes:
        params: "rows" [T, 75] one a frame, and "knots" [1 + M, 75], the constant first.
        frames: indices of the frames that are trained; the others follow by interpolation. [T']
        reference: the corrections that the priors pull back to; zero until an alignment has found better. [T, 75]
    """

    def __init__(
        self,
        pose: Pose,
        rest_pelvis: Tensor,  # [3]
        frames: np.ndarray,  # [T']
        knot_spacing: int,
        device: torch.device,
    ) -> None:
        count = len(pose)
        angles = np.concatenate([pose.global_orient, pose.body_pose], axis=1).reshape(count, _JOINTS, 3)
        self.frames = torch.as_tensor(frames, device=device)
        self.initial_rotmats = axis_angle_to_matrix(torch.as_tensor(angles, dtype=torch.float32, device=device))
        transl = torch.as_tensor(pose.transl, dtype=torch.float32, device=device)
        self.initial_pelvis = transl + rest_pelvis
        self.basis = torch.cat([torch.ones(count, 1), _hat_functions(count, knot_spacing)], dim=1).to(device)
        self.params = {
            "rows": torch.zeros(count, _COLUMNS, device=device, requires_grad=True),
            "knots": torch.zeros(self.basis.shape[1], _COLUMNS, device=device, requires_grad=True),
        }
        self.reference = torch.zeros(count, _COLUMNS, device=device)
        self._neighbours = _neighbours(frames, count)
        # Indices are made here once: looking for them in a step would wait for the device.
        self._rows = list(torch.arange(count, device=device)[:, None])
        self._knots = [torch.nonzero(row).flatten().to(device) for row in self.basis.cpu()]

    def optimiser(self, rates: Rates) -> RowAdam:
        """An optimiser whose `step` takes the rows of `touched`."""
        rate = torch.full((_COLUMNS,), rates.joint_rotations)
        rate[:3] = rates.root_rotation
        rate[-3:-1] = rates.sideways
        rate[-1] = rates.depthwise
        rate = rate.to(self.basis.device)
        shared = torch.full((self.basis.shape[1], 1), rates.knots)
        shared[0] = rates.constant
        return RowAdam(self.params, {"rows": rate, "knots": rate * shared.to(rate)})

    def touched(self, frame: int) -> dict[str, Tensor]:
        """The rows of each parameter that a frame's pose depends on."""
        return {"rows": self._rows[frame], "knots": self._knots[frame]}

    def correction(self, frame: int | Tensor) -> Tensor:  # [75], or [F, 75] of several frames
        return self.params["rows"][frame] + self.basis[frame] @ self.params["knots"]

    @torch.no_grad()
    def settle(self) -> None:
        """Make the corrections as they are now the reference, those of frames that are not trained interpolated."""
        self.smooth(self.frames.cpu().numpy(), 0.0)
        self.reference = self.params["rows"] + self.basis @ self.params["knots"]

    @torch.no_grad()
    def gather(self) -> None:
        """Give each frame's own row what the frame shares with those around it; the constant stays apart."""
        rows, knots = self.params["rows"], self.params["knots"]
        rows += self.basis[:, 1:] @ knots[1:]
        knots[1:] = 0

    @torch.no_grad()
    def zoom(self, factor: float) -> None:
        """Follow a focal length `factor` times as long: the person as much farther, at the same place in the image."""
        self.initial_pelvis[:, 2] *= factor
        for value in (*self.params.values(), self.reference):
            value[:, -3:-1] /= factor  # shares of the distance

    def mean_depthwise(self) -> Tensor:
        """Mean over the trained frames of the logarithm by which distances were changed since the reference."""
        with torch.no_grad():
            rows, knots = self.params["rows"][:, -1], self.params["knots"][:, -1]
            return (rows + self.basis @ knots - self.reference[:, -1])[self.frames].mean()

    def apply(
        self,
        frame: int | Tensor,  # or [F]
        correction: Tensor,  # [75] or [F, 75]
    ) -> tuple[Tensor, Tensor]:  # [24, 3, 3], [3], or [F, ...]
        """Rotations of the joints, and the pelvis in metres in the camera frame."""
        return apply_correction(correction, *self.initial(frame))

    def initial(self, frame: int | Tensor) -> tuple[Tensor, Tensor]:  # [24, 3, 3], [3], or [F, ...]
        """Rotations of the joints, and the pelvis, before they are corrected."""
        return self.initial_rotmats[frame], self.initial_pelvis[frame]

    def with_own_rows(self) -> PoseRows:
        """The same, but for rows of its own, which alone get a gradient."""
        own = copy.copy(self)
        own.params = self.params | {"rows": self.params["rows"].detach().clone().requires_grad_(True)}
        return own

    def expected(self, frame: int) -> tuple[Tensor, float] | None:
        """What the neighbours say of a frame's own part of the correction.

        Returns:
            The row linearly between those of the trained frames before and after, without gradient [75], and the
            product of the two gaps in frames; None at the ends of the clip.
        """
        before, after = self._neighbours[frame]
        if before < 0 or after < 0:
            return None
        rows = self.params["rows"].detach()
        between = torch.lerp(rows[before], rows[after], (frame - before) / (after - before))
        return between, float((frame - before) * (after - frame))

    @torch.no_grad()
    def smooth(self, frames: np.ndarray, width: float) -> None:
        """Replace all rows by the mean of the rows of `frames` around them, with Gaussian weights in time.

        Each row is fitted by few noisy steps, and the errors of neighbours differ, so that their mean is nearer. Only
        the correction is averaged, so that fast motion of the initial pose stays. Rows of other frames are filled in.

        Args:
            frames: those whose rows count, in order. [F]
            width: standard deviation of the weights, frames; 0 only fills in the others, linearly.
        """
        rows = self.params["rows"]
        everywhere = np.arange(len(rows))
        known = rows[torch.as_tensor(frames, device=rows.device)]
        after = np.searchsorted(frames, everywhere).clip(0, len(frames) - 1)
        before = np.where(frames[after] > everywhere, (after - 1).clip(0), after)
        gap = np.maximum(frames[after] - frames[before], 1)
        part = torch.as_tensor((everywhere - frames[before]) / gap, dtype=rows.dtype, device=rows.device).clamp(0, 1)
        filled = torch.lerp(known[before], known[after], part[:, None])
        if width > 0:
            reach = math.ceil(_REACH * width)
            apart = torch.arange(-reach, reach + 1, device=rows.device, dtype=rows.dtype)
            weights = torch.exp(-0.5 * (apart / width) ** 2)[None, None]
            summed = torch.nn.functional.conv1d(filled.T[:, None], weights, padding=reach)
            # Beyond the ends of the clip there is nothing to take the mean of.
            counted = torch.nn.functional.conv1d(torch.ones_like(filled[:, 0])[None, None], weights, padding=reach)
            filled = (summed / counted)[:, 0].T
        rows.copy_(filled)

    @torch.no_grad()
    def pose(self, initial: Pose, rest_pelvis: Tensor, betas: Tensor, source: str, focal: float = 1.0) -> Pose:
        """The corrected motion, with all else as in `initial`; the focal length times `focal`."""
        results = [self.apply(frame, self.correction(frame)) for frame in range(len(initial))]
        angles = matrix_to_axis_angle(torch.stack([rotmats for rotmats, _ in results])).flatten(1).cpu().numpy()
        transl = torch.stack([pelvis for _, pelvis in results]) - rest_pelvis
        return Pose(
            global_orient=angles[:, :3].astype(np.float64),
            body_pose=angles[:, 3:].astype(np.float64),
            betas=betas.cpu().numpy().astype(np.float64),
            transl=transl.cpu().numpy().astype(np.float64),
            valid=initial.valid,
            bbox=initial.bbox,
            K=initial.K * np.array([[focal, focal, 1], [focal, focal, 1], [1, 1, 1]]),
            fps=initial.fps,
            body_model=initial.body_model,
            source=source,
            hand_pose=initial.hand_pose,
            hands_seen=initial.hands_seen,
            told_height=initial.told_height,
        )


def apply_correction(
    correction: Tensor,  # [75] or [F, 75]
    initial_rotmats: Tensor,  # [24, 3, 3] or [F, 24, 3, 3]
    initial_pelvis: Tensor,  # [3] or [F, 3]
) -> tuple[Tensor, Tensor]:  # [24, 3, 3], [3], or [F, ...]
    """Rotations of the joints, and the pelvis in metres in the camera frame."""
    if has_kernels(correction) and correction.dim() == 1:
        return _Applied.apply(correction, initial_rotmats, initial_pelvis)
    turn = axis_angle_to_matrix(correction[..., :-3].unflatten(-1, (_JOINTS, 3)))
    shift = torch.cat([correction[..., -3:-1], torch.zeros_like(correction[..., :1])], dim=-1)
    pelvis = initial_pelvis + shift * initial_pelvis[..., 2:]
    return initial_rotmats @ turn, pelvis * correction[..., -1:].exp()


class _Applied(torch.autograd.Function):
    """`apply_correction` of one frame: (correction [75], rotations [24, 3, 3], pelvis [3]) by kernels."""

    @staticmethod
    def forward(ctx, correction, initial_rotmats, start):
        rotmats, pelvis = torch.empty_like(initial_rotmats), torch.empty_like(start)
        inputs = [array_of(tensor) for tensor in (correction, initial_rotmats, start)]
        correction_kernels.apply(*inputs, rotmats.numpy(), pelvis.numpy())
        ctx.save_for_backward(correction, start, rotmats, pelvis)
        return rotmats, pelvis

    @staticmethod
    @once_differentiable
    def backward(ctx, g_rotmats, g_pelvis):
        gradient = torch.empty_like(ctx.saved_tensors[0])
        inputs = [array_of(tensor) for tensor in (*ctx.saved_tensors, g_rotmats, g_pelvis)]
        correction_kernels.apply_backward(*inputs, gradient.numpy())
        return gradient, None, None


def _hat_functions(count: int, spacing: int) -> Tensor:  # [count, M]
    """Weights of linear interpolation between knots about `spacing` frames apart, the first and last frame included."""
    knots = max(2, round((count - 1) / spacing) + 1)
    place = torch.linspace(0, knots - 1, count)
    return (1 - (place[:, None] - torch.arange(knots)).abs()).clamp(min=0)


def _neighbours(frames: np.ndarray, count: int) -> list[tuple[int, int]]:
    """For every frame the nearest of `frames` strictly before and after it, -1 where there is none."""
    ordered = np.sort(frames)
    result = []
    for frame in range(count):
        before = ordered[ordered < frame]
        after = ordered[ordered > frame]
        result.append((int(before[-1]) if len(before) else -1, int(after[0]) if len(after) else -1))
    return result
