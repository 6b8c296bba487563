"""The avatar's Gaussians as a GLB, by Khronos's extension KHR_gaussian_splatting.

Written by its text of July 2026, a release candidate: required are kernel, colour space, and the attributes below;
scales and opacities are the values themselves, quaternions xyzw, harmonics as in the PLY (order m = -1, 0, 1).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pygltflib as gltf

from pipeline.avatar.widening import pixels_per_metre, widened
from pipeline.exports.colors import constant_colors
from pipeline.exports.fitted import Fitted
from pipeline.exports.gltf import GltfFile, linear_bytes
from pipeline.exports.ply import standing

_EXTENSION = "KHR_gaussian_splatting"
# A fit's harmonics are in OpenCV's axes; the first order (of y, z, x) turns with half a turn about x to y up.
_TO_Y_UP = np.array([-1.0, -1.0, 1.0])[:, None]


def export(fitted: Fitted, folder: Path) -> None:
    """Write avatar_splats.glb: at ease, y up, facing +z, soles at y = 0."""
    avatar = fitted.avatar
    scales = widened(fitted.file.scales, pixels_per_metre(fitted.pose))
    means, quats, sh = standing(avatar, fitted.body)
    write_splats(folder / "avatar_splats.glb", means, quats, scales, fitted.file.opacities, sh)


def write_splats(
    path: str | Path,
    means: np.ndarray,  # (N, 3)
    quats: np.ndarray,  # (N, 4)
    scales: np.ndarray,  # (N, 3)
    opacities: np.ndarray,  # (N,)
    sh: np.ndarray,  # (N, K, 3)
) -> None:
    """Write Gaussians in a frame with y up, whole or not at all.

    A viewer that does not know the extension shows coloured points.

    Args:
        means: centres, metres. (N, 3)
        quats: orientations wxyz, any length but zero. (N, 4)
        scales: standard deviations, metres. (N, 3)
        opacities: in [0, 1]. (N,)
        sh: spherical harmonics in OpenCV's axes, K = 1 or 4. (N, K, 3)
    """
    file = GltfFile()
    alpha = np.clip(opacities, 0, 1)
    unit = quats / np.linalg.norm(quats, axis=1, keepdims=True)
    harmonics = {"SH_DEGREE_0_COEF_0": sh[:, 0]}
    turned = sh[:, 1:] * _TO_Y_UP[: sh.shape[1] - 1]
    harmonics |= {f"SH_DEGREE_1_COEF_{index}": turned[:, index] for index in range(turned.shape[1])}
    values = {"ROTATION": np.roll(unit, -1, axis=1), "SCALE": scales, "OPACITY": alpha, **harmonics}
    attributes = gltf.Attributes(
        POSITION=file.add(means, gltf.ARRAY_BUFFER, bounds=True),
        COLOR_0=file.add(linear_bytes(constant_colors(sh), alpha), gltf.ARRAY_BUFFER, normalized=True),
        **{f"{_EXTENSION}:{name}": file.add(array, gltf.ARRAY_BUFFER) for name, array in values.items()},
    )
    told = {_EXTENSION: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}}
    primitive = gltf.Primitive(attributes=attributes, mode=gltf.POINTS, extensions=told)
    file.model.extensionsUsed = [_EXTENSION]
    file.model.meshes = [gltf.Mesh(name="splats", primitives=[primitive])]
    file.model.nodes = [gltf.Node(name="splats", mesh=0)]
    file.model.scenes = [gltf.Scene(nodes=[0])]
    file.save(path)
