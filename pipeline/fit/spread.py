"""Colours where the video shows hardly anything: taken from the body's other side, and from the Gaussians around.

A back that is never seen still gets gradients: what is left of the error shines through the front, and Adam steps by
its rate, however small a gradient is. Such colours end beyond any that the video has. So, once Gaussians no longer
grow, each colour is weighed by how well the frames tell it, and all are solved for at once: those that are well told
stay, the others take the colours of their mirror image (pipeline/fit/mirror.py) where it is well told and the person is
symmetric there, else those around. From then on a colour moves by the share in which the frames tell it.

Clothes end around a limb, not along it: neighbours are sought around the bone first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree
from torch import Tensor

from pipeline.avatar.gaussians import SH_C0, Posable
from pipeline.body import PARENTS
from pipeline.fit.data import FULL, Clip, evenly
from pipeline.fit.mirror import Mirror, mirror_pairs
from pipeline.fit.rendering import render
from pipeline.fit.unknowns import Unknowns

_LOOKS = 100  # frames that tell how well a colour is known
_NEIGHBOURS = 8
_CANDIDATES = 40  # nearest of all, among which the neighbours are chosen
_ALONG = 4.0  # times as far counts a way along the bone as one around it
# Of the mean evidence. What has less is believed less than in proportion: it is told mainly by what shines through
# others. Neighbours that both have more are drawn together the less, so that no texture is blurred.
_DOUBTFUL = 0.1
_MIRRORED = 20.0  # times as strong as a neighbour's is the pull of a mirror image: it has the texture, too
_NONE = 1e-6  # evidence of what is never seen: it is told by nothing else where no Gaussian is seen at all


def spread_unseen(unknowns: Unknowns, clip: Clip, strength: float, seed: int) -> None:
    """Take the colours of what the trained frames hardly show from what is around, and let them move so much less.

    Args:
        strength: see `spread`.
        seed: see `colour_evidence`.
    """
    values, body, rows = unknowns.at_rest(), unknowns.body, unknowns.rows
    betas, black = unknowns.betas, torch.zeros(3, device=values.means.device)

    def draw(frame: int, sh: Tensor) -> Tensor:
        with torch.no_grad():
            rotmats, pelvis = rows.apply(frame, rows.correction(frame))
        view = clip.view(frame, FULL)
        own = values._replace(sh=sh)
        image = render(own, body, betas, rotmats, pelvis, view, black, False, 0, unknowns.gaussians.field).image
        return image if view.sure is None else image * (view.sure / 255)[..., None]

    frames = np.flatnonzero(clip.train)
    looked_at = frames[evenly(len(frames), min(len(frames), _LOOKS))].tolist()
    evidence = colour_evidence(draw, looked_at, len(values.means), seed, values.means.device)
    rest, colours = body.rest_joints(betas), 0.5 + SH_C0 * unknowns.colours[0][:, 0]
    arrays = (part.cpu().double().numpy() for part in (values.means, values.weights))
    told = evidence.cpu().double().numpy()
    mirror = mirror_pairs(*arrays, float(rest[0, 0]), colours.cpu().double().numpy(), told)
    unknowns.told = spread(unknowns.colours, values, evidence, bone_axes(rest), mirror, strength)


def colour_evidence(
    draw: Callable[[int, Tensor], Tensor],
    frames: Iterable[int],
    count: int,
    seed: int,
    device: torch.device,
) -> Tensor:  # [N]
    """How well the frames tell the colour of each Gaussian: the sum of squares of the weights with which it counts in
    their pixels, over the mean of all Gaussians.

    That is the diagonal of the least-squares problem of the colours. It is estimated by one backward pass a frame:
    pixels with random signs, of which the gradient's square has it as its expectation (Hutchinson 1990).

    Args:
        draw: (frame, colours [N, 1, 3] as harmonics of degree 0) -> image [h, w, 3], over black; where nothing is
            known of the frame, black.
        frames: those to look at.
        count: N.
        seed: of the signs.
    """
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, device=device)
    for frame in frames:
        sh = torch.zeros(count, 1, 3, device=device, requires_grad=True)
        image = draw(frame, sh)
        signs = torch.randint(0, 2, image.shape, generator=generator).to(image) * 2 - 1
        (gradient,) = torch.autograd.grad((image * signs).sum(), sh)
        total += gradient[:, 0].square().mean(1)
    return total / total.mean().clamp(min=1e-12)


def bone_axes(
    rest_joints: Tensor,  # [24, 3]
) -> Tensor:  # [24, 3]
    """Unit vectors along each joint's bone: to the child most straight ahead of it, or on from the parent."""
    children = [[child for child, parent in enumerate(PARENTS) if parent == joint] for joint in range(len(PARENTS))]
    ways = []
    for joint, below in enumerate(children):
        if below:
            ahead = min(below, key=lambda child: abs(float(rest_joints[child, 0] - rest_joints[joint, 0])))
            ways.append(rest_joints[ahead] - rest_joints[joint])
        else:
            ways.append(rest_joints[joint] - rest_joints[PARENTS[joint]])
    return torch.nn.functional.normalize(torch.stack(ways), dim=-1)


@torch.no_grad()
def spread(
    colours: list[Tensor],  # each [N, ...]
    values: Posable,
    evidence: Tensor,  # [N]
    axes: Tensor,  # [24, 3]
    mirror: Mirror,
    strength: float,
) -> Tensor:  # [N]
    """Draw colours to those around them in place: minimise sum_i e_i |x_i - x_i'|^2 + sum_ij s_ij |x_i - x_j|^2.

    x' are the colours as they were, e is the evidence, and s is `strength`, less between neighbours that are well told.
    j goes over the neighbours of i, and over its mirror image, whose pull is stronger where the person is symmetric.

    Args:
        colours: harmonics of all degrees.
        values: the Gaussians in the rest pose.
        evidence: see `colour_evidence`.
        axes: see `bone_axes`.
        mirror: pairs of Gaussians left and right.
        strength: of the pull of one neighbour, where the evidence of an average Gaussian is 1.

    Returns:
        The share in which its evidence tells each colour, 0 to 1.
    """
    told = evidence.cpu().double().numpy()
    means, weights = values.means.cpu().double().numpy(), values.weights.cpu().double().numpy()
    first, second = _pairs(means, weights, axes.cpu().double().numpy())
    pull = strength / (1 + np.minimum(told[first], told[second]) / _DOUBTFUL)
    # Light from one side makes images differ: what is half told has a colour of its own, so that this falls faster.
    both = 1 + np.minimum(told[mirror.first], told[mirror.second]) / _DOUBTFUL
    pull = np.concatenate([pull, strength * _MIRRORED * mirror.alike / both**2])
    first, second = np.concatenate([first, mirror.first]), np.concatenate([second, mirror.second])
    ties = sparse.coo_matrix((pull, (first, second)), shape=(len(told), len(told))).tocsc()
    drawn = np.asarray(ties.sum(1)).ravel()
    believed = told * told / (told + _DOUBTFUL) + _NONE
    solver = splu(sparse.diags(believed + drawn).tocsc() - ties)
    for colour in colours:
        known = believed[:, None] * colour.detach().flatten(1).cpu().double().numpy()
        colour.copy_(torch.as_tensor(solver.solve(known)).view(colour.shape))
    return torch.as_tensor(believed / (believed + drawn), dtype=values.means.dtype, device=values.means.device)


def _pairs(means: np.ndarray, weights: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours, each pair both ways: nearest where a way along the bone counts `_ALONG` times."""
    count = len(means)
    nearby = cKDTree(means).query(means, min(_CANDIDATES + 1, count))[1][:, 1:]
    ways = means[nearby] - means[:, None]
    along = np.einsum("nj,ja,jb->nab", weights, axes, axes)  # a mean of directions whose signs do not matter
    squared = (ways**2).sum(-1) + (_ALONG**2 - 1) * np.einsum("nka,nab,nkb->nk", ways, along, ways)
    order = np.argsort(squared, axis=1)[:, :_NEIGHBOURS]
    second = np.take_along_axis(nearby, order, axis=1)
    first = np.repeat(np.arange(count), second.shape[1])
    either = np.concatenate([np.stack([first, second.ravel()]), np.stack([second.ravel(), first])], axis=1)
    return tuple(np.unique(either, axis=1))
