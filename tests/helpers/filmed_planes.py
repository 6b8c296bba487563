"""Films of textured planes by a camera whose motion is known: warps by closed-form homographies."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

SIZE = 320, 240  # px
K = np.array([[260.0, 0, 160], [0, 260.0, 120], [0, 0, 1]])
FPS = 10.0


def texture(seed: int, side: int = 1200) -> np.ndarray:
    """(side, side) uint8 of blotches with corners."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(30, 225, (side // 24, side // 24)).astype(np.uint8)
    fine = rng.integers(-20, 20, (side // 8, side // 8)).astype(np.float32)
    image = cv2.resize(blocks, (side, side), interpolation=cv2.INTER_NEAREST).astype(np.float32)
    image += cv2.resize(fine, (side, side), interpolation=cv2.INTER_NEAREST)
    return cv2.GaussianBlur(image, (0, 0), 1.2).clip(0, 255).astype(np.uint8)


def seen(
    image: np.ndarray, depth: float, pose: np.ndarray, width: float = 12.0, K: np.ndarray = K, size: tuple = SIZE
) -> np.ndarray:
    """A texture of `width` metres on the plane z = `depth`, its middle on the first camera's axis, in a camera (4, 4)
    to the world."""
    pitch = width / image.shape[0]
    plane = np.array([[pitch, 0, -width / 2], [0, pitch, -width / 2], [0, 0, depth]])  # texel to the world
    back = np.linalg.inv(pose)
    homography = K @ (back[:3, :3] @ plane + np.outer(back[:3, 3], [0, 0, 1]))
    shift = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # OpenCV's pixel centres lie at 0
    homography = shift @ homography @ np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return cv2.warpPerspective(image, homography, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def save(
    folder: Path, images: Sequence[np.ndarray], person: Sequence[tuple[int, int, int, int]] | None = None
) -> tuple[list[Path], list[Path]]:
    """Frames and masks as files; the person is a grey box xyxy, by default in the middle."""
    files: tuple[list[Path], list[Path]] = [], []
    for index, image in enumerate(images):
        x0, y0, x1, y1 = person[index] if person is not None else (140, 70, 180, 190)
        image, mask = image.copy(), np.zeros(image.shape[:2], np.uint8)
        image[y0:y1, x0:x1] = 60 + 10 * (index % 5)
        mask[y0:y1, x0:x1] = 255
        for kind, suffix, picture in (("frames", "jpg", image), ("masks", "png", mask)):
            file = folder / kind / f"{index:06d}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), picture)
            files[kind == "masks"].append(file)
    return files
