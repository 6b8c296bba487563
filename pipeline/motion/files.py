"""Motions from files: npz with `poses` and optional `trans` (AMASS and its kin), or the parts apart; other tools'."""

import logging
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from pipeline.body import load_body
from pipeline.formats.arrays import read_npz
from pipeline.motion.readers import read_motion
from pipeline.motion.readers.motion import Clip
from pipeline.runtime.errors import UserError

log = logging.getLogger(__name__)

# The parts apart, the first of these that a file has: in a world where it tells one, with the legs that rest there;
# SMPL's names; SMPL-X's.
_SPLIT_KEYS = (
    ("global_orient_world", "body_pose_world", "transl_world"),
    ("global_orient_world", "body_pose", "transl_world"),
    ("global_orient", "body_pose", "transl"),
    ("root_orient", "pose_body", "trans"),
)
_RATE_KEYS = ("mocap_framerate", "mocap_frame_rate", "fps")
_BODY_ANGLES = 66  # pelvis and joints 1..21; in SMPL-H and SMPL-X files hands and face follow, in SMPL the two hands
_LARGEST_ANGLE = 4 * np.pi  # beyond it the numbers are degrees, or no axis-angle at all


def load_motion_file(
    path: Path,
    named: Iterable[str],
    frames: int | None,
    fps: float,
    pelvis: np.ndarray,  # (3,) rest position of the body's pelvis
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a motion: poses (N, 72) and, where the file has one, translation (N, 3), y up, N <= frames (None: all).

    Accepted as npz: `poses (T, 72)` with optional `trans (T, 3)`; wider `poses` (156 of AMASS's SMPL-H, 165 of SMPL-X),
    of which the first 66 columns are taken and the hands left straight; or `global_orient (T, 3)`, `body_pose (T, 69)`
    or (T, 63) and `transl (T, 3)`, or SMPL-X's `root_orient`, `pose_body`, `trans`; no other npz. What is not an npz, a
    folder too, is what `pipeline.motion.readers` knows: of several people the one who is seen longest; a frame is a
    frame. `betas` are not read: those of SMPL mean nothing to another body.

    Which way is up is found out: AMASS is z-up, camera-frame files y-down. It is the one of +y, -y, +z, -z nearest to
    where the pelvis's own up axis points on average, so a clip of someone lying down all the time is misread.

    A file that states its rate (`mocap_framerate` or `fps`) is resampled to `fps` by slerp; otherwise a frame is a
    frame.

    Raises:
        UserError: neither a known motion nor a readable file, wrong keys or shapes, numbers that are no motion.
    """
    if not path.exists():
        raise UserError(
            f"{path}: no such motion; expected one of {', '.join(named)}, or a motion file (docs/exports.md)"
        )
    data = read_npz(path) if path.suffix == ".npz" else _of_a_tool(path, fps)
    poses, trans = _arrays(path, data)
    _check(path, poses, trans)
    rate = next((float(data[key]) for key in _RATE_KEYS if key in data and data[key].size == 1), fps)
    if not rate > 0:
        raise UserError(f"{path}: the frame rate should be above 0, found {rate}")
    poses, trans = resampled(poses, trans, rate / fps, frames)
    if frames is not None and len(poses) < frames:
        log.warning("%s: holds %d frames at %g fps, %d were asked for", path, len(poses), fps, frames)
    return _y_up(poses, trans, pelvis)


def _arrays(path: Path, data: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    if "poses" in data:
        poses, trans = data["poses"], data.get("trans")
        if poses.ndim == 2 and poses.shape[1] > 72:
            hands = np.zeros((len(poses), 72 - _BODY_ANGLES))
            poses = np.concatenate([poses[:, :_BODY_ANGLES], hands], axis=1)
        return poses, trans
    keys = next((keys for keys in _SPLIT_KEYS if set(keys) <= set(data)), None)
    if keys is None:
        found = ", ".join(sorted(data)) or "nothing"
        raise UserError(f"{path}: expected 'poses' (T, 72), or {', '.join(_SPLIT_KEYS[2])}; found {found}")
    orient, body, trans = (np.asarray(data[key]) for key in keys)
    if body.ndim == 2 and body.shape[1] == _BODY_ANGLES - 3:
        body = np.concatenate([body, np.zeros((len(body), 72 - _BODY_ANGLES))], axis=1)
    for key, array, width in ((keys[0], orient, 3), (keys[1], body, 69)):
        if array.ndim != 2 or array.shape != (len(orient), width):
            raise UserError(f"{path}: key {key!r} should have shape (T, {width}), found {array.shape}")
    return np.concatenate([orient, body], axis=1), trans


def _of_a_tool(path: Path, fps: float) -> dict[str, np.ndarray]:
    """The motion of the person who is seen longest, frames in between interpolated."""
    # Nothing of the video that the tool saw is known or needed: only the motion is taken.
    unknown = Clip(1, 1, Fraction(fps).limit_denominator(1001), np.arange(0), 0)
    track = max(read_motion(path, unknown, load_body("free")).tracks, key=lambda track: len(track.frames))
    if len(track.frames) == 0:
        raise UserError(f"{path}: nobody is in any of its frames")
    at = np.arange(track.frames[0], track.frames[-1] + 1)
    turns, places = track.rotations, track.transl
    if len(track.frames) > 1:
        joints = turns.swapaxes(0, 1)
        turns = np.stack([Slerp(track.frames, Rotation.from_rotvec(joint))(at).as_rotvec() for joint in joints], axis=1)
        places = np.stack([np.interp(at, track.frames, axis) for axis in places.T], axis=1)
    return {"poses": turns.reshape(len(at), 72), "trans": places}


def _check(path: Path, poses: np.ndarray, trans: np.ndarray | None) -> None:
    if poses.ndim != 2 or poses.shape[1] != 72 or len(poses) == 0:
        raise UserError(f"{path}: key 'poses' should have shape (T, 72) or be wider, T > 0; found {poses.shape}")
    if trans is not None and trans.shape != (len(poses), 3):
        raise UserError(f"{path}: the translation should have shape ({len(poses)}, 3), found {trans.shape}")
    for name, array in (("poses", poses), ("translation", trans)):
        if array is not None and (array.dtype.kind not in "fiu" or not np.isfinite(array).all()):
            raise UserError(f"{path}: the {name} should hold finite numbers")
    largest = np.abs(poses).max()
    if largest > _LARGEST_ANGLE:
        raise UserError(f"{path}: expected axis-angle in radians, found {largest:.0f}; convert degrees to radians")


def resampled(
    poses: np.ndarray, trans: np.ndarray | None, step: float, frames: int | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Frames at 0, step, 2 step, ... of poses (T, 72) and their places (T, 3), at most `frames` of them (None: all)."""
    most = int((len(poses) - 1) / step + 1e-6) + 1
    at = np.arange(most if frames is None else min(frames, most)) * step
    if len(poses) == 1 or step == 1:
        return poses[: len(at)].astype(float), None if trans is None else trans[: len(at)].astype(float)
    at, source = np.minimum(at, len(poses) - 1), np.arange(len(poses))
    joints = poses.reshape(len(poses), 24, 3)
    moved = [Slerp(source, Rotation.from_rotvec(joints[:, k]))(at).as_rotvec() for k in range(24)]
    if trans is not None:
        trans = np.stack([np.interp(at, source, trans[:, k]) for k in range(3)], axis=1)
    return np.concatenate(moved, axis=1), trans


def _y_up(poses: np.ndarray, trans: np.ndarray | None, pelvis: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    orient = Rotation.from_rotvec(poses[:, :3])
    up = orient.apply([0.0, 1.0, 0.0]).mean(axis=0)
    about_x = {("y", True): 0.0, ("y", False): np.pi, ("z", True): -np.pi / 2, ("z", False): np.pi / 2}
    axis = "y" if abs(up[1]) >= abs(up[2]) else "z"
    to_y_up = Rotation.from_rotvec([about_x[axis, bool(up["xyz".index(axis)] >= 0)], 0, 0])
    poses = np.concatenate([(to_y_up * orient).as_rotvec(), poses[:, 3:]], axis=1)
    if trans is not None:  # SMPL turns about the pelvis and adds the translation after it
        trans = to_y_up.apply(trans + pelvis) - pelvis
        trans = trans - [1, 0, 1] * (trans.min(axis=0) + trans.max(axis=0)) / 2
    return poses, trans
