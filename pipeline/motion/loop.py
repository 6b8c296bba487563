"""A motion that ends where it began, so that it can be played over and over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel
from pipeline.motion.library import Motion, lowest, motion

_FADE = 0.5  # seconds
_NEAR = 0.5  # metres on the ground between both ends, up to which one steps from one to the other


def looping(name: str, frames: int, fps: float, seed: int, body: BodyModel, betas: np.ndarray) -> Motion:
    """As `motion` of the same arguments; where `looped` can do it, the last frame leads back to the first."""
    blend = round(_FADE * fps)
    longer = motion(name, frames + blend, fps, seed, body, betas)
    moving = looped(longer, blend, body, betas)
    if moving is longer:
        return motion(name, frames, fps, seed, body, betas)
    return replace(moving, poses=moving.poses[:frames], trans=moving.trans[:frames])


def looped(moving: Motion, blend: int, body: BodyModel, betas: np.ndarray) -> Motion:
    """The motion without its last `blend` frames, which fade into its first ones instead.

    Turns go along the sphere, places along lines, and the lowest point keeps the height that both ends give it. A
    motion that ends elsewhere on the ground, as a run does, is returned as it is: nobody glides back. So is one that
    is too short.

    Args:
        moving: T frames.
        blend: frames of the fade.
        body: the body that performs it.
        betas: its shape. (10,)
    """
    kept = len(moving.poses) - blend
    if blend < 1 or kept <= blend or np.linalg.norm((moving.trans[kept] - moving.trans[0])[[0, 2]]) > _NEAR:
        return moving
    share = (np.arange(blend) + 0.5) / blend
    share = (share * share * (3 - 2 * share))[:, None]
    parts = (slice(kept, None), slice(0, blend))  # what one leaves, and what one enters
    leave, enter = (Rotation.from_rotvec(moving.poses[part].reshape(-1, 3)) for part in parts)
    between = leave * Rotation.from_rotvec(np.repeat(share, 24, axis=0) * (leave.inv() * enter).as_rotvec())
    poses, trans = moving.poses[:kept].copy(), moving.trans[:kept].copy()
    poses[:blend] = between.as_rotvec().reshape(blend, 72)
    heights, places = (
        (1 - share) * first + share * second
        for first, second in (
            [lowest(body, moving.poses[part], betas, moving.trans[part])[:, None] for part in parts],
            [moving.trans[part] for part in parts],
        )
    )
    trans[:blend] = places
    trans[:blend, 1] += heights[:, 0] - lowest(body, poses[:blend], betas, places)
    return replace(moving, poses=poses, trans=trans)
