"""Figures of the motion in its world: feet on the ground, feet that slide, jitter, the path against the true one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.body import BodyModel
from pipeline.camera.feet import Feet, feet_of
from pipeline.camera.world import as_in_world, stand, with_world
from pipeline.evaluation.against_truth import Truth
from pipeline.evaluation.clip import Clip
from pipeline.evaluation.pose_metrics import distances, jitter, similarity, transformed
from pipeline.evaluation.table import MetricTable
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose

_STANDS = 0.5  # probability from which a part of a foot is taken to stand
_SEGMENT = 100  # frames (WHAM: lib/eval/evaluate_emdb.py)
_LEAST_PATH = 1.0  # metres: of a shorter path no share is told
_CM, _MM = 100.0, 1000.0
_UP = np.array([0.0, 1.0, 0.0])


def world_figures(table: MetricTable, clip: Clip) -> None:
    """Add how feet stand, and the jitter, of both motions."""
    for when, pose in clip.poses():
        add_feet(table, when, with_world(pose, clip.body), clip.body)


def world_errors(table: MetricTable, clip: Clip, truth: Truth, folder: Path) -> None:
    """Add the same figures of the truth, and the errors of both motions' paths in the world.

    Args:
        folder: of the truth; its camera_track.npz tells how the camera moved, else it stood still.
    """
    path = VideoDir(folder).camera_track
    track = CameraTrack.load(path) if path.is_file() else CameraTrack.static(1 + truth.rows.max(), "stood still")
    poses = track.world_from_camera[truth.rows]
    track = replace(track, world_from_camera=np.linalg.inv(poses[0]) @ poses, sigma=track.sigma[truth.rows])
    add_feet(table, "truth", stand(truth.pose, truth.body, track, rest=False).pose, truth.body)
    frames = np.flatnonzero(truth.pose.valid)
    target = feet_of(truth.pose, truth.body).moved(track.world_from_camera).joints[frames]
    for when, pose in clip.poses():
        joints = feet_of(as_in_world(with_world(pose, clip.body)), clip.body).joints[frames]
        base = f"{truth.name}, {len(frames)} of {len(clip)} frames; 24 SMPL joints in the world"
        for metric, first, how in (
            ("w_mpjpe", 2, f"segments of {_SEGMENT} frames, a similarity from their first two"),
            ("wa_mpjpe", _SEGMENT, f"segments of {_SEGMENT} frames, a similarity from all"),
        ):
            table.add(metric, when, f"{base}; {how}", _MM * segment_errors(joints, target, first), frames)
        share = path_error(joints[:, 0], target[:, 0])
        how = f"{truth.name}; pelvis in the world, one rigid motion for the clip, mean error over the path's length"
        table.add_motion("path_error", when, how, np.array([[share]]), np.array([], int))


def segment_errors(joints: np.ndarray, target: np.ndarray, first: int) -> np.ndarray:
    """Distances (T, J) after one similarity for each segment, found from its first frames.

    Args:
        joints: (T, J, 3) metres, in a world.
        target: (T, J, 3), in a world of its own.
        first: frames of a segment that the similarity is found from.
    """
    errors = []
    for start in range(0, len(joints), _SEGMENT):
        mine, theirs = joints[start : start + _SEGMENT], target[start : start + _SEGMENT]
        found = similarity(mine[:first].reshape(1, -1, 3), theirs[:first].reshape(1, -1, 3))
        errors.append(distances(transformed(mine.reshape(1, -1, 3), *found).reshape(mine.shape), theirs))
    return np.concatenate(errors)


def path_error(path: np.ndarray, target: np.ndarray) -> float:
    """Mean distance of two paths (T, 3) after one rigid motion, % of the target's length; NaN where that is short."""
    length = float(np.linalg.norm(np.diff(target, axis=0), axis=1).sum())
    if length < _LEAST_PATH:
        return float("nan")
    _, rotation, _ = similarity(path[None], target[None])
    turned = (path - path.mean(0)) @ rotation[0].T + target.mean(0)
    return float(100 * distances(turned, target).mean() / length)


def sliding(feet: Feet, contact: np.ndarray) -> np.ndarray:
    """(T - 1, 4) metres that each part goes along the ground to the next frame; NaN where it does not stand in both."""
    stands = (contact[1:] > _STANDS) & (contact[:-1] > _STANDS)
    gone = np.linalg.norm(np.diff(feet.middles, axis=0)[..., [0, 2]], axis=2)
    return np.where(stands, gone, np.nan)


def add_feet(table: MetricTable, when: str, pose: Pose, body: BodyModel) -> None:
    feet = feet_of(as_in_world(pose), body)
    lowest = feet.heights(_UP).min(axis=1)
    frames = np.arange(len(pose))
    where = f"soles of the body mesh above the ground of the clip's world, {len(pose)} frames"
    for metric, value in (
        ("foot_height_p50", np.quantile(lowest, 0.5)),
        ("foot_height_p90", np.quantile(lowest, 0.9)),
        ("foot_sinking", max(0.0, -lowest.min())),
    ):
        table.add_motion(metric, when, where, _CM * np.array([[value]]), np.array([], int))
    if len(pose) > 1:
        how = (
            f"heels and toes whose contact is above {_STANDS:g} in both frames, along the ground, {pose.fps:g} frames/s"
        )
        table.add_motion("foot_sliding", when, how, _MM * sliding(feet, pose.contact), frames[:-1])
    if len(pose) > 3:
        how = f"mean length of third differences times fps³, 24 joints in the world, {pose.fps:g} frames/s"
        table.add_motion("jitter_world", when, how, jitter(feet.joints, pose.fps), frames[1:-2])
