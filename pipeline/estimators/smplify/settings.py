"""Settings of the landmark fit; config/config.yaml, section `pose.smplify`, explains each and gives its source."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SmplifySettings:
    """Every sigma is the spread that is expected of that quantity: a term weighs 1 / sigma^2."""

    iterations: int
    learning_rate: float  # radians a step, of rotations; translation and shape move in proportion
    sigma_2d: float  # m at the person's distance
    robust_2d: float  # m
    sigma_3d: float  # m
    robust_3d: float  # m
    sigma_shape: float
    sigma_height: float  # m
    sigma_pose: float  # rad
    sigma_limits: float  # rad
    sigma_lean: float  # rad
    sigma_offsets: float  # m
    sigma_acceleration: float  # m/s^2
    robust_acceleration: float  # m/s^2
    sigma_angular: float  # rad/s^2
    corrector: bool  # whether the world landmarks go through it
    outlier: float  # body heights
