"""Data files that come with the code, beside the modules that read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import UserError

_ROOT = Path(__file__).resolve().parents[2]
_LEARNT = Path("pipeline/estimators/smplify/data")


@dataclass(frozen=True)
class Shipped:
    """One such file."""

    name: str  # for people
    file: Path  # from the project's folder
    licence: str
    without: str = ""  # the setting that does without it

    @property
    def path(self) -> Path:
        return _ROOT / self.file

    @property
    def mend(self) -> str:
        """The command that brings it back."""
        return f"git -C {_ROOT} checkout {self.file}"

    def require(self) -> Path:
        """The file's path. Raises a UserError where it is gone: what it is, what brings it back, what does without."""
        if not self.path.is_file():
            without = f"; {self.without} does without it" if self.without else ""
            raise UserError(
                f"{self.path}: not found; expected the {self.name}, which comes with the code: {self.mend} brings it "
                f"back{without}"
            )
        return self.path


LANDMARK_MAP = Shipped(
    "map that corrects mediapipe's landmarks",
    _LEARNT / "corrector.npz",
    "Apache-2.0",
    "pose.smplify.corrector: none",
)
LANDMARK_NETWORK = Shipped(
    "network that corrects mediapipe's landmarks",
    _LEARNT / "temporal.npz",
    "Apache-2.0",
    "pose.smplify.corrector: none (or linear)",
)
ROTATION_LAYERS = Shipped(
    "layers that tell joints' rotations",
    _LEARNT / "rotations.npz",
    "Apache-2.0",
    "pose.smplify.rotations: 0",
)
FREE_BODY = Shipped(
    "free body", Path("pipeline/body/data/free_body.npz"), "CC0-1.0", "body_model: FILE, an SMPL model of your own,"
)
CLOTHES = Shipped("studio's clothes", Path("pipeline/studio/data/clothes.npz"), "CC0-1.0")
SHIPPED = (FREE_BODY, CLOTHES, LANDMARK_MAP, LANDMARK_NETWORK, ROTATION_LAYERS)


def read_by(config: Mapping[str, Any]) -> list[Shipped]:
    """Those that the stages of a configuration read."""
    free = [FREE_BODY] if config["body_model"] == "free" else []
    landmarks, pose = config["landmarks"], config["pose"]
    learnt_of = landmarks["backend"] == "mediapipe" and landmarks["model"] == "full"
    if pose["backend"] != "smplify" or not learnt_of or pose["smplify"]["corrector"] == "none":
        return free
    if pose["smplify"]["corrector"] == "linear":
        return [*free, LANDMARK_MAP]
    layers = [ROTATION_LAYERS] if pose["smplify"]["rotations"] else []
    return [*free, LANDMARK_MAP, LANDMARK_NETWORK, *layers]
