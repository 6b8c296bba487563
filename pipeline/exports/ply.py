"""Gaussians as PLY in the attribute layout of 3D Gaussian Splatting (Kerbl et al. 2023), which splat viewers read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.formats.atomic import atomic_path

# Viewers in the manner of the original one take nothing but degree 3: 15 coefficients a channel beyond the constant.
_REST_COEFFICIENTS = 15
_OPACITY_MARGIN = 1e-6  # keeps the logit finite


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
