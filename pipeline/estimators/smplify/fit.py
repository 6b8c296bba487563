"""The body fitted to a clip's landmarks: one shape, and a pose for each frame, all frames in one batch.

After SMPLify (Bogo et al. 2016): robust 2D and 3D landmark terms, a pose prior and joint limits, a shape prior; with
smoothness over time in place of its mixture prior, whose data is licensed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from pipeline.body import BodyModel
from pipeline.estimators.smplify.gaps import fill_rotations, fill_values
from pipeline.estimators.smplify.settings import SmplifySettings
from pipeline.estimators.smplify.start import linear_translation, picture_world
from pipeline.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from pipeline.landmarks.detector import LANDMARK_NAMES, SOURCE
from pipeline.landmarks.names import limb_of
from pipeline.landmarks.on_body import LandmarkMap, landmark_map
from pipeline.motion.leaps import LIMBS
from pipeline.motion.limbs import limb_poses, torso_rotation
from pipeline.motion.priors import PosePrior, beyond_limits, pose_prior
from pipeline.runtime.progress import track

_UNSEEN = 1e-3  # what the relaxed pose weighs where nothing is seen: with sigma_angular, half a second's memory


@dataclass(frozen=True)
class Observations:
    """Landmarks of frames, N of each; those of `NEEDED` are among their names.

    A frame in which nothing is visible is filled: by its neighbours, and far from them by the pose prior.
    """

    frames: Tensor  # [B] int, index of each in the clip, rising
    xy: Tensor  # [B, N, 2] px
    visibility: Tensor  # [B, N] in [0, 1]; 0 also where a landmark lies outside the image
    world: Tensor | None  # [B, N, 3] metres, camera axes; the origin does not matter. None: the detector gives none
    K: Tensor  # [3, 3] px
    fps: float
    names: tuple[str, ...] = LANDMARK_NAMES
    source: str = SOURCE  # says which points the names mean: landmarks/on_body.py
    corrected: bool = False  # whether `world` is, by what was learnt of the detector; hidden limbs, too
    # [B, 3, 3] from the camera's axes to the world's, of a camera that moves: people move smoothly in the world, not in
    # a picture that shakes
    world_from_camera: Tensor | None = None
    # What the learnt network tells of `body_pose`, and the error expected of it, infinite where it tells nothing; None:
    # it was not asked.
    expected: Tensor | None = None  # [B, 69]
    expected_error: Tensor | None = None  # [B, 69] rad

    @property
    def told(self) -> Tensor:  # [B] bool
        """The frames of which anything is visible."""
        return (self.visibility > 0).any(1)

    def rows(self, chosen: Tensor) -> Observations:
        """Those frames for which `chosen` [B] is true."""
        names = "frames", "xy", "visibility", "world", "world_from_camera", "expected", "expected_error"
        parts = {name: getattr(self, name) for name in names}
        return replace(self, **{name: value[chosen] for name, value in parts.items() if value is not None})

    def without(self, lost: Tensor, limbs: Tensor) -> Observations:
        """The same with nothing visible where `lost` [B] is true, and nothing of a limb where `limbs` [B, 4] is.

        Limbs are those of `motion.leaps.LIMBS`.
        """
        hidden, untold = lost[:, None].repeat(1, len(self.names)), lost[:, None].repeat(1, 69)
        for astray, (limb, joints) in zip(limbs.unbind(1), LIMBS.items()):
            hidden |= astray[:, None] & torch.tensor([limb_of(name) == limb for name in self.names])
            untold |= astray[:, None] & torch.isin(torch.arange(69) // 3 + 1, torch.tensor(joints))
        seen = replace(self, visibility=self.visibility * ~hidden)
        if self.expected_error is None:
            return seen
        return replace(seen, expected_error=self.expected_error.masked_fill(untold, torch.inf))


@dataclass(frozen=True)
class FittedPose:
    """What the fit found, a row for each observed frame."""

    global_orient: Tensor  # [B, 3]
    body_pose: Tensor  # [B, 69]
    betas: Tensor  # [10]
    transl: Tensor  # [B, 3] metres
    residual: Tensor  # [B, L] px, distance of each used landmark from its pixel
    weights: Tensor  # [B, L] how far each was trusted


def fit_pose(
    body: BodyModel,
    seen: Observations,
    settings: SmplifySettings,
    height: float | None = None,
    turned: Tensor | None = None,
) -> FittedPose:
    """Fit shape, pose and translation to the landmarks of all frames at once, by Adam with a falling rate.

    Args:
        body: the body model, float32.
        seen: the landmarks; left and right already put right.
        settings: see config/config.yaml.
        height: the person's, in metres, where it is known: it decides the body's size, and so the distance.
        turned: radians about its own long axis by which each frame's body is turned at the start. [B]
    """
    problem = _Problem(body, seen, settings, height, seen.xy.new_zeros(len(seen.xy)) if turned is None else turned)
    variables = problem.start()
    rate = settings.learning_rate
    optimizer = torch.optim.Adam(
        [
            {"params": [variables.turn, variables.body_pose], "lr": rate},
            {"params": [variables.transl], "lr": rate},
            {"params": [variables.betas], "lr": rate},
            {"params": [variables.offsets, variables.lean], "lr": 0.1 * rate},
        ],
        betas=(0.9, 0.99),
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.iterations, eta_min=0.02 * rate)
    for step in track(range(settings.iterations), "fit landmarks", unit="step"):
        # Ties between frames make the poses move together, slowly: they come in when each is about where it belongs.
        smoothness = min(1.0, 2 * step / settings.iterations) ** 2
        optimizer.zero_grad()
        problem.loss(variables, smoothness).backward()
        optimizer.step()
        schedule.step()
    return problem.result(variables)


@dataclass(frozen=True)
class _Variables:
    turn: Tensor  # [B, 3] axis-angle on top of the first root orientation, so that it stays small in a turning clip
    body_pose: Tensor  # [B, 69]
    transl: Tensor  # [B, 3]
    betas: Tensor  # [10]
    offsets: Tensor  # [L, 3] metres, where this person's landmarks lie apart from the map's
    lean: Tensor  # [3] axis-angle by which all world landmarks of the clip are turned


class _Problem:
    """The loss of `fit_pose` and what it needs, made once."""

    def __init__(
        self, body: BodyModel, seen: Observations, settings: SmplifySettings, height: float | None, turned: Tensor
    ) -> None:
        self.body, self.settings, self.height = body, settings, height
        self.marks: LandmarkMap = landmark_map(body, seen.names, seen.source)
        self.prior: PosePrior = pose_prior()
        self.K = seen.K
        self.xy = seen.xy[:, self.marks.index]
        self.weights = seen.visibility[:, self.marks.index] * self.marks.trust
        world = _first_world(seen)
        root = torso_rotation(world)
        limbs = limb_poses(world, root)
        root = root @ axis_angle_to_matrix(turned[:, None] * turned.new_tensor([0.0, 1.0, 0.0]))
        self.told = np.flatnonzero(seen.told)
        first = torch.cat([matrix_to_axis_angle(root), limbs], 1)[self.told].unflatten(1, (24, 3)).numpy()
        first = torch.as_tensor(fill_rotations(first, self.told, len(root))).to(limbs)
        self.root, self.limbs = axis_angle_to_matrix(first[:, 0]), first[:, 1:].flatten(1)
        # Where nothing is seen, neighbours decide, and some half a second away from them the relaxed pose.
        self.relaxing = torch.where(seen.told, 1.0, _UNSEEN)[:, None]
        self.expected, self.expected_error = seen.expected, seen.expected_error
        first, second = self.marks.bones.unbind(1)
        visible = seen.visibility[:, self.marks.index]
        sure = torch.minimum(visible[:, first], visible[:, second])
        # A hidden limb's direction, once corrected, tells more than the relaxed pose; outside the image nothing does.
        self.bone_weights = ((sure > 0).to(sure) if seen.corrected else sure) * self.marks.bone_trust
        if seen.world is None:
            self.bone_directions = self.xy.new_zeros(*self.bone_weights.shape, 3)
            self.bone_weights = torch.zeros_like(self.bone_weights)
        else:
            world = seen.world[:, self.marks.index]
            self.bone_directions = normalize(world[:, second] - world[:, first], dim=-1)
        # Runs of three frames in a row, for second differences; a gap breaks them.
        consecutive = seen.frames[1:] - seen.frames[:-1] == 1
        triples = torch.nonzero(consecutive[1:] & consecutive[:-1]).squeeze(1)
        complete = seen.told[triples] & seen.told[triples + 1] & seen.told[triples + 2]
        self.triples, self.across = triples[complete], triples[~complete]
        self.seen = seen.told
        self.rate_squared = seen.fps**2
        self.world_from_camera = seen.world_from_camera

    def start(self) -> _Variables:
        betas = torch.zeros(10)
        if self.height is not None:
            betas = self.body.with_stature(betas, self.height)
        frames = len(self.xy)
        rotmats = self._rotmats(torch.zeros(frames, 3), self.limbs)
        points = self._landmarks(rotmats, betas, torch.zeros(frames, 3), torch.zeros(len(self.marks.names), 3))[0]
        transl = linear_translation(points, self.xy, self.weights + 1e-3, self.K)
        transl = torch.as_tensor(fill_values(transl[self.told].numpy(), self.told, frames)).to(transl)
        variables = _Variables(
            turn=torch.zeros(frames, 3),
            body_pose=self.limbs + (self.limbs == 0) * self.prior.relaxed,
            transl=transl,
            betas=betas,
            offsets=torch.zeros(len(self.marks.names), 3),
            lean=torch.zeros(3),
        )
        for value in vars(variables).values():
            value.requires_grad_()
        return variables

    def loss(self, variables: _Variables, smoothness: float) -> Tensor:
        """Mean over frames of the squared distances in units of their sigmas, robust where outliers occur.

        `smoothness` weighs the terms between frames.
        """
        use = self.settings
        rotmats = self._rotmats(variables.turn, variables.body_pose)
        points, joints = self._landmarks(rotmats, variables.betas, variables.transl, variables.offsets)
        frames = len(self.told)

        # Pixels are turned into metres at the person's distance, so that one sigma serves people near and far.
        distance = variables.transl[:, 2].detach().clamp_min(0.1)
        metres = (self._project(points) - self.xy) / self.K[0, 0] * distance[:, None, None]
        in_2d = self.weights * _geman_mcclure(metres.square().sum(-1), use.sigma_2d, use.robust_2d)

        first, second = self.marks.bones.unbind(1)
        bones = points[:, second] - points[:, first]
        # Only the directions of the landmarks' bones count: their lengths change from frame to frame.
        length = bones.detach().norm(dim=-1, keepdim=True)
        # The detector takes cameras for upright, and strong perspective for a slope: its people lean, all along a clip.
        directions = self.bone_directions @ axis_angle_to_matrix(variables.lean).T
        in_3d = (bones - length * directions).square().sum(-1)
        in_3d = self.bone_weights * _geman_mcclure(in_3d, use.sigma_3d, use.robust_3d)

        relaxed = self.prior.stiffness * (variables.body_pose - self.prior.relaxed).square() / use.sigma_pose**2
        relaxed = self.relaxing * relaxed
        if self.expected is not None:
            told = use.rotations * ((variables.body_pose - self.expected) / self.expected_error).square()
            relaxed = torch.where(self.expected_error.isfinite(), told, relaxed)
        limits = beyond_limits(variables.body_pose, self.prior).square() / use.sigma_limits**2

        moving = torch.cat([points, joints], dim=1)
        if self.world_from_camera is not None:
            moving = moving @ self.world_from_camera.mT
        smooth = self._roughness(moving, variables.body_pose, self.triples)
        if len(self.across):
            # Frames that nobody sees follow those that are seen, and say nothing of them or of the person's shape.
            shape = variables.betas.detach(), variables.transl, variables.offsets.detach()
            filled = torch.cat(self._landmarks(rotmats, *shape), dim=1)
            if self.world_from_camera is not None:
                filled = filled @ self.world_from_camera.mT
            followed = torch.where(self.seen[:, None, None], moving.detach(), filled)
            pose = torch.where(self.seen[:, None], variables.body_pose.detach(), variables.body_pose)
            smooth = smooth + self._roughness(followed, pose, self.across)

        # Neighbouring frames tell the same of a body: a clip weighs as one tenth of its frames against its prior.
        shape = 0.1 * frames * variables.betas.square().sum() / use.sigma_shape**2
        if self.height is not None:
            away = self.body.stature(variables.betas) - self.height
            shape = shape + 0.1 * frames * (away / use.sigma_height).square()
        offsets = variables.offsets
        mirrored = offsets[self.marks.mirror] * offsets.new_tensor([-1.0, 1.0, 1.0])
        strain = offsets.square().sum() + (offsets - mirrored).square().sum()
        lean = variables.lean.square().sum() / use.sigma_lean**2
        clip = shape + 0.1 * frames * (strain / (self.marks.spread * use.sigma_offsets) ** 2 + lean)

        one_frame = in_2d.sum() + in_3d.sum() + relaxed.sum() + limits.sum()
        return (one_frame + smoothness * smooth + clip) / frames

    def result(self, variables: _Variables) -> FittedPose:
        with torch.no_grad():
            rotmats = self._rotmats(variables.turn, variables.body_pose)
            points, _ = self._landmarks(rotmats, variables.betas, variables.transl, variables.offsets)
            return FittedPose(
                global_orient=matrix_to_axis_angle(rotmats[:, 0]),
                body_pose=variables.body_pose.detach(),
                betas=variables.betas.detach(),
                transl=variables.transl.detach(),
                residual=(self._project(points) - self.xy).norm(dim=-1),
                weights=self.weights,
            )

    def _rotmats(self, turn: Tensor, body_pose: Tensor) -> Tensor:  # [B, 24, 3, 3]
        root = self.root @ axis_angle_to_matrix(turn)
        return torch.cat([root[:, None], axis_angle_to_matrix(body_pose.unflatten(1, (23, 3)))], dim=1)

    def _landmarks(self, rotmats: Tensor, betas: Tensor, transl: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks [B, L, 3] and joints [B, 24, 3] of the posed body."""
        world = self.body.world_joints(rotmats, betas, transl)
        points = self.marks.posed(world, self.body.rest_joints(betas), self.marks.rest(betas, offsets))
        return points, world[..., :3, 3]

    def _project(self, points: Tensor) -> Tensor:  # [B, L, 2] px
        image = points @ self.K.T
        return image[..., :2] / image[..., 2:].clamp_min(0.1)

    def _roughness(self, moving: Tensor, body_pose: Tensor, triples: Tensor) -> Tensor:  # []
        """Of places [B, P, 3] and joint rotations [B, 69], over runs of three frames that begin at `triples`."""
        use = self.settings
        acceleration = self._second_difference(moving, triples).square().sum(-1)
        angular = self._second_difference(body_pose, triples).square() / use.sigma_angular**2
        return _geman_mcclure(acceleration, use.sigma_acceleration, use.robust_acceleration).sum() + angular.sum()

    def _second_difference(self, values: Tensor, triples: Tensor) -> Tensor:
        """Acceleration of [B, ...] at the middle of each run of three frames, per second squared."""
        middle = triples + 1
        return (values[middle + 1] - 2 * values[middle] + values[middle - 1]) * self.rate_squared


def _first_world(seen: Observations) -> Tensor:  # [B, 33, 3]
    """World landmarks in mediapipe's order, for the first pose; made up from the picture where there are none."""
    alike = [name if name in seen.names else name.replace("foot_index", "big_toe") for name in LANDMARK_NAMES]
    known = torch.tensor([name in seen.names for name in alike])
    taken = [seen.names.index(name) if name in seen.names else 0 for name in alike]

    def ordered(values: Tensor) -> Tensor:
        return torch.where(known.reshape(-1, *[1] * (values.ndim - 2)), values[:, taken], 0.0)

    if seen.world is not None:
        return ordered(seen.world)
    return picture_world(ordered(seen.xy), ordered(seen.visibility))


def _geman_mcclure(squared: Tensor, sigma: float, scale: float) -> Tensor:
    """`r^2 s^2 / (r^2 + s^2) / sigma^2`: r^2 / sigma^2 for small residuals, levelling off beyond the scale s."""
    return squared * scale**2 / (squared + scale**2) / sigma**2
