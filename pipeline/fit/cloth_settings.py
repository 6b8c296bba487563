"""Settings of the cloth that moves: the subsection `fit.cloth` of config/config.yaml, where each value is explained."""

from dataclasses import dataclass, replace

from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class ClothSettings:
    """The correction of places and colours by the pose."""

    steps: int
    features: int
    offsets: float
    colours: float
    rate_final: float
    size: float
    smooth: float

    def __post_init__(self) -> None:
        if self.steps < 0 or self.features < 1:
            raise UserError(
                f"settings fit.cloth: expected steps of 0 or more and features of 1 or more, found {self.steps} and "
                f"{self.features}"
            )

    def times(self, factor: float) -> "ClothSettings":
        """The same with so many times the steps."""
        return replace(self, steps=round(self.steps * factor))
