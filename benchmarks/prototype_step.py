"""The step of the prototype that the project began with, for comparison: an avatar in a known pose, and no priors.

Skinning, rasterization of colour and depth, L1 and SSIM on the crop around the person, mask, a pull on the offsets, and
Adam. It has our kernels: what the whole step costs beyond it is the cost of its further losses and its moving pose.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.scene import Scene
from pipeline.avatar import pose_gaussians
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.losses.image import Target, photometric
from pipeline.splatting import rasterization

_PADDING = 16  # px around the person
_RATE = 1e-4


class PrototypeStep:
    """Call it to make one step."""

    def __init__(self, scene: Scene) -> None:
        avatar, size = scene.avatar, scene.size
        self.scene = scene
        self.params = {
            "offsets": torch.zeros_like(avatar.means),
            "quats": avatar.quats.clone(),
            "log_scales": avatar.scales.log(),
            "logit_opacities": torch.logit(avatar.opacities),
            "sh": avatar.sh.clone(),
        }
        with torch.no_grad():
            rotmats = axis_angle_to_matrix(scene.pose)[None]
            self.transforms = scene.body.transforms(rotmats, avatar.betas, scene.transl[None])[0]
            image, alpha = self._render()
        generator = torch.Generator().manual_seed(3)
        frame = (image[..., :3] + 0.05 * torch.randn(size, size, 3, generator=generator)).clamp(0, 1)
        self.mask = (alpha > 0.5).float()
        rows, columns = torch.nonzero(self.mask, as_tuple=True)
        self.rows = slice(max(0, int(rows.min()) - _PADDING), int(rows.max()) + _PADDING)
        self.columns = slice(max(0, int(columns.min()) - _PADDING), int(columns.max()) + _PADDING)
        self.target = Target.of(frame[self.rows, self.columns])
        for value in self.params.values():
            value.requires_grad_(True)
        self.adam = torch.optim.Adam(list(self.params.values()), lr=_RATE, fused=True)

    def __call__(self) -> float:
        """Make a step; returns the loss before it."""
        image, alpha = self._render()
        colour = photometric(image[self.rows, self.columns, :3], self.target, 0.2)
        mask = (alpha - self.mask).abs().mean()
        loss = colour + 0.1 * mask + 1e-3 * self.params["offsets"].square().mean()
        loss.backward()
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        return float(loss.detach())

    def _render(self) -> tuple[Tensor, Tensor]:  # [H, W, 4], [H, W]
        scene, params = self.scene, self.params
        avatar = scene.avatar
        means, quats = pose_gaussians(
            avatar.means + params["offsets"], params["quats"], avatar.weights, self.transforms
        )
        images, alphas, _ = rasterization(
            means,
            quats,
            params["log_scales"].exp(),
            params["logit_opacities"].sigmoid(),
            params["sh"],
            torch.eye(4)[None],
            scene.K[None],
            scene.size,
            scene.size,
            sh_degree=1,
            render_mode="RGB+ED",
        )
        return images[0], alphas[0, ..., 0]
