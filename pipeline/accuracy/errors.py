"""How wrong simulated estimators are: the section `simulated` of config/benchmark.yaml, which explains each value."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PoseErrors:
    """Subsection `simulated.pose`."""

    correlation: float
    steady: float
    jitter: float
    along_sight: float
    shape_kept: float
    shape_noise: float
    pixels: float
    distance_bias: float
    distance_wander: float


@dataclass(frozen=True)
class Errors:
    """Key `errors` of a sequence: means over it, mm."""

    like: str  # sequence of NeuMan on which HMR2.0 errs so
    mpjpe: float
    pa_mpjpe: float
    v2v: float


@dataclass(frozen=True)
class MaskErrors:
    """Subsection `simulated.masks`."""

    ragged: float
    lost_hands: float
    leaks: float


@dataclass(frozen=True)
class DepthErrors:
    """Subsection `simulated.depth`."""

    focal: float
    scale: float
    smooth: float
    flicker: float
    bleeding: float


@dataclass(frozen=True)
class Simulated:
    """Section `simulated`."""

    pose: PoseErrors
    masks: MaskErrors
    depth: DepthErrors
