"""The doctor's look at Slurm: the plugin, the commands, which of them tells the state of a job, and where GPUs are."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator

import yaml
from packaging.requirements import Requirement

from pipeline.setup.doctor import MISSING, OK, OPTIONAL, ROOT, SLURM, Part, package

PROFILE = "profiles/slurm/config.yaml"
# Snakemake asks after its jobs every 20 to 180 seconds; Slurm must not have forgotten one by then.
_LONGEST_SILENCE = 200


def examine_slurm() -> Iterator[Part]:
    """What runs on a cluster with Slurm need; without its commands nothing more can be said."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for line in project["optional-dependencies"]["slurm"]:
        yield package(SLURM, Requirement(line), "MIT", "pip install -e '.[slurm]'")
    lost = [name for name in ("sbatch", "squeue", "scancel", "scontrol", "sinfo") if shutil.which(name) is None]
    if lost:
        mend = "run this where jobs are submitted: a login node of the cluster"
        yield Part(SLURM, "commands", MISSING, f"{', '.join(lost)} not on the path", "GPL-2.0", mend)
        return
    answered, version = _ask("sinfo", "--version")
    settings = _ask("scontrol", "show", "config")
    if not settings[0]:
        yield Part(SLURM, "commands", MISSING, settings[1], "GPL-2.0", "ask the site: its Slurm does not answer here")
        return
    yield Part(SLURM, "commands", OK, version if answered else "there", "GPL-2.0")
    accounting, said = _ask("sacct", "--noheader", "--allocations", "--starttime", "now-1hour")
    found = "sacct answers" if accounting else f"none: {said}"
    yield Part(SLURM, "accounting", OK if accounting else OPTIONAL, found)
    yield _status_command(accounting, settings[1])
    yield _gpus()


def _status_command(accounting: bool, settings: str) -> Part:
    """Whether the profile asks after jobs by a command that answers here: by another one a run waits for ever."""
    age = int(match[1]) if (match := re.search(r"^MinJobAge\s*=\s*(\d+)", settings, re.MULTILINE)) else 0
    remembers = age >= _LONGEST_SILENCE
    fitting = [name for name, fits in (("squeue", remembers), ("sacct", accounting)) if fits]
    chosen = yaml.safe_load((ROOT / PROFILE).read_text(encoding="utf-8")).get("slurm-status-command", "sacct")
    found = f"{PROFILE} says {chosen}; finished jobs are remembered for {age} s (MinJobAge)"
    if chosen in fitting:
        return Part(SLURM, "state of jobs", OK, found)
    if fitting:
        return Part(SLURM, "state of jobs", MISSING, found, mend=f"write there slurm-status-command: {fitting[0]}")
    mend = f"ask the site for accounting, or for MinJobAge={_LONGEST_SILENCE} at least"
    return Part(SLURM, "state of jobs", MISSING, found, mend=mend)


def _gpus() -> Part:
    answered, said = _ask("sinfo", "--noheader", "--format=%P %G")
    rows = [row.split(maxsplit=1) for row in said.splitlines()] if answered else []
    found = [f"partition {row[0].rstrip('*')}: {row[1]}" for row in rows if len(row) == 2 and "gpu" in row[1]]
    if found:
        return Part(SLURM, "GPUs of nodes", OK, "; ".join(dict.fromkeys(found)))
    return Part(SLURM, "GPUs of nodes", OPTIONAL, "none", mend=f"write gpu: 0 under fit in {PROFILE}")


def _ask(*command: str) -> tuple[bool, str]:
    """Whether a command succeeds, and what it says: its output, or its complaint in one line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, " ".join(str(error).split())
    if done.returncode:
        return False, " ".join(done.stderr.split()) or f"{command[0]} ended with {done.returncode}"
    return True, done.stdout.strip()
