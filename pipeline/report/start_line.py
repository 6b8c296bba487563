"""Where the first motion came from, in one line, where it is another tool's."""

from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance


def start_line(paths: VideoDir) -> str | None:
    """An imported motion's tool and person, and how well it covers the masks, as it came and set down; else None."""
    record = paths.provenance("pose")
    facts = read_provenance(record)["facts"] if record.is_file() else {}
    if "tool" not in facts:
        return None
    line = f"imported from {facts['tool']}, {facts['person']}"
    came, landed = (facts.get(f"outline overlap, {when}") for when in ("as imported", "set down"))
    if came is None:
        return line
    kept = "" if landed >= came else ", and left as it came"
    return f"{line}; overlap (IoU) of its outline and the masks {came:.3f} as it came, {landed:.3f} set down{kept}"
