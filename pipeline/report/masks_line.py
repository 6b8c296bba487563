"""What the fit made of the masks, in one line."""

import pandas as pd

from pipeline.evaluation.summary import number
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance


def masks_line(paths: VideoDir, summary: pd.DataFrame) -> str | None:
    """Whether the masks were refined, and with truth how much nearer to it; None where that was not asked for."""
    record = paths.provenance("fit")
    found = read_provenance(record)["facts"].get("masks") if record.is_file() else None
    if found is None:
        return None
    line = f"background plate: {found['background plate']}"
    if "exposure against the plate" in found:
        line += f", exposure {found['exposure against the plate']}"
    if "unknown" in found:
        line = f"refined by the fit; {line}; unknown {found['unknown']}"
    rows = summary[(summary["metric"] == "iou_mask_truth") & summary["refined"].notna()]
    if len(rows):
        line += f"; IoU with the true masks {number(rows['input'].iloc[0])} → {number(rows['refined'].iloc[0])}"
    return line
