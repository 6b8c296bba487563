"""The whole DAG with the paper's estimators, random weights and a body in SMPL's layout, on a CPU."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "tiny"


@pytest.fixture(scope="module")
def shallow_hmr2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the path of the jobs, with HMR2.0's package as it is but for the depth of its backbone."""
    folder = tmp_path_factory.mktemp("path")
    package = Path(importlib.util.find_spec("hmr2").submodule_search_locations[0])
    shutil.copytree(package, folder / "hmr2")
    vit = folder / "hmr2" / "models" / "backbones" / "vit.py"
    text = vit.read_text()
    assert text.count("depth=32") == 1
    vit.write_text(text.replace("depth=32", "depth=1"))
    return folder


def test_the_paper_preset_runs_to_the_end(
    paper_settings: dict, smpl_file: Path, shallow_hmr2: Path, studio_clip, tmp_path: Path
) -> None:
    (tmp_path / "videos").mkdir()
    shutil.copy(studio_clip.video, tmp_path / "videos" / f"{NAME}.mp4")
    own = paper_settings | {"body_model": str(smpl_file), "fit": {"device": "cpu"}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    configs = [REPOSITORY / "config" / "paper.yaml", REPOSITORY / "tests" / "tiny.yaml", tmp_path / "own.yaml"]
    path = os.pathsep.join([str(shallow_hmr2), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile", "--cores", "1"]
    done = subprocess.run(
        [*command, "--configfile", *configs],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=900,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    results = tmp_path / "results" / NAME
    for name in (
        "masks/000013.png", "depth/000013.png", "camera.json", "pose_init.npz", "landmarks.npz", "fit/avatar.npz",
        "fit/pose_refined.npz", "renders/overlay.mp4", "exports/avatar.ply", "exports/motion_amass.npz", "metrics.csv",
        "report.html",
    ):  # fmt: skip
        assert (results / name).is_file(), name
    warnings = json.loads((results / "provenance" / "pose.json").read_text())["warnings"]
    assert any("makes no sense" in line or "times as far away" in line for line in warnings), warnings
    assert "Traceback" not in said
