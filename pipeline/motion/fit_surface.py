"""Vertices of any other mesh on a person's skin, turned into the shape and the pose of our body.

Iterative closest points, point to plane (Chen and Medioni 1992). Which vertex of one mesh belongs to which of the other
is not known, but it stays the same, for the same vertices come in every frame: those are a pair that lie near each
other in all frames at once. The body is fitted to the pairs as to its named places. Skin may slide along itself, so
that what counts is mostly how far it is off across.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import trimesh
from scipy.spatial import cKDTree

from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.body.model import vertex_normals
from pipeline.motion.gauss_newton import Places, Posed, solve
from pipeline.runtime.errors import UserError

_POINTS = 500  # of the skin, spread evenly
_ROUNDS = 5  # of pairing and fitting
_DONE = 1e-3  # share of the cost by which a step of a round must lower it to be followed by another
_PAIRING_FRAMES = 8  # in which pairs are sought, spread over the clip
_SIGMA = 0.01  # m across the skin, of a pair; compared on studio clips, as the next: docs/import.md
_ALONG = 0.3  # share of what a pair is off along the skin that counts
_FAR = 0.03  # m: pairs farther apart count less and less
_AMISS = 0.1  # m between half of our skin and the vertices: those are of somebody else, or in other axes or units
_LEAST = 100  # pairs
_FINGERS = [JOINT_NAMES.index("left_hand"), JOINT_NAMES.index("right_hand")]


def fit_surface(
    places: Places, points: np.ndarray, vertices: np.ndarray, posed: Posed, body: BodyModel
) -> tuple[Posed, float]:
    """Move the body until its skin lies on the vertices, its places held near their points.

    Args:
        places, points: what the body was fitted to so far; NaN where one is not told. (T, P, 3)
        vertices: metres in the frame of the points, the same ones in every frame. (T, V, 3)
        posed: the body so fitted.
        body: whose places they are.

    Returns:
        The body, and metres that the vertices are off its skin, on average.

    Raises:
        UserError: the vertices do not lie about the points.
    """
    spread = _spread(body)
    some = np.unique(np.linspace(0, len(points) - 1, _PAIRING_FRAMES).astype(int))
    for _ in range(_ROUNDS):
        ours, theirs, _ = _pairs(body, _frames(posed, some), vertices[some], spread)
        both = places.and_more(_skin(body, ours, places.joints))
        posed = solve(both, np.concatenate([points, vertices[:, theirs]], axis=1), posed, _DONE)
    return posed, _pairs(body, _frames(posed, some), vertices[some], spread)[2]


def _frames(posed: Posed, some: np.ndarray) -> Posed:
    return replace(posed, rotmats=posed.rotmats[some], transl=posed.transl[some])


def _spread(body: BodyModel) -> np.ndarray:
    """Vertices spread evenly over the skin, but for fingers, which are flat on our body however they are held."""
    mesh = trimesh.Trimesh(body.v_template.numpy(), body.faces.numpy(), process=False)
    at, _ = trimesh.sample.sample_surface_even(mesh, _POINTS, seed=0)
    found = np.unique(cKDTree(mesh.vertices).query(at)[1])
    return found[body.weights[found][:, _FINGERS].sum(1).numpy() < 0.5]


def _pairs(
    body: BodyModel, posed: Posed, vertices: np.ndarray, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Vertices of ours and of theirs that belong together, and metres between their surfaces, on average.

    Those of theirs are the nearest to points spread evenly over our skin: a mesh may be dense in a face, and have
    vertices in a mouth.
    """
    skin = _posed_skin(body, posed)
    # As one point of a space of all frames' coordinates each.
    own, other = (
        points.swapaxes(0, 1).reshape(points.shape[1], -1) / np.sqrt(len(points)) for points in (skin, vertices)
    )
    apart, nearest = cKDTree(other).query(own[spread])
    if np.median(apart) > _AMISS:
        raise UserError(
            f"vertices: lie {np.median(apart):.2f} m off the body that fits the joints; both should be metres, in the "
            "same axes, of one person"
        )
    theirs = np.unique(nearest)
    if len(theirs) < _LEAST:
        raise UserError(f"vertices: {len(theirs)} of them lie on the body, at least {_LEAST} are needed")
    ours = cKDTree(own).query(other[theirs])[1]
    normals = vertex_normals(torch.as_tensor(skin), body.faces).numpy()[:, ours]
    across = ((vertices[:, theirs] - skin[:, ours]) * normals).sum(2)
    return ours, theirs, float(np.abs(across).mean())


def _posed_skin(body: BodyModel, posed: Posed) -> np.ndarray:
    """(T, V, 3) metres."""
    rotations, betas, transl = (
        torch.as_tensor(values).to(body.v_template) for values in (posed.rotations, posed.betas, posed.transl)
    )
    with torch.no_grad():
        return body(rotations[:, 0], rotations[:, 1:].flatten(1), betas, transl).vertices.double().numpy()


def _skin(body: BodyModel, chosen: np.ndarray, joints: np.ndarray) -> Places:
    """Vertices of ours as places. The pose blend shapes of an SMPL file, millimetres, only count in the pairing."""
    shaped = torch.cat([body.v_template[..., None], body.shapedirs], dim=2)
    count = len(chosen)
    return Places(
        rest=shaped[chosen].double().numpy(),
        weights=body.weights[chosen].double().numpy(),
        joints=joints,
        sigma=np.full(count, _SIGMA),
        far=np.full(count, _FAR),
        normals=vertex_normals(body.v_template, body.faces)[chosen].double().numpy(),
        along=np.full(count, _ALONG),
    )
