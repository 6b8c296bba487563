"""Settings of the refiner "neuhmr": the subsection `fit.neuhmr` of config/config.yaml."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NeuHMRSettings:
    """The refiner "neuhmr"."""

    anchors: float
    candidates: float
    candidate_steps: int
    anchor_steps: int
    features: str
    depth_tolerance: float
    samples: int
    sigma: float
    epochs: int
    rate: float
    rate_final: float
    weight_decay: float
    rgb: float
    geo: float
    joint: float
    registered: bool
    extremities: float
