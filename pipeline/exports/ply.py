"""Gaussians as PLY in the attribute layout of 3D Gaussian Splatting (Kerbl et al. 2023), which splat viewers read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pipeline.avatar import Avatar
from pipeline.avatar.widening import pixels_per_metre, widened
from pipeline.body import BodyModel
from pipeline.exports.fitted import Fitted
from pipeline.exports.world import CAMERA_TO_Y_UP
from pipeline.formats.atomic import atomic_path
from pipeline.geometry.rotations import axis_angle_to_matrix, quaternion_multiply
from pipeline.motion.at_ease import at_ease
from pipeline.runtime.progress import track

# Viewers in the manner of the original one take nothing but degree 3: 15 coefficients a channel beyond the constant.
_REST_COEFFICIENTS = 15
_OPACITY_MARGIN = 1e-6  # keeps the logit finite


def export(fitted: Fitted, folder: Path) -> None:
    """Write avatar.ply (standing), avatar_canonical.ply, and avatar_posed_%06d.ply of some frames."""
    file, pose, avatar = fitted.file, fitted.pose, fitted.avatar
    look = (widened(file.scales, pixels_per_metre(pose)), file.opacities)
    *placed, sh = standing(avatar, fitted.body)
    write_ply(folder / "avatar.ply", *facing_viewer(*placed), *look, sh)
    # Not in the others: a viewer in the manner of the original one takes each row to be the usual columns alone.
    write_ply(folder / "avatar_canonical.ply", *facing_viewer(file.means, file.quats), *look, file.sh, file.seen)
    spread = np.linspace(0, len(pose) - 1, fitted.settings.posed_frames + 2)
    chosen = np.unique(spread.round().astype(int)[1:-1])
    for frame in track(chosen.tolist(), "posed avatars", unit="file"):
        joints = np.concatenate([pose.global_orient[frame], pose.body_pose[frame]])
        *placed, sh = posed(avatar, fitted.body, joints, pose.transl[frame])
        write_ply(folder / f"avatar_posed_{frame:06d}.ply", *placed, *look, sh)


def posed(
    avatar: Avatar,
    body: BodyModel,
    pose: np.ndarray,  # (72,)
    transl: np.ndarray,  # (3,)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # (N, 3), (N, 4), (N, K, 3)
    """Centres, metres, orientations (wxyz) and harmonics of the Gaussians in a pose, in the frame of `transl`."""
    joints, moved = (torch.as_tensor(values, dtype=torch.float32) for values in (pose, transl))
    transforms = body.transforms(axis_angle_to_matrix(joints.unflatten(0, (24, 3)))[None], avatar.betas, moved[None])
    return tuple(values.numpy() for values in avatar.posed(transforms[0]))


def standing(avatar: Avatar, body: BodyModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`posed`, of the avatar at ease: y up, facing +z, soles at y = 0, above the origin."""
    pose = torch.as_tensor(at_ease(), dtype=torch.float32)[None]
    at_origin = body(pose[:, :3], pose[:, 3:], avatar.betas, torch.zeros(1, 3))
    root, soles = at_origin.joints[0, 0], at_origin.vertices[..., 1].min()
    return posed(avatar, body, at_ease(), np.array([-root[0], -soles, -root[2]]))


def facing_viewer(means: np.ndarray, quats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From y up, facing +z, to a viewer's axes, y down and facing the viewer: half a turn about x."""
    half_turn = torch.tensor([0.0, 1.0, 0.0, 0.0])
    return means @ CAMERA_TO_Y_UP.T, quaternion_multiply(half_turn, torch.from_numpy(quats).float()).numpy()


def write_ply(
    path: str | Path,
    means: np.ndarray,  # (N, 3)
    quats: np.ndarray,  # (N, 4)
    scales: np.ndarray,  # (N, 3)
    opacities: np.ndarray,  # (N,)
    sh: np.ndarray,  # (N, K, 3)
    seen: np.ndarray | None = None,  # (N,)
) -> None:
    """Write `ply_bytes` of the same arguments, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(ply_bytes(means, quats, scales, opacities, sh, seen))


def ply_bytes(
    means: np.ndarray,  # (N, 3)
    quats: np.ndarray,  # (N, 4)
    scales: np.ndarray,  # (N, 3)
    opacities: np.ndarray,  # (N,)
    sh: np.ndarray,  # (N, K, 3)
    seen: np.ndarray | None = None,  # (N,)
) -> bytes:
    """Gaussians as a file.

    It holds float32 x y z, nx ny nz (zero), f_dc_0..2, f_rest_0..44 (one channel after the other, missing degrees
    zero), opacity (logit), scale_0..2 (natural logarithm), rot_0..3 (w, x, y, z, unit); last, where it is given, seen.

    Args:
        means: centres, metres. (N, 3)
        quats: orientations wxyz, any length but zero. (N, 4)
        scales: standard deviations, metres. (N, 3)
        opacities: in [0, 1]. (N,)
        sh: spherical harmonics, K = (degree + 1)^2 up to 16. (N, K, 3)
        seen: how well the frames show each, 0 to 1. (N,)
    """
    count, coefficients = sh.shape[:2]
    rest = np.zeros((count, 3, _REST_COEFFICIENTS))
    rest[:, :, : coefficients - 1] = sh[:, 1:].transpose(0, 2, 1)
    opacities = np.clip(opacities.astype(np.float64), _OPACITY_MARGIN, 1 - _OPACITY_MARGIN)
    columns = {
        ("x", "y", "z"): means,
        ("nx", "ny", "nz"): np.zeros((count, 3)),
        _numbered("f_dc", 3): sh[:, 0],
        _numbered("f_rest", 3 * _REST_COEFFICIENTS): rest.reshape(count, -1),
        ("opacity",): np.log(opacities / (1 - opacities))[:, None],
        _numbered("scale", 3): np.log(scales),
        _numbered("rot", 4): quats / np.linalg.norm(quats, axis=1, keepdims=True),
    }
    if seen is not None:
        columns[("seen",)] = seen[:, None]
    names = [name for group in columns for name in group]
    table = np.concatenate(list(columns.values()), axis=1)
    properties = "".join(f"property float {name}\n" for name in names)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{properties}end_header\n"
    return header.encode("ascii") + table.astype("<f4").tobytes()


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_{index}" for index in range(count))
