"""`python -m pipeline.accuracy.starts RESULTS TRUTH ...`: the start from landmarks without its parts.

RESULTS are folders results/<clip> whose landmarks.npz is there, each followed by its truth: a file of measured joints
(docs/datasets.md), or NAME.truth of a studio clip. Prints MPJPE / PA-MPJPE, mm, of twelve anatomical joints of the
initial motion: as the config makes it, and by each of the starts from landmarks of config/benchmark.yaml. No fit is
made.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.accuracy.measured import frame_times, limb_joints
from pipeline.accuracy.settings import load_benchmark
from pipeline.estimators.pose_smplify import estimate
from pipeline.estimators.settings import PoseSettings
from pipeline.evaluation.joint_errors import joint_errors
from pipeline.formats.joint_truth import JointTruth
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.runtime.settings import DEFAULT_CONFIG, load_settings

AS_IT_IS = "as it is"


def variants() -> dict[str, dict]:
    """What is laid over the section pose for each start from landmarks, by its label."""
    benchmark = load_benchmark(DEFAULT_CONFIG.with_name("benchmark.yaml"))
    ours = (start for start in benchmark.starts.values() if start.errors is None and "backend" not in start.pose)
    return {AS_IT_IS: {}} | {start.label: start.pose for start in ours}


def errors_of(results: Path, truth: Path, overlays: dict[str, dict]) -> dict[str, tuple[float, float]]:
    """MPJPE and PA-MPJPE, mm, of each start.

    Raises:
        UserError: a file is missing.
    """
    directory, found = VideoDir(results), {}
    for label, overlay in overlays.items():
        settings = load_settings("pose", overlay, PoseSettings)
        pose = estimate(directory, settings, "free", Provenance("pose", settings))
        joints = limb_joints(pose, "free", len(pose), results)[0]
        if truth.is_dir():
            true = limb_joints(Pose.load(truth / "pose.npz"), "free", len(pose), truth)[0]
            figures = joint_errors(joints, true, np.ones(true.shape[:2], dtype=bool), in_camera=True)
        else:
            measured = JointTruth.load(truth)
            known, paired = measured.at(frame_times(directory))
            figures = joint_errors(joints[known], paired.joints, paired.ok, in_camera=measured.K is not None)
        found[label] = figures["mpjpe"], figures["pa_mpjpe"]
    return found


def main(arguments: Sequence[str]) -> None:
    clips = [Path(argument) for argument in arguments]
    if not clips or len(clips) % 2:
        raise SystemExit(__doc__)
    overlays = variants()
    errors = {results.name: errors_of(results, truth, overlays) for results, truth in zip(clips[::2], clips[1::2])}
    for label in overlays:
        each = np.array([of_clip[label] for of_clip in errors.values()])
        told = ", ".join(f"{name} {one:.1f} / {both:.1f}" for name, (one, both) in zip(errors, each))
        print(f"{label}: mean {each[:, 0].mean():.1f} / {each[:, 1].mean():.1f}; {told}")


if __name__ == "__main__":
    main(sys.argv[1:])
