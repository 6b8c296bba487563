"""The avatar: Gaussians bound to a body."""

from pipeline.avatar.avatar import Avatar, canonical_transforms, legs_apart, pose_gaussians, render_avatar

__all__ = ["Avatar", "canonical_transforms", "legs_apart", "pose_gaussians", "render_avatar"]
