"""Where the person is in each frame, for pose networks that look at crops."""

from collections.abc import Sequence

import numpy as np

from pipeline.estimators.settings import PoseSettings
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import Box, mask_box
from pipeline.runtime.errors import UserError


def person_boxes(masks: Sequence[np.ndarray], info: VideoInfo, settings: PoseSettings) -> dict[int, Box]:
    """By frame the box around the person on the masks, px; frames without one are left out.

    Raises:
        UserError: too few masks show the person.
    """
    boxes = {index: box for index in range(len(masks)) if (box := mask_box(masks[index])) is not None}
    least = settings.least(info.frames)
    if len(boxes) < least:
        raise UserError(
            f"{info.source}: the person is in {len(boxes)} of {info.frames} masks, at least {least} are needed "
            "(pose.min_frames, pose.min_valid_fraction)"
        )
    return boxes
