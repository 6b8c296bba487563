"""Gaussians as PLY in the attribute layout of 3D Gaussian Splatting (Kerbl et al. 2023), which splat viewers read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pipeline.exports.fitted import Fitted
from pipeline.exports.world import CAMERA_TO_Y_UP
from pipeline.formats.atomic import atomic_path
from pipeline.geometry.rotations import axis_angle_to_matrix, quaternion_multiply
from pipeline.runtime.progress import track

# Viewers in the manner of the original one take nothing but degree 3: 15 coefficients a channel beyond the constant.
_REST_COEFFICIENTS = 15
_OPACITY_MARGIN = 1e-6  # keeps the logit finite


def export(fitted: Fitted, folder: Path) -> None:
    """Write avatar.ply, and avatar_posed_%06d.ply of some frames."""
    file, pose, avatar = fitted.file, fitted.pose, fitted.avatar
    # Half a turn about x takes the canonical space, y up and facing +z, to a viewer's axes: y down, facing the viewer.
    half_turn = torch.tensor([0.0, 1.0, 0.0, 0.0])
    quats = quaternion_multiply(half_turn, torch.from_numpy(file.quats).float()).numpy()
    look = (file.scales, file.opacities, file.sh)
    write_ply(folder / "avatar.ply", file.means @ CAMERA_TO_Y_UP.T, quats, *look)
    spread = np.linspace(0, len(pose) - 1, fitted.settings.posed_frames + 2)
    chosen = np.unique(spread.round().astype(int)[1:-1])
    for frame in track(chosen.tolist(), "posed avatars", unit="file"):
        joints = np.concatenate([pose.global_orient[frame], pose.body_pose[frame]]).reshape(24, 3)
        rotmats = axis_angle_to_matrix(torch.as_tensor(joints, dtype=torch.float32))
        transl = torch.as_tensor(pose.transl[frame], dtype=torch.float32)
        means, posed = avatar.posed(fitted.body.transforms(rotmats[None], avatar.betas, transl[None])[0])
        write_ply(folder / f"avatar_posed_{frame:06d}.ply", means.numpy(), posed.numpy(), *look)


def write_ply(
    path: str | Path,
    means: np.ndarray,  # (N, 3)
    quats: np.ndarray,  # (N, 4)
    scales: np.ndarray,  # (N, 3)
    opacities: np.ndarray,  # (N,)
    sh: np.ndarray,  # (N, K, 3)
) -> None:
    """Write Gaussians, whole or not at all.

    The file holds float32 x y z, nx ny nz (zero), f_dc_0..2, f_rest_0..44 (one channel after the other, missing degrees
    zero), opacity (logit), scale_0..2 (natural logarithm), rot_0..3 (w, x, y, z, unit).

    Args:
        means: centres, metres. (N, 3)
        quats: orientations wxyz, any length but zero. (N, 4)
        scales: standard deviations, metres. (N, 3)
        opacities: in [0, 1]. (N,)
        sh: spherical harmonics, K = (degree + 1)^2 up to 16. (N, K, 3)
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
    names = [name for group in columns for name in group]
    table = np.concatenate(list(columns.values()), axis=1)
    properties = "".join(f"property float {name}\n" for name in names)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{properties}end_header\n"
    with atomic_path(path) as temporary:
        temporary.write_bytes(header.encode("ascii") + table.astype("<f4").tobytes())


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_{index}" for index in range(count))
