"""How Gaussians are tied to the body: where they are anchored, and what may move.

Each Gaussian has an anchor on the body's surface: a face and barycentric coordinates in it. Its centre is the anchor
plus an offset in the anchor's tangent frame, and its skinning weights are the anchor's. The binding says what is free:

- camel  everything; the cloth-aware mesh-embedded loss keeps Gaussians by the surface (equations 6 to 11).
- lsw    everything, and the skinning weights too (equation 5; `pipeline/avatar/skinning_grid.py`).
- lsw_camel  the same, held by the loss: the paper's full method "w/ LSW" (its table 4, upper part).
- field  everything, and a network moves places by the pose (`pipeline/avatar/deformation_field.py`).
- gom    Gaussians on mesh (iHuman): the centre moves along the normal only, the orientation is the surface's, the
         thickness follows the breadth.
- none   everything, and nothing holds it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.body import BodyModel, vertex_normals
from pipeline.geometry.rotations import matrix_to_quaternion

BINDINGS = ("camel", "lsw", "lsw_camel", "field", "gom", "none")
HELD = ("camel", "lsw_camel")  # by the cloth-aware mesh-embedded loss
WEIGHTS_LEARNT = ("lsw", "lsw_camel")


@dataclass(frozen=True)
class Anchors:
    """Places on the surface of a body in its rest pose, and what belongs to each of them."""

    faces: Tensor  # [N] int64
    barycentric: Tensor  # [N, 3]
    points: Tensor  # [N, 3] metres, for the betas they were made with
    frames: Tensor  # [N, 3, 3] columns: two tangents and the outward normal
    frame_quats: Tensor  # [N, 4] the same rotation, wxyz
    weights: Tensor  # [N, 24] skinning weights of the body there
    shapedirs: Tensor  # [N, 3, 10] how the points move with betas

    def __len__(self) -> int:
        return len(self.faces)

    def select(self, index: Tensor) -> Anchors:
        """The anchors `index` (int64 [M]), in that order; an index may come more than once."""
        return Anchors(**{name: value[index] for name, value in vars(self).items()})

    @property
    def normals(self) -> Tensor:  # [N, 3]
        return self.frames[..., 2]


def anchor(
    body: BodyModel,
    betas: Tensor,  # [10]
    faces: Tensor,  # [N]
    barycentric: Tensor,  # [N, 3]
) -> Anchors:
    """Place anchors on the shaped body in its rest pose."""
    vertices = body.shaped(betas)
    corners = body.faces[faces]  # [N, 3]

    def at_anchor(values: Tensor) -> Tensor:  # [V, ...] -> [N, ...]
        spread = barycentric.reshape(*barycentric.shape, *[1] * (values.dim() - 1))
        return (spread * values[corners]).sum(1)

    normals = torch.nn.functional.normalize(at_anchor(vertex_normals(vertices, body.faces)), dim=-1)
    frames = _tangent_frames(normals)
    return Anchors(
        faces=faces,
        barycentric=barycentric,
        points=at_anchor(vertices),
        frames=frames,
        frame_quats=matrix_to_quaternion(frames),
        weights=at_anchor(body.weights),
        shapedirs=at_anchor(body.shapedirs),
    )


def _tangent_frames(normals: Tensor) -> Tensor:  # [N, 3, 3]
    """A rotation whose third column is the normal."""
    upright = normals.new_tensor([0.0, 1.0, 0.0]).expand_as(normals)
    sideways = normals.new_tensor([1.0, 0.0, 0.0]).expand_as(normals)
    helper = torch.where((normals[:, 1:2].abs() > 0.9), sideways, upright)
    first = torch.nn.functional.normalize(torch.linalg.cross(helper, normals), dim=-1)
    return torch.stack([first, torch.linalg.cross(normals, first), normals], dim=-1)
