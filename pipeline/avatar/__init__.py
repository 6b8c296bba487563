"""The avatar: Gaussians bound to a body."""

from pipeline.avatar.avatar import Avatar, legs_apart, render_avatar

__all__ = ["Avatar", "legs_apart", "render_avatar"]
