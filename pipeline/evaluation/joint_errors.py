"""Errors of twelve measured joints: positions, along the ray and across it, place, and angles. NumPy, float64.

Joints are (T, 12, 3) metres in the order of `formats.joint_truth.NAMES`, ok (T, 12) bool. Each mean is over all joints
and frames that are ok, so no frame without both hips counts where the hips' middle is needed.
"""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.pose_metrics import distances, procrustes_align, within_sigma
from pipeline.formats.joint_truth import NAMES

_HIPS = [NAMES.index(name) for name in ("r_hip", "l_hip")]
# Each angle lies at its second joint, between the ways to the first and to the third.
_ANGLES = {
    "knee": ("hip", "knee", "ankle"),
    "hip": ("shoulder", "hip", "knee"),
    "elbow": ("shoulder", "elbow", "wrist"),
    "shoulder": ("hip", "shoulder", "elbow"),
}
# Lines across the body, that tell where it faces.
_ACROSS = [[NAMES.index(f"{side}_{part}") for side in "rl"] for part in ("hip", "shoulder")]
_LEAST_JOINTS = 6  # of a frame, for a similarity to say anything
_MM = 1000.0


def joint_errors(found: np.ndarray, truth: np.ndarray, ok: np.ndarray, in_camera: bool) -> dict[str, float]:
    """All figures of one motion.

    Args:
        found: (T, 12, 3) joints in the camera's axes, or, of another method, in those of the truth.
        truth: (T, 12, 3).
        ok: (T, 12).
        in_camera: whether both are in one camera's axes. Else the truth's world is turned once, for the whole clip,
            to where the joints about the hips' middle fit best, and nothing is said of rays and place.

    Returns:
        mpjpe, pa_mpjpe, along, across (mm), place (m), turned (% of the frames), knee, hip, elbow, shoulder (degrees);
        NaN where nothing was measured that it needs.
    """
    hips = ok[:, _HIPS].all(1)
    found_middle, middle = (joints[:, _HIPS].mean(1, keepdims=True) for joints in (found, truth))
    about, true_about = found - found_middle, truth - middle
    seen = ok & hips[:, None]
    if not in_camera:
        about = about @ best_rotation(about[seen], true_about[seen]).T
    error = about - true_about
    figures = {"mpjpe": _mean(np.linalg.norm(error, axis=2), seen), "pa_mpjpe": _aligned(found, truth, ok)}
    figures |= dict.fromkeys(("along", "across", "place"), np.nan)
    if in_camera:
        rays = truth / np.maximum(np.linalg.norm(truth, axis=2, keepdims=True), 1e-9)
        along = (error * rays).sum(2, keepdims=True)
        figures["along"] = _mean(np.abs(along[..., 0]), seen)
        figures["across"] = _mean(np.linalg.norm(error - along * rays, axis=2), seen)
        figures["place"] = _mean(distances(found_middle, middle), hips[:, None])
    figures |= {name: figures[name] * _MM for name in ("mpjpe", "pa_mpjpe", "along", "across")}
    figures["turned"] = 100 * _turned_round(about, true_about, seen)
    return figures | angle_errors(found, truth, ok)


def calibration(
    found: np.ndarray, truth: np.ndarray, ok: np.ndarray, in_camera: bool, sigma: np.ndarray
) -> dict[str, float]:
    """How many of the errors about the hips' middle lie within one standard deviation; 68% is as it should be.

    Args:
        found: (T, 12, 3) joints in the camera's axes.
        truth, ok, in_camera: as of `joint_errors`.
        sigma: (T, 12, 2) metres across and along the ray.

    Returns:
        within_across and within_along, %; across, each of two axes counts. NaN where no hips were measured.
    """
    hips = ok[:, _HIPS].all(1)
    about, true_about = (joints - joints[:, _HIPS].mean(1, keepdims=True) for joints in (found, truth))
    seen = ok & hips[:, None]
    if not in_camera:
        true_about = true_about @ best_rotation(about[seen], true_about[seen])
    across, along = within_sigma(about - true_about, found, sigma)
    return {"within_across": 100 * _mean(across, seen), "within_along": 100 * _mean(along, seen)}


def best_rotation(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) that brings points (N, 3) nearest to their targets, by least squares (Kabsch 1976)."""
    u, _, vt = np.linalg.svd(target.T @ points)
    return u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt


def angles(joints: np.ndarray) -> dict[str, np.ndarray]:
    """Angles at knee, hip, elbow and shoulder, (T, 2) degrees, right and left: 180 where straight."""
    values = {}
    for name, parts in _ANGLES.items():
        first, at, last = (joints[:, [NAMES.index(f"{side}_{part}") for side in "rl"]] for part in parts)
        one, other = first - at, last - at
        sine = np.linalg.norm(np.cross(one, other), axis=2)
        values[name] = np.degrees(np.arctan2(sine, (one * other).sum(2)))
    return values


def angle_errors(found: np.ndarray, truth: np.ndarray, ok: np.ndarray) -> dict[str, float]:
    """Mean absolute error of each of `angles`, degrees."""
    mine, theirs = angles(found), angles(truth)
    figures = {}
    for name, parts in _ANGLES.items():
        seen = np.stack([ok[:, [NAMES.index(f"{side}_{part}") for part in parts]].all(1) for side in "rl"], axis=1)
        figures[name] = _mean(np.abs(mine[name] - theirs[name]), seen)
    return figures


def _turned_round(about: np.ndarray, true_about: np.ndarray, seen: np.ndarray) -> float:
    """Share of the frames in which hips or shoulders lie more than 90 degrees from where they should: left is right."""
    line, true_line = (np.diff(joints[:, _ACROSS], axis=2)[:, :, 0] for joints in (about, true_about))
    away = ((line * true_line).sum(2) < 0) & seen[:, _ACROSS].all(2)
    return _mean(away.any(1).astype(float), seen[:, _HIPS].all(1))


def _aligned(found: np.ndarray, truth: np.ndarray, ok: np.ndarray) -> float:
    """Mean distance after a similarity a frame, over the joints that are ok, metres."""
    errors = []
    for seen in np.unique(ok, axis=0):
        if seen.sum() < _LEAST_JOINTS:
            continue
        frames = (ok == seen).all(1)
        mine, theirs = found[frames][:, seen], truth[frames][:, seen]
        errors.append(distances(procrustes_align(mine, theirs), theirs).ravel())
    return float(np.concatenate(errors).mean()) if errors else np.nan


def _mean(values: np.ndarray, seen: np.ndarray) -> float:
    return float(values[seen].mean()) if seen.any() else np.nan
