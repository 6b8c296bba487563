"""The workflow on Slurm: GPUs shared out, a bad video, Ctrl-C, jobs killed. One story, its parts in this order."""

import os
import re
import signal
import subprocess

import pytest
from on_slurm import BAD, GOOD, Run, Workflow, fit_processes, queue

KILLED = GOOD[0]


@pytest.mark.parametrize("form", ["--workflow-profile", "--profile"])
def test_both_forms_of_the_command_ask_for_the_same(workflow: Workflow, form: str) -> None:
    """With --profile, profiles/default is laid over profiles/slurm: its cores are those of this machine."""
    run = workflow.start("--dry-run", profile=form)
    assert run.wait() == 0, run.text
    fits = re.findall(r"^rule fit:.*?^\s+threads: (\d+)$\s+resources: (.*?)$", run.text, re.MULTILINE | re.DOTALL)
    assert len(fits) == len(GOOD) + 1
    for threads, resources in fits:
        assert threads == "4"
        assert {"gpu=1", "mem_mb=3000", "runtime=45"} <= set(resources.split(", "))


def test_interrupted(workflow: Workflow) -> None:
    """Ctrl-C while fits run, by the form of the command that is the harder one: no job is left in the queue."""
    run = workflow.start(profile="--profile")
    run.until(lambda: run.watch.fits_at_once == 2 and len(fit_processes()) == 2)
    run.until(lambda: frozenset({"0", "1"}) in run.watch.gpus_at_once)
    run.settle(15)  # what the plugin hands in after Ctrl-C stays in the queue
    run.interrupt()
    assert run.wait(120) != 0
    assert queue() == []
    assert run.watch.fits_at_once == 2


@pytest.fixture(scope="module")
def resumed(workflow: Workflow) -> Run:
    """The run after that one, in which a fit is killed as the kernel kills what takes too much memory."""
    run = workflow.start()
    run.until(lambda: fit_processes(KILLED))
    for process, _ in fit_processes(KILLED):
        os.kill(process, signal.SIGKILL)
    run.wait()
    return run


def test_all_good_videos_are_done(resumed: Run, workflow: Workflow) -> None:
    lost = [name for name in GOOD if not workflow.result(name, "report.html").is_file()]
    assert not lost, resumed.text
    assert queue() == []


def test_the_bad_one_is_named(resumed: Run, workflow: Workflow) -> None:
    assert resumed.process.returncode != 0
    assert f"videos/{BAD}.mp4" in resumed.text
    assert not workflow.result(BAD, "report.html").exists()


def test_fits_run_side_by_side_each_on_a_gpu_of_its_own(resumed: Run) -> None:
    assert resumed.watch.fits_at_once == 2
    assert resumed.watch.gpus == {"0", "1"}
    assert frozenset({"0", "1"}) in resumed.watch.gpus_at_once


def test_the_killed_fit_is_tried_again_with_twice_the_memory(resumed: Run) -> None:
    asked = [int(re.search(r": (\d+)M", line)[1]) for line in resumed.watch.memory[KILLED]]
    assert len(asked) == 2
    assert asked[1] == 2 * asked[0]


def test_nothing_is_left_to_do_but_the_bad_one(resumed: Run, workflow: Workflow) -> None:
    run = workflow.start("--dry-run", "--quiet", "rules")
    assert run.wait() == 0
    planned = dict(re.findall(r"^(\w+) +(\d+)$", run.text, re.MULTILINE))
    stages = ("decode", "masks", "landmarks", "camera", "pose", "fit", "evaluate", "render", "export", "report")
    assert {stage: planned.get(stage) for stage in stages} == dict.fromkeys(stages, "1")


def test_a_job_that_slurm_requeues_goes_on(resumed: Run, workflow: Workflow) -> None:
    """As a preempted one, or one whose node died: Slurm starts it anew, and Snakemake waits for it."""
    name = GOOD[2]
    run = workflow.start("--forcerun", "fit", "--", f"results/{name}/fit/avatar.npz")
    run.until(lambda: fit_processes(name))
    (job,) = queue()
    subprocess.run(("scontrol", "requeue", job), check=True)
    assert run.wait() == 0, run.text
    assert len(run.watch.memory[name]) == 1


def test_slurm_kills_for_memory(resumed: Run, workflow: Workflow) -> None:
    """Where a fit asks for too little, Slurm kills it, and a later try has enough."""
    needs = workflow.root / "pipeline" / "workflow" / "needs.py"
    needs.write_text(re.sub(r'"fit": \(\d+', '"fit": (400', needs.read_text(encoding="utf-8")), encoding="utf-8")
    name = GOOD[1]
    run = workflow.start("--forcerun", "fit", "--", f"results/{name}/fit/avatar.npz")
    assert run.wait() == 0, run.text
    assert len(run.watch.memory[name]) >= 2
