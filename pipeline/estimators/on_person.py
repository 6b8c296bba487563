"""Another system's motion as this clip's first pose: whose it is, in our camera, and set down on the landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel
from pipeline.camera.intrinsics import clip_camera
from pipeline.estimators.facing import turned_to_landmarks
from pipeline.estimators.landing import Landed, land, outline_overlap
from pipeline.estimators.settings import PoseSettings
from pipeline.estimators.smplify.gaps import fill_rotations, fill_values
from pipeline.formats.images import MaskFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import mask_box
from pipeline.geometry.rotations import axis_angle_to_matrix
from pipeline.landmarks.on_body import landmark_map
from pipeline.motion.readers.motion import SourceMotion, Track
from pipeline.motion.readers.people import Person, betas_for, in_camera, root_offset
from pipeline.runtime.errors import UserError

_SIGMA_SHAPE = 1.0  # of betas, about the mean shape
_SIGMA_TOLD = 0.2  # of betas, about those that fit joints in metres; compared on studio clips: docs/import.md
_PLACED_WELL = 0.05  # body heights by which a camera that was looked for may be off
_ON_MASK = 0.5  # share of the frames with the pelvis on the mask, below which the user is warned


def on_person(
    motion: SourceMotion,
    path: Path,
    numbers: np.ndarray,
    source: str,
    directory: VideoDir,
    settings: PoseSettings,
    body: BodyModel,
    provenance: Provenance,
) -> Pose:
    """The motion of the person on the masks.

    The root keeps its pixel, and its distance changes by the ratio of the focal lengths, so that people keep their size
    in the image. On the body that it is of, a motion is taken as it is. Else its betas mean nothing here, or the joints
    that the body was fitted to are others than its own: it is set down on the landmarks (`landing.py`), joint rotations
    nearly held, unless that makes the outline worse.

    Args:
        motion: of one or more people; each track holds rotations.
        path: where it is from, for messages.
        numbers: the frame of the motion that each decoded frame is. (T,)
        source: what the pose file says that it is.

    Raises:
        UserError: the masks show nobody or are not one a frame, or the motion has too few of the frames.
    """
    video, camera = VideoInfo.load(directory.video), clip_camera(directory)
    masks = MaskFolder(directory.masks)
    if len(masks) != video.frames:
        raise UserError(f"{directory.masks}: {video.frames} masks expected, found {len(masks)}; rerun the masks stage")
    boxes = np.array([mask_box(mask) or (np.nan,) * 4 for mask in masks])
    if np.isnan(boxes).all():
        raise UserError(f"{directory.masks}: every mask is empty; rerun the masks stage")
    people = [in_camera(path, track, numbers, boxes, camera, body, provenance) for track in motion.tracks]
    people = [_facing(path, person, boxes, camera.K, body, directory, provenance) for person in people]
    hits = _frames_on_mask(people, masks, camera.K)
    chosen = _chosen(settings.person, path, people, hits)
    person = people[chosen]

    least = settings.least(video.frames)
    if len(person.index) < least:
        raise UserError(
            f"{path}: tells the pose of {len(person.index)} of the {video.frames} decoded frames, at least {least} are "
            "needed; is it for this video?"
        )
    pose = _whole_clip(person, boxes, video, camera.K, body, source)
    _report(provenance, path, motion, person, pose, hits[chosen])
    if person.track.body != body.name or person.track.residual is not None:
        pose = _set_down(path, person.track, pose, body, directory, masks, provenance)
    return pose


def _facing(
    path: Path,
    person: Person,
    boxes: np.ndarray,
    K: np.ndarray,
    body: BodyModel,
    directory: VideoDir,
    provenance: Provenance,
) -> Person:
    """Someone whose camera was looked for by the boxes, turned as the landmarks show; all others as they are."""
    if person.box_error is None:
        return person
    found, error, means = Landmarks.load(directory.landmarks), person.box_error, "the masks' boxes"
    turned = None
    if found.names:
        marks = landmark_map(body, found.names, found.source)
        betas = torch.as_tensor(betas_for(person.track, body)).float()
        rest, rotations = body.rest_joints(betas), torch.as_tensor(person.rotations).float()
        transl = torch.as_tensor(person.roots).float() - rest[0]
        world = body.world_joints(axis_angle_to_matrix(rotations), betas, transl)
        points = marks.posed(world, rest, marks.rest(betas, torch.zeros(len(marks.names), 3))).double().numpy()
        trusted = found.visibility[person.index][:, marks.index] * marks.trust.numpy()
        tall = float(np.nanmedian(boxes[:, 3] - boxes[:, 1]))
        turned = turned_to_landmarks(points, found.xy[person.index][:, marks.index], trusted, tall, K)
    doubt = "; facing and facing away are hard to tell apart"
    if turned is not None:
        turn, moves, error = turned
        roots = turn.apply(person.roots) + moves
        rotations = person.rotations.copy()
        rotations[:, 0] = (turn * Rotation.from_rotvec(rotations[:, 0])).as_rotvec()
        person, means, doubt = replace(person, rotations=rotations, roots=roots), "the landmarks", ""
    provenance.facts[f"error of the camera found by {means}, body heights"] = round(error, 4)
    much = "; that is much: is it this video's motion, and does the camera rest?" if error > _PLACED_WELL else ""
    provenance.warn(
        f"{path}: tells no camera; one that stands still was found by {means}, {error:.1%} of the body's height "
        f"off{much}{doubt}. Look at the overlay"
    )
    return person


def _set_down(
    path: Path,
    track: Track,
    pose: Pose,
    body: BodyModel,
    directory: VideoDir,
    masks: MaskFolder,
    provenance: Provenance,
) -> Pose:
    """The motion of another body on the landmarks; as it was, where there are none or the outline gets worse."""
    found = Landmarks.load(directory.landmarks)
    lost = f"{path}: its shape is of another body ({track.body}) and is not kept: the mean shape of ours is used"
    if track.residual is not None:
        lost = f"{path}: tells joints; the shape that fits them is used"
    if not found.names:
        provenance.warn(
            f"{lost}, for {directory.landmarks} holds no landmarks to fit size and place to (landmarks.backend; "
            "fit.refine_betas: true refines the shape)"
        )
        return pose
    if len(found) != len(pose):
        raise UserError(f"{directory.landmarks}: {len(pose)} frames expected, found {len(found)}; rerun its stage")
    marks = landmark_map(body, found.names, found.source)
    as_tensor = lambda values: torch.as_tensor(np.asarray(values), dtype=torch.float32)  # noqa: E731
    rotations = as_tensor(np.concatenate([pose.global_orient, pose.body_pose], axis=1)).view(-1, 24, 3)
    betas = as_tensor(pose.betas)
    imported = Landed(rotations, betas, as_tensor(pose.transl) + body.rest_joints(betas)[0])
    xy, trusted = as_tensor(found.xy)[:, marks.index], as_tensor(found.visibility)[:, marks.index] * marks.trust
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the operations are small
    metric = track.residual is not None and (track.K is not None or track.up is not None)
    sigma = _SIGMA_TOLD if metric else _SIGMA_SHAPE
    landed = land(body, imported, sigma, marks, xy, trusted, as_tensor(pose.K), pose.fps)
    before, after = (outline_overlap(body, motion, masks, pose.K) for motion in (imported, landed))
    torch.set_num_threads(threads)
    provenance.facts |= {"outline overlap, as imported": round(before, 4), "outline overlap, set down": round(after, 4)}
    if after < before:
        provenance.warn(
            f"{lost}; set down on the landmarks it overlaps the masks less "
            f"({before:.3f} -> {after:.3f}); is it for this video?"
        )
        return pose
    transl = landed.pelvis - body.rest_joints(landed.betas)[0]
    return replace(
        pose,
        global_orient=landed.rotations[:, 0].numpy(),
        body_pose=landed.rotations[:, 1:].flatten(1).numpy(),
        betas=landed.betas.numpy(),
        transl=transl.numpy(),
        source=f"{pose.source}, set down on {found.source} landmarks",
    )


def _chosen(wanted: int | None, path: Path, people: Sequence[Person], hits: Sequence[int]) -> int:
    """The index of the person that pose.person names, else of the one that the masks show."""
    if wanted is None:
        return max(range(len(people)), key=lambda k: (hits[k], len(people[k].index)))
    if wanted >= len(people):
        names = ", ".join(f"{k}: {person.track.name}" for k, person in enumerate(people))
        raise UserError(f"settings pose.person: {path} has no person {wanted}; it has {names}")
    return wanted


def _frames_on_mask(people: Sequence[Person], masks: MaskFolder, K: np.ndarray) -> list[int]:
    """For each person the number of frames in which the pelvis lies on the mask."""
    pixels = [person.roots @ K.T for person in people]
    pixels = [np.floor(points[:, :2] / points[:, 2:]).astype(int) for points in pixels]
    places = [dict(zip(person.index, points)) for person, points in zip(people, pixels)]
    hits = [0] * len(people)
    for index, mask in enumerate(masks):
        for k, place in enumerate(places):
            x, y = place.get(index, (-1, -1))
            hits[k] += 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0] and bool(mask[y, x] > 127)
    return hits


def _whole_clip(
    person: Person,
    boxes: np.ndarray,  # (T, 4) xyxy px; NaN where the mask is empty
    video: VideoInfo,
    K: np.ndarray,
    body: BodyModel,
    source: str,
) -> Pose:
    """The frames that the person has, the others filled in between."""
    count = video.frames
    rotvecs = fill_rotations(person.rotations, person.index, count)
    valid = np.zeros(count, bool)
    valid[person.index] = True
    seen = np.flatnonzero(~np.isnan(boxes[:, 0]))
    return Pose(
        global_orient=rotvecs[:, 0].astype(np.float32),
        body_pose=rotvecs[:, 1:].reshape(count, 69).astype(np.float32),
        betas=betas_for(person.track, body).astype(np.float32),
        transl=fill_values(person.roots - root_offset(person.track, body), person.index, count).astype(np.float32),
        valid=valid,
        bbox=fill_values(boxes[seen], seen, count),
        K=K,
        fps=float(video.fps),
        body_model=body.name,
        source=source,
    )


def _report(provenance: Provenance, path: Path, motion: SourceMotion, person: Person, pose: Pose, on_mask: int) -> None:
    track, count = person.track, len(person.index)
    provenance.facts |= {
        "tool": motion.tool,
        "person": track.name,
        "people in the file": len(motion.tracks),
        "valid_frames": count,
        "invalid_frames": [int(i) for i in np.flatnonzero(~pose.valid)],
        "frames_with_pelvis_on_mask": on_mask,
        "distance_factor": round(person.focal_ratio, 4),
    }
    if track.residual is not None:
        provenance.facts["off the file's joints, mm"] = round(1000 * track.residual, 1)
    if track.skin is not None:
        provenance.facts["off the file's vertices, mm"] = round(1000 * track.skin, 1)
    if len(motion.tracks) > 1:
        provenance.warn(
            f"{path}: tells of {len(motion.tracks)} people; {track.name} is taken, who is on the masks in {on_mask} "
            f"of {count} frames"
        )
    if on_mask < _ON_MASK * count:
        provenance.warn(
            f"{path}: {track.name} is on the masks in {on_mask} of {count} frames only; is it for this video, and do "
            "the masks show this person?"
        )
    if not pose.valid.all():
        provenance.warn(
            f"{path}: the pose of {len(pose) - count} of {len(pose)} frames is interpolated: not in the file"
        )
