"""What the render stage reads of a video, checked to belong together."""

from dataclasses import dataclass
from fractions import Fraction

from pipeline.body import BodyModel, load_body
from pipeline.body.held_hands import with_held_hands
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.video import VideoInfo
from pipeline.runtime.errors import UserError


@dataclass(frozen=True)
class FittedClip:
    """A video with its motion before and after the fit, and the avatar."""

    frames: FrameFolder
    fps: Fraction
    before: Pose
    after: Pose
    avatar: AvatarFile
    body: BodyModel
    masks: tuple[MaskFolder, MaskFolder] | None = None  # as found, and as the fit refined them; None in older results


def load_fitted_clip(paths: VideoDir, body_model: str) -> FittedClip:
    """Read frames/, video.json, pose_init.npz, fit/pose_refined.npz, fit/avatar.npz, masks/ and masks_refined/.

    Raises:
        UserError: a file is missing or broken, or they are of different lengths or of different body models.
    """
    frames = FrameFolder(paths.frames)
    before, after = Pose.load(paths.pose_init), Pose.load(paths.pose_refined)
    avatar = AvatarFile.load(paths.avatar)
    for path, count in (
        (paths.pose_init, len(before)),
        (paths.pose_refined, len(after)),
        (paths.avatar, len(avatar.train_frames)),
    ):
        if count != len(frames):
            raise UserError(
                f"{path}: expected {len(frames)} frames as in {paths.frames}, found {count}; run its stage again"
            )
    body = with_held_hands(load_body(body_model), after)
    for path, name in (
        (paths.pose_init, before.body_model),
        (paths.pose_refined, after.body_model),
        (paths.avatar, avatar.body_model),
    ):
        if name != body.name:
            raise UserError(
                f"{path}: was made with the body model {name!r}, {body_model!r} is {body.name!r}; "
                "give the same --body-model to every stage, or run its stage again"
            )
    masks = None
    if paths.masks_refined.is_dir():
        masks = MaskFolder(paths.masks), MaskFolder(paths.masks_refined)
    return FittedClip(frames, VideoInfo.load(paths.video).fps, before, after, avatar, body, masks)
