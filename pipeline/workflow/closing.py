"""The end of a run: what became of each video, and the table of those that are done when some are not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.evaluation.summary import aggregate, headlines, number, summarise, write_summary
from pipeline.evaluation.table import METRICS, read_metrics
from pipeline.workflow.results import Results
from pipeline.workflow.terminal import title

_SHOWN = ("mpjpe", "pa_mpjpe", "iou_body", "psnr_crop")  # of a video's figures, in the last lines


@dataclass(frozen=True)
class Ending:
    """What became of a job, as Snakemake's graph tells."""

    stage: str
    video: str  # empty: of no one video
    title: str  # of the job
    written: tuple[Path, ...]  # its logs that are there: none where it did not begin
    needed: bool  # it had to run
    finished: bool
    ready: bool  # all that it waits for was there


def endings(dag: Any) -> list[Ending]:
    """Of all jobs of Snakemake's graph."""
    return [
        Ending(
            stage=job.rule.name,
            video=job.wildcards_dict.get("video", ""),
            title=title(job),
            written=tuple(path for path in map(Path, job.log) if path.is_file()),
            needed=dag.needrun(job),
            finished=dag.finished(job),
            ready=all(not dag.needrun(other) or dag.finished(other) for other in dag.dependencies[job]),
        )
        for job in dag.jobs
    ]


def reason(job: Ending) -> str:
    """The line in which a job said why it failed, or where to look for it."""
    if not job.written:
        return f"{job.stage} did not begin"
    for log in job.written:
        text = log.read_text(encoding="utf-8", errors="replace")
        told = re.findall(r"^(?:\d\d:\d\d:\d\d )?error: (.*)$", text, re.MULTILINE)
        if told:
            return told[-1]
    return f"{job.stage}: ended without a word (out of memory, or killed?); see {job.written[0]}"


def gather(jobs: list[Ending], results: Results) -> None:
    """Write results/metrics.csv of the videos whose figures are of this run's settings, where not all are."""
    if not any(job.stage == "aggregate" and job.needed and not job.finished for job in jobs):
        return
    current = sorted(job.video for job in jobs if job.stage == "evaluate" and (job.finished or not job.needed))
    tables = list(filter(None, [results.read(f"{video}/metrics.csv") for video in current]))
    if tables:
        summary = aggregate([table.parent for table in tables])
        results.write("metrics.csv", lambda path: write_summary(path, summary))
    else:
        results.remove("metrics.csv")


def last_words(jobs: list[Ending], results: Results) -> list[str]:
    """A line for each video of which a job had to run: done, not done, failed; then for each other job that failed."""
    done, failed, unbegun, unchanged = [], [], [], 0
    by_video: dict[str, list[Ending]] = {}
    for job in jobs:
        if job.video:
            by_video.setdefault(job.video, []).append(job)
    width = max(map(len, by_video), default=0)
    for video, own in sorted(by_video.items()):
        open_jobs = [job for job in own if job.needed and not job.finished]
        if open_jobs:
            stopped = [job for job in open_jobs if job.ready] or open_jobs
            page = results.where(f"{video}/report.html")
            old = f"; {page} is of an earlier run" if page else ""
            line = f"{'; '.join(map(reason, stopped))}{old}"
            if any(job.written for job in stopped):
                failed.append(f"{video:{width}}  failed    {line}")
            else:
                unbegun.append(f"{video:{width}}  not done  {line}")
        elif any(job.needed for job in own):
            done.append(f"{video:{width}}  done      {_figures(results, video)}")
        else:
            unchanged += 1
    others = [job for job in jobs if not job.video and job.needed and not job.finished and job.written]
    failed += [reason(job) if job.stage == "refuse" else f"{job.title}  failed    {reason(job)}" for job in others]
    if unchanged:
        done.append(f"{unchanged} {'video was' if unchanged == 1 else 'videos were'} up to date")
    return [*done, *unbegun, *failed]


def _figures(results: Results, video: str) -> str:
    """The figures that matter most and where the report is: "IoU 0.815 -> 0.840, … · results/a/report.html"."""
    table, page = results.read(f"{video}/metrics.csv"), results.where(f"{video}/report.html")
    parts = []
    if table:
        rows = headlines(summarise(read_metrics(table), video))
        for row in rows[rows["metric"].isin(_SHOWN)].itertuples():
            metric = METRICS[row.metric]
            values = [number(value) for value in (row.initial, row.refined, row.avatar) if number(value)]
            parts.append(f"{metric.label} {' -> '.join(values)} {row.unit}".strip())
    return " · ".join(filter(None, [", ".join(parts), page]))
