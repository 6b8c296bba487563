"""metrics.csv: every figure of a clip in long form, each row with its split and protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.formats.atomic import atomic_path
from pipeline.runtime.errors import UserError

COLUMNS = ("metric", "unit", "when", "scope", "key", "split", "protocol", "value", "footage")
STUDIO, REAL = "studio (synthetic)", "real video"
TRAIN, HELD_OUT, UNSEEN, ALL = "train", "held-out", "not seen", "all"


@dataclass(frozen=True)
class Metric:
    """What a metric is called, and what it means."""

    label: str
    unit: str  # "" where it has none
    higher_is_better: bool
    meaning: str  # for the report's glossary


METRICS = {
    "mpjpe": Metric(
        "MPJPE",
        "mm",
        False,
        "Mean distance of the 24 joints from the true ones, with the pelvis of both at the same place.",
    ),
    "pa_mpjpe": Metric(
        "PA-MPJPE",
        "mm",
        False,
        "The same after the rotation, scale and shift that fit each frame best: what is left is the pose itself.",
    ),
    "mpjpe_h36m17": Metric(
        "MPJPE, 17 joints",
        "mm",
        False,
        "The same of Human3.6M's 17 joints, found on both bodies by anatomy, with the middle of the hips at one place.",
    ),
    "pa_mpjpe_h36m17": Metric("PA-MPJPE, 17 joints", "mm", False, "These after the best rotation, scale and shift."),
    "mpjpe_h36m14": Metric(
        "MPJPE, 14 joints", "mm", False, "Of those 17 the limbs', the neck and the top of the head, as 3DPW is scored."
    ),
    "pa_mpjpe_h36m14": Metric("PA-MPJPE, 14 joints", "mm", False, "These after the best rotation, scale and shift."),
    "v2v": Metric(
        "V2V",
        "mm",
        False,
        "Mean distance of the mesh's vertices from the true ones, with the pelvis of both at the same place.",
    ),
    "mpjpe_global": Metric("MPJPE, global", "mm", False, "Mean distance of the joints in the camera frame, unaligned."),
    "v2v_global": Metric("V2V, global", "mm", False, "Mean distance of the vertices in the camera frame, unaligned."),
    "translation_error": Metric("Translation error", "mm", False, "Distance of the pelvis from the true one."),
    "acceleration_error": Metric(
        "Acceleration error", "m/s²", False, "Mean difference of the joints' accelerations from the true ones."
    ),
    "within_across": Metric(
        "Within one sigma, across the ray",
        "%",
        True,
        "Share of the joints' errors against the hips' middle that are no larger than the fit expects, on two axes "
        "across the line of sight: 68% is as it should be, less is too sure and more too unsure.",
    ),
    "within_along": Metric("Within one sigma, along the ray", "%", True, "The same along the line of sight."),
    "psnr": Metric(
        "PSNR", "dB", True, "How near the avatar's picture is to the frame: 10 log10(1 / mean squared difference)."
    ),
    "psnr_crop": Metric("PSNR, crop", "dB", True, "PSNR on the box around the person, where little is plain white."),
    "psnr_crop_refined": Metric(
        "PSNR, crop, refined masks", "dB", True, "The same, the person cut out by the masks that the fit refined."
    ),
    "psnr_crop_known": Metric(
        "PSNR, crop, what is known",
        "dB",
        True,
        "The same, over the pixels that count in the fit's losses: without a ball before the body, a hand that the "
        "masks have lost, motion blur. The fit itself says which these are.",
    ),
    "ssim": Metric("SSIM", "", True, "How alike the local structure of both pictures is; 1 for equal ones."),
    "ssim_crop": Metric("SSIM, crop", "", True, "SSIM on the box around the person."),
    "ssim_crop_refined": Metric(
        "SSIM, crop, refined masks", "", True, "The same, the person cut out by the masks that the fit refined."
    ),
    "psnr_head": Metric("PSNR, head", "dB", True, "PSNR on the square around the head."),
    "ssim_head": Metric("SSIM, head", "", True, "SSIM on the square around the head."),
    "psnr_hands": Metric("PSNR, hands", "dB", True, "PSNR on the squares around the hands, mean of both."),
    "ssim_hands": Metric("SSIM, hands", "", True, "SSIM on the squares around the hands, mean of both."),
    "lpips": Metric("LPIPS", "", False, "How unlike both pictures look to a trained network (AlexNet, version 0.1)."),
    "lpips_crop": Metric("LPIPS, crop", "", False, "LPIPS on the box around the person."),
    "iou_body": Metric(
        "Mask IoU, body",
        "",
        True,
        "Overlap of the body mesh's outline with the person's mask. Clothes and hair keep it below 1.",
    ),
    "iou_avatar": Metric("Mask IoU, avatar", "", True, "Overlap of the avatar's opacity with the person's mask."),
    "iou_body_refined": Metric(
        "Mask IoU, body, refined masks",
        "",
        True,
        "Overlap of the body mesh's outline with the masks that the fit refined.",
    ),
    "iou_avatar_refined": Metric(
        "Mask IoU, avatar, refined masks",
        "",
        True,
        "Overlap of the avatar's opacity with the masks that the fit refined.",
    ),
    "iou_body_truth": Metric(
        "True-mask IoU, body", "", True, "Overlap of the body mesh's outline with the person's true mask."
    ),
    "iou_avatar_truth": Metric(
        "True-mask IoU, avatar", "", True, "Overlap of the avatar's opacity with the person's true mask."
    ),
    "iou_mask_truth": Metric(
        "True-mask IoU, masks",
        "",
        True,
        "Overlap of the masks with the true ones: as the pipeline found them, and as the fit refined them.",
    ),
    "reprojection": Metric(
        "Reprojection",
        "px",
        False,
        "Distance in the image between the landmarks found and the same points of the body. The first pose was "
        "fitted to these landmarks, so it has the advantage here.",
    ),
    "reprojection_percent": Metric(
        "Reprojection",
        "% of height",
        False,
        "The same, as a share of the person's height in the image.",
    ),
    "kept_refined": Metric(
        "Refined motion kept",
        "%",
        True,
        "Share of the time, mean over the body's parts, in which the refined motion explains the video as well "
        "as the initial one or better. Elsewhere a part has its initial motion.",
    ),
    "w_mpjpe": Metric(
        "W-MPJPE",
        "mm",
        False,
        "Mean distance of the joints from the true ones in the world, over 100 frames, with the first two laid on the "
        "true ones: how far the path strays.",
    ),
    "wa_mpjpe": Metric("WA-MPJPE", "mm", False, "The same with all 100 frames laid on the true ones."),
    "path_error": Metric(
        "Path error", "% of the path", False, "Mean distance of the pelvis's path from the true one, over its length."
    ),
    "foot_height_p50": Metric(
        "Lowest foot, median", "cm", False, "Height of the lower foot's sole above the ground in half of the frames."
    ),
    "foot_height_p90": Metric(
        "Lowest foot, 90%", "cm", False, "The same in nine of ten frames. Who jumps or climbs is higher."
    ),
    "foot_sinking": Metric("Deepest sinking", "cm", False, "How far a sole goes under the ground in the worst frame."),
    "foot_sliding": Metric(
        "Foot sliding",
        "mm a frame",
        False,
        "What heels and toes that stand move along the ground from one frame to the next.",
    ),
    "jitter_world": Metric("Jitter, world", "m/s³", False, "Jitter of the joints in the world."),
    "jitter": Metric(
        "Jitter",
        "m/s³",
        False,
        "Mean jerk of the joints in the camera frame: third difference of positions times fps³. "
        "Far below the truth's own it means that motion was smoothed away.",
    ),
    "acceleration": Metric(
        "Acceleration", "m/s²", False, "Mean acceleration of the joints: second difference of positions times fps²."
    ),
}


class MetricTable:
    """Collects the figures of one clip."""

    def __init__(self, footage: str, splits: np.ndarray) -> None:
        """
        Args:
            footage: STUDIO or REAL; stands in every row, so that nobody averages the two unawares.
            splits: TRAIN, HELD_OUT or UNSEEN for each frame of the clip. (T,) str
        """
        self.footage = footage
        self.splits = np.asarray(splits)
        self._rows: list[tuple[str, str, str, str, str, str, str, float, str]] = []

    def add(
        self,
        metric: str,
        when: str,
        protocol: str,
        values: np.ndarray,  # (F,) or (F, P), NaN = not measured
        frames: Sequence[int] | np.ndarray,  # (F,) frame number of each row of values
        points: Sequence[str] = (),  # (P,) names; with them there are rows for each point
    ) -> None:
        """Add the mean over each split, over all where the frames are of every split that the clip has, and the value
        of each frame and of each point.

        Args:
            metric: a key of METRICS.
            when: "initial", "refined", "avatar", "input" (the masks that came in) or "truth".
            protocol: how the figure was made, for people; stands beside it wherever it is shown.
            values: in the metric's unit. Means leave NaN out; what holds only NaN gets no row.
            frames: frame numbers.
            points: names of the joints or landmarks.
        """
        values = np.asarray(values, np.float64)
        values = values[:, None] if values.ndim == 1 else values
        if len(values) != len(frames) or (points and len(points) != values.shape[1]):
            sizes = f"{values.shape}, {len(frames)} frames, {len(points)} points"
            raise ValueError(f"{metric}: values, frames and points do not fit: {sizes}")
        splits = self.splits[np.asarray(frames, int)]
        present = [name for name in (TRAIN, HELD_OUT, UNSEEN) if (splits == name).any()]
        whole = ALL if set(present) == set(self.splits) else " and ".join(present)
        if whole == ALL:
            self._row(metric, when, "all", "", ALL, protocol, values)
        for split in present:
            self._row(metric, when, "all", "", split, protocol, values[splits == split])
        for frame, split, row in zip(frames, splits, values):
            self._row(metric, when, "frame", str(int(frame)), str(split), protocol, row)
        for name, column in zip(points, values.T):
            self._row(metric, when, "joint", name, whole, protocol, column)

    def add_motion(self, metric: str, when: str, protocol: str, values: np.ndarray, frames: np.ndarray) -> None:
        """Add values (F, P) that span several frames, and so belong to no split: rows for all and for each frame."""
        self._row(metric, when, "all", "", ALL, protocol, values)
        for frame, row in zip(frames, values):
            self._row(metric, when, "frame", str(int(frame)), ALL, protocol, row)

    def _row(self, metric: str, when: str, scope: str, key: str, split: str, protocol: str, values: np.ndarray) -> None:
        known = values[~np.isnan(values)]
        if known.size:
            unit = METRICS[metric].unit
            self._rows.append((metric, unit, when, scope, key, split, protocol, float(known.mean()), self.footage))

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self._rows, columns=list(COLUMNS))


def write_metrics(path: str | Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def read_metrics(path: str | Path) -> pd.DataFrame:
    """Read a metrics.csv. Raises UserError naming the file and the column that is wrong."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: not found; run the stage evaluate first")
    try:
        table = pd.read_csv(path, dtype={"key": str, "unit": str}, keep_default_na=False)
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a table of metrics, could not read it ({error})") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise UserError(f"{path}: column {missing[0]!r} is missing; run the stage evaluate again")
    unknown = sorted(set(table["metric"]) - set(METRICS))
    if unknown:
        raise UserError(f"{path}: unknown metric {unknown[0]!r}; run the stage evaluate again")
    table["value"] = pd.to_numeric(table["value"], errors="coerce")
    if table["value"].isna().any():
        line = int(table.index[table["value"].isna()][0]) + 2
        raise UserError(f"{path}: line {line} holds no number in column 'value'; run the stage evaluate again")
    return table
