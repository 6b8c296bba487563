"""What one side of the body shows of the other: pairs of Gaussians that are each other's mirror image.

Bodies, and most clothes and hair, are nearly the same left and right. So what was never seen, as the far arm of a
person filmed from the side, is better taken from its mirror image than from what is around. Whether a person is
symmetric is asked of the video, part by part, where it shows both sides: an arm in a cast is not taken for the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from pipeline.body import JOINT_NAMES

# Parts that are symmetric or not as a whole
_PARTS = (
    ("pelvis", "spine1", "spine2", "spine3", "collar"),
    ("neck", "head"),
    ("hip", "knee"),
    ("ankle", "foot"),
    ("shoulder", "elbow"),
    ("wrist", "hand"),
)
_PART_OF = np.array([next(k for k, part in enumerate(_PARTS) if n.split("_")[-1] in part) for n in JOINT_NAMES])
_REACH = 0.02  # metres from the mirrored place up to which one is its image
_TOLD = 0.3  # of the mean evidence, from which a pair's two colours are compared
_ALIKE = 0.15  # difference of colours at which they are hardly alike: light from one side makes half of that
_BELIEVED = 30  # pairs alike that every part is believed to have shown before
_LEAST = 0.5  # share of pairs alike from which a part is symmetric


class Mirror(NamedTuple):
    """Pairs of Gaussians, each both ways."""

    first: np.ndarray  # (P,) int
    second: np.ndarray  # (P,) int
    alike: np.ndarray  # (P,) in [0, 1]: how symmetric the video shows the part to be


def mirror_pairs(
    means: np.ndarray,  # (N, 3)
    weights: np.ndarray,  # (N, 24)
    middle: float,
    colours: np.ndarray,  # (N, 3)
    evidence: np.ndarray,  # (N,)
) -> Mirror:
    """The pairs of a person, and how much each may be believed.

    Args:
        means: metres, in the rest pose, in which left and right are mirror images.
        weights: skinning weights.
        middle: x of the plane between left and right, metres.
        colours: in [0, 1].
        evidence: how well the frames tell each colour, 1 in the mean (`pipeline.fit.spread.colour_evidence`).
    """
    image = means * [-1.0, 1.0, 1.0] + [2 * middle, 0.0, 0.0]
    apart, nearest = cKDTree(means).query(image, distance_upper_bound=_REACH)
    first = np.flatnonzero(np.isfinite(apart))
    first = first[nearest[first] != first]
    second = nearest[first]
    part = _PART_OF[weights.argmax(1)][first]
    both = np.minimum(evidence[first], evidence[second]) > _TOLD
    similar = np.exp(-((colours[first] - colours[second]) ** 2).mean(1) / _ALIKE**2)
    shown = np.bincount(part[both], minlength=len(_PARTS))
    share = (_BELIEVED + np.bincount(part[both], similar[both], len(_PARTS))) / (_BELIEVED + shown)
    alike = np.where(share < _LEAST, 0.0, share)[part]
    order = np.unique(np.stack([np.concatenate([first, second]), np.concatenate([second, first])]), axis=1)
    # A pair that is found from either side is one
    of_first = np.zeros(len(means))
    of_first[first] = alike
    return Mirror(order[0], order[1], np.maximum(of_first[order[0]], of_first[order[1]]))
