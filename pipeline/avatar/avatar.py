"""An avatar: Gaussians of a person in canonical space, posed by linear blend skinning (equations 1 to 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.avatar.cloth import Cloth
from pipeline.avatar.deformation_field import DeformationField
from pipeline.avatar.posing import Pose
from pipeline.body import PARENTS, BodyModel
from pipeline.body.kinematics import Quaternions
from pipeline.formats.avatar import AvatarFile
from pipeline.geometry.rotations import axis_angle_to_matrix, matrix_to_quaternion, quaternion_multiply
from pipeline.runtime.constant import constant
from pipeline.runtime.jit import has_kernels
from pipeline.splatting import rasterization

_LEFT_HIP, _RIGHT_HIP = 1, 2
_WAYS = [{0}]  # of each joint to the root, both included
for _joint, _parent in enumerate(PARENTS[1:], start=1):
    _WAYS.append(_WAYS[_parent] | {_joint})
_PATHS = tuple(tuple(float(joint in way) for joint in range(len(PARENTS))) for way in _WAYS)
_LEGS_APART = torch.pi / 6


def legs_apart() -> Tensor:
    """The canonical pose [24, 3], axis-angle: arms out as at rest, legs 30 degrees to the side each (GART's "da" pose),
    so that the nearest point of the body is on the right leg for Gaussians of trousers and skirts."""
    pose = torch.zeros(24, 3)
    pose[_LEFT_HIP, 2] = _LEGS_APART
    pose[_RIGHT_HIP, 2] = -_LEGS_APART
    return pose


def canonical_transforms(
    body: BodyModel,
    betas: Tensor,  # [10]
    canonical_pose: Tensor,  # [24, 3]
) -> Tensor:  # [24, 4, 4]
    """The motion of each joint from the rest pose to the canonical pose; the root joint stays where it rests."""
    rotmats = axis_angle_to_matrix(canonical_pose)[None]
    return body.transforms(rotmats, betas, betas.new_zeros(1, 3))[0]


def pose_gaussians(
    means: Tensor,  # [N, 3]
    quats: Tensor,  # [N, 4]
    weights: Tensor,  # [N, 24]
    transforms: Tensor,  # [24, 4, 4]
    field: DeformationField | None = None,
) -> tuple[Tensor, Tensor]:  # [N, 3], [N, 4]
    """Skin Gaussians: centres by equation 4, orientations by the weighted mean of the joints' quaternions.

    The blended matrix of equation 4 is no rotation where joints differ; the mean quaternion is one, and smooth in the
    pose.

    Args:
        means: centres in the rest pose, metres. [N, 3]
        quats: orientations in the rest pose, wxyz. [N, 4]
        weights: skinning weights, rows sum to 1. [N, 24]
        transforms: rigid motion of each joint from the rest pose to the posed body. [24, 4, 4]
        field: what moves the centres by the pose before they are skinned; None for nothing.

    Returns:
        Posed centres and orientations (wxyz, not normalised).
    """
    if field is not None and field.moves:
        means = means + field.offsets(means, transforms)
    return move_gaussians(means, quats, weights @ joint_motions(transforms))


def joint_motions(
    transforms: Tensor,  # [24, 4, 4]
) -> Tensor:  # [24, 16]
    """A pose as `move_gaussians` takes it, blended: twelve entries of each joint's motion, then its quaternion."""
    return torch.cat([transforms[:, :3].flatten(1), joint_quaternions(transforms)], dim=1)


def move_gaussians(
    means: Tensor,  # [N, 3]
    quats: Tensor,  # [N, 4]
    blended: Tensor,  # [N, 16]
) -> tuple[Tensor, Tensor]:  # [N, 3], [N, 4]
    """`pose_gaussians` with the `joint_motions` of its transforms blended, for a pose that is used more than once."""
    if has_kernels(means):
        return Pose.apply(means, quats, blended)
    blended, rotation = _parts(blended)
    posed = (blended[..., :3] * means[:, None, :]).sum(-1) + blended[..., 3]
    return posed, quaternion_multiply(rotation, quats)


def unpose_gaussians(
    means: Tensor,  # [N, 3]
    quats: Tensor,  # [N, 4]
    weights: Tensor,  # [N, 24]
    transforms: Tensor,  # [24, 4, 4]
) -> tuple[Tensor, Tensor]:  # [N, 3], [N, 4]
    """The inverse of `pose_gaussians`: from the posed body to the rest pose, exact for the same weights."""
    blended, rotation = _parts(weights @ joint_motions(transforms))
    rest = torch.linalg.solve(blended[..., :3], means - blended[..., 3])
    flip = quats.new_tensor([1.0, -1.0, -1.0, -1.0])
    return rest, quaternion_multiply(rotation * flip, quats)


def _parts(
    blended: Tensor,  # [N, 16]
) -> tuple[Tensor, Tensor]:  # [N, 3, 4], [N, 4]
    """Each Gaussian's blended matrix, and the mean of its joints' rotations."""
    return blended[:, :12].unflatten(1, (3, 4)), torch.nn.functional.normalize(blended[:, 12:], dim=-1)


def joint_quaternions(
    transforms: Tensor,  # [24, 4, 4]
) -> Tensor:  # [24, 4]
    """The joints' rotations as quaternions whose signs are aligned along the tree, so that they have a mean."""
    if has_kernels(transforms):
        return Quaternions.apply(transforms[:, :3], PARENTS)
    return _align_signs(matrix_to_quaternion(transforms[:, :3, :3]))


def _align_signs(
    quats: Tensor,  # [24, 4]
) -> Tensor:  # [24, 4]
    """Choose between q and -q so that each joint's quaternion is on its parent's side.

    A joint is turned round as often as there are, on its way to the root, two neighbours on different sides: counted
    by a product with the tree's paths, so that a GPU is not waited for.
    """
    parents = constant((0, *PARENTS[1:]), torch.int64, quats.device)
    apart = ((quats * quats[parents]).sum(-1) < 0).to(quats)
    times = constant(_PATHS, quats.dtype, quats.device) @ apart
    return quats * (1 - 2 * torch.remainder(times, 2))[:, None]


@dataclass(frozen=True)
class Avatar:
    """Gaussians of a person, ready to be posed and rendered; activated values as in `AvatarFile`.

    They are kept in the body's rest pose, where skinning starts; the file keeps them in canonical space, where legs are
    apart. The step between is exact (`unpose_gaussians`), so that a Gaussian on the mesh moves with the mesh.
    """

    means: Tensor  # [N, 3] metres, rest pose
    quats: Tensor  # [N, 4] wxyz, rest pose
    scales: Tensor  # [N, 3] metres
    opacities: Tensor  # [N] in (0, 1)
    sh: Tensor  # [N, K, 3] spherical harmonics, K = 1 or 4
    weights: Tensor  # [N, 24] skinning weights
    betas: Tensor  # [10] shape of the body that it is bound to
    field: DeformationField | None = None  # what moves the means by the pose, of binding "field"
    cloth: Cloth | None = None  # what a pose changes of means and colours; None for nothing

    @staticmethod
    def from_file(file: AvatarFile, body: BodyModel, device: torch.device | str = "cpu") -> Avatar:
        """Build the avatar that `file` (fit/avatar.npz) describes. `body` is the body model that it was fitted with.

        Raises:
            ValueError: `body` is another kind of body than the file's.
        """
        if body.name != file.body_model:
            raise ValueError(f"avatar was fitted with the body {file.body_model!r}, got {body.name!r}")

        def tensor(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=device)

        betas, weights = tensor(file.betas), tensor(file.weights)
        canonical = canonical_transforms(body.to(device=device), betas, tensor(file.canonical_pose))
        means, quats = unpose_gaussians(tensor(file.means), tensor(file.quats), weights, canonical)
        field = None if file.field is None else DeformationField(tensor(file.field))
        cloth = None if file.cloth is None else Cloth.from_file(file.cloth, device)
        look = tensor(file.scales), tensor(file.opacities), tensor(file.sh)
        return Avatar(means, quats, *look, weights, betas, field, cloth)

    def to_file(
        self,
        body: BodyModel,
        binding: str,
        train_frames: np.ndarray,
        gains: np.ndarray | None = None,
        seen: np.ndarray | None = None,
    ) -> AvatarFile:
        """The inverse of `from_file`.

        Args:
            body: the body model that it was fitted with.
            binding: how its Gaussians were tied to the body, one of `pipeline.avatar.binding.BINDINGS`.
            train_frames: True for each frame that the Gaussians were trained on. (T,) bool
            gains: of the frames, None where nobody looked for them. (T, 3)
            seen: how well those frames show each Gaussian, None where nobody looked. (N,)
        """
        pose = legs_apart().to(self.means)
        means, quats = pose_gaussians(
            self.means, self.quats, self.weights, canonical_transforms(body, self.betas, pose)
        )
        quats = torch.nn.functional.normalize(quats, dim=-1)
        tensors = (means, quats, self.scales, self.opacities, self.sh, self.weights, pose, self.betas)
        arrays = (tensor.detach().cpu().numpy() for tensor in tensors)
        field = None if self.field is None else self.field.values.detach().cpu().numpy()
        cloth = None if self.cloth is None else self.cloth.to_file()
        about = {"train_frames": train_frames, "body_model": body.name, "binding": binding}
        return AvatarFile(*arrays, **about, gains=gains, seen=seen, field=field, cloth=cloth)

    @property
    def sh_degree(self) -> int:
        return {1: 0, 4: 1}[self.sh.shape[1]]

    def posed(
        self,
        transforms: Tensor,  # [24, 4, 4]
    ) -> tuple[Tensor, Tensor, Tensor]:  # [N, 3], [N, 4], [N, K, 3]
        """Centres, orientations (wxyz) and harmonics in a posed body.

        Args:
            transforms: of `BodyModel.transforms` or `BodyOutput` for the avatar's betas: rest pose to posed. [24, 4, 4]
        """
        means, sh = self.means, self.sh
        if self.cloth is not None:
            means, sh = self.cloth.changed(means, sh, self.weights, transforms)
        return *pose_gaussians(means, self.quats, self.weights, transforms, self.field), sh


def render_avatar(
    avatar: Avatar,
    body: BodyModel,
    global_orient: Tensor,  # [3]
    body_pose: Tensor,  # [69]
    transl: Tensor,  # [3]
    K: Tensor,  # [3, 3]
    width: int,
    height: int,
    viewmat: Tensor | None = None,  # [4, 4]
    background: Tensor | None = None,  # [3]
    render_mode: str = "RGB",
) -> tuple[Tensor, Tensor]:  # [H, W, C], [H, W]
    """Pose an avatar and render it; differentiable in the pose.

    Args:
        avatar: what to render.
        body: the body model it was fitted with, on the same device.
        global_orient, body_pose: axis-angle, radians. [3], [69]
        transl: metres, added after the model's own root offset. [3]
        K: intrinsics in pixels. [3, 3]
        viewmat: motion from the frame of `transl` to the camera; the camera's own frame when None. [4, 4]
        background: colour behind the avatar in [0, 1]; black when None. [3]
        render_mode: of `pipeline.splatting.rasterization`: "RGB", "D", "ED", "RGB+D" or "RGB+ED".

    Returns:
        The image (colours in [0, 1], not clamped above; C is 3, 1 or 4 by the mode), and alpha.
    """
    rotmats = axis_angle_to_matrix(torch.cat([global_orient, body_pose]).unflatten(0, (24, 3)))
    transforms = body.transforms(rotmats[None], avatar.betas, transl[None])[0]
    means, quats, sh = avatar.posed(transforms)
    viewmat = torch.eye(4, dtype=means.dtype, device=means.device) if viewmat is None else viewmat
    images, alphas, _ = rasterization(
        means,
        quats,
        avatar.scales,
        avatar.opacities,
        sh,
        viewmat[None],
        K[None],
        width,
        height,
        sh_degree=avatar.sh_degree,
        backgrounds=None if background is None else background[None],
        render_mode=render_mode,
    )
    return images[0], alphas[0, ..., 0]
