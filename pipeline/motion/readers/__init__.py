"""Motions that other tools estimated: one module a layout, recognised by what is in the file, not by its name.

Each has `LAYOUT`, what it is called; `matches(content)`, whether an object read from a file is one; and
`read(content, path, clip)`. None was tried on a file of the tool itself: they follow its published source.
"""

from pathlib import Path

from pipeline.motion.readers import amass, gvhmr, own, phalp, tram, wham
from pipeline.motion.readers.content import read_content
from pipeline.motion.readers.motion import Clip, SourceMotion
from pipeline.runtime.errors import UserError

_READERS = (phalp, wham, tram, gvhmr, amass, own)


def read_motion(path: Path, clip: Clip) -> SourceMotion:
    """The people in a motion file, or in TRAM's folder.

    Raises:
        UserError: it is not readable, of no known layout, or not as its tool writes it; names what is wrong.
    """
    if path.is_dir():
        return tram.read_folder(path)
    content = read_content(path)
    for reader in _READERS:
        if reader.matches(content):
            return reader.read(content, path, clip)
    found = type(content).__name__
    if isinstance(content, dict):
        found = ", ".join(str(key) for key in list(content)[:8]) or "an empty dict"
    raise UserError(f"{path}: expected {', '.join(reader.LAYOUT for reader in _READERS)}; found {found}")
