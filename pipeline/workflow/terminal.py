"""What a run says on the terminal: a line a job as it starts and as it ends.

Snakemake's own account, with all inputs and reasons, goes to .snakemake/log/ as ever; -n, -p and --verbose show it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

LOCKED = (
    "error: this folder is locked: another snakemake works here, or one was killed. "
    "If none runs: snakemake --unlock, then run it again; a killed fit goes on from its checkpoint"
)
# Said once a job, or at the end in other words, or of no use to a reader.
_DROPPED = re.compile(
    r"^(host: |Conda environments: |Assuming unrestricted shared|Using shell: |Provided |Select jobs to execute"
    r"|Storing output in storage|Removing output files of failed job|Complete log\(s\)|Elapsed time"
    r"|(Storing in|Retrieving from) storage:|Finished (upload|retrieval)\.|Removing local copy of storage file"
    r"|Skipped removing non-empty directory|Activating singularity image|Singularity containers: "
    r"|Exiting because a job execution failed|(WorkflowError:\s+)?At least one job did not complete"
    r"|(localrule|rule) all|RuleException:\s+CalledProcessError)"
)
_QUIET = ("all", "refuse")  # rules without work: what the latter has to say stands at the end
_SILENT = (LogEvent.JOB_STARTED, LogEvent.PROGRESS, LogEvent.GROUP_INFO, LogEvent.RESOURCES_INFO)


class RunLines(logging.Formatter):
    """Formats Snakemake's events as short lines; an empty one is not printed."""

    def __init__(self, default: logging.Formatter, workflow: Any) -> None:
        super().__init__()
        self._default = default
        self._workflow = workflow
        self._started: dict[int, float] = {}  # time.monotonic() by job; not all executors tell of it
        self._titles: dict[int, str] = {}
        self._done = 0
        self._total = 0
        self._formats = {
            LogEvent.RUN_INFO: self._run_begins,
            LogEvent.JOB_INFO: self._job_starts,
            LogEvent.JOB_FINISHED: self._job_ends,
            LogEvent.JOB_ERROR: self._job_fails,
            LogEvent.GROUP_ERROR: self._group_fails,
        }

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "event", None)
        if event in self._formats:
            return self._formats[event](record.__dict__)
        if event in _SILENT:
            return ""
        text = self._default.format(record)
        if "Directory cannot be locked" in text:
            return LOCKED
        return "" if _DROPPED.search(text) else text

    def _run_begins(self, told: Mapping[str, Any]) -> str:
        counts = {rule: count for rule, count in told["stats"].items() if rule not in (*_QUIET, "total")}
        self._total = sum(counts.values())
        return f"{self._total} jobs to run: {', '.join(f'{count} {rule}' for rule, count in counts.items())}"

    def _job_starts(self, told: Mapping[str, Any]) -> str:
        self._started[told["jobid"]] = time.monotonic()
        return "" if told["rule_name"] in _QUIET else f"{self._title(told['jobid'])}: started"

    def _job_ends(self, told: Mapping[str, Any]) -> str:
        name = self._title(told["job_id"])
        if name == "all":
            return ""
        self._done += 1
        started = self._started.get(told["job_id"])
        took = "" if started is None else f" in {time.monotonic() - started:.0f} s"
        return f"{name}: done{took} [{self._done} of {self._total}]"

    def _job_fails(self, told: Mapping[str, Any]) -> str:
        log = ", ".join(told["log"]) or ".snakemake/log"
        return "" if told["rule_name"] in _QUIET else f"{self._title(told['jobid'])}: failed; see {log}"

    def _title(self, jobid: int) -> str:
        if jobid not in self._titles:
            dag = self._workflow.dag
            self._titles |= {dag.jobid(job): title(job) for job in dag.jobs}
        return self._titles.get(jobid, "a job")

    def _group_fails(self, told: Mapping[str, Any]) -> str:
        return "\n".join(map(self._job_fails, told["job_error_info"]))


class _RunHandler(logging.StreamHandler):
    """Prints what is not empty."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record).strip("\n")
        if text:
            self.stream.write(text + self.terminator)
            self.flush()


def title(job: Any) -> str:
    """What a job of Snakemake's is about: "juggle · fit"."""
    return " · ".join([*map(str, job.wildcards_dict.values()), job.rule.name])


def attach(logger: logging.Logger, workflow: Any) -> None:
    """Put the short lines in the place of Snakemake's, unless a logger plugin of the user's writes to the terminal."""
    for handler in list(logger.handlers):
        if handler.get_name() != "DefaultStreamHandler":
            continue
        short = _RunHandler(handler.stream)
        short.filters = handler.filters
        short.setFormatter(RunLines(handler.formatter, workflow))
        logger.removeHandler(handler)
        logger.addHandler(short)
