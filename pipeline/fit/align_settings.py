"""Settings of the second-order steps, and of the shape before them: sections `fit.align` and `fit.shape` of
config/config.yaml, where each value is explained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Of the body's shape from outlines."""

    frames: int
    sigma_betas: float
    sigma_bones: float
    clothes: float
    sigma_clothes: float
    sigma_inside: float
    sigma_height: float


@dataclass(frozen=True)
class FittedStart:
    """What `Align` expects where the initial pose was fitted to landmarks in 3D, in place of what it has for all."""

    sigma_mask: float
    sigma_root: float
    sigma_collar: float
    sigma_shoulder: float
    sigma_elbow: float
    sigma_hip: float
    sigma_knee: float


@dataclass(frozen=True)
class Align:
    """Second-order steps of all poses at once, before the joint optimisation and, against the avatar, late in it."""

    coarse: int
    middle: int
    sigma_colour: float
    sigma_mask: float
    sigma_landmark: float
    sigma_stand: float
    sigma_depth: float
    sigma_plane: float
    sigma_root: float
    sigma_joint: float
    sigma_sideways: float
    sigma_distance: float
    sigma_thickness: float
    sigma_length: float
    sigma_focal: float
    correlation: float
    refit: int
    early_at: float
    refit_at: float
    settle_at: float
    sigma_picture: float
    bend: float
    fitted: FittedStart

    @property
    def steps(self) -> int:
        return self.coarse + self.middle
