"""A Slurm cluster of one node on this machine, and the workflow on it: run by `make test-cluster`."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from on_slurm import BAD, GOOD, Workflow

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
WORKFLOW = ("Snakefile", "rules", "profiles", "config", "envs", "pipeline")
SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin"
MISSING = [name for name in ("sbatch", "slurmctld", "slurmd", "munged") if shutil.which(name, path=SBIN) is None]
if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
    MISSING.append("snakemake-executor-plugin-slurm")
if os.geteuid() != 0:
    MISSING.append("root")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only where asked for by their path: `make test` runs two processes, and there is one Slurm."""
    paths = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    asked = any(path.is_relative_to(HERE) for path in paths)
    reason = f"make test-cluster installs or needs {', '.join(MISSING)}" if asked else "make test-cluster runs it"
    for item in items:
        if (MISSING or not asked) and HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """Slurm, while the tests run. A short path: that of a socket may have 107 letters."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    try:
        subprocess.run((HERE / "slurm.sh", "start", folder), check=True)
        yield
    finally:
        subprocess.run((HERE / "slurm.sh", "stop", folder), check=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def workflow(cluster: None, studio_clip, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The workflow with eight good videos and a bad one."""
    root = tmp_path_factory.mktemp("workflow")
    for part in WORKFLOW:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, root / part)
    shutil.copy2(REPOSITORY / "tests" / "tiny.yaml", root / "tiny.yaml")
    (root / "videos").mkdir()
    for name in GOOD:
        shutil.copy2(studio_clip.video, root / "videos" / f"{name}.mp4")
    (root / "videos" / f"{BAD}.mp4").write_bytes(b"this is no video")
    return Workflow(root)
