"""What jobs in a container (snakemake --sdm apptainer) see of this machine: its variables, and the folders bound.

Apptainer gives jobs the variables of the host, without its PATH. Snakemake binds the working directory alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pipeline.runtime.errors import UserError


def enter(image: str | None, workflow: str, files: Iterable[Path], results: str) -> None:
    """Set the variables of this process, which its jobs inherit, for jobs in a container.

    The code is the workflow's, and no package of this machine's is in sight of the image's Python.

    Args:
        image: the config key `container`.
        workflow: folder of the Snakefile.
        files: what jobs read outside of the results, links included.
        results: the folder of results, made where it is not there, for it must be there to be bound.

    Raises:
        UserError: no image is named, its file is missing, or a path holds what the list of folders cannot say.
    """
    if image is None:
        raise UserError("config.container: --sdm apptainer needs an image; name one: docs/containers.md")
    if "://" not in image and not Path(image).exists():
        raise UserError(f"config.container: {image}: not found; build it as in docs/containers.md, or name another")
    Path(results).mkdir(parents=True, exist_ok=True)
    files = list(files)
    folders = [
        Path(workflow),
        Path(results),
        *(path.parent for path in files),
        *(path.resolve().parent for path in files),
    ]
    given = filter(None, os.environ.get("APPTAINER_BIND", "").split(","))
    binds = ",".join(dict.fromkeys([*given, *to_bind(folders)]))  # a job on a cluster comes by here again
    os.environ |= {"APPTAINER_BIND": binds, "SINGULARITY_BIND": binds, "PYTHONPATH": str(Path(workflow).resolve())}
    # A job's home is the working directory: matplotlib would put its folders beside the videos.
    os.environ.setdefault("MPLCONFIGDIR", str(Path(".snakemake", "matplotlib").absolute()))


def to_bind(folders: Iterable[Path]) -> list[str]:
    """Those of the folders that lie outside of the working directory, by the names they go by and the true ones.

    Raises:
        UserError: a path holds a comma or a colon, which separate paths there.
    """
    here = Path.cwd()
    names = {name for folder in folders for name in (folder.absolute(), folder.resolve())}
    outside = sorted(str(name) for name in names if not name.is_relative_to(here))
    for name in outside:
        if set(name) & set(",:"):
            raise UserError(
                f"{name}: a folder for a container may have no comma or colon in its path; move or rename it"
            )
    return outside
