"""What is installed, what is missing, and the one command or address that mends it, for each preset.

Nothing here is imported that could itself be missing: a doctor must be able to come when the patient cannot.
"""

import importlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import yaml
from packaging.requirements import Requirement

from pipeline.runtime.settings import default_config, merged
from pipeline.setup.lpips_weights import BACKBONE_FILE, INSTALL, LINEAR_FILE, package_files
from pipeline.setup.preflight import ESTIMATORS
from pipeline.setup.shipped import SHIPPED, Shipped
from pipeline.setup.weights import SMPL_ADDRESS, Weight, needed

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED, PAPER, SLURM = "embedded", "paper", "slurm"
OK, MISSING, OPTIONAL = "ok", "missing", "optional"

# Packages whose import can fail although they are installed (compiled parts, system libraries), and what to import.
_IMPORTED = {"torch": "torch", "numba": "numba", "embreex": "embreex.rtcore_scene"}
# As their owners state it; a package's metadata often holds whole texts, or nothing.
_LICENCES = {
    "torch": "BSD-3-Clause", "snakemake": "MIT", "mediapipe": "Apache-2.0", "numpy": "BSD-3-Clause",
    "numba": "BSD-2-Clause", "scipy": "BSD-3-Clause", "pandas": "BSD-3-Clause", "ffmpeg-python": "Apache-2.0",
    "imageio-ffmpeg": "BSD-2-Clause", "pillow": "MIT-CMU", "trimesh": "MIT", "embreex": "BSD-2-Clause",
    "pygltflib": "MIT", "matplotlib": "PSF-based",
    "jinja2": "BSD-3-Clause", "psutil": "BSD-3-Clause", "tqdm": "MPL-2.0 and MIT", "pyyaml": "MIT", "jsonschema": "MIT",
    "packaging": "Apache-2.0 or BSD-2-Clause", "pygments": "BSD-2-Clause",
}  # fmt: skip
# The paper's estimators: part, stage, backend, licence, distributions whose versions are shown.
_PAPER_ESTIMATORS = (
    ("SAM 2 (masks)", "masks", "sam2", "Apache-2.0", ("sam2",)),
    ("UniDepthV2 (depth)", "depth", "unidepth", "CC BY-NC 4.0: non-commercial", ("unidepth",)),
    ("HMR2.0 (pose)", "pose", "hmr2", "MIT code; smplx non-commercial", ("hmr2", "smplx")),
)


@dataclass(frozen=True)
class Part:
    """One thing that a preset needs, and whether it is there."""

    preset: str  # EMBEDDED, PAPER, or SLURM: either of them on a cluster
    name: str
    state: str  # OK, MISSING, or OPTIONAL: absent, and the preset runs without it
    found: str  # version, path, or what is wrong
    licence: str = ""
    mend: str = ""  # a command or an address, when not OK


def examine() -> list[Part]:
    """Look at everything that the presets need, the embedded one first."""
    return [*_embedded(), *_paper()]


def _embedded() -> Iterator[Part]:
    fits = sys.version_info[:2] in ((3, 11), (3, 12))
    mend = "install Python 3.11 or 3.12, then make clean install PYTHON=/path/to/it"
    yield Part(EMBEDDED, "Python", OK if fits else MISSING, platform.python_version(), "PSF-2.0", "" if fits else mend)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for line in project["dependencies"]:
        yield package(EMBEDDED, Requirement(line), _LICENCES.get(Requirement(line).name, "see its page"))
    yield _opencv()
    yield _pose_network()
    yield _heavy_network()
    yield from _optional("RTMW", "landmarks", "rtmw", "Apache-2.0")
    yield from _optional("InstantHMR", "pose", "instanthmr", "code Apache-2.0; weights SAM License")
    yield _ffmpeg()
    yield _fonts()
    yield from map(_shipped, SHIPPED)
    yield Part(EMBEDDED, "processor cores", OK, f"{_cores()} of {os.cpu_count()} may be used")
    yield _gpu(EMBEDDED)
    yield _lpips()


def _paper() -> Iterator[Part]:
    overlay = ROOT / "config" / "paper.yaml"
    config = merged(default_config(), yaml.safe_load(overlay.read_text(encoding="utf-8")))
    yield Part(PAPER, "configuration", OK, _short(overlay))
    yield _smpl(Path(config["body_model"]))
    yield _gpu(PAPER)
    yield package(PAPER, Requirement("gsplat==1.5.3"), "Apache-2.0", "make paper-env")
    yield _compiler()
    for name, stage, backend, licence, distributions in _PAPER_ESTIMATORS:
        yield _estimator_code(name, ESTIMATORS[stage, backend], licence, distributions)
        yield _weights(name, needed(stage, config[stage]), licence)


def _estimator_code(name: str, modules: tuple[str, ...], licence: str, distributions: tuple[str, ...]) -> Part:
    """Whether all that an estimator imports can be found; importing it would take seconds."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if absent:
        found = f"not installed: {', '.join(absent)}"
        return Part(PAPER, f"{name}: code", MISSING, found, licence, "make paper-env, or run with --sdm conda")
    versions = ", ".join(f"{distribution} {_version(distribution)}" for distribution in distributions)
    return Part(PAPER, f"{name}: code", OK, versions, licence)


def _weights(name: str, weights: list[Weight], licence: str) -> Part:
    lost = [file for weight in weights for file in weight.missing]
    files = [file for weight in weights for file in weight.files]
    mend = "snakemake --cores 1 weights"
    if lost:
        size = sum(weight.megabytes or 0 for weight in weights if weight.missing)
        mend += f" (about {size} MB)"
        return Part(PAPER, f"{name}: weights", MISSING, f"{lost[0]} is not there", licence, mend)
    if wrong := next(filter(None, (weight.wrong() for weight in weights)), ""):
        return Part(PAPER, f"{name}: weights", MISSING, wrong, licence, f"delete it; {mend}")
    size = sum(file.stat().st_size for file in files) / 1e6
    return Part(PAPER, f"{name}: weights", OK, f"{files[0].parent}, {size:.0f} MB", licence)


def _compiler() -> Part:
    """gsplat's wheel from the package index compiles its kernels at its first use."""
    found, licence = shutil.which("nvcc"), "NVIDIA's"
    if found:
        return Part(PAPER, "CUDA compiler", OK, found, licence)
    mend = "install the CUDA toolkit of torch's CUDA version, or run with --sdm conda"
    return Part(PAPER, "CUDA compiler", MISSING, "no nvcc on the path; gsplat compiles itself with it", licence, mend)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "(no version)"


def package(preset: str, requirement: Requirement, licence: str, mend: str = "", label: str = "") -> Part:
    """A distribution: there, of an admitted version, and importable where that can fail by itself."""
    name = requirement.name
    state, mend = MISSING, mend or f'pip install "{requirement}"'
    try:
        found = version(name)
    except PackageNotFoundError:
        found = "not installed"
    else:
        if not requirement.specifier.contains(found, prereleases=True):
            found = f"{found}, expected {requirement.specifier}"
        elif name in _IMPORTED and (problem := _import_problem(_IMPORTED[name])):
            found, mend = f"{found}, cannot be imported: {problem}", f'pip install --force-reinstall "{requirement}"'
        else:
            state, mend = OK, ""
    return Part(preset, label or name, state, found, licence, mend)


def _opencv() -> Part:
    problem = _import_problem("cv2")
    if not problem:
        return Part(EMBEDDED, "OpenCV import", OK, _import("cv2").__version__, "Apache-2.0")
    mend = "make install, or pip install --no-deps --force-reinstall opencv-contrib-python-headless==4.11.0.86"
    return Part(EMBEDDED, "OpenCV import", MISSING, problem, "Apache-2.0", mend)


def _pose_network() -> Part:
    """The networks inside mediapipe's wheel: since 0.10.30 they are no longer there."""
    spec = importlib.util.find_spec("mediapipe")
    files = ("pose_detection/pose_detection.tflite", "pose_landmark/pose_landmark_full.tflite")
    folder = Path(spec.origin).parent / "modules" if spec and spec.origin else Path("mediapipe/modules")
    lost = [name for name in files if not (folder / name).is_file()]
    problem = f"{folder / lost[0]} is not there" if lost else _import_problem("mediapipe")
    if problem:
        return Part(EMBEDDED, "pose network", MISSING, problem, "Apache-2.0", "pip install mediapipe==0.10.21")
    return Part(EMBEDDED, "pose network", OK, "inside mediapipe", "Apache-2.0")


def _heavy_network() -> Part:
    """mediapipe's larger network, which landmarks.model: heavy takes."""
    path = Path(default_config()["landmarks"]["heavy"])
    weight = Weight((path,), (), None, "")
    found = f"{path} is not there; landmarks.model: heavy needs it" if weight.missing else weight.wrong()
    if found:
        mend = "snakemake --cores 1 weights (28 MB)"
        return Part(EMBEDDED, "heavy pose network", OPTIONAL, found, "Apache-2.0", mend)
    return Part(EMBEDDED, "heavy pose network", OK, str(path), "Apache-2.0")


def _optional(label: str, stage: str, backend: str, licence: str) -> Iterator[Part]:
    """Code and weights of a backend that pip installs as an extra of the same name."""
    modules = ESTIMATORS[stage, backend]
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    found = (
        f"not installed: {', '.join(absent)}; {stage}.backend: {backend} needs it"
        if absent
        else ", ".join(f"{name} {_version(name)}" for name in modules)
    )
    mend = f"pip install -e '.[{backend}]'" if absent else ""
    yield Part(EMBEDDED, f"{label}: code", OPTIONAL if absent else OK, found, f"{licence}; onnxruntime MIT", mend)
    weights = _weights(label, needed(stage, default_config()[stage] | {"backend": backend}), licence)
    yield replace(weights, preset=EMBEDDED, state=OK if weights.state == OK else OPTIONAL)


def _ffmpeg() -> Part:
    licence = "GPL build, run as a program"
    try:
        binary = _import("imageio_ffmpeg").get_ffmpeg_exe()
        shown = subprocess.run([binary, "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    except (ImportError, RuntimeError, OSError, subprocess.CalledProcessError, IndexError) as error:
        mend = "pip install imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE to an ffmpeg"
        return Part(EMBEDDED, "ffmpeg binary", MISSING, _line(error), licence, mend)
    return Part(EMBEDDED, "ffmpeg binary", OK, f"{shown}, {_short(binary)}", licence)


def _fonts() -> Part:
    """Labels are written with the font inside Pillow, which needs FreeType."""
    try:
        there = _import("PIL.features").check("freetype2")
    except ImportError as error:
        return Part(EMBEDDED, "label font", MISSING, _line(error), "OFL-1.1", "pip install pillow")
    if there:
        return Part(EMBEDDED, "label font", OK, "inside Pillow", "OFL-1.1")
    mend = "pip install --force-reinstall --only-binary :all: pillow"
    return Part(EMBEDDED, "label font", MISSING, "this Pillow has no FreeType", "OFL-1.1", mend)


def _shipped(file: Shipped) -> Part:
    if file.path.is_file():
        return Part(EMBEDDED, file.name, OK, _short(file.path), file.licence)
    return Part(EMBEDDED, file.name, MISSING, f"{_short(file.path)} is not there", file.licence, file.mend)


def _smpl(path: Path) -> Part:
    licence = "registration, non-commercial"
    if path.is_file():
        return Part(PAPER, "SMPL body model", OK, str(path), licence)
    mend = f"register at {SMPL_ADDRESS}, download SMPL for Python and put its neutral model at {path}"
    return Part(PAPER, "SMPL body model", MISSING, f"{path} is not there", licence, mend)


def _gpu(preset: str) -> Part:
    absent = OPTIONAL if preset == EMBEDDED else MISSING
    try:
        cuda = _import("torch").cuda
    except (ImportError, OSError) as error:
        return Part(preset, "GPU", absent, f"torch cannot be imported: {_line(error)}")
    if cuda.is_available():
        return Part(preset, "GPU", OK, cuda.get_device_name(0))
    if preset == EMBEDDED:
        return Part(preset, "GPU", absent, "none that torch can use; not needed")
    driver = shutil.which("nvidia-smi")
    mend = "install a CUDA build of torch: https://pytorch.org/get-started/locally" if driver else "an NVIDIA GPU"
    return Part(preset, "GPU", absent, "none that torch can use", mend=mend)


def _lpips() -> Part:
    folder, files = Path("models/lpips"), (BACKBONE_FILE, LINEAR_FILE)
    lost = [name for name in files if not (folder / name).is_file()]
    if lost == list(files) and (package := package_files()):
        return Part(EMBEDDED, "LPIPS weights", OK, str(package[0]), "BSD-2-Clause")
    mend, found = "snakemake --cores 1 weights", ""
    if lost:
        mend, found = f"{mend}, or {INSTALL}", f"{folder / lost[0]} is not there; the figure stays blank"
    elif found := Weight(tuple(folder / name for name in files), (), None, "").wrong():
        mend = f"delete it; {mend}"
    if found:
        return Part(EMBEDDED, "LPIPS weights", OPTIONAL, found, "BSD-2-Clause", mend)
    return Part(EMBEDDED, "LPIPS weights", OK, str(folder), "BSD-2-Clause")


def _import(name: str) -> ModuleType:
    return importlib.import_module(name)


def _import_problem(name: str) -> str:
    """Why a module cannot be imported, in one line; empty where it can."""
    try:
        _import(name)
    except (ImportError, OSError) as error:
        return _line(error)
    return ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _short(path: str | Path) -> str:
    """The path from the working directory where that is shorter."""
    path = Path(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def table(parts: list[Part], colours: bool) -> str:
    """One line a part under a heading for each preset, in aligned columns."""
    ansi = {OK: "\033[32m", MISSING: "\033[31m", OPTIONAL: "\033[33m", "end": "\033[0m"} if colours else {}
    name_width = max(len(part.name) for part in parts)
    licence_width = max(len(part.licence) for part in parts)
    lines = []
    headings = {
        EMBEDDED: "embedded preset (the default)",
        PAPER: "paper preset (GPU, more files to get)",
        SLURM: "on a cluster with Slurm (docs/cluster.md)",
    }
    for preset in dict.fromkeys(part.preset for part in parts):
        mine = [part for part in parts if part.preset == preset]
        lost = sum(part.state == MISSING for part in mine)
        verdict = "can run" if lost == 0 else f"cannot run: {lost} missing"
        lines += ["", f"{headings[preset]}: {verdict}"]
        for part in mine:
            state = f"{ansi.get(part.state, '')}{part.state:8}{ansi.get('end', '')}"
            mend = f" -> {part.mend}" if part.mend else ""
            lines.append(f"  {state} {part.name:{name_width}}  {part.licence:{licence_width}}  {part.found}{mend}")
    return "\n".join(lines[1:])
