"""The person to follow, for every backend that looks for people itself: found, chosen, and told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.errors import UserError
from pipeline.estimators.contact_sheet import write_contact_sheet
from pipeline.estimators.everybody import Everybody, Subject, find_everybody
from pipeline.estimators.settings import MasksSettings
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo

_FEW = 100  # px: less height than this gives too little to see limbs by
_ENOUGH = 256  # px: what mediapipe's landmark network looks at


def find_subject(
    directory: VideoDir, frames: Sequence[np.ndarray], settings: MasksSettings, provenance: Provenance
) -> tuple[Everybody, Subject]:
    """Everybody in the clip and the one to follow; writes people.jpg, and warns of others and of few pixels.

    Raises:
        UserError: nobody is in the sampled frames, or `masks.person` means nobody.
    """
    info = VideoInfo.load(directory.video)
    everybody = find_everybody(frames, settings.samples, settings.min_confidence)
    if not everybody.people:
        raise nobody(info, len(everybody.sampled))
    number, count = everybody.number(settings.person), len(everybody.people)
    sheet = directory.people if number is not None else directory.people_refused
    write_contact_sheet(sheet, frames, everybody, number, info.source.rsplit("/", 1)[-1], float(info.fps))
    if number is None:
        raise UserError(
            f"{info.source}: masks.person is {settings.person!r}, and nobody answers to it; {count} found "
            f"(0{f' to {count - 1}' if count > 1 else ''}), numbered on {sheet}: choose one there"
        )
    directory.people_refused.unlink(missing_ok=True)
    subject = everybody.subject(number)
    if subject.crowded:
        who = "the more prominent one" if number == 0 else f"number {number}"
        provenance.warn(
            f"{info.source}: more than one person is in the video ({subject.crowded} of {subject.sampled} sampled "
            f"frames); {who} is followed; {sheet} shows all, masks.person chooses another"
        )
    height = max(box[3] - box[1] for box in subject.boxes.values())
    if height < _FEW:
        longest = max(info.width, info.height)
        provenance.warn(
            f"{info.source}: the person is only {height:.0f} px high in the decoded frames of {info.width}x"
            f"{info.height}; if the video is larger, video.longest_side: {_even(longest * _ENOUGH / height)} gives "
            f"{_ENOUGH} px, otherwise cut the picture to where the person is"
        )
    provenance.facts |= {
        "people": count,
        "followed": number,
        "person_height_px": round(height),
        "crowded_samples": subject.crowded,
    }
    return everybody, subject


def nobody(info: VideoInfo, looked_at: int) -> UserError:
    return UserError(
        f"{info.source}: no person was found in {looked_at} frames spread over the video, decoded to {info.width}x"
        f"{info.height}; use a clip that shows one person from head to feet, raise video.longest_side if the person is "
        "small in a large picture, or bring masks of your own (masks.backend: import)"
    )


def _even(length: float) -> int:
    """Rounded up to a hundred px."""
    return int(-(-length // 100) * 100)
