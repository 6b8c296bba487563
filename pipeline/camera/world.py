"""A motion in a world that stands still: gravity, ground, contact, and feet on that ground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel
from pipeline.camera.contact import slow
from pipeline.camera.feet import feet_of
from pipeline.camera.ground import Ground, find_ground
from pipeline.camera.intrinsics import clip_camera
from pipeline.camera.pace import paced
from pipeline.camera.resting import rested
from pipeline.camera.settle import settle
from pipeline.camera.verticals import Segments, find_segments
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.runtime.errors import UserError

_FACING = 0.3  # of the pelvis's forward, that must be level to say where somebody faces; the head's side does else


@dataclass(frozen=True)
class World:
    """A motion with its world, and how that was found."""

    pose: Pose  # with world_from_camera, global_orient_world, transl_world, body_pose_world and contact
    ground: Ground
    shift: np.ndarray  # (T, 3) metres that the root is moved in the world, off what the camera frame says
    track: CameraTrack  # its path as long as the feet say

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.ground.warnings

    def facts(self) -> dict[str, Any]:
        """For the report."""
        return {
            "camera": self.track.kind,
            "camera, found from": self.track.source,
            "pitch": round(self.ground.pitch, 2),
            "roll": round(self.ground.roll, 2),
            "pitch, sigma": round(self.ground.sigma[0], 2),
            "roll, sigma": round(self.ground.sigma[1], 2),
            "tilt found from": self.ground.found,
        }


def load_track(directory: VideoDir, frames: int, warn: Callable[[str], None]) -> CameraTrack:
    """How the camera moved; where no stage has looked, a camera that stands still, which is told.

    Raises:
        UserError: the track is wrong, or of another number of frames.
    """
    if not directory.camera_track.is_file():
        warn(
            f"{directory.camera_track}: is not there, so the camera is taken to stand still; run "
            f"`python -m pipeline camera_track {directory.root}` first"
        )
        return CameraTrack.static(frames, "taken to stand still")
    track = CameraTrack.load(directory.camera_track)
    if len(track) != frames:
        raise UserError(
            f"{directory.camera_track}: is of {len(track)} frames, expected {frames}; run the pipeline again"
        )
    return track


def stand_in_clip(
    pose: Pose,
    body: BodyModel,
    directory: VideoDir,
    warn: Callable[[str], None],
    pitch: float | None = None,
    roll: float | None = None,
) -> World:
    """`stand`, with the camera and the pictures of results/<video>/; `warn` is told where its motion is not known."""
    track = load_track(directory, len(pose), warn)
    segments = None
    if pitch is None or roll is None:
        frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
        guessed = not clip_camera(directory).metric
        segments = find_segments(frames, masks, pose.K, track.world_from_camera[:, :3, :3], guessed)
    return stand(pose, body, track, pitch, roll, segments)


def stand(
    pose: Pose,
    body: BodyModel,
    track: CameraTrack,
    pitch: float | None = None,
    roll: float | None = None,
    segments: Segments | None = None,
    rest: bool = True,
) -> World:
    """Put a motion into a world: y up, metres, ground y = 0, first pelvis above the origin, facing +z at first.

    Args:
        pose: in the camera frame.
        body: the body it is of.
        track: the camera's motion, of as many frames.
        pitch: degrees that the first camera looks down, where known.
        roll: degrees that its picture is turned clockwise, where known.
        segments: edges seen in the pictures.
        rest: whether legs are bent so that feet which rest do not move (`resting.py`); False for what is the truth.
    """
    feet = feet_of(pose, body)
    track = paced(feet, track)
    seen = feet.moved(track.world_from_camera)
    ground = find_ground(seen, slow(seen), pitch, roll, segments)
    first = Rotation.from_matrix(track.world_from_camera[0, :3, :3]) * Rotation.from_rotvec(pose.global_orient[0])
    world = _upright(ground, first.as_matrix(), seen.joints[0, 0])
    feet = seen.moved(world)
    shift, contact = settle(feet)
    shift -= [shift[0, 0], 0, shift[0, 2]]  # the first pelvis stays above the origin
    stood = in_world(pose, body, world @ track.world_from_camera, shift, contact)
    if rest:
        legs = rested(as_in_world(stood), body, stood.world_from_camera[:, :3, 3])
        stood = replace(stood, body_pose_world=legs)
    return World(stood, ground, shift, track)


def with_world(pose: Pose, body: BodyModel) -> Pose:
    """A motion with its world; one whose file has none gets that of a camera that stands still."""
    return pose if pose.has_world else stand(pose, body, CameraTrack.static(len(pose), "taken to stand still")).pose


def as_in_world(pose: Pose) -> Pose:
    """The motion of the world as if it were the camera's, for what poses a body: its root and legs are the world's."""
    body_pose = pose.body_pose if pose.body_pose_world is None else pose.body_pose_world
    return replace(pose, global_orient=pose.global_orient_world, transl=pose.transl_world, body_pose=body_pose)


def in_world(
    pose: Pose, body: BodyModel, world_from_camera: np.ndarray, shift: np.ndarray, contact: np.ndarray | None
) -> Pose:
    """The motion with its world's keys: moved by `world_from_camera` (T, 4, 4) and then by `shift` (T, 3)."""
    turn = Rotation.from_matrix(world_from_camera[:, :3, :3])
    root = body.rest_joints(torch.as_tensor(pose.betas, dtype=body.v_template.dtype)).double().numpy()[0]
    pelvis = turn.apply(root + pose.transl) + world_from_camera[:, :3, 3]
    return replace(
        pose,
        world_from_camera=world_from_camera,
        global_orient_world=(turn * Rotation.from_rotvec(pose.global_orient)).as_rotvec(),
        transl_world=pelvis + shift - root,  # the root's offset is the model's own, so it does not turn
        body_pose_world=None,
        contact=contact,
    )


def _upright(ground: Ground, orient: np.ndarray, pelvis: np.ndarray) -> np.ndarray:
    """(4, 4) from the track's world to the world; `orient` (3, 3) and `pelvis` (3,) are the first frame's."""
    turn = ground.rotation
    forward, up = turn @ orient[:, 2], turn @ orient[:, 1]
    facing = forward if np.hypot(forward[0], forward[2]) > _FACING else up
    heading = np.arctan2(facing[0], facing[2])
    turn = Rotation.from_rotvec([0, -heading, 0]).as_matrix() @ turn
    world = np.eye(4)
    world[:3, :3] = turn
    world[:3, 3] = [0, -ground.height, 0] - (turn @ pelvis) * [1, 0, 1]
    return world
