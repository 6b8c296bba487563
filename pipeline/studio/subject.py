"""The person in front of the camera: a body shape dressed by a seed, as one triangle mesh with colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from pipeline.body import BodyModel
from pipeline.formats.arrays import read_npz
from pipeline.setup.shipped import CLOTHES
from pipeline.studio import patterns as paint
from pipeline.studio.outfits import Piece, Template
from pipeline.studio.sheets import body_sheet, laplacian
from pipeline.studio.wardrobe import OUTFITS, Wardrobe

_LAG = 0.05  # seconds by which the freest cloth trails what it hangs from
_LARGEST_LAG = 0.05  # metres
_CLEAR = 0.01  # metres between legs and hanging cloth


@dataclass(frozen=True)
class Subject:
    """A dressed person as a mesh of P vertices and F triangles in pieces; skinned like the body itself."""

    name: str  # outfit
    betas: np.ndarray  # (10,)
    rest: np.ndarray  # (P, 3) rest pose of this shape, metres
    template: np.ndarray  # (P, 3) the same vertices on the mean shape: what colours are a function of
    weights: np.ndarray  # (P, 24)
    hangs: np.ndarray  # (P,) 0 on the body, towards 1 where cloth hangs free
    faces: np.ndarray  # (F, 3)
    piece: np.ndarray  # (F,) index into the next two
    patterns: tuple[paint.Pattern, ...]
    gloss: tuple[float, ...]
    sole: float  # metres that the shoes reach below the bare feet
    joints: np.ndarray  # (24, 3) rest joints of this shape
    leg_radii: np.ndarray  # (4, 2) metres, of the dressed legs: what hangs stays outside
    spread: sp.csr_matrix  # (P, P) mean over a hanging vertex's neighbours, itself elsewhere

    def posed(self, transforms: np.ndarray, before: np.ndarray, seconds: float) -> np.ndarray:
        """(P, 3) posed vertices, metres.

        Linear blend skinning as of the body; then what hangs lags behind its motion, and stays outside the legs.

        Args:
            transforms: motions of the joints (24, 4, 4), rest to world.
            before: those of the frame before (the same ones for the first frame).
            seconds: between the two.
        """
        vertices = _skinned(self.rest, self.weights, transforms)
        loose = np.flatnonzero(self.hangs > 0)
        if len(loose) == 0:
            return vertices
        moved = vertices[loose] - _skinned(self.rest[loose], self.weights[loose], before)
        lag = -self.hangs[loose, None] * moved * (_LAG / seconds)
        length = np.linalg.norm(lag, axis=1, keepdims=True)
        vertices[loose] += lag * (_LARGEST_LAG / np.maximum(length, _LARGEST_LAG))
        posed_joints = np.einsum("kij,kj->ki", transforms[:, :3, :3], self.joints) + transforms[:, :3, 3]
        for _ in range(3):
            push = np.zeros_like(vertices)
            share = np.minimum(1, 6 * self.hangs[loose, None])
            push[loose] = share * _out_of_legs(vertices[loose], posed_joints, self.leg_radii)
            spread = push
            for _ in range(6):
                spread = 0.5 * (spread + self.spread @ spread)
            further = np.linalg.norm(push, axis=1) > np.linalg.norm(spread, axis=1)
            vertices = vertices + np.where(further[:, None], push, spread)
        return vertices

    def speed(self, transforms: np.ndarray, before: np.ndarray, seconds: float) -> np.ndarray:
        """(P, 3) metres a second that the vertices move with the body, without what hangs lagging. As of `posed`."""
        return _skinned(self.rest, self.weights, transforms - before) / seconds


def _skinned(rest: np.ndarray, weights: np.ndarray, transforms: np.ndarray) -> np.ndarray:
    motion = (weights @ transforms[:, :3, :].reshape(24, 12)).reshape(-1, 3, 4)
    return np.einsum("pij,pj->pi", motion[..., :3], rest) + motion[..., 3]


_LEG_BONES = ((1, 4), (2, 5), (4, 7), (5, 8))  # hips to knees, knees to ankles


def _out_of_legs(points: np.ndarray, joints: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """(N, 3) the shortest way out of the legs, taken as cones with round ends; zero outside them."""
    way = np.zeros_like(points)
    for (top, bottom), (wide, narrow) in zip(_LEG_BONES, radii):
        bone = joints[bottom] - joints[top]
        share = np.clip((points - joints[top]) @ bone / (bone @ bone), 0, 1)[:, None]
        away = points - joints[top] - share * bone
        distance = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
        deep = np.clip(wide + share * (narrow - wide) - distance, 0, None)
        way = np.where(deep > np.linalg.norm(way, axis=1, keepdims=True), away / distance * deep, way)
    return way


def _leg_radii(rest: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(4, 2) metres from each leg bone to what surrounds it, at a fifth and at four fifths of its length."""
    radii = []
    for top, bottom in _LEG_BONES:
        around = rest[weights[:, top] > 0.6]
        bone = joints[bottom] - joints[top]
        share = (around - joints[top]) @ bone / (bone @ bone)
        distance = np.linalg.norm(around - joints[top] - share[:, None] * bone, axis=1)
        radii.append([np.percentile(distance[np.abs(share - at) < 0.15], 95) + _CLEAR for at in (0.25, 0.8)])
    return np.array(radii)


def random_shape(seed: int) -> np.ndarray:
    """(10,) betas of a plausible adult."""
    return np.random.default_rng([seed, 1]).normal(size=10).clip(-1.6, 1.6) * 0.8


def dress(body: BodyModel, betas: np.ndarray, outfit: str, seed: int) -> Subject:
    """Dress the body.

    Args:
        body: the free body (garments are cut at its template's measures).
        betas: its shape (10,).
        outfit: one of OUTFITS.
        seed: colours, patterns, hair and cut.
    """
    vertices, faces = body.v_template.numpy().astype(float), body.faces.numpy()
    meshes = read_npz(CLOTHES.require())
    feet = meshes["tights_v"].astype(float), meshes["tights_f"].astype(int)
    template = Template(vertices, faces, body.weights.numpy().astype(float), body_sheet(vertices, faces), feet)
    worn = Wardrobe(template, np.random.default_rng([seed, OUTFITS.index(outfit), 2]))
    getattr(worn, outfit)()
    shaped = body.shaped(torch.as_tensor(np.asarray(betas), dtype=body.v_template.dtype)).numpy().astype(float)
    pieces = [worn.skin(), *worn.pieces]
    first = np.cumsum([0] + [len(piece.sheet.offset) for piece in pieces])
    rest = np.concatenate([piece.sheet.points(shaped) for piece in pieces])
    weights = np.concatenate([_skinning(piece, template) for piece in pieces])
    hangs = np.concatenate([np.zeros(len(p.sheet.offset)) if p.hangs is None else p.hangs for p in pieces])
    joints = body.rest_joints(torch.as_tensor(np.asarray(betas), dtype=torch.float32)).numpy().astype(float)
    return Subject(
        name=outfit,
        betas=np.asarray(betas, float),
        rest=rest,
        template=np.concatenate([piece.sheet.points(vertices) for piece in pieces]).astype(np.float32),
        weights=weights,
        hangs=hangs,
        faces=np.concatenate([piece.sheet.faces + start for piece, start in zip(pieces, first)]),
        piece=np.repeat(np.arange(len(pieces)), [len(piece.sheet.faces) for piece in pieces]),
        patterns=tuple(piece.pattern for piece in pieces),
        gloss=tuple(piece.gloss for piece in pieces),
        sole=worn.sole,
        joints=joints,
        leg_radii=_leg_radii(rest[hangs == 0], weights[hangs == 0], joints),
        spread=sp.block_diag([_spread(piece) for piece in pieces], format="csr"),
    )


def _spread(piece: Piece) -> sp.csr_matrix:
    return sp.identity(len(piece.sheet.offset)) if piece.hangs is None else laplacian(piece.sheet)


def _skinning(piece: Piece, template: Template) -> np.ndarray:
    weights = piece.sheet.anchor @ template.weights
    if piece.hangs is None:
        return weights
    # Hanging cloth follows the thighs, not the shins, and both thighs less the freer it hangs.
    weights = weights.copy()
    for side in (0, 1):
        shin = [4 + side, 7 + side, 10 + side]
        weights[:, 1 + side] += weights[:, shin].sum(1)
        weights[:, shin] = 0
    held = 0.3 * piece.hangs[:, None] * weights[:, 1:3]
    weights[:, 1:3] -= held
    weights[:, 0] += held.sum(1)
    return weights
