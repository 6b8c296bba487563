"""summary.json: what the page says, for scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.camera.intrinsics import clip_camera
from pipeline.evaluation.summary import WHENS, summarise
from pipeline.evaluation.table import METRICS, STUDIO, read_metrics
from pipeline.formats.paths import VideoDir
from pipeline.formats.video import VideoInfo
from pipeline.report import sections
from pipeline.report.gist import gist


def build_summary(directory: Path) -> dict[str, Any]:
    """The clip, the verdict, every figure over a whole split, warnings, seconds of each stage and the files.

    A figure that was not measured has no key. Arguments and errors as `build_page`.
    """
    paths = VideoDir(directory)
    table, info, camera = read_metrics(paths.metrics), VideoInfo.load(paths.video), clip_camera(paths)
    summary, runs, verdict = summarise(table, paths.name), sections.stage_runs(paths), sections.verdict(paths)
    gained, distrust = gist(paths, summary, camera)
    return {
        "video": paths.name,
        "synthetic": bool((table["footage"] == STUDIO).any()),
        "frames": info.frames,
        "fps": float(info.fps),
        "size": [info.width, info.height],
        "K": camera.K.tolist(),
        "K_source": camera.K_source,
        "verdict": None if verdict is None else {"good": verdict.good, "words": verdict.words},
        "gained": gained,
        "distrust": distrust,
        "metrics": _metrics(summary),
        "warnings": [{"stage": run.name, "text": text} for run in runs for text in run.warnings],
        "seconds": {run.name: run.seconds for run in runs},
        "files": {
            path.relative_to(paths.root).as_posix(): path.stat().st_size
            for folder in (paths.exports, paths.renders, paths.fit)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        },
    }


def _metrics(summary: Any) -> dict[str, Any]:
    """By metric: unit, which way is better, and by split the values before, after, of the avatar and of the truth."""
    found: dict[str, Any] = {}
    for row in summary.itertuples():
        metric = METRICS[row.metric]
        about = {"unit": metric.unit, "higher_is_better": metric.higher_is_better, "splits": {}}
        values = {when: value for when in WHENS if (value := getattr(row, when)) == value}  # no NaN in JSON
        found.setdefault(row.metric, about)["splits"][row.split] = values | {"protocol": row.protocol}
    return found
