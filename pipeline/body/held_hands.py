"""Hands as a person holds them: the body's flat ones bent at the fingers, the same in all frames of a clip.

A body in SMPL's layout has a hand's skin, and one joint for all its fingers. Where each finger runs is told by its tip
and by a hand's usual proportions; the skin around it is bent as by joints there (linear blend skinning).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body.hand import FINGERS, HAND_JOINTS, finger_offsets, hand_length
from pipeline.body.model import JOINT_NAMES, BodyModel
from pipeline.formats.pose import Pose

SIDES = ("left", "right")
_CARRIED = 0.01  # share of the skinning weights from which a vertex is a hand's: the others stay where they are
_ROUND = 0.05  # hand lengths along a finger, over half of which on each side of a joint the skin bends
_APART = 0.03  # hand lengths: skin between two fingers goes with both where it is farther from one by less than this


def held_hands(pose: Pose) -> np.ndarray:
    """(30, 3) axis-angle of SMPL-H's finger joints: how the hands are held on the whole.

    The mean over the frames, as far as each shows the hand; zero, which is flat, for a hand that is never seen.
    """
    held = np.zeros((len(SIDES) * HAND_JOINTS, 3))
    if pose.hand_pose is None:
        return held
    for k in range(len(SIDES)):
        own, seen = slice(k * HAND_JOINTS, (k + 1) * HAND_JOINTS), pose.hands_seen[:, k]
        if seen.any():
            held[own] = np.einsum("t,tij->ij", seen / seen.sum(), pose.hand_pose[:, own])
    return held


def with_held_hands(body: BodyModel, pose: Pose) -> BodyModel:
    """The body with its hands bent as the person of a clip holds them; the same body where no hand was seen.

    Args:
        body: with flat hands, and the vertices of the finger tips among its `vertex_ids`.
        pose: of the clip: `hand_pose`, `hands_seen` and `betas`.
    """
    held = held_hands(pose)
    if not held.any() or "lthumb" not in body.vertex_ids:
        return body
    flat = replace(body, hands=None)
    betas = torch.as_tensor(pose.betas).to(body.v_template)
    vertices, joints = (part.double().cpu().numpy() for part in (flat.shaped(betas), flat.rest_joints(betas)))
    weights = body.weights.double().cpu().numpy()
    moved = np.zeros_like(vertices)
    for k, side in enumerate(SIDES):
        wrist, knuckles = (JOINT_NAMES.index(f"{side}_{name}") for name in ("wrist", "hand"))
        share = weights[:, [wrist, knuckles]].sum(1)
        own = np.flatnonzero(share > _CARRIED)
        tips = np.stack([vertices[body.vertex_ids[side[0] + finger]] for finger in FINGERS])
        chains = finger_chains(joints[wrist], tips, side)
        turns = held[k * HAND_JOINTS : (k + 1) * HAND_JOINTS].reshape(len(FINGERS), 3, 3)
        moved[own] = share[own, None] * (_bent(vertices[own], chains, turns) - vertices[own])
    return replace(body, hands=torch.as_tensor(moved).to(body.v_template))


def with_hands_following(pose: Pose, body: BodyModel) -> Pose:
    """The motion with the body's joint of all fingers turned from how the hands are held to how each frame has them.

    The rotation about that joint that brings the four fingers nearest (Kabsch 1976); thumbs stay as they are held.
    """
    held = held_hands(pose)
    betas = torch.as_tensor(pose.betas).to(body.v_template)
    rest, length = body.rest_joints(betas).double().cpu().numpy(), hand_length(body, betas)
    poses = pose.body_pose.reshape(len(pose), -1, 3).copy()
    for k, side in enumerate(SIDES):
        if not pose.hands_seen[:, k].any():
            continue
        own, hand = slice(k * HAND_JOINTS, (k + 1) * HAND_JOINTS), JOINT_NAMES.index(f"{side}_hand")
        pivot = rest[hand] - rest[JOINT_NAMES.index(f"{side}_wrist")]
        turns = np.concatenate([held[None, own], pose.hand_pose[:, own]])
        points = _finger_points(turns, length, side) - pivot
        for frame, wanted in enumerate(points[1:]):
            poses[frame, hand - 1] = Rotation.align_vectors(wanted, points[0])[0].as_rotvec()
    return replace(pose, body_pose=poses.reshape(len(pose), -1))


def _finger_points(turns: np.ndarray, length: float, side: str) -> np.ndarray:
    """(T, 12, 3) places about the wrist of the two outer joints and the tip of each finger but the thumb.

    Args:
        turns: axis-angle of a hand's joints. (T, 15, 3)
    """
    joints, tips = finger_offsets(length, side)
    local = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix().reshape(len(turns), len(FINGERS), 3, 3, 3)
    points = []
    for finger in (finger for finger, name in enumerate(FINGERS) if name != "thumb"):
        turn, place = np.eye(3), joints[3 * finger]
        for k, offset in enumerate([*joints[3 * finger + 1 : 3 * finger + 3], tips[finger]]):
            turn = turn @ local[:, finger, k]
            place = place + turn @ offset
            points.append(place)
    return np.stack(points, axis=1)


def finger_chains(wrist: np.ndarray, tips: np.ndarray, side: str) -> np.ndarray:
    """(5, 5, 3) of each finger the wrist, its three joints and its tip: straight from a usual knuckle on.

    Args:
        wrist: of the body at rest, metres. (3,)
        tips: of the fingers in the order of `FINGERS`. (5, 3)
    """
    length = float(np.linalg.norm(tips[FINGERS.index("middle")] - wrist))
    joints, ends = finger_offsets(length, side)
    chains = np.empty((len(FINGERS), 5, 3))
    for finger in range(len(FINGERS)):
        offsets = joints.reshape(len(FINGERS), 3, 3)[finger]
        bones = np.linalg.norm([*offsets[1:], ends[finger]], axis=1)
        knuckle = wrist + offsets[0]
        along = np.concatenate([[0], np.cumsum(bones)]) / bones.sum()
        chains[finger] = [wrist, *(knuckle + along[:, None] * (tips[finger] - knuckle))]
    return chains


def _bent(points: np.ndarray, chains: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Points of a hand (P, 3) when the three joints of each finger turn by axis-angles (5, 3, 3)."""
    length = np.linalg.norm(np.diff(chains[FINGERS.index("middle")], axis=0), axis=1).sum()
    away, along = zip(*(_on_chain(points, chain) for chain in chains))
    away, along = np.stack(away, 1), np.stack(along, 1)  # (P, 5)
    belongs = np.exp(-0.5 * ((away - away.min(1, keepdims=True)) / (_APART * length)) ** 2)
    belongs /= belongs.sum(1, keepdims=True)
    bent = np.zeros_like(points)
    for finger, chain in enumerate(chains):
        starts = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(chain, axis=0), axis=1))])
        place, turn, shift = points, np.eye(3), np.zeros(3)
        for joint in range(3):
            pivot, local = chain[1 + joint], Rotation.from_rotvec(turns[finger, joint]).as_matrix()
            shift = turn @ (pivot - local @ pivot) + shift  # of the motion of all joints so far
            turn = turn @ local
            part = np.clip((along[:, finger] - starts[1 + joint]) / (_ROUND * length) + 0.5, 0, 1)[:, None]
            place = (1 - part) * place + part * (points @ turn.T + shift)
        bent += belongs[:, finger : finger + 1] * place
    return bent


def _on_chain(points: np.ndarray, chain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far points (P, 3) are from a chain (5, 3), and how far along it their nearest place is: (P,) each."""
    start, bones = chain[:-1], np.diff(chain, axis=0)
    lengths = np.linalg.norm(bones, axis=1)
    share = np.einsum("psi,si->ps", points[:, None] - start, bones) / lengths**2
    share = np.clip(share, 0, 1)
    away = np.linalg.norm(points[:, None] - (start + share[..., None] * bones), axis=2)
    nearest = away.argmin(1)
    rows = np.arange(len(points))
    reached = np.concatenate([[0], np.cumsum(lengths[:-1])])
    return away[rows, nearest], reached[nearest] + share[rows, nearest] * lengths[nearest]
