"""Jobs in a container: what Snakemake asks of Apptainer, seen by a stand-in that notes it and runs the command here."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_workflow import NAME, Workflow, laid

from pipeline.runtime.errors import UserError
from pipeline.workflow.containers import to_bind

# Apptainer gives a job the variables of the host, but the PATH of the image: here a folder with a `python`.
APPTAINER = """#!/bin/sh
if [ "$1" = --version ]; then echo "apptainer version 1.3.4"; exit; fi
echo "$* | PYTHONPATH=$PYTHONPATH | APPTAINER_BIND=$APPTAINER_BIND" >> "$NOTES"
while [ "$1" != bash ]; do image=$1; shift; done
PATH=$image/bin:/usr/bin:/bin exec "$@"
"""
PYTHON = """#!/bin/sh
echo "in the image: $*" >> "$NOTES"
exec {python} "$@"
"""


@dataclass(frozen=True)
class Contained:
    """A workflow, an image beside it, and what the stand-in noted."""

    workflow: Workflow
    image: Path
    notes: Path

    def run(self, *arguments: str, container: str) -> subprocess.CompletedProcess[str]:
        return self.workflow.snakemake("--until", "camera", *arguments, changed=f"container: {container}")


@pytest.fixture
def contained(studio_clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Contained:
    commands = tmp_path / "commands"
    image = tmp_path / "image"
    for folder, name, text in ((commands, "apptainer", APPTAINER), (image / "bin", "python", PYTHON)):
        folder.mkdir(parents=True)
        (folder / name).write_text(text.format(python=sys.executable) if name == "python" else text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", "/of/the/host")
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    root = tmp_path / "workflow"
    root.mkdir()
    return Contained(laid(root, studio_clip), image, tmp_path / "notes")


def test_jobs_run_in_the_image_with_the_code_of_the_workflow(contained: Contained, tmp_path: Path) -> None:
    root = contained.workflow.root
    video, elsewhere = root / "videos" / f"{NAME}.mp4", tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(video, elsewhere)
    video.symlink_to(elsewhere / video.name)
    done = contained.run("--sdm", "apptainer", container=str(contained.image))
    assert done.returncode == 0, done.stdout + done.stderr
    notes = contained.notes.read_text(encoding="utf-8").splitlines()
    asked = [line for line in notes if line.startswith("exec ")]
    assert [line.split()[5] for line in notes if line.startswith("in the image: -m pipeline")] == ["decode", "depth"]
    assert len(asked) == 2
    for line in asked:
        assert f"--home {root} " in line and f" {contained.image} bash -c " in line
        assert f"PYTHONPATH={root} |" in line, "no package of the host's"
        assert line.endswith(f"APPTAINER_BIND={elsewhere}")


def test_an_image_alone_changes_nothing(contained: Contained) -> None:
    done = contained.run(container=str(contained.image))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not contained.notes.exists()


def test_a_missing_image_is_told(contained: Contained) -> None:
    none = contained.run("--sdm", "apptainer", container="null")
    assert none.returncode != 0
    assert "config.container: --sdm apptainer needs an image" in none.stderr
    gone = contained.run("--sdm", "apptainer", container="gone.sif")
    assert gone.returncode != 0
    assert "config.container: gone.sif: not found" in gone.stderr
    assert "Traceback" not in none.stderr + gone.stderr


def test_folders_outside_are_bound_by_both_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, data = tmp_path / "here", tmp_path / "data"
    (here / "results").mkdir(parents=True)
    data.mkdir()
    link = tmp_path / "link"
    link.symlink_to(data)
    monkeypatch.chdir(here)
    assert to_bind([Path("results"), link, link]) == [str(data), str(link)]
    with pytest.raises(UserError, match="comma or colon"):
        to_bind([tmp_path / "a,b"])
