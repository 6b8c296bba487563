"""What feet that stand say of the poses, linearised: in the world they do not move.

A person who leans too far, or bends the knees too little, in some frames alone is out of reach of what an image tells.
But the feet of that pose slide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.camera.feet import PARTS, sole_vertices
from pipeline.fit.alignment.normal import point_equations
from pipeline.fit.alignment.surface import Skeleton
from pipeline.formats.pose import Pose
from pipeline.losses.priors import robust_weight

_OWNERS = [JOINT_NAMES.index(f"{part.split()[0]}_{'ankle' if part.endswith('heel') else 'foot'}") for part in PARTS]
_STANDS = 0.5  # of the likelihood
_FAR = 0.1  # metres: what is farther from its spot counts less and less (Geman-McClure)


@dataclass(frozen=True)
class Footing:
    """Heels and toes of a motion with a world, and when they stand."""

    owners: Tensor  # [4] the joint that each moves with
    rest: Tensor  # [4, 3] metres, in the rest pose
    world_from_camera: Tensor  # [T, 4, 4]
    contact: Tensor  # [T, 4] how likely each stands

    @staticmethod
    def of(
        pose: Pose,
        body: BodyModel,
        betas: Tensor,  # [10]
    ) -> Footing:
        """Of a motion whose file has a world, on a body of this shape."""
        soles = torch.from_numpy(sole_vertices(body, pose.betas)).to(betas.device)
        world_from_camera, contact = (torch.as_tensor(a).to(betas) for a in (pose.world_from_camera, pose.contact))
        owners = torch.tensor(_OWNERS, device=betas.device)
        return Footing(owners, body.shaped(betas)[soles].mean(1), world_from_camera, contact)

    def spots(
        self,
        frames: Tensor,  # [F] indices in the clip, rising
    ) -> Tensor:  # [F, 4] int64
        """A number for each spot that a part stands on without a break, and -1 where it does not stand."""
        stands = (self.contact[frames] > _STANDS).cpu().numpy()
        begins = stands & ~np.pad(stands[:-1], ((1, 0), (0, 0)))
        numbers = begins.cumsum(axis=0) - 1
        numbers += np.cumsum([0, *begins.sum(axis=0)[:-1]])
        return torch.from_numpy(np.where(stands, numbers, -1)).to(self.contact.device)


def footing_equations(
    footing: Footing,
    frames: Tensor,  # [F]
    skeletons: list[Skeleton],
    rest_joints: Tensor,  # [24, 3]
    subtree: Tensor,  # [24, 24]
    sigma: float,
) -> tuple[Tensor, Tensor]:  # [F, U, U], [F, U]
    """Hessians and gradients of the standing feet by the unknowns of `normal_equations`.

    A spot is where its part is on average while it stands there: it follows from step to step.

    Args:
        frames: index of each in the clip, rising.
        skeletons: of each, at its current pose.
        rest_joints, subtree: see `Surface`.
        sigma: metres that a part which stands is off its spot.
    """
    skeleton = Skeleton(*(torch.stack(part) for part in zip(*skeletons)))
    lever = (footing.rest - rest_joints[footing.owners])[..., None]
    points = (skeleton.turns[:, footing.owners] @ lever).squeeze(-1) + skeleton.joints[:, footing.owners]  # [F, 4, 3]
    turn, shift = footing.world_from_camera[frames, :3, :3], footing.world_from_camera[frames, :3, 3]
    world = points @ turn.mT + shift[:, None]
    spots = footing.spots(frames)
    weights = footing.contact[frames] * (spots >= 0)
    index = spots.clamp(min=0).flatten()
    total = weights.new_zeros(int(index.max()) + 1).index_add_(0, index, weights.flatten())
    places = world.new_zeros(len(total), 3).index_add_(0, index, (weights[..., None] * world).flatten(0, 1))
    error = world - (places / total.clamp(min=1e-6)[:, None])[index].view_as(world)
    weight = weights * robust_weight(error.square().sum(-1), _FAR) / sigma**2
    by_point = turn[:, None].expand(-1, len(PARTS), 3, 3)
    return point_equations(skeleton, points, footing.owners, subtree, by_point, error, weight)
