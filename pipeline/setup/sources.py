"""Which source files a module runs: their digest is a parameter of a rule, so that an edit reruns what it touches."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
_DIGITS = 16  # of a digest


def sources(*modules: str) -> list[Path]:
    """The files of `modules` and of all modules of this package that they import, directly or not, sorted.

    Imports are read from the source, those inside functions too; an import by a computed name is not seen, so name such
    a module here. Data files that lie beside a module's package (*.npz, *.j2, *.js) belong to it.

    Args:
        modules: dotted names, "pipeline.stages.fit".
    """
    found: set[Path] = set()
    waiting = ["pipeline.__main__", *modules]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name.count(".") > 1:
            waiting.append(name.rpartition(".")[0])  # importing a module runs its packages
        file = _file(name)
        if file is None:
            continue
        found.add(file)
        found.update(_data(file.parent))
        waiting.extend(_imports(file))
    return sorted(found)


@cache
def code_digest(*modules: str) -> str:
    """Digest of what `sources` lists, by content and place: a job's parameter, and a part of a checkpoint's mark."""
    digest = hashlib.sha256()
    for file in sources(*modules):
        digest.update(f"{file.relative_to(PACKAGE)} {_content(file)}\n".encode())
    return digest.hexdigest()[:_DIGITS]


@cache
def _content(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _file(name: str) -> Path | None:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _data(folder: Path) -> frozenset[Path]:
    if folder == PACKAGE:
        return frozenset()
    return frozenset(f for suffix in ("npz", "j2", "html", "css", "js") for f in folder.glob(f"**/*.{suffix}"))


@cache
def _imports(file: Path) -> frozenset[str]:
    """Dotted names of this package that a file imports; `from a import b` counts as both a and a.b."""
    names: set[str] = set()
    for node in _statements(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in names if name.split(".")[0] == "pipeline")


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements in a node; expressions, which hold no imports and are ten times as many, are passed over."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, part, []) if not isinstance(node, ast.expr) else []:
            yield child
            yield from _statements(child)
