"""The avatar: Gaussians bound to a body, and how they follow its pose. How they are optimised: fit/."""

from pipeline.avatar.avatar import (
    Avatar,
    canonical_transforms,
    joint_motions,
    legs_apart,
    move_gaussians,
    pose_gaussians,
    render_avatar,
)

__all__ = [
    "Avatar",
    "canonical_transforms",
    "joint_motions",
    "legs_apart",
    "move_gaussians",
    "pose_gaussians",
    "render_avatar",
]
