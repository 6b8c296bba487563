"""A person-like scene: Gaussians spread over the free body, which covers about a quarter of a square image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pipeline.avatar import Avatar
from pipeline.avatar.binding import Anchors, anchor
from pipeline.avatar.gaussians import Gaussians
from pipeline.avatar.seeding import seed_surface
from pipeline.body import JOINT_NAMES, BodyModel, load_body
from pipeline.geometry.rotations import axis_angle_to_matrix

FOCAL = 1.5  # focal length over the image's side
_DISTANCE = 2.3  # metres; with the stance below the body covers a quarter of the image
_BREADTH = 0.6  # standard deviation over the distance to the neighbours, as the fit begins with
_FLATNESS = 5.0


@dataclass(frozen=True)
class Scene:
    """An avatar, a pose, and a pinhole camera at the origin that looks along +z (OpenCV axes)."""

    body: BodyModel
    avatar: Avatar
    pose: Tensor  # [24, 3] axis-angle, radians; joint 0 turns the body towards the camera
    transl: Tensor  # [3] metres
    K: Tensor  # [3, 3] px
    size: int  # px, both sides of the image

    def arguments(self) -> dict[str, Tensor | int]:
        """What `pipeline.splatting.rasterization` takes, with RGB colours; every tensor without gradient."""
        with torch.no_grad():
            rotmats = axis_angle_to_matrix(self.pose)
            transforms = self.body.transforms(rotmats[None], self.avatar.betas, self.transl[None])[0]
            means, quats, _ = self.avatar.posed(transforms)
        return {
            "means": means,
            "quats": quats,
            "scales": self.avatar.scales,
            "opacities": self.avatar.opacities,
            "colors": (0.5 + 0.28 * self.avatar.sh[:, 0]).contiguous(),
            "viewmats": torch.eye(4)[None],
            "Ks": self.K[None],
            "width": self.size,
            "height": self.size,
        }


def person(count: int, size: int) -> Scene:
    """`count` Gaussians on the free body in an image of `size` x `size` pixels. The same arguments, the same scene."""
    body = load_body("free")
    anchors, area = seeded(count)
    generator = torch.Generator().manual_seed(1)
    gaussians = Gaussians.on_surface(anchors, "camel", _BREADTH * math.sqrt(area / count), 0.9, _FLATNESS)
    # Neither all alike nor all opaque: as an avatar is in the middle of its fit
    with torch.no_grad():
        gaussians.params["log_scales"] += 0.2 * torch.randn(count, 3, generator=generator)
        gaussians.params["logit_opacities"] = torch.logit(0.6 + 0.39 * torch.rand(count, generator=generator))
        gaussians.params["sh0"] = 0.8 * torch.randn(count, 1, 3, generator=generator)
        gaussians.params["sh_rest"] = 0.1 * torch.randn(count, 3, 3, generator=generator)
    return Scene(body, gaussians.avatar(torch.zeros(10)), stance(), place(body), camera(size), size)


@lru_cache(maxsize=4)
def seeded(count: int) -> tuple[Anchors, float]:
    """Anchors spread evenly over the free body, and the body's area in square metres."""
    body, betas = load_body("free"), torch.zeros(10)
    vertices, faces = body.shaped(betas).numpy(), body.faces.numpy()
    index, barycentric = seed_surface(vertices, faces, count, seed=0)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    area = 0.5 * float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())
    return anchor(body, betas, torch.as_tensor(index), torch.as_tensor(barycentric)), area


def stance() -> Tensor:  # [24, 3]
    """Knees and elbows bent outwards, facing the camera: as wide as high, so that a square image is filled."""
    pose = torch.zeros(24, 3)
    pose[0, 0] = math.pi  # the body has y up, the image y down
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for joint, angle in (("hip", 1.2), ("knee", -1.2), ("shoulder", -0.2), ("elbow", 1.4)):
            pose[JOINT_NAMES.index(f"{side}_{joint}"), 2] = sign * angle
    return pose


def place(body: BodyModel) -> Tensor:  # [3]
    """Where the root goes so that the body in its stance is in the middle of the image, metres."""
    vertices = body(stance()[None, 0], stance()[None, 1:].flatten(1), torch.zeros(10), torch.zeros(1, 3)).vertices[0]
    depth = vertices[:, 2:] + _DISTANCE
    slopes = vertices[:, :2] / depth
    # What is moved by a metre at the mean distance moves in the image a little more where it is nearer: all but centred
    sideways = -_DISTANCE * (slopes.amin(0) + slopes.amax(0)) / 2
    return torch.cat([sideways, torch.tensor([_DISTANCE])])


def camera(size: int) -> Tensor:  # [3, 3]
    return torch.tensor([[FOCAL * size, 0.0, size / 2], [0.0, FOCAL * size, size / 2], [0.0, 0.0, 1.0]])
