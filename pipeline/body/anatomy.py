"""Anatomical joint centres of a body: where markers and other methods say that hips, knees and shoulders are.

The body's own joints are where its mesh bends, which need not be where a biomechanist puts the centre. The centres here
are found on the rest mesh of the mean shape by anatomy, for the free body and for an SMPL file alike, and are then
weighted sums of vertices, so that they follow the shape. A pose carries each with the bone that it is fixed in.

- Ankle, elbow, wrist: the middle between the malleoli, the humeral epicondyles, the styloids. These are where a cut
  through the limb at its joint is widest along the axis of the joint.
- Knee: the middle between the femoral epicondyles. The skin over them is nearly flat from front to back, so that the
  widest place is no safe mark: they are put halfway between kneecap and hollow, at 0.285 of the stature (ANSUR).
- Hip: from the spines of the ilium by the regression of Harrington et al. 2007 (J Biomech 40:595). No mesh shows these
  spines, so they are put under its skin at usual shares of the stature.
- Shoulder: as in Rajagopal et al. 2016 (IEEE TBME 63:2068), which is OpenSim's full body: a fifth of the stature apart,
  0.0315 of it below the acromion (53.5 mm below its acromion marker, of 1.70 m), midway from front to back. Acromia are
  0.228 of the stature apart (ANSUR: Gordon et al. 1989). Cadavers agree: the head's radius of 24 mm, the gap above it,
  bone and skin are some 50 mm. The rule of Rab et al. 2002 (17% of the distance between the acromia) lies 13 mm lower.

Nothing is fitted to recordings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.body.model import JOINT_NAMES, BodyModel
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.runtime.errors import UserError

LIMBS = (
    "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle",
    "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist",
)  # fmt: skip
H36M = (
    "pelvis", "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle", "spine", "thorax", "nose", "head_top",
    "l_shoulder", "l_elbow", "l_wrist", "r_shoulder", "r_elbow", "r_wrist",
)  # fmt: skip
COCO = (
    "nose", "l_eye", "r_eye", "l_ear", "r_ear", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist",
    "l_hip", "r_hip", "l_knee", "r_knee", "l_ankle", "r_ankle",
)  # fmt: skip

# The bone (its upper joint) that each centre is fixed in; sided names without their side.
_BONES = {
    "hip": "pelvis", "knee": "hip", "ankle": "knee", "shoulder": "collar", "elbow": "shoulder", "wrist": "elbow",
    "eye": "head", "ear": "head",
    "pelvis": "pelvis", "spine": "spine2", "thorax": "spine3", "nose": "head", "head_top": "head",
}  # fmt: skip
_SIDES = {"r": "right", "l": "left"}
# Joints at which a limb is cut: those that its axis there runs between, the axis of the joint in the rest pose, and by
# how much of the bone above the joint. A cut through the ankle itself is widest at the instep; the middle between the
# malleoli is found above it, and moved down along the shank.
_CUTS = {
    "ankle": ("knee", "ankle", (1.0, 0.0, 0.0), 0.05), "elbow": ("shoulder", "wrist", (0.0, 1.0, 0.0), 0.0),
    "wrist": ("elbow", "wrist", (0.0, 0.0, 1.0), 0.0),
}  # fmt: skip
_REACH = 0.06  # of the stature: no limb is thicker at a joint, measured from its middle
_EDGE = 0.1  # of the width: what lies this near to the widest place is the epicondyle
# Shares of the stature: height above the ground, distance from the middle.
_FRONT_SPINE, _BACK_SPINE = (0.565, 0.07), (0.58, 0.026)  # of the ilium: ASIS and PSIS
_OVER_SPINES = 0.02  # metres of skin and fat; the free body's pelvis is then 0.6 as deep as it is wide
_ACROMION, _SHOULDER = 0.114, 0.1  # from the middle, of the acromion and of the centre below it
_KNEE = 0.285  # height of the epicondyles above the ground
_BELOW_ACROMION = 0.0315


@dataclass(frozen=True)
class Centres:
    """Places that are fixed in bones: weighted sums of rest vertices."""

    names: tuple[str, ...]
    regressor: Tensor  # [J, V] each row sums to 1
    bones: tuple[int, ...]  # the joint of the body whose motion carries each

    def rest(
        self,
        body: BodyModel,
        betas: Tensor,  # [10]
    ) -> Tensor:  # [J, 3]
        """The centres of a shape in the rest pose, in metres."""
        return self.regressor @ body.shaped(betas)

    def posed(
        self,
        body: BodyModel,
        transforms: Tensor,  # [B, 24, 4, 4]
        betas: Tensor,  # [10]
    ) -> Tensor:  # [B, J, 3]
        """The centres in metres, in the frame of the `transforms` (`BodyModel.transforms`, `BodyOutput.transforms`)."""
        motions = transforms[:, list(self.bones), :3]
        return (motions[..., :3] @ self.rest(body, betas)[..., None]).squeeze(-1) + motions[..., 3]


def anatomical_centres(body: BodyModel, names: tuple[str, ...] = LIMBS) -> Centres:
    """The centres of `names` (of LIMBS, H36M, COCO) on this body.

    Raises:
        UserError: the mesh is no body in the rest pose that a centre can be found on.
    """
    finder = _Finder(body)
    rows = torch.as_tensor(np.stack([finder.row(name) for name in names]), dtype=body.v_template.dtype)
    return Centres(names, rows.to(body.v_template.device), tuple(_bone(name) for name in names))


def anatomical_joints(
    body: BodyModel,
    global_orient: Tensor,  # [B, 3]
    body_pose: Tensor,  # [B, 69]
    betas: Tensor,  # [10]
    transl: Tensor,  # [B, 3]
    names: tuple[str, ...] = LIMBS,
) -> Tensor:  # [B, J, 3]
    """The anatomical centres of a motion, in metres in the frame of `transl`; arguments as of `BodyModel`."""
    rotmats = axis_angle_to_matrix(torch.cat([global_orient, body_pose], 1).unflatten(1, (-1, 3)))
    return anatomical_centres(body, names).posed(body, body.transforms(rotmats, betas, transl), betas)


def _bone(name: str) -> int:
    side, _, part = name.partition("_")
    if side not in _SIDES:
        return JOINT_NAMES.index(_BONES[name])
    bone = f"{_SIDES[side]}_{_BONES[part]}"
    return JOINT_NAMES.index(bone if bone in JOINT_NAMES else _BONES[part])


class _Finder:
    """Finds centres on the rest mesh of the mean shape, as rows (V,) of weights that sum to 1."""

    def __init__(self, body: BodyModel) -> None:
        self.body = body
        self.vertices = body.v_template.double().cpu().numpy()
        self.faces = body.faces.cpu().numpy()
        self.joints = (body.J_regressor @ body.v_template).double().cpu().numpy()
        self.ground, top = self.vertices[:, 1].min(), self.vertices[:, 1].max()
        self.stature = top - self.ground

    def row(self, name: str) -> np.ndarray:
        """Weights (V,) of one centre."""
        side, _, part = name.partition("_")
        if part in ("eye", "ear") or name == "nose":
            return self._vertex(name.replace("_", ""))
        if part == "knee":
            return self._knee(_SIDES[side])
        if part in _CUTS:
            return self._cut(_SIDES[side], part)
        sign = 1 if side == "l" else -1
        if part == "hip":
            return self._hip(sign)
        if part == "shoulder":
            return self._shoulder(sign)
        middle = self.joint("pelvis")[0]
        if name == "head_top":
            return self._hit(np.array([middle, *self.joint("head")[1:]]), np.array([0.0, 1.0, 0.0]))
        if name == "pelvis":
            return (self._hip(1) + self._hip(-1)) / 2
        neck = self.joint("neck")  # between C7 and the throat
        hips = (self._hip(1) + self._hip(-1)) / 2 @ self.vertices
        return self._within(neck if name == "thorax" else (neck + hips) / 2, 0.5)

    def joint(self, name: str) -> np.ndarray:
        return self.joints[JOINT_NAMES.index(name)]

    def _vertex(self, name: str) -> np.ndarray:
        if name not in self.body.vertex_ids:
            raise UserError(f"body {self.body.name}: '{name}' is not among its landmark vertices (extra_vertex_names)")
        row = np.zeros(len(self.vertices))
        row[self.body.vertex_ids[name]] = 1
        return row

    def _cut(self, side: str, part: str) -> np.ndarray:
        """The middle between the widest places of a limb, in the plane through its joint."""
        above, below, axis, lifted = _CUTS[part]
        along = self.joint(f"{side}_{above}") - self.joint(f"{side}_{below}")
        centre = self.joint(f"{side}_{part}") + lifted * along
        along /= np.linalg.norm(along)
        axis = np.array(axis) - along * along.dot(axis)
        height = (self.vertices - centre) @ along
        near = np.linalg.norm(self.vertices[self.faces].mean(1) - centre, axis=1) < _REACH * self.stature
        crossed = self.faces[near & (np.ptp(np.sign(height)[self.faces], axis=1) == 2)]
        # Two edges of a crossed triangle pass through the plane: two corners of one side, one of the other.
        sides = np.sign(height[crossed])
        alone = np.argmax(sides * -np.sign(sides.sum(1, keepdims=True)), axis=1)
        tip = np.take_along_axis(crossed, alone[:, None], 1)
        base = np.take_along_axis(crossed, (alone[:, None] + [1, 2]) % 3, 1)
        share = height[tip] / (height[tip] - height[base])  # (S, 2) of the way from the tip to the plane
        ends = self.vertices[tip] * (1 - share[..., None]) + self.vertices[base] * share[..., None]  # (S, 2, 3)
        place = (ends.mean(1) - centre) @ (axis / np.linalg.norm(axis))
        if not place.size or place.min() * place.max() >= 0:
            raise UserError(f"body {self.body.name}: its mesh does not surround the joint {side}_{part}")
        length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
        row = np.zeros(len(self.vertices))
        for widest in (place.min(), place.max()):
            chosen = np.abs(place - widest) <= _EDGE * np.ptp(place)
            weight = length[chosen, None] / length[chosen].sum() / 4  # of two ends, on two sides
            np.add.at(row, np.broadcast_to(tip[chosen], (chosen.sum(), 2)), weight * (1 - share[chosen]))
            np.add.at(row, base[chosen], weight * share[chosen])
        bone = [
            self.body.J_regressor[JOINT_NAMES.index(f"{side}_{end}")].double().cpu().numpy() for end in (above, below)
        ]
        return row - lifted * (bone[0] - bone[1])

    def _knee(self, side: str) -> np.ndarray:
        """Halfway through the limb along it, at the height of the epicondyles."""
        knee, ankle = self.joint(f"{side}_knee"), self.joint(f"{side}_ankle")
        height = self.ground + _KNEE * self.stature
        inside = knee + (ankle - knee) * (height - knee[1]) / (ankle - knee)[1]
        outer, inner = (self._hit(inside, np.array([x, 0.0, 0.0])) for x in (1.0, -1.0))
        middle = (outer + inner) / 2 @ self.vertices
        return self._within(middle, 0.5)

    def _hip(self, sign: int) -> np.ndarray:
        """Harrington et al. 2007: in the axes of the pelvis, from the middle between the front spines."""
        front, back = self._spines(_FRONT_SPINE, 1), self._spines(_BACK_SPINE, -1)
        width, depth = 2 * _FRONT_SPINE[1] * self.stature, np.linalg.norm(front - back)
        forward = (front - back) / depth
        aside = np.array([sign, 0.0, 0.0])
        down = np.cross([1.0, 0.0, 0.0], forward)
        down *= -np.sign(down[1])
        centre = front - (0.24 * depth + 0.0099) * forward + (0.30 * width + 0.0109) * down
        centre = centre + (0.33 * width + 0.0073) * aside
        return self._within(centre)

    def _shoulder(self, sign: int) -> np.ndarray:
        middle, depth = self.joint("pelvis")[0], self.joint(f"{'left' if sign > 0 else 'right'}_shoulder")[2]
        inside = self.joint("left_shoulder")[1]
        up = np.array([0.0, 1.0, 0.0])
        acromion = self._hit(np.array([middle + sign * _ACROMION * self.stature, inside, depth]), up) @ self.vertices
        below = acromion[1] - _BELOW_ACROMION * self.stature
        return self._within(np.array([middle + sign * _SHOULDER * self.stature, below, depth]), 0.5)

    def _spines(self, place: tuple[float, float], forward: int) -> np.ndarray:
        """The middle (3,) between the spines of both sides, front or back; height and distance are shares."""
        pelvis, direction = self.joint("pelvis"), np.array([0.0, 0.0, float(forward)])
        height, aside = self.ground + place[0] * self.stature, place[1] * self.stature
        starts = [np.array([pelvis[0] + side * aside, height, pelvis[2]]) for side in (1, -1)]
        return np.mean([self._hit(start, direction) @ self.vertices for start in starts], 0) - _OVER_SPINES * direction

    def _within(self, centre: np.ndarray, share: float | None = None) -> np.ndarray:
        """A place between the front and the back of the mesh; `share` of the way from the back, else where it is."""
        front, back = (self._hit(centre, np.array([0.0, 0.0, z])) for z in (1.0, -1.0))
        if share is None:
            behind = back @ self.vertices
            share = (centre - behind)[2] / (front @ self.vertices - behind)[2]
        return share * front + (1 - share) * back

    def _hit(self, start: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Where a ray from inside leaves the mesh (Moeller and Trumbore 1997)."""
        a, b, c = (self.vertices[self.faces[:, corner]] for corner in range(3))
        normal = np.cross(direction, c - a)
        determinant = np.einsum("fi,fi->f", b - a, normal)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.einsum("fi,fi->f", start - a, normal) / determinant
            across = np.cross(start - a, b - a)
            v = across @ direction / determinant
            distance = np.einsum("fi,fi->f", c - a, across) / determinant
        inside = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (distance > 0)
        if not inside.any():
            raise UserError(f"body {self.body.name}: no skin in direction {direction} of {start.round(3)} m")
        face = np.flatnonzero(inside)[np.argmin(distance[inside])]
        row = np.zeros(len(self.vertices))
        row[self.faces[face]] = 1 - u[face] - v[face], u[face], v[face]
        return row
