"""What turns frames into a stage's files: one module a backend, `<stage>_<backend>.py`, chosen by name in the config.

Each has two functions. `check(settings)` raises a UserError, before any work, where a package or a file is missing.
`estimate(directory, settings, out, provenance)` reads frames/ of the video's directory and writes the stage's files
into the folder `out`, which takes its place when it ends well; that of a depth backend returns the Camera, too. A
landmarks backend has no `out`, and returns the Landmarks; a pose backend takes the body model's name in place of it,
and returns the Pose. To add a backend: docs/extend.md.
"""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from pipeline.runtime.errors import UserError


def load_backend(stage: str, name: str) -> ModuleType:
    """The module of a stage's backend.

    Args:
        stage: "masks", "landmarks", "depth" or "pose".
        name: the backend's name in the config.

    Raises:
        UserError: there is no such backend; tells those that are there.
    """
    module = f"{__name__}.{stage}_{name}"
    if not name.isidentifier() or importlib.util.find_spec(module) is None:
        files = Path(__file__).parent.glob(f"{stage}_*.py")
        known = ", ".join(sorted(file.stem.removeprefix(f"{stage}_") for file in files))
        raise UserError(f"settings {stage}.backend: {name!r} is not known; choose one of {known}")
    return importlib.import_module(module)
