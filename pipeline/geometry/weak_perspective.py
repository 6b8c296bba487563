"""From the camera of a crop, as HMR2.0 gives it, to a place in metres under the clip's K.

HMR2.0 sees a square crop of b px around a centre c and gives (s, tx, ty): its camera, of focal length 5000/256 crop
widths, stands so far off (t_z = 2 * 5000 / (256 s)) that it hardly sees perspective. Where it puts the joints in the
crop is what it knows. Under K the person has another place that puts the same joints at the same pixels.
"""

from __future__ import annotations

import numpy as np

CROP_FOCAL = 5000 / 256  # crop widths; HMR2.0's EXTRA.FOCAL_LENGTH over MODEL.IMAGE_SIZE


def crop_pixels(
    points: np.ndarray,  # (B, J, 3)
    camera: np.ndarray,  # (B, 3)
    centre: np.ndarray,  # (B, 2)
    side: np.ndarray,  # (B,)
) -> np.ndarray:  # (B, J, 2)
    """Where HMR2.0 puts points of the body in the image, px.

    Args:
        points: metres, before translation, OpenCV axes.
        camera: its (s, tx, ty).
        centre: of the crop, px of the image.
        side: of the square crop, px of the image.
    """
    scale, tx, ty = camera.T
    place = np.stack([tx, ty, 2 * CROP_FOCAL / scale], axis=-1)
    moved = points + place[:, None]
    return CROP_FOCAL * moved[..., :2] / moved[..., 2:] * side[:, None, None] + centre[:, None]


def translation_from_crop(
    camera: np.ndarray,  # (B, 3)
    centre: np.ndarray,  # (B, 2)
    side: np.ndarray,  # (B,)
    K: np.ndarray,  # (3, 3)
) -> np.ndarray:  # (B, 3)
    """The translation in metres under K, taking the crop's camera as weak perspective: one distance for all points.

    t_z = 2 f / (b s); t_x = tx + (c_x - K_cx) t_z / f_x, t_y alike.
    """
    scale, tx, ty = camera.T
    focal = np.array([K[0, 0], K[1, 1]])
    tz = 2 * np.sqrt(focal.prod()) / (side * scale)
    sideways = (centre - K[:2, 2]) / focal * tz[:, None]
    return np.column_stack([tx + sideways[:, 0], ty + sideways[:, 1], tz])


def place_points(
    points: np.ndarray,  # (B, J, 3)
    pixels: np.ndarray,  # (B, J, 2)
    K: np.ndarray,  # (3, 3)
) -> np.ndarray:  # (B, 3)
    """The translation that brings points of a body nearest to their pixels, by linear least squares.

    The projection (u - c_x)(Z + t_z) = f_x (X + t_x), v alike, is linear in the translation t. On people whose crop a
    camera without perspective explains best, the pelvis so comes back to a tenth of the error of keeping its pixel.
    """
    focal, offset = np.array([K[0, 0], K[1, 1]]), pixels - K[:2, 2]
    design = np.zeros((*pixels.shape, 3))  # (B, J, 2, 3)
    design[..., 0, 0], design[..., 1, 1] = focal
    design[..., 2] = -offset
    value = offset * points[..., 2:] - focal * points[..., :2]
    design, value = design.reshape(len(points), -1, 3), value.reshape(len(points), -1)
    gram = np.einsum("bni,bnj->bij", design, design)
    return np.linalg.solve(gram, np.einsum("bni,bn->bi", design, value)[..., None])[..., 0]


def project(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Pixels (..., 2) of points (..., 3) in the camera's frame."""
    return (points @ K.T)[..., :2] / points[..., 2:]
