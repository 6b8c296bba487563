"""`python -m pipeline.accuracy.hands RESULTS TRUTH ...`: how right wrists and fingers are, on studio clips.

RESULTS are folders results/<clip> whose landmarks.npz has hands, each followed by its NAME.truth. Prints for each hand,
as medians over the frames in which it was seen, how far the wrist's turn is from the truth before and after the palm's
landmarks, and how far a finger joint is from the studio's straight one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.body import JOINT_NAMES, load_body
from pipeline.estimators.fingers import SIDES, joint_frames, with_fingers
from pipeline.estimators.pose_smplify import estimate
from pipeline.estimators.settings import PoseSettings
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.runtime.settings import load_settings


def errors_of(results: Path, truth: Path) -> dict[str, np.ndarray]:
    """Degrees, for each side (F, 3): the wrist before and after, and the mean finger joint, of F frames."""
    directory, body = VideoDir(results), load_body("free")
    settings = load_settings("pose", {}, PoseSettings)
    landmarks, true = Landmarks.load(directory.landmarks), Pose.load(truth / "pose.npz")
    before = estimate(directory, settings, "free", Provenance("pose", settings))
    after = with_fingers(before, landmarks, body, True)
    wanted = joint_frames(body, true)[..., :3, :3]
    found = {}
    for k, side in enumerate(SIDES):
        wrist, seen = JOINT_NAMES.index(f"{side}_wrist"), after.hands_seen[:, k] > 0.5
        turns = [joint_frames(body, pose)[seen, wrist, :3, :3] for pose in (before, after)]
        cosines = [(np.einsum("tij,tij->t", turn, wanted[seen, wrist]) - 1) / 2 for turn in turns]
        fingers = np.linalg.norm(after.hand_pose[seen, 15 * k : 15 * k + 15], axis=-1).mean(1)
        found[side] = np.rad2deg(np.stack([*np.arccos(np.clip(cosines, -1, 1)), fingers], axis=1))
    return found


def main(arguments: Sequence[str]) -> None:
    clips = [Path(argument) for argument in arguments]
    if not clips or len(clips) % 2:
        raise SystemExit(__doc__)
    for results, truth in zip(clips[::2], clips[1::2]):
        for side, errors in errors_of(results, truth).items():
            before, after, fingers = np.median(errors, 0) if len(errors) else [np.nan] * 3
            told = f"wrist {before:.0f} -> {after:.0f}, finger joints {fingers:.0f} degrees"
            print(f"{results.name}, {side}: {len(errors)} frames, {told}")


if __name__ == "__main__":
    main(sys.argv[1:])
