"""How sure the fit is of hands and feet, as curves with bands."""

import numpy as np
import torch
from markupsafe import Markup

from pipeline.body import JOINT_NAMES, load_body
from pipeline.evaluation.clip import joints_of
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.report import figures
from pipeline.runtime.errors import UserError

_HIPS = [JOINT_NAMES.index(f"{side}_hip") for side in ("left", "right")]
_SHOWN = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")
_CM = 100.0


@torch.no_grad()
def sure_charts(paths: VideoDir, body_model: str) -> list[tuple[str, str, Markup]]:
    """Label, unit and SVG of each joint's place along the line of sight; none where the fit did not say how sure it is.

    Raises:
        UserError: the motion is of another body.
    """
    refined = Pose.load(paths.pose_refined) if paths.pose_refined.is_file() else None
    if refined is None or refined.sigma is None:
        return []
    body, initial = load_body(body_model), Pose.load(paths.pose_init)
    if body.name != refined.body_model:
        raise UserError(
            f"{paths.pose_refined}: was made with the body {refined.body_model!r}, --body-model gives {body.name!r}; "
            "name the body it was made with"
        )
    before, after = (joints_of(body, pose) for pose in (initial, refined))
    charts = []
    for name in _SHOWN:
        joint = JOINT_NAMES.index(name)
        curves = (_CM * behind_hips(joints, joint) for joints in (before, after))
        label = name.replace("_", " ")
        svg = figures.band_chart(*curves, _CM * refined.sigma[:, joint, 1], f"{label} over the frames, with its band")
        charts.append((label.capitalize(), "cm behind the hips", Markup(svg)))
    return charts


def behind_hips(joints: np.ndarray, joint: int) -> np.ndarray:
    """How much farther a joint is than the hips' middle along the ray to it, (T, 24, 3) -> (T,) metres."""
    ray = joints[:, joint] / np.linalg.norm(joints[:, joint], axis=1, keepdims=True)
    return ((joints[:, joint] - joints[:, _HIPS].mean(1)) * ray).sum(1)
