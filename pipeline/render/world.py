"""The world of a clip from above and from the side: the ground, the path, footprints, the camera, and the person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial import ConvexHull, QhullError

from pipeline.body import BodyModel
from pipeline.camera.feet import Feet, feet_of
from pipeline.camera.world import as_in_world, with_world
from pipeline.formats.pose import Pose
from pipeline.render import draw
from pipeline.render.crop import posed_vertices
from pipeline.render.overlay import mesh_layer
from pipeline.runtime.threads import map_parallel

# Rows are the picture's right, down and forward in the world (y up). From above, who faces +z faces down the picture.
_VIEWS = {
    "from above": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "from the side": np.array([[0.0, 0, -1], [0, -1, 0], [-1, 0, 0]]),
}
_FAR = 200.0  # metres: so far away a pinhole's picture is flat
_AROUND, _FARTHEST = 0.7, 8.0  # metres shown around the person's path; and at most, where the camera is farther
_SAMPLES = 3  # of lines and footprints, a pixel side
_STANDS = 0.5  # probability from which a foot leaves a print
_FRUSTUM = 0.5  # metres: length of the camera's picture
_GROUND, _LINE, _CAMERA = (244, 245, 247), (214, 217, 222), (120, 60, 160)
_PRINTS = (draw.BEFORE, (0, 114, 178))  # left, right: orange and blue of Okabe and Ito's palette
_GAP = 4


@dataclass(frozen=True)
class _View:
    """A flat picture of the world."""

    name: str
    scale: float  # px a metre
    centre: np.ndarray  # (2,) of the picture, in metres along its right and down
    width: int
    height: int

    @property
    def axes(self) -> np.ndarray:
        return _VIEWS[self.name]

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """World (..., 3) metres to (..., 2) px."""
        return (points @ self.axes[:2].T - self.centre) * self.scale + [self.width / 2, self.height / 2]

    def body(self, vertices: np.ndarray, faces: np.ndarray, image: np.ndarray, opacity: float) -> np.ndarray:
        """The picture with a body, vertices (V, 3) of the world, laid over it."""
        seen = vertices @ self.axes.T - [*self.centre, -_FAR]
        focal = self.scale * _FAR
        K = np.array([[focal, 0, self.width / 2], [0, focal, self.height / 2], [0, 0, 1]])
        return mesh_layer(seen.astype(np.float32), faces, K, self.width, self.height, draw.AFTER, opacity).over(image)


@dataclass(frozen=True)
class _Stage:
    """A motion in its world, ready to be drawn."""

    pose: Pose  # as if the world were the camera's frame
    cameras: np.ndarray  # (T, 4, 4) world_from_camera
    K: np.ndarray
    feet: Feet
    prints: list[tuple[int, int, np.ndarray]]  # first frame, foot (0 left), outline (N, 3)
    views: tuple[_View, ...]
    body: BodyModel


def world_frames(pose: Pose, body: BodyModel, side: int) -> Iterator[np.ndarray]:
    """For each frame uint8 (side, 2 side + gap, 3): the world from above and from the side, up to that moment."""
    stage = _staged(pose, body, side)
    empty = [_ground(view) for view in stage.views]
    yield from map_parallel(lambda frame: _picture(stage, empty, frame, [frame]), range(len(pose)))


def world_still(pose: Pose, body: BodyModel, side: int, chosen: list[int]) -> np.ndarray:
    """The same of the whole clip, with the person in the chosen frames."""
    stage = _staged(pose, body, side)
    return _picture(stage, [_ground(view) for view in stage.views], len(pose) - 1, chosen)


def _staged(pose: Pose, body: BodyModel, side: int) -> _Stage:
    stood = with_world(pose, body)
    world = as_in_world(stood)
    feet = feet_of(world, body)
    side -= side % 2
    views = tuple(_fitted(name, feet, stood.world_from_camera[:, :3, 3], side) for name in _VIEWS)
    prints = _footprints(feet, stood.contact)
    return _Stage(world, stood.world_from_camera, pose.K, feet, prints, views, body)


def _fitted(name: str, feet: Feet, cameras: np.ndarray, side: int) -> _View:
    """The view that holds the person's path, and the camera where it is not too far."""
    axes = _VIEWS[name][:2]
    points = feet.joints.reshape(-1, 3) @ axes.T
    low, high = points.min(0) - _AROUND, points.max(0) + _AROUND
    camera = np.clip(cameras @ axes.T, low - _FARTHEST, high + _FARTHEST)
    low, high = np.minimum(low, camera.min(0) - _AROUND / 2), np.maximum(high, camera.max(0) + _AROUND / 2)
    return _View(name, float((side / (high - low)).min()), (low + high) / 2, side, side)


def _footprints(feet: Feet, contact: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """The outline of each foot on the ground, for each time that it stands."""
    prints = []
    for foot in (0, 1):
        stands = contact[:, 2 * foot : 2 * foot + 2].max(axis=1) > _STANDS
        for first, last in np.flatnonzero(np.diff(np.pad(stands.astype(int), 1))).reshape(-1, 2):
            sole = feet.soles[(first + last) // 2, 2 * foot : 2 * foot + 2].reshape(-1, 3) * [1, 0, 1]
            try:
                prints.append((first, foot, sole[ConvexHull(sole[:, [0, 2]]).vertices]))
            except QhullError:  # a foot on edge has no outline
                continue
    return prints


def _ground(view: _View) -> np.ndarray:
    """The picture of the ground alone: lines a metre apart, or from the side the line that is the ground."""
    image = Image.new("RGB", (view.width * _SAMPLES, view.height * _SAMPLES), _GROUND)
    pen = ImageDraw.Draw(image)
    reach = np.array([view.width, view.height]) / view.scale / 2
    for axis in (0, 1):
        for metre in range(int(np.floor((view.centre - reach)[axis])), int(np.ceil((view.centre + reach)[axis])) + 1):
            at = _SAMPLES * ((metre - view.centre[axis]) * view.scale + view.width / 2)
            ends = [at, 0, at, image.height] if axis == 0 else [0, at, image.width, at]
            is_ground = view.name == "from the side" and axis == 1 and metre == 0
            pen.line(ends, draw.INK if is_ground else _LINE, _SAMPLES * (2 if is_ground else 1))
    return np.asarray(image)


def _picture(stage: _Stage, empty: list[np.ndarray], frame: int, people: list[int]) -> np.ndarray:
    tiles = []
    for view, ground in zip(stage.views, empty):
        image = Image.fromarray(ground)
        _mark(view, ImageDraw.Draw(image), stage, frame)
        tile = np.array(image.reduce(_SAMPLES))
        for index in people:
            vertices = posed_vertices(stage.body, stage.pose, index)
            tile = view.body(vertices, stage.body.faces.numpy(), tile, 0.9 if len(people) == 1 else 0.6)
        size = draw.label_size(view.height)
        draw.label(tile, f"{view.name}, lines 1 m apart", size)
        if len(people) == 1:
            draw.label(tile, f"{frame / stage.pose.fps:.1f} s", size, corner="bottom left")
        tiles.append(tile)
    return draw.row(tiles, _GAP, draw.PAPER)


def _mark(view: _View, pen: ImageDraw.ImageDraw, stage: _Stage, frame: int) -> None:
    """Footprints, the pelvis's path on the ground, the camera's path and where it looks, up to a frame."""

    def line(points: np.ndarray, colour: draw.Colour, width: int) -> None:
        pen.line([tuple(point) for point in _SAMPLES * view.pixels(points)], colour, width * _SAMPLES, joint="curve")

    for first, foot, outline in stage.prints:
        if first <= frame:
            pen.polygon([tuple(p) for p in _SAMPLES * view.pixels(outline)], _PRINTS[foot], _PRINTS[foot], _SAMPLES)
    if frame > 0:
        line(stage.feet.joints[: frame + 1, 0] * [1, 0, 1], draw.INK, 2)
        line(stage.cameras[: frame + 1, :3, 3], _CAMERA, 2)
    centre = stage.cameras[frame, :3, 3]
    corners = np.array([[x, y, 1] for x, y in ((0, 0), (2, 0), (2, 2), (0, 2))], float)
    corners[:, :2] *= stage.K[:2, 2]  # the picture's, its middle being the principal point
    rays = corners @ np.linalg.inv(stage.K).T * _FRUSTUM
    rim = rays @ stage.cameras[frame, :3, :3].T + centre
    line(np.concatenate([rim, rim[:1]]), _CAMERA, 1)
    for corner in rim:
        line(np.stack([centre, corner]), _CAMERA, 1)
