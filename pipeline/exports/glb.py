"""The motion as a GLB (glTF 2.0): the body's mesh, skinned to its 24 joints and animated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pygltflib as gltf
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, PARENTS, BodyModel, vertex_normals
from pipeline.exports.colors import vertex_colors
from pipeline.exports.fitted import Fitted
from pipeline.exports.world import WorldMotion
from pipeline.formats.atomic import atomic_path

_INFLUENCES = 4  # joints a vertex; many viewers read no more
_GREY = 0.6
_COMPONENTS = {
    np.dtype(np.float32): gltf.FLOAT,
    np.dtype(np.uint32): gltf.UNSIGNED_INT,
    np.dtype(np.uint8): gltf.UNSIGNED_BYTE,
}
_TYPES = {1: gltf.SCALAR, 3: gltf.VEC3, 4: gltf.VEC4, 16: gltf.MAT4}


def export(fitted: Fitted, folder: Path) -> None:
    """Write motion.glb, the body in the avatar's colours."""
    colors = vertex_colors(fitted.body.shaped(fitted.avatar.betas).numpy(), fitted.avatar)
    write_glb(folder / "motion.glb", fitted.y_up, fitted.body, fitted.pose.betas, colors)


def write_glb(
    path: str | Path, motion: WorldMotion, body: BodyModel, betas: np.ndarray, colors: np.ndarray | None
) -> None:
    """Write `motion` (y up), whole or not at all.

    The four largest skinning weights of a vertex are kept, and pose blend shapes (SMPL's) are left out: glTF has
    neither more nor those.

    Args:
        motion: in a world with y up, metres.
        body: the body that it moves.
        betas: shape of the person. (10,)
        colors: sRGB colours of the body's vertices in [0, 1] (V, 3), or None for grey.
    """
    shape = torch.as_tensor(betas, dtype=body.v_template.dtype)
    vertices, joints = body.shaped(shape), body.rest_joints(shape).double().numpy()
    joint_ids, weights = _largest_weights(body.weights.double().numpy())
    colors = np.full(vertices.shape, _GREY) if colors is None else colors
    file = _File()
    attributes = gltf.Attributes(
        POSITION=file.add(vertices.numpy(), gltf.ARRAY_BUFFER, bounds=True),
        NORMAL=file.add(vertex_normals(vertices, body.faces).numpy(), gltf.ARRAY_BUFFER),
        COLOR_0=file.add(_linear_bytes(colors), gltf.ARRAY_BUFFER, normalized=True),
        JOINTS_0=file.add(joint_ids.astype(np.uint8), gltf.ARRAY_BUFFER),
        WEIGHTS_0=file.add(weights, gltf.ARRAY_BUFFER),
    )
    indices = file.add(body.faces.numpy().astype(np.uint32).reshape(-1), gltf.ELEMENT_ARRAY_BUFFER)
    file.model.materials = [
        gltf.Material(pbrMetallicRoughness=gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=0.9))
    ]
    primitive = gltf.Primitive(attributes=attributes, indices=indices, material=0)
    file.model.meshes = [gltf.Mesh(name="person", primitives=[primitive])]
    file.model.nodes = [*_joint_nodes(joints), gltf.Node(name="person", mesh=0, skin=0)]
    file.model.scenes = [gltf.Scene(nodes=[0, len(JOINT_NAMES)])]
    file.model.skins = [
        gltf.Skin(
            joints=list(range(len(JOINT_NAMES))),
            skeleton=0,
            inverseBindMatrices=file.add(_inverse_bind(joints)),
        )
    ]
    file.model.animations = [_animation(file, motion, joints[0])]
    with atomic_path(path) as temporary:
        file.save(temporary)


class _File:
    """A glTF model and the binary data that its accessors describe."""

    def __init__(self) -> None:
        self.model = gltf.GLTF2(scene=0, asset=gltf.Asset(version="2.0", generator="humansplathmr"))
        self.data = bytearray()

    def add(self, array: np.ndarray, target: int | None = None, bounds: bool = False, normalized: bool = False) -> int:
        """Append (N,), (N, 3), (N, 4) or (N, 16) values; floats become float32. Returns the accessor's index."""
        array = np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else array.dtype)
        rows = array.reshape(len(array), -1)
        self.data += bytes(-len(self.data) % 4)
        view = gltf.BufferView(buffer=0, byteOffset=len(self.data), byteLength=array.nbytes, target=target)
        self.data += array.tobytes()
        self.model.bufferViews.append(view)
        accessor = gltf.Accessor(
            bufferView=len(self.model.bufferViews) - 1,
            componentType=_COMPONENTS[array.dtype],
            count=len(array),
            type=_TYPES[rows.shape[1]],
            normalized=normalized,
        )
        if bounds:
            accessor.min, accessor.max = rows.min(0).tolist(), rows.max(0).tolist()
        self.model.accessors.append(accessor)
        return len(self.model.accessors) - 1

    def save(self, path: Path) -> None:
        self.model.buffers = [gltf.Buffer(byteLength=len(self.data))]
        self.model.set_binary_blob(bytes(self.data))
        self.model.save_binary(str(path))


def _joint_nodes(joints: np.ndarray) -> list[gltf.Node]:
    offsets = [joint - (joints[parent] if parent >= 0 else 0) for joint, parent in zip(joints, PARENTS)]
    return [
        gltf.Node(
            name=name,
            translation=offset.tolist(),
            children=[child for child, parent in enumerate(PARENTS) if parent == index],
        )
        for index, (name, offset) in enumerate(zip(JOINT_NAMES, offsets))
    ]


def _inverse_bind(joints: np.ndarray) -> np.ndarray:
    """(24, 16) column by column: from rest-pose points to each joint's frame."""
    matrices = np.tile(np.eye(4), (len(joints), 1, 1))
    matrices[:, :3, 3] = -joints
    return matrices.transpose(0, 2, 1).reshape(-1, 16)


def _animation(file: _File, motion: WorldMotion, root: np.ndarray) -> gltf.Animation:
    """One key a frame: the rotation of every joint and the position of the root."""
    frames = len(motion.poses)
    times = file.add(np.arange(frames) / motion.fps, bounds=True)
    quats = Rotation.from_rotvec(motion.poses.reshape(-1, 3)).as_quat().reshape(frames, -1, 4)  # x y z w, as glTF
    # q and -q are one rotation; neighbours of one sign are interpolated the short way.
    signs = np.where((quats[1:] * quats[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    quats[1:] *= np.cumprod(signs, axis=0)
    tracks = [(0, "translation", motion.transl + root)]
    tracks += [(joint, "rotation", quats[:, joint]) for joint in range(len(JOINT_NAMES))]
    samplers, channels = [], []
    for index, (node, kind, values) in enumerate(tracks):
        samplers.append(gltf.AnimationSampler(input=times, output=file.add(values), interpolation="LINEAR"))
        target = gltf.AnimationChannelTarget(node=node, path=kind)
        channels.append(gltf.AnimationChannel(sampler=index, target=target))
    return gltf.Animation(name="motion", samplers=samplers, channels=channels)


def _largest_weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (V, 4) and their weights (V, 4), which sum to 1."""
    order = np.argsort(-weights, axis=1, kind="stable")[:, :_INFLUENCES]
    largest = np.take_along_axis(weights, order, axis=1)
    return np.where(largest > 0, order, 0), largest / largest.sum(1, keepdims=True)


def _linear_bytes(colors: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] (V, 3) -> linear RGBA bytes (V, 4): glTF's vertex colours are linear."""
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    return np.concatenate([np.round(255 * linear), np.full((len(colors), 1), 255)], axis=1).astype(np.uint8)
