"""What the camera did, in one line."""

from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance

_CAMERAS = {"static": "stands still", "turning": "turns on its place", "travelling": "travels"}


def camera_line(paths: VideoDir) -> str | None:
    """What the camera did and how it is tilted, in one line; None where no stage has looked."""
    record = paths.provenance("fit")
    world = read_provenance(record)["facts"].get("world") if record.is_file() else None
    if world is None:
        return None
    pitch, roll = world["pitch"], world["roll"]
    down = "down" if pitch >= 0 else "up"
    clockwise = "clockwise" if roll >= 0 else "counter-clockwise"
    doubt = [f" ± {world[f'{name}, sigma']:.1f}" if world[f"{name}, sigma"] else "" for name in ("pitch", "roll")]
    return (
        f"{_CAMERAS[world['camera']]}; it looks {down} by {abs(pitch):.1f}{doubt[0]} degrees, its picture is turned "
        f"{clockwise} by {abs(roll):.1f}{doubt[1]}; found from {world['tilt found from']}"
    )
