"""Linear blend skinning of a body in SMPL's layout (Loper et al. 2015; equation 3 of HumanSplatHMR).

One implementation serves the free body and a licensed SMPL file: ten shape directions, pose blend shapes when the file
has any, joints regressed from the shaped rest mesh, 24 joints in SMPL's tree.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.body.kinematics import Motions
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.runtime.constant import constant
from pipeline.runtime.jit import has_kernels

JOINT_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
_BOTTOM = (0.0, 0.0, 0.0, 1.0)  # row of a rigid motion as a 4 x 4 matrix
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
JOINTS = len(JOINT_NAMES)
MIRRORED_JOINTS = [  # of each joint, that of the other side
    JOINT_NAMES.index({"left": "right_", "right": "left_"}.get(side, side) + rest)
    for side, _, rest in (name.partition("_") for name in JOINT_NAMES)
]
BETAS = 10


class BodyOutput(NamedTuple):
    """A posed body, in metres in the frame of `transl` (the camera frame everywhere in this project)."""

    vertices: Tensor  # [B, V, 3]
    joints: Tensor  # [B, 24, 3]
    transforms: Tensor  # [B, 24, 4, 4] see BodyModel.transforms


@dataclass(frozen=True)
class BodyModel:
    """A body in SMPL's layout. Build one with `pipeline.body.load_body`."""

    name: str  # "free" or "smpl"
    v_template: Tensor  # [V, 3] rest vertices of the mean shape, metres, y up, facing +z, arms out along x
    shapedirs: Tensor  # [V, 3, 10] displacement of each rest vertex for one unit of each beta
    posedirs: Tensor  # [V, 3, 207] displacement for each entry of (R_k - I), k = 1..23; all zero for the free body
    J_regressor: Tensor  # [24, V] rest joints = J_regressor @ rest vertices
    weights: Tensor  # [V, 24] skinning weights; each row sums to 1
    faces: Tensor  # [F, 3] int64, counter-clockwise seen from outside
    parents: tuple[int, ...]  # 24 parent joints, -1 at the pelvis
    vertex_ids: dict[str, int]  # landmark vertices by smplx's names: nose, leye, ..., LBigToe, ..., RHeel
    hands: Tensor | None = None  # [V, 3] metres that bent hands lie off flat ones; no joint moves (held_hands.py)

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> BodyModel:
        """The same body with its floating point tensors in another dtype, or everything on another device."""
        moved = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                moved[field.name] = value.to(device=device, dtype=dtype if value.is_floating_point() else None)
        return replace(self, **moved)

    @cached_property
    def has_pose_blend_shapes(self) -> bool:
        """Whether any pose blend shape is non-zero. When none is, one rest mesh serves all frames."""
        return bool(self.posedirs.any())

    @cached_property
    def _joint_template(self) -> Tensor:  # [24, 3]
        return self.J_regressor @ self.v_template

    @cached_property
    def joint_dirs(self) -> Tensor:  # [24, 3, 10]
        """Displacement of each rest joint for one unit of each beta."""
        return torch.einsum("jv,vcb->jcb", self.J_regressor, self.shapedirs)

    def shaped(
        self,
        betas: Tensor,  # [10]
    ) -> Tensor:  # [V, 3]
        """Rest-pose vertices of a shape, `T + S beta` (SMPL equation 8), in metres; hands as they are held."""
        template = self.v_template if self.hands is None else self.v_template + self.hands
        return template + self.shapedirs @ _checked(betas, (BETAS,), "betas")

    def stature(
        self,
        betas: Tensor,  # [10]
    ) -> Tensor:  # []
        """Height of a shape, in metres: the vertical extent of its mesh, standing in the rest pose."""
        height = self.shaped(betas)[:, 1]
        return height.max() - height.min()

    def stature_slope(
        self,
        betas: Tensor,  # [10]
    ) -> Tensor:  # [10]
        """Metres that the stature of a shape grows by for one unit of each beta."""
        height = self.shaped(betas)[:, 1]
        top, bottom = self.shapedirs[torch.stack([height.argmax(), height.argmin()]), 1]
        return top - bottom

    def with_stature(
        self,
        betas: Tensor,  # [10]
        stature: float | Tensor,
    ) -> Tensor:  # [10]
        """The shape nearest to `betas` that is this tall, in metres; nearly, where another vertex becomes the top."""
        slope = self.stature_slope(betas)
        return betas + (stature - self.stature(betas)) * slope / slope.square().sum()

    def rest_joints(
        self,
        betas: Tensor,  # [10]
    ) -> Tensor:  # [24, 3]
        """Rest-pose joints of a shape, `J (T + S beta)` (SMPL equation 10), in metres."""
        return self._joint_template + self.joint_dirs @ _checked(betas, (BETAS,), "betas")

    def world_joints(
        self,
        rotmats: Tensor,  # [B, 24, 3, 3]
        betas: Tensor,  # [10]
        transl: Tensor,  # [B, 3]
    ) -> Tensor:  # [B, 24, 4, 4]
        """Each joint's frame in the posed body: its orientation, and its position in metres in the last column.

        Args:
            rotmats: rotation of each joint relative to its parent; joint 0 relative to the camera frame. [B, 24, 3, 3]
            betas: shape. [10]
            transl: added to the root joint after its rest offset, as smplx does. [B, 3]
        """
        _checked(rotmats, (None, JOINTS, 3, 3), "rotmats")
        _checked(transl, (rotmats.shape[0], 3), "transl")
        rest = self.rest_joints(betas)
        offsets = torch.cat([rest[:1], rest[1:] - rest[constant(self.parents[1:], torch.int64, rest.device)]])
        offsets = offsets.expand(len(rotmats), JOINTS, 3)
        offsets = torch.cat([offsets[:, :1] + transl[:, None], offsets[:, 1:]], dim=1)
        local = torch.cat([rotmats, offsets[..., None]], dim=-1)  # [B, 24, 3, 4]
        bottom = constant(_BOTTOM, local.dtype, local.device).expand(len(rotmats), JOINTS, 1, 4)
        local = torch.cat([local, bottom], dim=-2)
        world = local[:, :1]
        # Joints are ordered so that each level of the tree is a run of indices after all earlier levels.
        for first, last in _tree_levels(self.parents)[1:]:
            parents = constant(self.parents[first:last], torch.int64, local.device)
            world = torch.cat([world, world[:, parents] @ local[:, first:last]], dim=1)
        return world

    def transforms(
        self,
        rotmats: Tensor,  # [B, 24, 3, 3]
        betas: Tensor,  # [10]
        transl: Tensor,  # [B, 3]
    ) -> Tensor:  # [B, 24, 4, 4]
        """`B_k` of equation 3: the rigid motion of each joint that takes a rest-pose point to the posed body.

        Arguments as in `world_joints`. The motion is that joint's frame after the rest joint is moved to the origin.
        """
        _checked(rotmats, (None, JOINTS, 3, 3), "rotmats")
        _checked(transl, (rotmats.shape[0], 3), "transl")
        rest = self.rest_joints(betas)
        if len(rotmats) == 1 and has_kernels(rotmats):
            motions = Motions.apply(rotmats[0], rest, transl[0], self.parents)
            bottom = constant(_BOTTOM, motions.dtype, motions.device).expand(JOINTS, 1, 4)
            return torch.cat([motions, bottom], dim=1)[None]
        return _from_rest(self.world_joints(rotmats, betas, transl), rest)

    def rest_vertices(
        self,
        rotmats: Tensor,  # [B, 24, 3, 3]
        betas: Tensor,  # [10]
    ) -> Tensor:  # [V, 3] or [B, V, 3]
        """Vertices before skinning, in metres: the shaped mesh plus the pose blend shapes (SMPL equation 9).

        [V, 3] for a body without pose blend shapes, the same for every frame; [B, V, 3] otherwise.
        """
        shaped = self.shaped(betas)
        if not self.has_pose_blend_shapes:
            return shaped
        identity = torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)
        feature = (rotmats[:, 1:] - identity).flatten(1)  # [B, 207]
        return shaped + (feature @ self.posedirs.flatten(0, 1).T).unflatten(1, shaped.shape)

    def __call__(
        self,
        global_orient: Tensor,  # [B, 3]
        body_pose: Tensor,  # [B, 69]
        betas: Tensor,  # [10]
        transl: Tensor,  # [B, 3]
    ) -> BodyOutput:
        """Pose the body (equation 3 of the paper).

        Args:
            global_orient: axis-angle of the pelvis in the camera frame. [B, 3]
            body_pose: axis-angle of joints 1..23, each relative to its parent. [B, 69]
            betas: shape, one for all frames. [10]
            transl: metres, added after the model's own root offset, as smplx does. [B, 3]
        """
        frames = global_orient.shape[0]
        _checked(global_orient, (frames, 3), "global_orient")
        _checked(body_pose, (frames, 69), "body_pose")
        pose = torch.cat([global_orient, body_pose], dim=1).unflatten(1, (JOINTS, 3))
        rotmats = axis_angle_to_matrix(pose)
        world = self.world_joints(rotmats, betas, transl)
        transforms = _from_rest(world, self.rest_joints(betas))
        vertices = skin(self.rest_vertices(rotmats, betas), self.weights, transforms)
        return BodyOutput(vertices, world[..., :3, 3], transforms)


def skin(
    points: Tensor,  # [N, 3] or [B, N, 3]
    weights: Tensor,  # [N, K]
    transforms: Tensor,  # [B, K, 4, 4]
) -> Tensor:  # [B, N, 3]
    """Linear blend skinning: each point moved by the weighted sum of the joints' rigid motions (equation 3).

    Args:
        points: rest-pose points, one set for all frames [N, 3] or one a frame [B, N, 3].
        weights: skinning weights. [N, K]
        transforms: rest-pose to posed motion of each joint. [B, K, 4, 4]
    """
    motions = transforms[..., :3, :]  # [B, K, 3, 4]
    frames, joints = motions.shape[:2]
    if points.dim() == 2 and frames == 1:
        # The basis below is worth its making for several frames only.
        blended = (motions[0].flatten(1).T @ weights.T).unflatten(0, (3, 4))  # [3, 4, N], blended matrices
        return ((blended[:, :3] * points.T).sum(1) + blended[:, 3]).T[None]
    if points.dim() == 2:
        # sum_k w_k (R_k p + t_k) is linear in the motions, with one basis (w_k p, w_k) for all frames: one matrix
        # product, with no [B, N, 3, 4] blended matrices in between.
        homogeneous = torch.cat([points, torch.ones_like(points[:, :1])], dim=1)
        basis = (weights[:, :, None] * homogeneous[:, None, :]).flatten(1)  # [N, K * 4]
        columns = motions.permute(0, 2, 1, 3).reshape(frames * 3, joints * 4)
        return (columns @ basis.T).unflatten(0, (frames, 3)).transpose(1, 2)
    blended = (weights @ motions.flatten(2)).unflatten(2, (3, 4))  # [B, N, 3, 4]
    return (blended[..., :3] * points[..., None, :]).sum(-1) + blended[..., 3]


def vertex_normals(
    vertices: Tensor,  # [..., V, 3]
    faces: Tensor,  # [F, 3]
) -> Tensor:  # [..., V, 3]
    """Unit normals: the sum of the surrounding faces' normals, weighted by area. Zero at a vertex without faces."""
    a, b, c = (vertices[..., faces[:, corner], :] for corner in range(3))
    face_normals = torch.linalg.cross(b - a, c - a)
    summed = torch.zeros_like(vertices)
    for corner in range(3):
        summed = summed.index_add(-2, faces[:, corner], face_normals)
    return torch.nn.functional.normalize(summed, dim=-1, eps=1e-20)


def _from_rest(world: Tensor, rest_joints: Tensor) -> Tensor:
    """Joint frames [B, 24, 4, 4] -> motions of rest-pose points, `G_k * translate(-J_k)` (SMPL equation 4)."""
    shift = (world[..., :3, :3] @ rest_joints[..., None]).squeeze(-1)
    translation = world[..., :3, 3] - shift
    top = torch.cat([world[..., :3, :3], translation[..., None]], dim=-1)
    return torch.cat([top, world[..., 3:, :]], dim=-2)


def _tree_levels(parents: tuple[int, ...]) -> list[tuple[int, int]]:
    """Runs [first, last) of joints at the same depth. Raises ValueError where a depth is not one run."""
    depths: list[int] = []
    for parent in parents:
        depths.append(0 if parent < 0 else depths[parent] + 1)
    if depths != sorted(depths):
        raise ValueError(f"joints must be ordered by depth in the tree, parents are {parents}")
    return [(depths.index(depth), len(depths) - depths[::-1].index(depth)) for depth in range(depths[-1] + 1)]


def _checked(tensor: Tensor, shape: tuple[int | None, ...], name: str) -> Tensor:
    fits = tensor.dim() == len(shape) and all(want in (None, got) for want, got in zip(shape, tensor.shape))
    if not fits:
        raise ValueError(f"{name} must have shape {shape}, got {tuple(tensor.shape)}")
    return tensor
