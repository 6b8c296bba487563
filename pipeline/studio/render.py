"""One instant of a clip, seen by any number of cameras: image, mask and depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.geometry import raycast
from pipeline.geometry.ramp import smoothstep
from pipeline.studio.blur import picture_motion, smeared
from pipeline.studio.cameras import ClipCamera
from pipeline.studio.scene import FLOOR, Scene
from pipeline.studio.subject import Subject

_SHADOW_START = 0.014  # metres off the surface: nearer, facets of a curved surface shade each other
_PATCH = 3.2  # metres a side of the ground on which the subject's shadow is computed
_SENSOR_NOISE = 0.006  # standard deviation, in display units


@dataclass(frozen=True)
class Quality:
    """How finely light is sampled."""

    samples: int = 2  # rays a pixel and side, of the subject and of the room
    rays: int = 12  # to the key light and to all around, from each vertex and from each cell of the ground
    cells: int = 84  # a side of the ground on which the subject's shadow is computed


FINE, DRAFT = Quality(), Quality(samples=1, rays=4, cells=40)  # a draft serves a detector as well


@dataclass(frozen=True)
class Picture:
    """What a camera gives: image (H, W, 3) uint8, mask (H, W) uint8 coverage, depth (H, W) float32 metres."""

    image: np.ndarray
    mask: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True)
class _Backdrop:
    """The empty room in one camera, and where it shows the ground."""

    radiance: np.ndarray  # (H, W, 3) linear
    depth: np.ndarray  # (H, W) metres
    ground: np.ndarray  # (H, W) bool
    points: np.ndarray  # (ground.sum(), 3) what these pixels show of the ground, metres


class Renderer:
    """Draws a subject in a scene. Deterministic: the same arguments give the same pictures."""

    def __init__(
        self,
        subject: Subject,
        scene: Scene,
        cameras: list[ClipCamera],
        transforms: np.ndarray,  # (T, 24, 4, 4) motions of the joints, rest pose to world
        fps: float,
        quality: Quality = FINE,
    ) -> None:
        self.subject, self.scene, self.cameras, self.quality = subject, scene, cameras, quality
        self.transforms, self.fps = transforms, fps
        self._room = scene.caster()
        self._static = {k: self._backdrop(c, c.viewmats[0]) for k, c in enumerate(cameras) if c.is_static}

    def draw(self, index: int) -> list[Picture]:
        """Frame `index` of all cameras."""
        now = self.transforms[index]
        # Before the first frame things moved as they do after it; motions are linear in skinning, so this is a line.
        before = self.transforms[index - 1] if index else 2 * now - self.transforms[min(1, len(self.transforms) - 1)]
        vertices = self.subject.posed(now, before, 1 / self.fps)
        lit = _LitSubject(self.subject, self.scene, vertices, self.quality)
        blurred = any(camera.exposure for camera in self.cameras)
        speed = self.subject.speed(now, before, 1 / self.fps).astype(np.float32) if blurred else None
        pictures = []
        for k, camera in enumerate(self.cameras):
            viewmat = camera.viewmats[index]
            backdrop = self._static.get(k) or self._backdrop(camera, viewmat)
            pictures.append(_compose(lit, speed, backdrop, camera, viewmat, seed=1000 * index + k))
        return pictures

    def _backdrop(self, camera: ClipCamera, viewmat: np.ndarray) -> _Backdrop:
        samples = self.quality.samples
        size = camera.width * samples, camera.height * samples
        hits = self._room.pinhole(raycast.supersampled(camera.K, samples), viewmat, *size)
        if not hits.mask.all():
            raise ValueError("a camera stands outside the room")
        origin, directions = raycast.pinhole_rays(raycast.supersampled(camera.K, samples), viewmat, *size)
        points = origin + directions * hits.depth.reshape(-1, 1)
        rectangle = hits.face.ravel() // 2
        radiance = self.scene.radiance(rectangle, points).reshape(size[1], size[0], 3)
        ground = hits.face[::samples, ::samples] // 2 == FLOOR
        return _Backdrop(
            radiance=raycast.box_downsample(radiance, samples),
            depth=raycast.box_downsample(hits.depth, samples),
            ground=ground,
            points=points.reshape(size[1], size[0], 3)[::samples, ::samples][ground],
        )


class _LitSubject:
    """The posed subject with what light reaches it, and its shadow on the ground: the same for all cameras."""

    def __init__(self, subject: Subject, scene: Scene, vertices: np.ndarray, quality: Quality) -> None:
        self.subject, self.scene, self.quality = subject, scene, quality
        self.vertices = vertices.astype(np.float32)
        self.normals = raycast.smooth_normals(self.vertices, subject.faces).astype(np.float32)
        self.caster = raycast.MeshCaster(self.vertices, subject.faces)
        self.ambient = self._ambient(self.vertices, self.normals)
        self.open = self._open_to_key(self.vertices, self.normals)
        self.patch_center = self.vertices.mean(0) * np.float32([1, 0, 1])
        self.patch = self._ground_patch()

    def _ambient(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(N, 3) light from all around that is not blocked by the subject itself."""
        rays = self.quality.rays
        directions = _cosine_directions(normals, rays)  # (N, R, 3)
        starts = np.repeat(raycast.lift(points, normals, 3e-3), rays, 0)
        blocked = self.caster.occluded(starts, directions.reshape(-1, 3), reach=0.8).reshape(directions.shape[:2])
        light = self.scene.light.around(directions)
        return np.where(blocked[..., None], 0.12 * light, light).mean(1)

    def _open_to_key(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(N, 1) share of the key light's disc that the subject does not hide: soft shadows."""
        rays = self.quality.rays
        lights = self.scene.light.spots(rays)
        facing = np.flatnonzero(self.scene.key_light(points, normals)[:, 0] > 0)
        starts = np.repeat(raycast.lift(points[facing], normals[facing], _SHADOW_START), rays, 0)
        towards = np.tile(lights, (len(facing), 1)) - starts
        blocked = self.caster.occluded(starts, towards, reach=1.0).reshape(-1, rays)
        share = np.zeros((len(points), 1), np.float32)
        share[facing, 0] = 1 - blocked.mean(1, dtype=np.float32)
        return share

    def _ground_patch(self) -> np.ndarray:
        """(cells, cells, 3): how much of its light each cell of the ground around the subject still gets."""
        cells = self.quality.cells
        axis = (np.arange(cells) + 0.5) / cells * _PATCH - _PATCH / 2
        x, z = np.meshgrid(axis, axis)
        points = (np.stack([x, np.zeros_like(x), z], -1).reshape(-1, 3) + self.patch_center).astype(np.float32)
        normals = np.tile(np.float32([0, 1, 0]), (len(points), 1))
        key = self.scene.key_light(points, normals) * self._open_to_key(points, normals)
        lit = key + self._ambient(points, normals)
        share = lit / self.scene.irradiance(points, normals)
        # Unblocked ambient rays do not average to `irradiance` exactly; the far border tells by how much.
        share = share.reshape(cells, cells, 3)
        share = share / np.median(share[[0, -1]].reshape(-1, 3), 0)
        for axis_ in (0, 1):
            share = (np.roll(share, 1, axis_) + 2 * share + np.roll(share, -1, axis_)) / 4
        return np.minimum(share, 1).astype(np.float32)

    def ground_share(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) the patch, interpolated at ground points; 1 outside it."""
        cells = self.quality.cells
        at = (points - self.patch_center)[:, [2, 0]] / _PATCH * cells + cells / 2 - 0.5
        out = np.ones((len(points), 3), np.float32)
        inside = ((at >= 0) & (at < cells - 1)).all(1)
        cell = np.floor(at[inside]).astype(int)
        part = (at[inside] - cell)[:, :, None]
        i, j = cell.T
        rows = [self.patch[i + k, j] * (1 - part[:, 1]) + self.patch[i + k, j + 1] * part[:, 1] for k in (0, 1)]
        share = rows[0] * (1 - part[:, 0]) + rows[1] * part[:, 0]
        border = np.abs(at[inside] / cells - 0.5).max(1)
        fade = smoothstep(border, 0.42, 0.49)[:, None]
        out[inside] = share * (1 - fade) + fade
        return out

    def radiance(self, hits: raycast.Hits, eye: np.ndarray) -> np.ndarray:
        """(M, 3) linear colour of the samples that see the subject."""
        subject = self.subject
        carried = [self.vertices, self.normals, subject.template, self.ambient, self.open]
        seen = raycast.interpolate(hits, subject.faces, np.concatenate(carried, axis=1))
        points, normals, template, ambient, open_ = np.split(seen, (3, 6, 9, 12), axis=1)
        to_eye = eye - points
        to_eye /= np.linalg.norm(to_eye, axis=1, keepdims=True)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        inside = (normals * to_eye).sum(1) < -0.1  # the inner side of a hem
        normals = np.where(inside[:, None], -normals, normals)
        piece = subject.piece[hits.face[hits.mask]]
        albedo, gloss = np.zeros_like(points), np.asarray(subject.gloss, np.float32)[piece]
        for k, pattern in enumerate(subject.patterns):
            chosen = piece == k
            if chosen.any():
                albedo[chosen] = np.clip(pattern(template[chosen]), 0.01, 0.9)
        key = open_ * self.scene.key_light(points, normals)
        to_light = self.scene.light.center - points
        half = to_light / np.linalg.norm(to_light, axis=1, keepdims=True) + to_eye
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        highlight = gloss * np.clip((half * normals).sum(1), 0, 1) ** 28
        fresnel = 0.05 * (1 - np.clip((normals * to_eye).sum(1), 0, 1)) ** 4
        dim = np.where(inside, np.float32(0.45), np.float32(1))[:, None]
        return dim * (albedo * (key + ambient) + highlight[:, None] * key + fresnel[:, None] * ambient)


def _compose(
    lit: _LitSubject, speed: np.ndarray | None, backdrop: _Backdrop, camera: ClipCamera, viewmat: np.ndarray, seed: int
) -> Picture:
    """One camera's picture; `speed` (P, 3) m/s is how fast the subject's vertices move, None without an exposure."""
    height, width = backdrop.depth.shape
    samples = lit.quality.samples
    eye = -viewmat[:3, :3].T @ viewmat[:3, 3]
    eye = eye.astype(np.float32)
    image = backdrop.radiance.copy()
    ground = backdrop.ground
    image[ground] *= lit.ground_share(backdrop.points)
    mask, depth = np.zeros((height, width), np.float32), backdrop.depth.copy()
    passed = lit.vertices
    if camera.exposure:
        half = speed * np.float32(camera.exposure / 2)
        passed = np.concatenate([lit.vertices - half, lit.vertices + half])
    top, bottom, left, right = _window(passed, camera.K, viewmat, width, height)
    shifted = camera.K - np.array([[0, 0, left], [0, 0, top], [0, 0, 0]])
    size = samples * (right - left), samples * (bottom - top)
    hits = lit.caster.pinhole(raycast.supersampled(shifted, samples), viewmat, *size)
    colors = np.zeros((size[1], size[0], 3), np.float32)
    colors[hits.mask] = lit.radiance(hits, eye)
    seen = hits.mask
    if camera.exposure:
        moving = raycast.interpolate(hits, lit.subject.faces, np.concatenate([lit.vertices, speed], axis=1))
        pace = picture_motion(*np.split(moving, 2, axis=1), raycast.supersampled(shifted, samples), viewmat)
        colors, seen = smeared(colors, hits.mask, camera.exposure * pace)
    cover, sharp = (raycast.box_downsample(share, samples) for share in (seen, hits.mask))
    box = slice(top, bottom), slice(left, right)
    image[box] = image[box] * (1 - cover[..., None]) + raycast.box_downsample(colors, samples)
    mask[box] = cover
    near = raycast.box_downsample(hits.depth, samples) / np.maximum(sharp, 1e-6)
    depth[box] = np.where(sharp >= 0.5, near, depth[box])
    return Picture(_developed(image, seed), np.round(255 * mask).astype(np.uint8), depth)


def _window(
    vertices: np.ndarray, K: np.ndarray, viewmat: np.ndarray, width: int, height: int
) -> tuple[int, int, int, int]:
    """Rows and columns (top, bottom, left, right) of the image that can show the vertices."""
    camera = vertices @ viewmat[:3, :3].T + viewmat[:3, 3]
    pixel = camera @ K.T
    pixel = pixel[:, :2] / np.maximum(pixel[:, 2:], 1e-6)
    (left, top), (right, bottom) = np.floor(pixel.min(0)).astype(int) - 1, np.ceil(pixel.max(0)).astype(int) + 1
    left, top = int(np.clip(left, 0, width - 1)), int(np.clip(top, 0, height - 1))
    return top, int(np.clip(bottom, top + 1, height)), left, int(np.clip(right, left + 1, width))


def _developed(radiance: np.ndarray, seed: int) -> np.ndarray:
    """Linear light to an 8-bit sRGB image: a soft shoulder for highlights, the sRGB curve, a little sensor noise."""
    light = np.clip(radiance, 0, None)
    light = np.where(light < 0.6, light, 0.6 + 0.4 * np.tanh((light - 0.6) / 0.4))
    display = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    noise = np.float32(_SENSOR_NOISE) * np.random.default_rng(seed).standard_normal(display.shape, np.float32)
    return np.clip(np.round(255 * (display + noise)), 0, 255).astype(np.uint8)


def _cosine_directions(normals: np.ndarray, count: int) -> np.ndarray:
    """(N, count, 3) fixed directions over each normal's hemisphere, distributed by the cosine (a sunflower spiral)."""
    k = np.arange(count) + 0.5
    radius, angle = np.sqrt(k / count), k * np.pi * (3 - np.sqrt(5))
    local = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], 1).astype(np.float32)
    helper = np.where(np.abs(normals[:, 1:2]) < 0.9, np.float32([[0, 1, 0]]), np.float32([[1, 0, 0]]))
    tangent = np.cross(helper, normals)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    frame = np.stack([tangent, np.cross(normals, tangent), normals], 1)  # (N, 3, 3) rows
    return local @ frame
