"""The doctor on a cluster: a Slurm of scripts that answer as a site's would, with and without accounting."""

from pathlib import Path

import pytest

from pipeline.setup import doctor, doctor_slurm
from pipeline.setup.doctor import MISSING, OK, OPTIONAL, Part
from pipeline.setup.doctor_slurm import examine_slurm

PLUGIN = "snakemake-executor-plugin-slurm"
SAYS = {
    "sbatch": "",
    "squeue": "",
    "scancel": "",
    "scontrol": "echo 'Configuration data'; echo 'MinJobAge               = 300 sec'",
    "sinfo": 'case "$*" in *version*) echo slurm 22.05.8;; *) echo "cpu* (null)"; echo "big gpu:a100:4";; esac',
    "sacct": "echo 'Slurm accounting storage is disabled' >&2; exit 1",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a Slurm on the path; call it with commands that answer otherwise, None for one that is not there."""
    monkeypatch.setattr(doctor, "version", lambda name: "2.6.1")

    def build(status: str = "squeue", **others: str | None) -> dict[str, Part]:
        for name, answer in (SAYS | others).items():
            path = tmp_path / name
            path.unlink(missing_ok=True)
            if answer is not None:
                path.write_text(f"#!/bin/sh\n{answer}\n")
                path.chmod(0o755)
        profile = tmp_path / doctor_slurm.PROFILE
        profile.parent.mkdir(parents=True, exist_ok=True)
        profile.write_text(f"slurm-status-command: {status}\n")
        (tmp_path / "pyproject.toml").write_text(f'[project.optional-dependencies]\nslurm = ["{PLUGIN}==2.6.1"]\n')
        monkeypatch.setattr(doctor_slurm, "ROOT", tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path))
        return {part.name: part for part in examine_slurm()}

    return build


def test_a_site_without_accounting(site) -> None:
    parts = site()
    assert (parts[PLUGIN].state, parts["commands"].found) == (OK, "slurm 22.05.8")
    assert parts["accounting"].state == OPTIONAL
    assert "accounting storage is disabled" in parts["accounting"].found
    assert parts["state of jobs"].state == OK
    assert parts["GPUs of nodes"].found == "partition big: gpu:a100:4"


def test_a_command_that_would_wait_for_ever_is_named(site) -> None:
    asked = site(status="sacct")["state of jobs"]
    assert (asked.state, asked.mend) == (MISSING, "write there slurm-status-command: squeue")
    forgetful = "echo 'MinJobAge               = 30 sec'"
    asked = site(scontrol=forgetful, sacct="")["state of jobs"]
    assert (asked.state, asked.mend) == (MISSING, "write there slurm-status-command: sacct")
    asked = site(scontrol=forgetful)["state of jobs"]
    assert asked.state == MISSING
    assert "MinJobAge=200" in asked.mend


def test_no_gpu_and_no_slurm(site) -> None:
    gpus = site(sinfo="echo 'cpu* (null)'")["GPUs of nodes"]
    assert (gpus.state, gpus.mend) == (OPTIONAL, f"write gpu: 0 under fit in {doctor_slurm.PROFILE}")
    lost = site(sbatch=None)["commands"]
    assert lost.state == MISSING
    assert "sbatch not on the path" in lost.found
    silent = site(scontrol="echo 'Unable to contact slurm controller' >&2; exit 1")["commands"]
    assert (silent.state, silent.found) == (MISSING, "Unable to contact slurm controller")
