"""An avatar made from the body alone, for tests that need one without a fit: flat Gaussians on the surface. And what a
page that shows an avatar holds."""

import base64
import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.avatar import Avatar
from pipeline.body import BodyModel, vertex_normals
from pipeline.formats.avatar import AvatarFile
from pipeline.geometry.rotations import matrix_to_quaternion
from pipeline.viewer.blob import Table, unpack

_DC = 0.28209479177387814  # the spherical harmonic of degree 0
SKIN, SHIRT, TROUSERS = (0.85, 0.65, 0.52), (0.75, 0.22, 0.18), (0.20, 0.30, 0.55)


def seeded_avatar(body: BodyModel, count: int = 6000, frames: int = 4, seed: int = 0) -> AvatarFile:
    """Opaque discs spread evenly over the rest surface: a person in a red shirt and blue trousers.

    Args:
        count: how many Gaussians.
        frames: length of the clip it pretends to be of; each fifth frame is marked as held out.
    """
    rng = np.random.default_rng(seed)
    rest = body.shaped(torch.zeros(10))
    corners = rest[body.faces].double()
    areas = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1) / 2
    faces = body.faces[rng.choice(len(areas), count, p=(areas / areas.sum()).numpy())]
    bary = torch.from_numpy(rng.dirichlet(np.ones(3), count).astype(np.float32))

    def on_surface(values: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nk,nkc->nc", bary, values[faces])

    means, weights = on_surface(rest), on_surface(body.weights)
    normals = torch.nn.functional.normalize(on_surface(vertex_normals(rest, body.faces)), dim=-1)
    aside = torch.where(normals[:, :1].abs() < 0.9, torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0]))
    tangent = torch.nn.functional.normalize(torch.linalg.cross(aside, normals), dim=-1)
    turned = torch.stack([tangent, torch.linalg.cross(normals, tangent), normals], dim=-1)
    spread = float((areas.sum() / count).sqrt())

    height = (means[:, 1] - rest[:, 1].min()) / (rest[:, 1].max() - rest[:, 1].min())
    colour = torch.tensor(SKIN).repeat(count, 1)
    colour[(height > 0.08) & (height < 0.56)] = torch.tensor(TROUSERS)
    colour[(height >= 0.56) & (height < 0.82) & (means[:, 0].abs() < 0.45)] = torch.tensor(SHIRT)
    avatar = Avatar(
        means=means,
        quats=matrix_to_quaternion(turned),
        scales=torch.tensor([[0.6, 0.6, 0.1]]).repeat(count, 1) * spread,
        opacities=torch.full((count,), 0.95),
        sh=((colour * (0.75 + 0.25 * normals[:, 1:2]) - 0.5) / _DC)[:, None],
        weights=weights,
        betas=torch.zeros(10),
    )
    return avatar.to_file(body, "camel", np.arange(frames) % 5 != 4)


def read_page(page: Path) -> tuple[dict[str, Table], dict[str, Any]]:
    """The tables of a viewer.html, and its text."""
    data = re.search(r'<script id="data" type="text/plain">([^<]*)<', page.read_text(encoding="utf-8"))[1]
    return unpack(gzip.decompress(base64.b64decode(data)), str(page))
