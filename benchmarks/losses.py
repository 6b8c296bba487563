"""Each loss term of the fit, value and gradient, and the searches for neighbours that some of them need."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.rows import Row, timed
from benchmarks.scene import Scene, person, seeded
from benchmarks.steps import torch_operations
from benchmarks.timing import interleave
from pipeline.body import skin, vertex_normals
from pipeline.losses.camel import coverage, flatness, nearest, point_to_mesh, surface_alignment
from pipeline.losses.depth import back_project, depth_2d, depth_3d
from pipeline.losses.image import photometric
from pipeline.losses.priors import robust, roughness
from pipeline.losses.silhouette import silhouette
from pipeline.rotations import axis_angle_to_matrix, quaternion_to_matrix
from pipeline.splatting import rasterization

SECTION = "losses"
_SSIM = 0.2
_CLOTH = 0.05  # metres
_FLATNESS = 5.0
_EPSILON = 0.05  # metres
_NEIGHBOURS = 4
_OFF = 0.01  # metres: how far Gaussians are off the surface, as cloth is


def bench(gaussians: int, size: int, rounds: int) -> list[Row]:
    """Milliseconds of each term, forward and backward, with its neighbours known; and of each search."""
    scene = person(gaussians, size)
    terms, searches = _of_image(scene), {}
    for more, found in (_of_depth(scene), _of_surface(scene)):
        terms |= more
        searches |= found
    calls: dict[str, Callable[[], object]] = {name: _with_gradient(*term) for name, term in terms.items()}
    calls["photometric, torch convolutions"] = _in_torch(calls["photometric, fused"])
    rivals = {"photometric, fused": "photometric, torch convolutions"}
    timings = interleave(calls | searches, rounds, "losses", least_seconds=0.01, budget=60)
    return timed(timings, SECTION, f"{gaussians // 1000}k @ {size}" if gaussians >= 1000 else str(gaussians), rivals)


Term = tuple[Callable[..., Tensor], list[Tensor]]  # a loss, and the tensors that it is differentiated by
Searches = dict[str, Callable[[], object]]


def _with_gradient(loss: Callable[..., Tensor], values: list[Tensor]) -> Callable[[], object]:
    leaves = [value.detach().clone().requires_grad_(True) for value in values]
    return lambda: torch.autograd.grad(loss(*leaves), leaves)


def _in_torch(call: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with torch_operations():
            return call()

    return run


def _images(scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
    """The scene's colours [H, W, 3], depth [H, W] and alpha [H, W]."""
    with torch.no_grad():
        image, alpha, _ = rasterization(**scene.arguments(), render_mode="RGB+ED")
    return image[0, ..., :3].contiguous(), image[0, ..., 3].contiguous(), alpha[0, ..., 0]


def _of_image(scene: Scene) -> dict[str, Term]:
    colours, depth, alpha = _images(scene)
    generator = torch.Generator().manual_seed(4)
    frame = (colours + 0.05 * torch.randn(colours.shape, generator=generator)).clamp(0, 1)
    mask, keep = (alpha > 0.5).float(), alpha > 0.5
    measured = depth + 0.02 * keep
    return {
        "photometric, fused": (lambda image: photometric(image, frame, _SSIM), [colours]),
        "mask": (lambda cover: silhouette(cover, mask), [alpha]),
        "depth 2D": (lambda rendered: depth_2d(rendered, measured, keep), [depth]),
    }


def _of_depth(scene: Scene) -> tuple[dict[str, Term], Searches]:
    _, depth, alpha = _images(scene)
    cloud = back_project(depth, scene.K, alpha > 0.5)
    # The fit takes the cloud of a coarse crop, a quarter as fine or more
    cloud = cloud[:: max(1, len(cloud) // 3000)]
    means = scene.arguments()["means"]
    near = cloud[nearest(means, cloud)]
    return (
        {"depth 3D": (lambda points: depth_3d(points, near, _EPSILON), [means])},
        {"search: depth 3D": lambda: nearest(means, cloud)},
    )


def _of_surface(scene: Scene) -> tuple[dict[str, Term], Searches]:
    body, avatar = scene.body, scene.avatar
    anchors, _ = seeded(len(avatar.means))
    transforms = body.transforms(axis_angle_to_matrix(scene.pose)[None], avatar.betas, scene.transl[None])
    vertices = skin(body.shaped(avatar.betas), body.weights, transforms)[0]
    corners = body.faces[anchors.faces]
    surface = (anchors.barycentric[..., None] * vertices[corners]).sum(1)
    normals = (anchors.barycentric[..., None] * vertex_normals(vertices, body.faces)[corners]).sum(1)
    normals = torch.nn.functional.normalize(normals, dim=-1)
    arguments = scene.arguments()
    quats, log_scales = arguments["quats"], arguments["scales"].log()
    generator = torch.Generator().manual_seed(6)
    means = arguments["means"] + _OFF * torch.randn(len(quats), 3, generator=generator)
    to_surface, to_mean = nearest(means, surface), nearest(surface, means)
    around = nearest(means, means, _NEIGHBOURS + 1)[:, 1:]

    def camel(points: Tensor, turns: Tensor, logarithms: Tensor) -> Tensor:
        rotations = quaternion_to_matrix(turns)
        return (
            10 * point_to_mesh(points, surface, normals, to_surface, _CLOTH)
            + 10 * coverage(points, surface, to_mean, _CLOTH)
            + 0.01 * flatness(logarithms, _FLATNESS)
            + 0.05 * surface_alignment(rotations, logarithms, normals[to_surface])
        )

    def smoothness(sh: Tensor, logarithms: Tensor) -> Tensor:
        return roughness(sh.flatten(1), around) + roughness(logarithms, around)

    angles = 0.1 * torch.ones(24, 3)
    terms = {
        "CAMEL": (camel, [means, torch.nn.functional.normalize(quats, dim=-1), log_scales]),
        "smoothness": (smoothness, [avatar.sh, log_scales]),
        "pose prior": (lambda change: robust(change.square().sum(-1), 0.5).sum(), [angles]),
    }
    searches = {
        "search: CAMEL": lambda: (nearest(means, surface), nearest(surface, means)),
        "search: smoothness": lambda: nearest(means, means, _NEIGHBOURS + 1),
    }
    return terms, searches
