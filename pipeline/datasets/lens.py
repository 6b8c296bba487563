"""Lens distortion: images of a calibrated lens made those of a pinhole camera."""

import numpy as np
from scipy.ndimage import map_coordinates


class Undistortion:
    """Brown's model as OpenCV has it; the pinhole camera keeps K. What lies outside the image becomes black."""

    def __init__(self, K: np.ndarray, distortion: np.ndarray, width: int, height: int) -> None:
        """
        Args:
            K: px, (3, 3), of a pixel's centre at +0.5.
            distortion: k1, k2, p1, p2, k3. (5,)
            width: of the images, px.
            height: of the images, px.
        """
        k1, k2, p1, p2, k3 = distortion
        columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        x, y = (columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        seen_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        seen_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        # Where each pixel of the pinhole image is found in the distorted one: row and column as indices.
        self._at = np.stack([seen_y * K[1, 1] + K[1, 2], seen_x * K[0, 0] + K[0, 2]]) - 0.5

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W) or (H, W, C), resampled bilinearly."""
        layers = image[..., None] if image.ndim == 2 else image
        out = np.empty_like(layers)
        for channel in range(layers.shape[2]):
            values = map_coordinates(layers[..., channel].astype(np.float32), self._at, order=1, mode="constant")
            out[..., channel] = np.round(values)
        return out.reshape(image.shape)
