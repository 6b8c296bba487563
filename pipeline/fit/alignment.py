"""Second-order steps of all poses at once: a surface of coloured points aligned with video, masks and depth.

Adam moves what an image hardly tells of (a limb along the line of sight) as fast as what it tells exactly, and one
frame at a time. Here a body covered with points is linearised about the current poses, in every frame, and the poses of
the whole clip are the solution of one least-squares problem with the priors: a Gauss-Newton step. Evidence then counts
by what it is worth, and frames share it through the habit (what an estimator errs by all along) and through time.

A point sees, where it lies in the image: its colour (the mean of what it has shown over the clip), the depth map, and
the mask's signed distance; the mask's outline in turn looks for the point nearest to it. Each residual depends on the
point's (u, v, z) only, so that a point's evidence is a 3 x 3 matrix, and a frame's is sum B^T W B with B the Jacobian
of (u, v, z) by the pose. Depth networks err smoothly over the image: a plane of relative error a frame is solved for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from torch import Tensor

from pipeline.avatar.binding import Anchors, anchor
from pipeline.avatar.seeding import seed_surface
from pipeline.body import PARENTS, BodyModel
from pipeline.fit.data import Clip, View
from pipeline.fit.pose_rows import PoseRows
from pipeline.fit.settings import Align
from pipeline.progress import track

_PLANE = 3  # unknowns of the depth map's relative error: constant, and slopes across and down the image
_FACING = 0.1  # cosine between normal and line of sight above which a point can be seen
_CELL = 1.5  # cells of the visibility test, in mean distances between visible points
_OUTLINE = 200  # points of a mask's outline at most
_LONGEST = 0.3  # of a step, radians a joint
_POINTS = 2500  # on the surface
_SPACING = 0.025  # metres between them, about
_BEHIND = 0.05  # metres behind a nearer point at which one is hidden
# Residuals beyond these count less and less (Geman-McClure): colours in [0, 1], metres, metres.
_FAR_COLOUR, _FAR_MASK, _FAR_DEPTH = 0.3, 0.08, 0.15
_HABIT = 1.0  # size of the part of an error that stays all along, against the part that changes
_HELD = 1e7  # weight of the prior of what is not to move
_INNER = 40  # iterations of conjugate gradients a step, at most
_STIFF = (3, 6, 9, 10, 11, 12, 13, 14, 15, 22, 23)  # spine, feet, neck, collars, head, hands
_HAIRY = [12, 15]  # neck, head
_STIFFNESS = 0.4  # their prior size, against the other joints'


@dataclass(frozen=True)
class Evidence:
    """What a frame's crop says of its pose, linearised: the cost about the current pose is c + g.d + d.H.d / 2."""

    hessian: Tensor  # [P, P] pose (75), depth plane (3), thickness (24)
    gradient: Tensor  # [P]


class Alignment:
    """Gauss-Newton over the corrections of all trained frames, the clothes' thickness and the depth maps' planes."""

    def __init__(
        self, clip: Clip, body: BodyModel, betas: Tensor, rows: PoseRows, settings: Align, fps: float, seed: int
    ) -> None:
        self.clip, self.body, self.betas, self.rows, self.settings = clip, body, betas, rows, settings
        device = betas.device
        vertices, faces = body.shaped(betas).cpu().numpy(), body.faces.cpu().numpy()
        index, barycentric = seed_surface(vertices, faces, _POINTS, seed)
        self.points: Anchors = anchor(
            body, betas, torch.as_tensor(index, device=device), torch.as_tensor(barycentric, device=device)
        )
        self.frames = rows.frames.tolist()
        self.columns = rows.params["rows"].shape[1]
        self.thickness = torch.zeros(24, device=device)
        self.planes = torch.zeros(len(self.frames), _PLANE, device=device)
        self.colours = torch.zeros(len(index), 3, device=device)
        self.seen = torch.zeros(len(index), device=device)
        self._subtree = _subtrees().to(betas)
        self._distances: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = {}
        gaps = torch.as_tensor(np.diff(self.frames), dtype=betas.dtype, device=device) / fps
        self._chain = _chain(gaps, settings.correlation)
        self._sigmas = _sigmas(self.columns, settings).to(betas)

    def run(self) -> Tensor:  # [24]
        """Align; the rows of the trained frames and the constant are written. Returns the clothes' thickness."""
        steps = [level for level in ("coarse", "middle") for _ in range(getattr(self.settings, level))]
        for level in track(steps, "align", unit="step"):
            self.step(level)
        return self.thickness

    def focal(self) -> float:
        """The factor on the focal length that the depth maps speak for.

        A person twice as far by a camera with twice the focal length looks the same: masks and colours place a body of
        the given size at a distance that goes with the focal length, and only the depth maps say another. What they
        disagree by in all frames is either's error, each the more, the less sure it is.
        """
        settings = self.settings
        share = settings.sigma_focal**2 / (settings.sigma_focal**2 + settings.sigma_plane**2)
        return float((1 + self.planes[:, 0].mean()) ** -share)

    def zoom(self, factor: float) -> None:
        """Follow a focal length `factor` times as long: all that was found keeps its place in the image."""
        with torch.no_grad():
            self.rows.zoom(factor)
            self.planes[:, 1:] *= factor**2  # their rays are x / z and y / z
            self.planes[:, 0] = (1 + self.planes[:, 0]) * factor - 1

    def planes_of_all(self) -> Tensor:  # [T, 3]
        """Planes of all frames of the clip, those between trained frames linear in time."""
        times = np.arange(len(self.clip))
        columns = [np.interp(times, self.frames, column) for column in self.planes.T.cpu().numpy()]
        return torch.as_tensor(np.stack(columns, axis=1), dtype=self.planes.dtype, device=self.planes.device)

    @torch.no_grad()
    def step(self, level: str) -> None:
        sums, counts = torch.zeros_like(self.colours), torch.zeros_like(self.seen)
        evidence = []
        for position, frame in enumerate(self.frames):
            evidence.append(self._linearise(position, frame, level, sums, counts))
        self.colours = sums / counts.clamp(min=1e-6)[:, None]
        self.seen = counts
        self._solve(torch.stack([e.hessian for e in evidence]), torch.stack([e.gradient for e in evidence]))

    def _linearise(self, position: int, frame: int, level: str, sums: Tensor, counts: Tensor) -> Evidence:
        settings, view = self.settings, self.clip.views[frame][level]
        means, normals, jacobian = self._posed(frame)
        u, v, project = _projected(means, view.K)
        width, height = view.size
        inside = (u > 1) & (v > 1) & (u < width - 1) & (v < height - 1)
        metre = view.K[0, 0] / means[:, 2]  # px
        facing = -(normals * means).sum(-1) / means.norm(dim=-1)
        visible = inside & (facing > _FACING) & self._in_front(u, v, means[:, 2], inside & (facing > 0), view)

        distance, outline = self._outline(frame, level)
        layers = _layers(view, distance)
        values, across, down = _sample(layers, u, v)
        count = len(u)
        weight = torch.zeros(count, 3, 3, device=u.device)  # of (u, v, z)
        pull = torch.zeros(count, 3, device=u.device)
        plane_rows = torch.zeros(count, _PLANE, device=u.device)

        # Colour: where the point has been seen before.
        mask, confident = values[:, 3], visible & (self.seen > 2)
        scale = 1 / settings.sigma_colour**2 * mask * confident
        error = values[:, :3] - self.colours
        slope = torch.stack([across[:, :3], down[:, :3]], dim=-1)  # [N, 3, 2]
        robust = _robust(error.square().sum(-1), _FAR_COLOUR) * scale
        weight[:, :2, :2] += robust[:, None, None] * slope.transpose(1, 2) @ slope
        pull[:, :2] += robust[:, None] * (slope.transpose(1, 2) @ error[..., None]).squeeze(-1)
        shown = visible * mask * facing.clamp(min=0)
        sums += shown[:, None] * values[:, :3]
        counts += shown

        # Outside of the mask, and short of its outline. In metres.
        out = values[:, 5]
        push = inside & (out > 0)
        direction = torch.stack([across[:, 5], down[:, 5]], dim=-1)
        scale = 1 / settings.sigma_mask**2 / metre**2
        robust = _robust((out / metre) ** 2, _FAR_MASK) * scale * push
        weight[:, :2, :2] += robust[:, None, None] * direction[:, :, None] * direction[:, None]
        pull[:, :2] += robust[:, None] * direction * out[:, None]
        if len(outline):
            self._towards_outline(outline, u, v, metre, weight, pull)

        # Depth.
        planes = self.planes[position]
        if view.depth is not None:
            ray = torch.stack([torch.ones_like(u), means[:, 0] / means[:, 2], means[:, 1] / means[:, 2]], dim=-1)
            known = visible & (values[:, 4] > 0.999) & (values[:, 6] > 0)
            expected = values[:, 6] * (1 + ray @ planes)
            error = torch.where(known, means[:, 2] - expected, torch.zeros_like(u))
            scale = 1 / settings.sigma_depth**2
            # Whether a pixel is an outlier shows against the frame's others: all are off while the distance is.
            apart = error - error[known].median() if known.any() else error
            robust = _robust(apart.square(), _FAR_DEPTH) * scale * known
            toward = torch.stack([-across[:, 6], -down[:, 6], torch.ones_like(u)], dim=-1)
            toward[:, :2] = toward[:, :2].clamp(-0.1, 0.1) * known[:, None]
            weight += robust[:, None, None] * toward[:, :, None] * toward[:, None]
            pull += (robust * error)[:, None] * toward
            plane_rows = -ray * values[:, 6:7]
            plane_pull = plane_rows.T @ (robust * error)
            plane_weight = plane_rows.T @ (robust[:, None] * plane_rows)
            mixed = (robust[:, None, None] * toward[:, :, None] * plane_rows[:, None]).flatten(0, 1)  # [3N, 3]

        by_pose = project @ jacobian  # [N, 3, C]
        flat = by_pose.flatten(0, 1)
        weighted = (weight @ by_pose).flatten(0, 1)
        hessian = flat.T @ weighted
        gradient = flat.T @ pull.flatten()
        if view.depth is None:
            return Evidence(_bordered(hessian, None, None, self.columns), _inserted(gradient, None, self.columns))
        cross = flat.T @ mixed
        return Evidence(
            _bordered(hessian, cross, plane_weight, self.columns), _inserted(gradient, plane_pull, self.columns)
        )

    def _posed(self, frame: int) -> tuple[Tensor, Tensor, Tensor]:
        """Points and normals [N, 3] in the camera frame, and the points' Jacobian [N, 3, 75 + 24] by correction and
        thickness."""
        points, rows = self.points, self.rows
        correction = rows.correction(frame)
        rotmats, pelvis = rows.apply(frame, correction)
        rest_pelvis = self.body.rest_joints(self.betas)[0]
        world = self.body.world_joints(rotmats[None], self.betas, (pelvis - rest_pelvis)[None])[0]  # [24, 4, 4]
        turns, joints = world[:, :3, :3], world[:, :3, 3]
        rest_joints = self.body.rest_joints(self.betas)
        weights = points.weights
        rest = points.points + (weights @ self.thickness)[:, None] * points.normals
        by_joint = torch.einsum("jab,njb->nja", turns, rest[:, None] - rest_joints) + joints  # [N, 24, 3]
        by_joint = weights[..., None] * by_joint
        means = by_joint.sum(1)
        blended = torch.einsum("nj,jab->nab", weights, turns)
        outward = (blended @ points.normals[..., None]).squeeze(-1)
        normals = torch.nn.functional.normalize(outward, dim=-1)

        # A joint's rotation moves what hangs on it: x' = axis x (sum_j w_j x_j - sum_j w_j J).
        lever = torch.einsum("kj,nja->nka", self._subtree, by_joint) - (weights @ self._subtree.T)[..., None] * joints
        axes = turns @ _right_jacobian(correction[:-3].view(24, 3))  # columns: axes of the correction's entries
        by_rotation = torch.linalg.cross(axes.transpose(1, 2)[None], lever[:, :, None], dim=-1)  # [N, 24, 3 axes, 3]
        by_rotation = by_rotation.flatten(1, 2).transpose(1, 2)  # [N, 3, 72]
        depthwise = correction[-1].exp() * rows.initial_pelvis[frame, 2]
        place = torch.stack([depthwise * _unit(0, means), depthwise * _unit(1, means), pelvis], dim=1)  # [3, 3]
        by_thickness = outward[..., None] * weights[:, None]
        return means, normals, torch.cat([by_rotation, place.expand(len(means), 3, 3), by_thickness], dim=2)

    def _in_front(self, u: Tensor, v: Tensor, depth: Tensor, candidates: Tensor, view: View) -> Tensor:
        """Whether no other point is clearly nearer in the same cell of the image."""
        width, height = view.size
        area = (view.mask > 127).sum().clamp(min=1) / candidates.sum().clamp(min=1)
        cell = float(_CELL * area.sqrt())
        columns = int(width / cell) + 2
        place = (v / cell).long().clamp(0, int(height / cell)) * columns + (u / cell).long().clamp(0, columns - 1)
        nearest = torch.full((columns * (int(height / cell) + 1),), torch.inf, device=u.device)
        nearest.scatter_reduce_(0, place[candidates], depth[candidates], "amin")
        return depth < nearest[place] + _BEHIND

    def _outline(self, frame: int, level: str) -> tuple[Tensor, np.ndarray]:
        """Signed distance to the mask in px, positive outside [h, w], and points of its outline with outward normals
        (M, 4), without those at the border of the crop."""
        key = (frame, level)
        view = self.clip.views[frame][level]
        if key not in self._distances:
            mask = (view.mask > 127).cpu().numpy()
            padded = np.pad(mask, 1, mode="edge")
            signed = distance_transform_edt(~padded) - distance_transform_edt(padded)
            signed = (signed - 0.5 * np.sign(signed))[1:-1, 1:-1].astype(np.float32)
            rows, columns = np.nonzero(mask & (signed > -1.2))
            height, width = mask.shape
            free = (rows > 2) & (columns > 2) & (rows < height - 3) & (columns < width - 3)
            rows, columns = rows[free], columns[free]
            if len(rows) > _OUTLINE:
                chosen = np.linspace(0, len(rows) - 1, _OUTLINE).round().astype(int)
                rows, columns = rows[chosen], columns[chosen]
            down, across = np.gradient(signed)
            normals = np.stack([across[rows, columns], down[rows, columns]], axis=1)
            normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
            outline = np.concatenate([np.stack([columns + 0.5, rows + 0.5], axis=1) + 0.5 * normals, normals], axis=1)
            self._distances[key] = signed, outline.astype(np.float32)
        signed, outline = self._distances[key]
        return torch.as_tensor(signed, device=view.image.device), outline

    def _towards_outline(
        self, outline: np.ndarray, u: Tensor, v: Tensor, metre: Tensor, weight: Tensor, pull: Tensor
    ) -> None:
        settings = self.settings
        index = cKDTree(torch.stack([u, v], dim=-1).cpu().numpy()).query(outline[:, :2])[1]
        index = torch.as_tensor(index, device=u.device)
        place, normal = torch.as_tensor(outline, device=u.device).split(2, dim=1)
        missing = ((place - torch.stack([u, v], dim=-1)[index]) * normal).sum(-1)
        spacing = 0.5 * _SPACING * metre[index]
        missing = missing - spacing
        # Hair is no part of the body: what a head falls short of the outline by says nothing of its pose.
        bare = 1 - self.points.weights[:, _HAIRY].sum(1)[index]
        scale = bare / settings.sigma_mask**2 / metre[index] ** 2
        robust = _robust((missing / metre[index]) ** 2, _FAR_MASK) * scale * (missing > 0)
        weight[:, :2, :2].index_add_(0, index, robust[:, None, None] * normal[:, :, None] * normal[:, None])
        pull[:, :2].index_add_(0, index, -(robust * missing)[:, None] * normal)

    def _solve(self, hessians: Tensor, gradients: Tensor) -> None:
        """One step: minimise the sum of the frames' evidence and of the priors by conjugate gradients.

        Unknowns: the frames' own parts [F, C + 3] (a chain in time), the habit [C] and the thickness [24].
        """
        settings, columns = self.settings, self.columns
        own = columns + _PLANE
        diagonal, neighbour = self._chain
        inverse = 1 / self._sigmas**2  # [own]
        rows = self.rows.params["rows"][self.rows.frames]
        state = torch.cat([rows, self.planes], dim=1)  # [F, own]
        habit = self.rows.params["knots"][0]
        habit_inverse = torch.cat([inverse[:columns] / _HABIT**2, inverse.new_zeros(_PLANE)])
        # Clothes make a silhouette larger than the body, which would draw the person nearer: without depth maps the
        # mean distance stays.
        hold = 0.0 if self.clip.has_depth else _HELD
        habit_inverse[columns - 1] += hold
        thick_inverse = 1 / settings.sigma_thickness**2

        def prior(values: Tensor) -> Tensor:
            result = diagonal[:, None] * values
            result[1:] += neighbour[:, None] * values[:-1]
            result[:-1] += neighbour[:, None] * values[1:]
            result = result * inverse
            result[:, columns - 1] += hold * values[:, columns - 1].mean()
            return result

        def apply(x: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            frames, shared, thick = x
            full = torch.cat([frames + shared, thick.expand(len(frames), -1)], dim=1)
            pushed = (hessians @ full[..., None]).squeeze(-1)
            return (
                pushed[:, :own] + prior(frames),
                pushed[:, :own].sum(0) * (habit_inverse > 0) + habit_inverse * shared,
                pushed[:, own:].sum(0) + thick_inverse * thick,
            )

        padded = torch.cat([habit, habit.new_zeros(_PLANE)])
        right = (
            -(gradients[:, :own] + prior(state)),
            -(gradients[:, :own].sum(0) * (habit_inverse > 0) + habit_inverse * padded),
            -(gradients[:, own:].sum(0) + thick_inverse * self.thickness),
        )
        blocks = hessians[:, :own, :own] + torch.diag_embed(diagonal[:, None] * inverse)
        factors = torch.linalg.cholesky(
            blocks.double() + 1e-6 * torch.eye(own, dtype=torch.float64, device=blocks.device)
        )
        total = hessians[:, :own, :own].sum(0) + torch.diag(habit_inverse)
        total = torch.linalg.cholesky(total.double() + 1e-3 * torch.eye(own, dtype=torch.float64, device=blocks.device))
        thick_block = hessians[:, own:, own:].sum(0) + thick_inverse * torch.eye(24, device=blocks.device)
        thick_factor = torch.linalg.cholesky(thick_block.double())

        def precondition(x: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            return (
                torch.cholesky_solve(x[0].double()[..., None], factors).squeeze(-1).to(x[0]),
                torch.cholesky_solve(x[1].double()[:, None], total).squeeze(-1).to(x[1]) * (habit_inverse > 0),
                torch.cholesky_solve(x[2].double()[:, None], thick_factor).squeeze(-1).to(x[2]),
            )

        change = _conjugate_gradients(apply, right, precondition, _INNER)
        shared = change[1]
        moved = change[0][:, :columns] + shared[:columns]
        longest = moved[:, :-3].abs().amax().clamp(min=1e-9)
        factor = float((_LONGEST / longest).clamp(max=1.0))
        with torch.no_grad():
            self.rows.params["rows"][self.rows.frames] += factor * change[0][:, :columns]
            self.rows.params["knots"][0] += factor * shared[:columns]
            self.planes += factor * change[0][:, columns:]
            self.thickness += factor * change[2]


def _conjugate_gradients(apply, right, precondition, iterations: int):
    """Solve apply(x) = right for a tuple of tensors."""
    dot = lambda a, b: sum((p.double() * q.double()).sum() for p, q in zip(a, b))  # noqa: E731
    x = tuple(torch.zeros_like(part) for part in right)
    residual, z = right, precondition(right)
    direction, rho = z, dot(right, z)
    first = rho
    for _ in range(iterations):
        pushed = apply(direction)
        step = (rho / dot(direction, pushed)).to(right[0])
        x = tuple(a + step * b for a, b in zip(x, direction))
        residual = tuple(a - step * b for a, b in zip(residual, pushed))
        z = precondition(residual)
        previous, rho = rho, dot(residual, z)
        if rho < 1e-8 * first:
            break
        direction = tuple(a + (rho / previous).to(a) * b for a, b in zip(z, direction))
    return x


def _projected(means: Tensor, K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels u, v [N], and the Jacobian of (u, v, z) by the point [N, 3, 3]."""
    x, y, z = means.unbind(-1)
    u, v = K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]
    zero, one = torch.zeros_like(z), torch.ones_like(z)
    project = torch.stack(
        [K[0, 0] / z, zero, -K[0, 0] * x / z**2, zero, K[1, 1] / z, -K[1, 1] * y / z**2, zero, zero, one], dim=-1
    )
    return u, v, project.unflatten(-1, (3, 3))


def _layers(view: View, distance: Tensor) -> Tensor:
    """Colours over grey, mask, whether depth is trusted, signed distance, depth: [7, h, w]."""
    mask = view.mask.float() / 255
    image = (view.image.float() / 255 * mask[..., None] + 0.5 * (1 - mask[..., None])).permute(2, 0, 1)
    image = _blurred(image)
    depth = torch.zeros_like(mask) if view.depth is None else view.depth
    trusted = ((distance < -1.5) & (depth > 0)).float()
    return torch.cat([image, torch.stack([mask, trusted, distance, depth])])


def _blurred(image: Tensor) -> Tensor:  # [C, h, w]
    """A Gaussian of about one pixel, so that a gradient tells of more than its own pixel."""
    kernel = image.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    image = torch.nn.functional.pad(image[:, None], (2, 2, 2, 2), mode="replicate")
    image = torch.nn.functional.conv2d(image, kernel.view(1, 1, 1, 5))
    return torch.nn.functional.conv2d(image, kernel.view(1, 1, 5, 1))[:, 0]


def _sample(layers: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values at pixels, and their central differences across and down: each [N, C]."""
    _, height, width = layers.shape

    def at(du: float, dv: float) -> Tensor:
        grid = torch.stack([(u + du) / width * 2 - 1, (v + dv) / height * 2 - 1], dim=-1)[None, None]
        return torch.nn.functional.grid_sample(layers[None], grid, padding_mode="border", align_corners=False)[
            0, :, 0
        ].T

    return at(0, 0), (at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2


def _robust(squared: Tensor, scale: float) -> Tensor:
    """Weight of a residual under the Geman-McClure penalty (pipeline.losses.priors.robust)."""
    return (scale**2 / (squared + scale**2)) ** 2


def _right_jacobian(vector: Tensor) -> Tensor:  # [K, 3] -> [K, 3, 3]
    """d exp(c + d) = exp(c) exp(J d): the right Jacobian of SO(3) (Sola et al. 2018, eq. 143)."""
    squared = vector.square().sum(-1)[:, None, None]
    angle = squared.clamp(min=1e-8).sqrt()
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    first = torch.where(squared < 1e-6, 0.5 - squared / 24, (1 - angle.cos()) / angle**2)
    second = torch.where(squared < 1e-6, 1 / 6 - squared / 120, (angle - angle.sin()) / angle**3)
    return torch.eye(3, device=vector.device) - first * skew + second * skew @ skew


def _subtrees() -> Tensor:  # [24, 24]
    """Row k: 1 for joint k and all that hangs on it."""
    result = torch.eye(24)
    for joint in range(23, 0, -1):
        result[PARENTS[joint]] += result[joint]
    return result


def _unit(axis: int, like: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(axis, device=like.device), 3).to(like)


def _chain(gaps: Tensor, correlation: float) -> tuple[Tensor, Tensor]:
    """Precision of an Ornstein-Uhlenbeck process of unit variance at times with these gaps: diagonal, neighbours."""
    kept = torch.exp(-gaps / correlation)
    fresh = 1 / (1 - kept**2)
    diagonal = torch.ones(len(gaps) + 1, device=gaps.device, dtype=gaps.dtype)
    diagonal[1:] = fresh
    diagonal[:-1] += kept**2 * fresh
    return diagonal, -kept * fresh


def _sigmas(columns: int, settings: Align) -> Tensor:
    """Prior sizes of the frames' own parts: rotations, place, depth plane."""
    sigmas = torch.full((columns + _PLANE,), settings.sigma_joint)
    sigmas[:3] = settings.sigma_root
    for joint in _STIFF:
        sigmas[3 * joint : 3 * joint + 3] = settings.sigma_joint * _STIFFNESS
    sigmas[columns - 3 : columns - 1] = settings.sigma_sideways
    sigmas[columns - 1] = settings.sigma_distance
    sigmas[columns:] = settings.sigma_plane
    return sigmas


def _bordered(hessian: Tensor, cross: Tensor | None, plane: Tensor | None, columns: int) -> Tensor:
    """Put the depth plane's unknowns between those of the pose and the thickness."""
    total = len(hessian) + _PLANE
    keep = torch.tensor([*range(columns), *range(columns + _PLANE, total)], device=hessian.device)
    result = hessian.new_zeros(total, total)
    result[keep[:, None], keep] = hessian
    if cross is not None:
        between = torch.arange(columns, columns + _PLANE, device=hessian.device)
        result[keep[:, None], between] = cross
        result[between[:, None], keep] = cross.T
        result[between[:, None], between] = plane
    return result


def _inserted(gradient: Tensor, plane: Tensor | None, columns: int) -> Tensor:
    middle = gradient.new_zeros(_PLANE) if plane is None else plane
    return torch.cat([gradient[:columns], middle, gradient[columns:]])
