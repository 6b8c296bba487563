"""The fingers that SMPL-H and SMPL-X have beyond SMPL: 15 joints a hand, their rest places, and how they may bend.

All is written for the left hand, flat as in the rest pose: x along the arm to the fingertips, y up (the palm looks
down), z forward, to the thumb. The right hand is its mirror image: x of a place turns over, y and z of an axis-angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.body.model import BodyModel

FINGERS = ("index", "middle", "pinky", "ring", "thumb")  # SMPL-H's order
HAND_JOINTS = 15  # of one hand: three a finger, from the palm on
FINGER_NAMES = tuple(
    f"{side}_{finger}{k}" for side in ("left", "right") for finger in FINGERS for k in (1, 2, 3)
)  # of `hand_pose`, in its order
MIRRORED = np.array([1.0, -1.0, -1.0])  # what a mirror does to an axis-angle
_HAND_LENGTH = 0.108  # of the stature (Drillis and Contini 1966)
# Shares of the hand's length: from the wrist to the knuckle, and the three phalanges (Buchholz et al. 1992); degrees
# from the arm's axis to the thumb's side, of the knuckle seen from the wrist, and of the finger.
_LENGTHS = {
    "index": (0.463, 0.245, 0.143, 0.097), "middle": (0.446, 0.266, 0.170, 0.108),
    "pinky": (0.414, 0.204, 0.117, 0.093), "ring": (0.421, 0.244, 0.165, 0.107), "thumb": (0.19, 0.251, 0.196, 0.158),
}  # fmt: skip
_FANS = {"index": (13.0, 6.0), "middle": (2.0, 0.0), "pinky": (-20.0, -12.0), "ring": (-9.0, -5.0)}
_THUMB_ROOT, _THUMB = (0.68, -0.30, 0.66), (0.68, -0.42, 0.60)  # directions
# Degrees (low, high, relaxed) of bending, and of spreading to the thumb's side, from the palm on. Ranges of the
# American Academy of Orthopaedic Surgeons (1965), rounded up. A thumb spreads away from the palm.
_BEND = dict.fromkeys(FINGERS[:4], ((-25, 95, 20), (-5, 115, 30), (-15, 85, 15))) | {
    "thumb": ((-35, 45, 5), (-15, 65, 10), (-25, 85, 15))
}
_SPREAD = dict.fromkeys(FINGERS[:4], (-22, 22, 0)) | {"thumb": (-40, 40, 0)}


@dataclass(frozen=True)
class Hand:
    """A left hand of some size. Freedoms: for each finger spreading, then bending of its three joints."""

    roots: np.ndarray  # (5, 3) metres from the wrist to each finger's first joint
    bones: np.ndarray  # (5, 3) metres: length of each phalanx
    directions: np.ndarray  # (5, 3) of each finger
    axes: np.ndarray  # (5, 4, 3) of each freedom
    low: np.ndarray  # (20,) radians
    high: np.ndarray  # (20,)
    relaxed: np.ndarray  # (20,)

    def places(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Wrist, then three joints and tip of each finger; and how they move with the freedoms.

        Args:
            angles: radians. (T, 20)

        Returns:
            Places in metres about the wrist, (T, 21, 3), and their derivatives, (T, 21, 3, 20).
        """
        angles = angles.reshape(-1, 5, 4)  # all fingers at once: single ones are small work for numpy
        places, slopes = np.zeros((len(angles), 21, 3)), np.zeros((len(angles), 21, 3, 20))
        of_fingers = places[:, 1:].reshape(-1, 5, 4, 3)  # views
        by_freedoms = slopes[:, 1:].reshape(-1, 5, 4, 3, 5, 4)
        turn, place = np.eye(3), np.broadcast_to(self.roots, (len(angles), 5, 3))
        own = np.arange(5)
        pivots = []  # axis of each freedom and a point on it
        for k in range(4):
            pivots.append(((turn @ self.axes[:, k, :, None])[..., 0], place))
            turn = turn @ _about(self.axes[:, k], angles[..., k])
            if k > 0:  # spreading and the first bending are of one joint
                place = place + (turn @ (self.directions * self.bones[:, k - 1, None])[..., None])[..., 0]
                for moved, (axis, pivot) in enumerate(pivots):
                    by_freedoms[:, own, k, :, own, moved] = np.cross(axis, place - pivot).swapaxes(0, 1)
            of_fingers[:, :, k] = place
        return places, slopes

    def rotations(self, angles: np.ndarray) -> np.ndarray:
        """(T, 15, 3, 3) of SMPL-H's joints, relative to the flat hand, of the freedoms (T, 20)."""
        joints = []
        for finger in range(5):
            spread, *bends = _about(self.axes[finger], angles[:, 4 * finger : 4 * finger + 4]).swapaxes(0, 1)
            joints += [spread @ bends[0], *bends[1:]]
        return np.stack(joints, axis=1)


def flat_hand(length: float, bones: np.ndarray | None = None, palm: float = 1.0) -> Hand:
    """A hand `length` metres long; `bones` (5, 3) metres are a person's own phalanges, `palm` its palm's share."""
    roots, directions, axes = [], [], []
    for finger in FINGERS:
        if finger == "thumb":
            root, direction, aim = np.array(_THUMB_ROOT), np.array(_THUMB), np.array([0.0, 0.0, -1.0])
        else:
            root, direction = (_in_palm(degrees) for degrees in _FANS[finger])
            aim = np.array([0.0, -1.0, 0.0])  # bending brings the tip there
        direction = direction / np.linalg.norm(direction)
        bend = np.cross(direction, aim)
        bend /= np.linalg.norm(bend)
        spread = np.cross(bend, direction)
        spread *= -1.0 if finger == "thumb" else np.sign(np.cross(spread, direction)[2])
        roots.append(palm * length * _LENGTHS[finger][0] * root / np.linalg.norm(root))
        directions.append(direction)
        axes.append([spread, bend, bend, bend])
    ranges = np.deg2rad([limits for finger in FINGERS for limits in (_SPREAD[finger], *_BEND[finger])])
    usual = length * np.array([_LENGTHS[finger][1:] for finger in FINGERS])
    return Hand(np.stack(roots), usual if bones is None else bones, np.stack(directions), np.array(axes), *ranges.T)


def hand_length(body: BodyModel, betas) -> float:
    """Metres from the wrist to the middle finger's tip, by the stature of a shape (tensor [10])."""
    return _HAND_LENGTH * float(body.stature(betas))


def finger_offsets(length: float, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Of a flat hand: each joint's place against its parent (15, 3), the wrist or the joint before, and of each tip
    against its last joint (5, 3); metres."""
    hand = flat_hand(length)
    along = hand.bones[..., None] * hand.directions[:, None]
    joints = np.stack([hand.roots, along[:, 0], along[:, 1]], axis=1).reshape(HAND_JOINTS, 3)
    mirror = np.array([1.0 if side == "left" else -1.0, 1.0, 1.0])
    return joints * mirror, along[:, 2] * mirror


def _in_palm(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.deg2rad(degrees)), 0.0, np.sin(np.deg2rad(degrees))])


def _about(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(T, K, 3, 3) turns by angles (T, K) about unit axes (K, 3)."""
    cross = np.cross(np.eye(3), axes[:, None])
    sine, cosine = np.sin(angles)[..., None, None], np.cos(angles)[..., None, None]
    return np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)
