"""The folder of results as the end of a run sees it: on this machine, or in a storage that Snakemake was given."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Results:
    """Files of the results by their names in that folder, "a/metrics.csv". Copies from a storage last until `close`."""

    def __init__(self, folder: str, find: Callable[[str], Any]) -> None:
        """
        Args:
            folder: the config key `results`.
            find: gives Snakemake's file for a path as the rules have it: `workflow.inputfile`.
        """
        self._folder = folder
        self._find = find
        self._copies = tempfile.TemporaryDirectory(prefix="results-")

    def close(self) -> None:
        self._copies.cleanup()

    def where(self, name: str) -> str | None:
        """Where a user finds a file: its path, or its address in the storage; None where there is none."""
        file = self._file(name)
        if file.is_storage:
            return file.storage_object.print_query if file.storage_object.exists() else None
        return str(file) if Path(file).is_file() else None

    def read(self, name: str) -> Path | None:
        """The file or a copy of it, to be read; None where there is none. Its folder has the video's name."""
        if self.where(name) is None:
            return None
        file = self._file(name)
        if not file.is_storage:
            return Path(file)
        copy = self._copy(name)
        file.storage_object.set_local_path(copy)
        file.storage_object.retrieve_object()
        return copy

    def write(self, name: str, write: Callable[[Path], None]) -> None:
        """Make a file by `write`, which is given the path to write to."""
        file = self._file(name)
        if not file.is_storage:
            write(Path(file))
            return
        copy = self._copy(name)
        write(copy)
        file.storage_object.set_local_path(copy)
        file.storage_object.store_object()

    def remove(self, name: str) -> None:
        """Take a file away, where it is there."""
        file = self._file(name)
        if not file.is_storage:
            Path(file).unlink(missing_ok=True)
        elif file.storage_object.exists():
            file.storage_object.remove()

    def _file(self, name: str) -> Any:
        return self._find(f"{self._folder}/{name}")

    def _copy(self, name: str) -> Path:
        path = Path(self._copies.name, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
