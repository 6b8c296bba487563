"""Named places on a body, such as other tools' joints, turned into rotations, place and shape of ours."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.body.anatomy import COCO, H36M, anatomical_centres
from pipeline.geometry.rotations import matrix_to_axis_angle
from pipeline.motion.fit_surface import fit_surface
from pipeline.motion.gauss_newton import Places, Posed, posed_places, solve
from pipeline.motion.limbs import limb_poses, torso_rotation
from pipeline.runtime.errors import UserError

MID_HIPS = "mid_hips"  # between the hip joints: H36M's pelvis, where SMPL's joint "pelvis" is higher
_CENTRES = {name: name for name in (*H36M, *COCO) if name != "pelvis"} | {MID_HIPS: "pelvis"}
_SIGMA = 0.005  # m of a point
_FAR = 0.1  # m: points farther off count less and less
# mediapipe's numbers of the limbs' joints, as limb_poses takes them, and their names here.
_START = {
    11: "l_shoulder", 12: "r_shoulder", 13: "l_elbow", 14: "r_elbow", 15: "l_wrist", 16: "r_wrist",
    23: "l_hip", 24: "r_hip", 25: "l_knee", 26: "r_knee", 27: "l_ankle", 28: "r_ankle",
}  # fmt: skip
_SIDES = {"l": "left", "r": "right"}
_TORSO = (11, 12, 23, 24)


@dataclass(frozen=True)
class FittedPoints:
    """A motion of the body whose named places are where the points are."""

    rotations: np.ndarray  # (T, 24, 3) axis-angle
    transl: np.ndarray  # (T, 3) metres, added after the root offset of the body
    betas: np.ndarray  # (10,)
    residual: float  # metres, mean over the points that are known
    skin: float | None  # metres that the skin is off the vertices, on average; None: none are told


def fit_points(
    points: np.ndarray, names: tuple[str, ...], body: BodyModel, vertices: np.ndarray | None = None
) -> FittedPoints:
    """Pose the body so that its places `names` come to lie on the points, and its skin on the vertices.

    Args:
        points: metres in a camera's frame or a world's; NaN where one is not known. (T, P, 3)
        names: what each is: a joint of SMPL (`JOINT_NAMES`), an anatomical centre (`H36M`, `COCO` of body/anatomy.py;
            `MID_HIPS` for their pelvis), or a landmark vertex of the body (`LBigToe`). Others are left alone.
        body: which body.
        vertices: metres in the same frame, of any mesh on the skin, the same ones in every frame. (T, V, 3)

    Raises:
        UserError: hips or shoulders are not among the names, or never seen; the vertices do not lie about the points.
    """
    known = [index for index, name in enumerate(names) if name in _known_names(body)]
    points, names = np.asarray(points, float)[:, known], tuple(names[index] for index in known)
    places = _places(body, names)
    start = Posed(_start(points, names), np.zeros((len(points), 3)), np.zeros(10))
    off = points - posed_places(places, start)
    seen = np.isfinite(off).all(2, keepdims=True)
    transl = np.where(seen, off, 0).sum(1) / np.maximum(seen.sum(1), 1)
    posed = solve(places, points, replace(start, transl=transl))
    skin = None
    if vertices is not None:
        posed, skin = fit_surface(places, points, vertices, posed, body)
    residual = float(np.nanmean(np.linalg.norm(posed_places(places, posed) - points, axis=2)))
    return FittedPoints(posed.rotations, posed.transl, posed.betas, residual, skin)


def _known_names(body: BodyModel) -> set[str]:
    return {*JOINT_NAMES, *_CENTRES, *body.vertex_ids}


def _places(body: BodyModel, names: tuple[str, ...]) -> Places:
    shaped = torch.cat([body.v_template[..., None], body.shapedirs], dim=2).double()  # [V, 3, 11]
    joints = torch.einsum("jv,vcb->jcb", body.J_regressor.double(), shaped)
    wanted = (*(_CENTRES[name] for name in names if name in _CENTRES), "pelvis")  # one that needs no face at least
    centres = anatomical_centres(body, wanted)
    at = dict(zip(wanted, zip(torch.einsum("pv,vcb->pcb", centres.regressor.double(), shaped), centres.bones)))
    rest, bones = [], []
    for name in names:
        if name in _CENTRES:
            place, bone = at[_CENTRES[name]]
        elif name in JOINT_NAMES:
            bone = JOINT_NAMES.index(name)
            place = joints[bone]
        else:
            place = shaped[body.vertex_ids[name]]
            bone = int(body.weights[body.vertex_ids[name]].argmax())
        rest.append(place)
        bones.append(bone)
    count = len(names)
    return Places(
        rest=torch.stack(rest).numpy(),
        weights=np.eye(24)[bones],
        joints=joints.numpy(),
        sigma=np.full(count, _SIGMA),
        far=np.full(count, _FAR),
        normals=np.zeros((count, 3)),
        along=np.ones(count),
    )


def _start(points: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Rotations (T, 24, 3, 3) by the directions of torso and limbs."""
    world = np.full((len(points), 33, 3), np.nan)
    for number, name in _START.items():
        side, part = name.split("_")
        for each in (name, f"{_SIDES[side]}_{part}"):
            if each in names:
                world[:, number] = points[:, names.index(each)]
    for number in range(33):  # frames that lack it: as their neighbours
        there = np.flatnonzero(np.isfinite(world[:, number]).all(1))
        if len(there):
            world[:, number] = np.stack(
                [np.interp(np.arange(len(world)), there, world[there, number, axis]) for axis in range(3)], axis=1
            )
        elif number in _TORSO:
            raise UserError(f"joints: {_START[number]} is not among {', '.join(names)}; hips and shoulders are needed")
    given = torch.as_tensor(np.nan_to_num(world))
    root = torso_rotation(given)
    pose = torch.cat([matrix_to_axis_angle(root), limb_poses(given, root)], dim=1).reshape(-1, 24, 3).numpy()
    for ends, joints in (((13, 15), (16, 18)), ((14, 16), (17, 19)), ((25, 27), (1, 4)), ((26, 28), (2, 5))):
        if not np.isfinite(world[:, ends]).all():
            pose[:, joints] = 0
    return Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
