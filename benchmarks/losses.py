"""Each loss term of the fit, value and gradient, and the searches for neighbours that some of them need."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.rows import Row, case_of, timed
from benchmarks.scene import Scene, person, seeded
from benchmarks.steps import torch_operations
from benchmarks.timing import interleave
from pipeline.body import skin, vertex_normals
from pipeline.geometry.rotations import axis_angle_to_matrix, quaternion_to_matrix
from pipeline.losses.camel import Factors, Surface, camel, tips
from pipeline.losses.depth import depth_2d, depth_3d
from pipeline.losses.image import photometric
from pipeline.losses.priors import Neighbours, robust, roughness
from pipeline.losses.search import Searchable
from pipeline.losses.silhouette import silhouette
from pipeline.splatting import rasterization

SECTION = "losses"
_WITH_KERNELS = ("photometric", "depth 3D", "CAMEL", "smoothness")
_SSIM = 0.2
_CLOTH = 0.05  # metres
_FLATNESS = 5.0
_TIPS = 0.005  # metres
_EPSILON = 0.05  # metres
_NEIGHBOURS = 4
_COARSE = 2
_OFF = 0.01  # metres: how far Gaussians are off the surface, as cloth is


def bench(gaussians: int, size: int, rounds: int) -> list[Row]:
    """Milliseconds of each term, forward and backward, with its neighbours known; and of each search."""
    scene = person(gaussians, size)
    surface, searches = _of_surface(scene)
    terms = _of_image(scene) | {"depth 3D": _of_depth(scene)} | surface
    calls: dict[str, Callable[[], object]] = {name: _with_gradient(*term) for name, term in terms.items()}
    rivals = {name: f"{name}, torch" for name in _WITH_KERNELS}
    calls |= {f"{name}, torch": _in_torch(calls[name]) for name in _WITH_KERNELS}
    timings = interleave(calls | searches, rounds, "losses", least_seconds=0.01, budget=60)
    return timed(timings, SECTION, case_of(gaussians, size), rivals)


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
        "photometric": (lambda image: photometric(image, frame, _SSIM), [colours]),
        "mask": (lambda cover: silhouette(cover, mask), [alpha]),
        "depth 2D": (lambda rendered: depth_2d(rendered, measured, keep), [depth]),
    }


def _of_depth(scene: Scene) -> Term:
    _, depth, alpha = _images(scene)
    # The fit takes the cloud of a coarse crop, a quarter as fine or more
    coarse = (depth * (alpha > 0.5))[::_COARSE, ::_COARSE].contiguous()
    K = scene.K / scene.K.new_tensor([[_COARSE], [_COARSE], [1]])
    means = scene.arguments()["means"]
    visible = torch.ones(len(means), dtype=torch.bool)
    return lambda points: depth_3d(points, visible, coarse, K, _EPSILON), [means]


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
    ends = tips(means, quaternion_to_matrix(quats), log_scales).flatten(0, 1)

    def near() -> tuple[Tensor, Tensor, Tensor]:
        of_surface = Searchable(surface)
        return of_surface.nearest(means), Searchable(means).nearest(surface), of_surface.nearest(ends).view(-1, 6)

    body_surface = Surface(surface, normals, *near())
    factors = Factors(10.0, 10.0, 0.01, 0.05, 10.0, _CLOTH, _FLATNESS, _TIPS)
    around = Neighbours.of(Searchable(means).nearest(means, _NEIGHBOURS + 1)[:, 1:])

    def embedding(points: Tensor, turns: Tensor, logarithms: Tensor) -> Tensor:
        return camel(points, turns, logarithms, body_surface, factors)

    def smoothness(sh: Tensor, logarithms: Tensor) -> Tensor:
        return roughness([(1.0, sh), (1.0, logarithms)], around)

    angles = 0.1 * torch.ones(24, 3)
    terms = {
        "CAMEL": (embedding, [means, quats, log_scales]),
        "smoothness": (smoothness, [avatar.sh, log_scales]),
        "pose prior": (lambda change: robust(change.square().sum(-1), 0.5).sum(), [angles]),
    }
    searches = {
        "search: CAMEL": near,
        "search: smoothness": lambda: Searchable(means).nearest(means, _NEIGHBOURS + 1),
    }
    return terms, searches
