"""The body mesh over the video, before and after the refinement."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.body import BodyModel
from pipeline.formats.images import FrameFolder
from pipeline.formats.pose import Pose
from pipeline.geometry.mesh_raster import rasterize
from pipeline.render import draw, kernels
from pipeline.render.crop import Crop, clip_crop, person_boxes, posed_vertices
from pipeline.runtime.threads import map_parallel

GAP = 2  # px between the panels
_SAMPLES = 60  # frames over the clip at which is looked where the person is
_NEAR = 0.05  # metres: a mesh with a vertex nearer than that is drawn over the whole image
_LIGHT = np.array(
    [-0.35, -0.65, -0.68], np.float32
)  # towards the light, camera axes: from the upper left behind the camera


@dataclass(frozen=True)
class MeshLayer:
    """A shaded mesh on a window of an image, ready to be laid over it."""

    left: int
    top: int
    colour: np.ndarray  # (h, w, 3) float32 in [0, 1], multiplied by coverage and opacity
    alpha: np.ndarray  # (h, w) float32, coverage times opacity

    def over(self, image: np.ndarray) -> np.ndarray:
        """A copy of uint8 (H, W, 3) `image` with the mesh over it."""
        out = image.copy()
        rows, columns = self.alpha.shape
        window = out[self.top : self.top + rows, self.left : self.left + columns]
        window[:] = draw.to_uint8(window / np.float32(255) * (1 - self.alpha[..., None]) + self.colour)
        return out

    def full_alpha(self, width: int, height: int) -> np.ndarray:
        """(height, width) float32: the alpha on the whole image."""
        out = np.zeros((height, width), np.float32)
        rows, columns = self.alpha.shape
        out[self.top : self.top + rows, self.left : self.left + columns] = self.alpha
        return out


def mesh_layer(
    vertices: np.ndarray,  # (V, 3) metres, camera frame
    faces: np.ndarray,  # (F, 3)
    K: np.ndarray,  # (3, 3) px
    width: int,
    height: int,
    tint: draw.Colour | np.ndarray,  # one colour (0..255), or (V, 3) in [0, 1]
    opacity: float,
    supersample: int = 2,
) -> MeshLayer:
    """Shade a mesh with smooth normals in one tint; grazing surfaces are more opaque, which draws its contours.

    Args:
        opacity: of a surface that faces the camera, in [0, 1].
        supersample: samples a pixel side; their mean is the antialiased picture.
    """
    left, top, right, bottom = _window(vertices, K, width, height)
    if right <= left or bottom <= top:
        return MeshLayer(0, 0, np.zeros((0, 0, 3), np.float32), np.zeros((0, 0), np.float32))
    window_K = np.diag([supersample, supersample, 1.0]) @ np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]]) @ K
    size = ((right - left) * supersample, (bottom - top) * supersample)
    hits = rasterize(vertices, faces, window_K, *size)

    vertices, faces = np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int64)
    normals = np.zeros_like(vertices)
    kernels.vertex_normals(vertices, faces, normals)
    tint = tint if isinstance(tint, np.ndarray) else np.array(tint) / 255
    tints = np.ascontiguousarray(np.broadcast_to(tint, vertices.shape), np.float32)
    colour, alpha = (
        np.zeros((bottom - top, right - left, 3), np.float32),
        np.zeros((bottom - top, right - left), np.float32),
    )
    mesh = vertices, faces, normals, tints, _LIGHT / np.linalg.norm(_LIGHT), np.float32(opacity), supersample
    kernels.shade_mesh(hits.face, hits.bary, *mesh, colour, alpha)
    return MeshLayer(left, top, colour, alpha)


def overlay_frames(
    frames: FrameFolder,
    before: Pose,
    after: Pose,
    body: BodyModel,
    longest_side: int,
    opacity: float,
) -> Iterator[np.ndarray]:
    """For each frame, uint8 (h, 3 w + gaps, 3): the video, the mesh before and the mesh after, side by side.

    All frames are cropped to where the person goes in the clip.
    """
    crop = overlay_crop(frames, before, after, body, longest_side)
    size = draw.label_size(min(crop.width, crop.height))

    def panels_of(index: int) -> np.ndarray:
        panels = before_after(frames[index], before, after, body, index, crop, opacity)
        label_panels(panels, size)
        draw.label(panels[0], f"{index / before.fps:.1f} s", size, corner="bottom left")
        if not before.valid[index]:
            draw.label(panels[1], "not seen, interpolated", size, corner="bottom left")
        return draw.row(panels, gap=GAP, colour=draw.INK)

    yield from map_parallel(panels_of, range(len(frames)))


def overlay_crop(frames: FrameFolder, before: Pose, after: Pose, body: BodyModel, longest_side: int) -> Crop:
    """The part of the frames that the panels show."""
    height, width = frames[0].shape[:2]
    looked_at = np.unique(np.linspace(0, len(frames) - 1, _SAMPLES).astype(int))
    return clip_crop(person_boxes((before, after), body, looked_at, width, height), width, height, longest_side)


def before_after(
    frame: np.ndarray,
    before: Pose,
    after: Pose,
    body: BodyModel,
    index: int,
    crop: Crop,
    opacity: float,
    supersample: int = 2,
) -> list[np.ndarray]:
    """Three tiles of frame `index`: the video, the mesh before, the mesh after."""
    video = crop.of(frame)
    quiet = draw.muted(video)
    tiles = [video]
    for pose, tint in ((before, draw.BEFORE), (after, draw.AFTER)):
        vertices, K = posed_vertices(body, pose, index), crop.K(pose.K)
        layer = mesh_layer(vertices, body.faces.numpy(), K, crop.width, crop.height, tint, opacity, supersample)
        tiles.append(layer.over(quiet))
    return tiles


def label_panels(tiles: list[np.ndarray], size: int) -> None:
    """Write what each of the three tiles of `before_after` is into its corner."""
    for tile, (name, swatch) in zip(tiles, (("video", None), ("before", draw.BEFORE), ("after", draw.AFTER))):
        draw.label(tile, name, size, swatch)


def _window(vertices: np.ndarray, K: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) in px of the part of the image that the mesh can touch."""
    if vertices[:, 2].min() < _NEAR:
        return 0, 0, width, height
    projected = vertices @ K.T
    xy = projected[:, :2] / projected[:, 2:]
    low = np.clip(np.floor(xy.min(0)), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(xy.max(0)), 0, (width, height)).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
