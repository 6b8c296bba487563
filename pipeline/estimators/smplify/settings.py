"""Settings of the landmark fit; config/config.yaml, section `pose.smplify`, explains each and gives its source."""

from dataclasses import dataclass

from pipeline.runtime.errors import UserError

_CORRECTORS = ("temporal", "linear", "none")


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
    rotations: float  # of the weight of the network's rotations
    corrector: str  # temporal | linear | none: what the world landmarks go through
    outlier: float  # body heights

    def __post_init__(self) -> None:
        if self.corrector not in _CORRECTORS:
            raise UserError(
                f"settings pose.smplify.corrector: expected one of {', '.join(_CORRECTORS)}, found {self.corrector!r}"
            )
