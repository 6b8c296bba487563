"""provenance/<stage>.json: what a stage ran with, how long it took, and what the user should know."""

import dataclasses
import logging
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.formats.records import read_json, write_json

log = logging.getLogger(__name__)


class Provenance:
    """Collects a stage's record while it runs; `save` it as the stage's last act."""

    def __init__(self, stage: str, settings: Any, packages: tuple[str, ...] = ()) -> None:
        """
        Args:
            stage: name of the stage.
            settings: its settings, a dataclass.
            packages: distributions whose versions matter to the result.
        """
        self.stage = stage
        self.settings = dataclasses.asdict(settings)
        self.warnings: list[str] = []
        self.facts: dict[str, Any] = {}
        self.versions = {"python": platform.python_version()} | {name: _version(name) for name in packages}
        self._started = time.monotonic()

    def warn(self, message: str) -> None:
        """Tell the user something, once: in the log now, and in the report."""
        if message in self.warnings:
            return
        log.warning("warning: %s: %s", self.stage, message)
        self.warnings.append(message)

    def save(self, path: str | Path) -> None:
        write_json(
            path,
            {
                "stage": self.stage,
                "seconds": round(time.monotonic() - self._started, 2),
                "settings": self.settings,
                "facts": self.facts,
                "warnings": self.warnings,
                "versions": self.versions,
            },
        )


def read_provenance(path: str | Path) -> dict[str, Any]:
    return read_json(path, ("stage", "seconds", "settings", "facts", "warnings", "versions"))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
