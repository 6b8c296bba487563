from dataclasses import dataclass


@dataclass(frozen=True)
class SmplifySettings:
    iterations: int
