"""`python -m pipeline convert`: what it asks of Blender, and what it says where there is none."""

import sys
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.exports import convert


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Blender and bpy."""
    monkeypatch.setattr(convert.shutil, "which", lambda name: None)
    monkeypatch.setattr(convert.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(convert, "_PLACES", ())


@pytest.fixture
def blender(tmp_path: Path) -> Path:
    """A program that notes how it was called and writes what it was told to; NAME.fbx called "broken" it does not."""
    program = tmp_path / "bin" / "blender"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        f"pathlib.Path({str(tmp_path / 'called')!r}).write_text('\\n'.join(sys.argv[1:]))\n"
        "if 'broken' in sys.argv[-1]:\n"
        "    print('Error: it went wrong')\n"
        "    raise SystemExit(1)\n"
        "pathlib.Path(sys.argv[-1]).write_bytes(b'made')\n"
    )
    program.chmod(0o755)
    return program


def test_it_says_what_to_install(
    results: Path, tmp_path: Path, nothing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(results / "exports" / "motion.glb"), str(tmp_path / "a.fbx")]) == 1
    said = capsys.readouterr().err
    assert "no Blender was found" in said and "blender.org" in said and "pip install bpy" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("motion.glb", "a.obj", "expected a file that ends with .fbx, .usdc"),
        ("motion.glb", "a.FBX", "expected a file that ends with .fbx, .usdc"),
        ("nothing.glb", "a.fbx", "nothing.glb: not found; expected a GLB"),
        ("motion.bvh", "a.fbx", "motion.bvh: expected a binary glTF"),
    ],
)
def test_wrong_files_are_named(
    results: Path, tmp_path: Path, source: str, target: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(results / "exports" / source), str(tmp_path / target)]) == 1
    assert said in capsys.readouterr().err


def test_blender_is_called_and_its_file_moved_in_place(results: Path, tmp_path: Path, blender: Path) -> None:
    out = tmp_path / "out" / "motion.usdc"
    assert main(["convert", str(results / "exports" / "motion.glb"), str(out), "--blender", str(blender)]) == 0
    words = (tmp_path / "called").read_text().split("\n")
    assert words[:4] == ["--background", "--factory-startup", "--python-exit-code", "1"]
    assert words[words.index("--python") + 1].endswith("in_blender.py") and words[-1].endswith(".usdc")
    assert words[-3:-1] == ["--", str((results / "exports" / "motion.glb").resolve())]
    assert [path.name for path in out.parent.iterdir()] == ["motion.usdc"] and out.read_bytes() == b"made"


def test_what_blender_says_is_passed_on(
    results: Path, tmp_path: Path, blender: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    glb, out = str(results / "exports" / "motion.glb"), tmp_path / "out" / "broken.fbx"
    assert main(["convert", glb, str(out), "--blender", str(blender)]) == 1
    assert "did not write broken.fbx: Error: it went wrong" in capsys.readouterr().err
    assert main(["convert", glb, str(out), "--blender", str(tmp_path / "none")]) == 1
    assert "none: no such program; install Blender" in capsys.readouterr().err
    assert not list(out.parent.iterdir())


@pytest.mark.skipif(convert.importlib.util.find_spec("bpy") is None, reason="bpy is not installed")
@pytest.mark.parametrize("suffix", [".fbx", ".usdc", ".abc"])
def test_bpy_writes_it(results: Path, tmp_path: Path, suffix: str) -> None:
    assert main(["convert", str(results / "exports" / "motion.glb"), str(tmp_path / f"a{suffix}")]) == 0
    assert (tmp_path / f"a{suffix}").stat().st_size > 100_000
