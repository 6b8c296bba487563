"""Errors between two motions, and the roughness of one. NumPy, float64, vectorised over frames.

Points are (T, N, 3) in metres; the first point of a set of joints is the pelvis, as in SMPL. Every error is returned
per frame and point, (T, N), so that the caller chooses what to average.
"""

import numpy as np

PELVIS = 0


def distances(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Euclidean distance of corresponding points, (..., N, 3) twice -> (..., N), in the unit of the points."""
    points, target = np.asarray(points, np.float64), np.asarray(target, np.float64)
    if points.shape != target.shape or points.shape[-1] != 3:
        raise ValueError(f"points must have the same shape (..., 3), got {points.shape} and {target.shape}")
    return np.linalg.norm(points - target, axis=-1)


def pelvis_aligned(points: np.ndarray, pelvis: np.ndarray) -> np.ndarray:
    """Points (T, N, 3) relative to the pelvis (T, 3) of the same body."""
    return np.asarray(points, np.float64) - np.asarray(pelvis, np.float64)[:, None]


def joint_errors(joints: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Pelvis-aligned distance of each joint, (T, J, 3) -> (T, J). Its mean is MPJPE (Ionescu et al., Human3.6M)."""
    return distances(pelvis_aligned(joints, joints[:, PELVIS]), pelvis_aligned(target, target[:, PELVIS]))


def procrustes_align(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Points after the similarity transform that brings each frame's set nearest to its target, (T, N, 3).

    The closed form of Umeyama (1991): rotation without reflection, scale and translation, by least squares. A frame
    whose points coincide keeps only the translation.
    """
    return transformed(np.asarray(points, np.float64), *similarity(points, target))


def similarity(points: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale (T,), rotation (T, 3, 3) and shift (T, 3) of `procrustes_align`, for each of T sets (T, N, 3)."""
    points, target = np.asarray(points, np.float64), np.asarray(target, np.float64)
    if points.shape != target.shape or points.ndim != 3:
        raise ValueError(f"points must have the same shape (T, N, 3), got {points.shape} and {target.shape}")
    centre, target_centre = points.mean(1, keepdims=True), target.mean(1, keepdims=True)
    centred, target_centred = points - centre, target - target_centre
    covariance = np.einsum("tni,tnj->tij", target_centred, centred)
    u, singular, vt = np.linalg.svd(covariance)
    sign = np.ones_like(singular)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    variance = (centred**2).sum((1, 2))
    scale = np.divide((singular * sign).sum(1), variance, out=np.ones_like(variance), where=variance > 0)
    shift = target_centre[:, 0] - scale[:, None] * np.einsum("tij,tj->ti", rotation, centre[:, 0])
    return scale, rotation, shift


def transformed(points: np.ndarray, scale: np.ndarray, rotation: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Points (T, N, 3) after the similarity of each set."""
    return scale[:, None, None] * np.einsum("tij,tnj->tni", rotation, points) + shift[:, None]


def aligned_joint_errors(joints: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Distance of each joint after Procrustes alignment of its frame, (T, J). Its mean is PA-MPJPE."""
    return distances(procrustes_align(joints, target), target)


def accelerations(joints: np.ndarray, fps: float) -> np.ndarray:
    """Second difference of positions times fps^2: m/s^2, (T, J, 3) -> (T-2, J, 3). Needs at least 3 frames."""
    return np.diff(np.asarray(joints, np.float64), n=2, axis=0) * fps**2


def jerks(joints: np.ndarray, fps: float) -> np.ndarray:
    """Third difference of positions times fps^3: m/s^3, (T, J, 3) -> (T-3, J, 3). Needs at least 4 frames."""
    return np.diff(np.asarray(joints, np.float64), n=3, axis=0) * fps**3


def acceleration_errors(joints: np.ndarray, target: np.ndarray, fps: float) -> np.ndarray:
    """Length of the difference of accelerations, m/s^2, (T-2, J). Its mean is ACCEL (Kanazawa et al., HMMR)."""
    return distances(accelerations(joints, fps), accelerations(target, fps))


def jitter(joints: np.ndarray, fps: float) -> np.ndarray:
    """Length of the jerk, m/s^3, (T-3, J). Its mean is MeanJerk; WHAM prints a tenth of it, TransPose a hundredth."""
    return np.linalg.norm(jerks(joints, fps), axis=-1)


def within_sigma(error: np.ndarray, rays: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether errors lie within one standard deviation, across the rays and along them.

    Args:
        error: (..., 3) in the camera's axes.
        rays: (..., 3) from the camera, of any length.
        sigma: (..., 2) across and along, in the errors' unit (`Pose.sigma`).

    Returns:
        (...) and (...): of the two axes across, the share within; and 1 or 0 along. Gaussian errors have a mean of
        0.683 in both.
    """
    inside = np.abs(across_and_along(error, rays)) <= sigma[..., [0, 0, 1]]
    return inside[..., :2].mean(-1), inside[..., 2].astype(float)


def across_and_along(error: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Errors (..., 3) in the camera's axes, in those of the rays (..., 3): two across, then along."""
    rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    aside = np.cross([0.0, 1.0, 0.0], rays)
    aside /= np.maximum(np.linalg.norm(aside, axis=-1, keepdims=True), 1e-9)
    axes = np.stack([aside, np.cross(rays, aside), rays], axis=-2)
    return (axes * error[..., None, :]).sum(-1)
