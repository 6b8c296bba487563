"""A GLB as FBX, USD or Alembic, by the user's own Blender: this project depends on neither it nor bpy."""

from __future__ import annotations

import importlib.util
import logging
import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.formats.atomic import atomic_path
from pipeline.runtime.errors import UserError

SUFFIXES = (".fbx", ".usdc", ".usda", ".usdz", ".abc")
_SCRIPT = Path(__file__).with_name("in_blender.py")
_INSTALL = (
    "install Blender 4.2 or later (https://www.blender.org/download/) and put it on the PATH, or name it by --blender; "
    "or, where the wheel fits this Python: pip install bpy"
)
# Where installers put it, beyond the PATH.
_PLACES = (
    ("/Applications", "Blender*.app/Contents/MacOS/Blender"),
    ("C:/Program Files/Blender Foundation", "*/blender.exe"),
)
log = logging.getLogger(__name__)


def convert(source: Path, target: Path, blender: Path | None = None) -> None:
    """Write `target`, whole or not at all.

    Args:
        source: a GLB, such as exports/motion.glb.
        target: its suffix, one of SUFFIXES, says as what.
        blender: the program; looked for where None.

    Raises:
        UserError: no such file, another suffix, no Blender, or what Blender says went wrong.
    """
    if target.suffix.lower() not in SUFFIXES or target.suffix != target.suffix.lower():
        raise UserError(f"{target}: expected a file that ends with {', '.join(SUFFIXES)}")
    if not source.is_file():
        raise UserError(f"{source}: not found; expected a GLB such as results/<video>/exports/motion.glb")
    with source.open("rb") as file:
        if file.read(4) != b"glTF":
            raise UserError(f"{source}: expected a binary glTF (.glb)")
    program = find_blender(blender)
    with atomic_path(target) as temporary:
        words = [*program, "--", str(source.resolve()), str(temporary.resolve())]
        log.debug("convert: %s", " ".join(words))
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode or not temporary.is_file():
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise UserError(f"{program[0]} did not write {target.name}: {said[-1] if said else 'it said nothing'}")


def find_blender(blender: Path | None = None) -> list[str]:
    """The command that runs the script: a Blender, or this Python where it has bpy.

    Raises:
        UserError: there is neither; says what to install.
    """
    if blender is not None:
        if shutil.which(blender) is None:
            raise UserError(f"--blender {blender}: no such program; {_INSTALL}")
        return _command(str(blender))
    if (found := shutil.which("blender")) is not None:
        return _command(found)
    for folder, pattern in _PLACES:
        if programs := sorted(Path(folder).glob(pattern)):
            return _command(str(programs[-1]))
    if importlib.util.find_spec("bpy") is not None:
        return [sys.executable, str(_SCRIPT)]
    raise UserError(f"no Blender was found; {_INSTALL}")


def _command(program: str) -> list[str]:
    return [program, "--background", "--factory-startup", "--python-exit-code", "1", "--python", str(_SCRIPT)]
