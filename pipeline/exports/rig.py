"""The skeleton as animators expect it: standing on the ground at rest, each joint's y axis along its bone.

SMPL's joints are not turned at rest. Blender takes a joint's y axis for its bone and would show 24 bones that point
up, so glTF's joints get frames of their own here; what moves is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pygltflib as gltf
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import JOINT_NAMES, PARENTS, BodyModel, vertex_normals
from pipeline.exports.gltf import GltfFile, linear_bytes

PERSON = len(JOINT_NAMES)  # the mesh's node; those of the joints come first, in SMPL's order
_INFLUENCES = 4  # joints a vertex; many viewers read no more
# Where a bone leads to, of joints with several children; others lead to their only child.
_MAIN_CHILD = {"pelvis": "spine1", "spine3": "neck"}
# Bones of joints without a child that do not go on as their parent's does.
_ENDS = {"head": (0.0, 1.0, 0.0), "left_foot": (0.0, 0.0, 1.0), "right_foot": (0.0, 0.0, 1.0)}
_NEARLY_ALONG = 0.8  # cosine


@dataclass(frozen=True)
class Rig:
    """A person at rest, y up, facing +z, arms out along x, soles at y = 0."""

    vertices: np.ndarray  # (V, 3) metres
    normals: np.ndarray  # (V, 3)
    joints: np.ndarray  # (24, 3) metres
    frames: Rotation  # (24,) of each joint in the world: y along the bone
    lift: float  # metres that this is above the body's own rest pose

    @staticmethod
    def of(body: BodyModel, betas: np.ndarray) -> Rig:
        """The rig of a shape (10,)."""
        shape = torch.as_tensor(betas, dtype=body.v_template.dtype)
        vertices, joints = body.shaped(shape), body.rest_joints(shape).double().numpy()
        normals = vertex_normals(vertices, body.faces).numpy()
        points = vertices.double().numpy()
        up = np.array([0.0, -points[:, 1].min(), 0.0])
        return Rig(points + up, normals, joints + up, _frames(joints), float(up[1]))

    def local(
        self,
        poses: np.ndarray,  # (T, 24, 3) axis-angle
    ) -> np.ndarray:  # (T, 24, 4)
        """SMPL's joint angles as rotations of these joints to their parents: quaternions xyzw, as glTF's."""
        turned = Rotation.from_rotvec(poses.reshape(-1, 3))
        own = Rotation.from_quat(np.tile(self.frames.as_quat(), (len(poses), 1)))
        quats = [[0, 0, 0, 1] if parent < 0 else self.frames[parent].inv().as_quat() for parent in PARENTS]
        above = Rotation.from_quat(np.tile(quats, (len(poses), 1)))
        return (above * turned * own).as_quat().reshape(len(poses), -1, 4)

    def nodes(self, names: Sequence[str]) -> list[gltf.Node]:
        """A node a joint, at rest; names in SMPL's order."""
        rest = self.local(np.zeros((1, len(JOINT_NAMES), 3)))[0]
        offsets = [
            joint if parent < 0 else self.frames[parent].inv().apply(joint - self.joints[parent])
            for joint, parent in zip(self.joints, PARENTS)
        ]
        return [
            gltf.Node(
                name=name,
                translation=offsets[index].tolist(),
                rotation=rest[index].tolist(),
                children=[child for child, parent in enumerate(PARENTS) if parent == index],
            )
            for index, name in enumerate(names)
        ]

    def inverse_bind(self) -> np.ndarray:
        """(24, 16) column by column: from points of the rest pose to each joint's frame."""
        matrices = np.tile(np.eye(4), (len(self.joints), 1, 1))
        matrices[:, :3, :3] = self.frames.inv().as_matrix()
        matrices[:, :3, 3] = -self.frames.inv().apply(self.joints)
        return matrices.transpose(0, 2, 1).reshape(-1, 16)


def add_person(
    file: GltfFile, rig: Rig, body: BodyModel, colors: np.ndarray, names: Sequence[str] = JOINT_NAMES
) -> None:
    """Put the skinned mesh at rest, its joints and a scene of both into an empty file.

    The four largest skinning weights of a vertex are kept, and pose blend shapes (SMPL's) are left out: glTF has
    neither more nor those.

    Args:
        colors: sRGB colours of the vertices in [0, 1]. (V, 3)
        names: of the joints, in SMPL's order.
    """
    joint_ids, weights = largest_weights(body.weights.double().numpy())
    attributes = gltf.Attributes(
        POSITION=file.add(rig.vertices, gltf.ARRAY_BUFFER, bounds=True),
        NORMAL=file.add(rig.normals, gltf.ARRAY_BUFFER),
        COLOR_0=file.add(linear_bytes(colors), gltf.ARRAY_BUFFER, normalized=True),
        JOINTS_0=file.add(joint_ids.astype(np.uint8), gltf.ARRAY_BUFFER),
        WEIGHTS_0=file.add(weights, gltf.ARRAY_BUFFER),
    )
    indices = file.add(body.faces.numpy().astype(np.uint32).reshape(-1), gltf.ELEMENT_ARRAY_BUFFER)
    model = file.model
    surface = gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=0.9)
    model.materials = [gltf.Material(name="person", pbrMetallicRoughness=surface)]
    primitive = gltf.Primitive(attributes=attributes, indices=indices, material=0)
    model.meshes = [gltf.Mesh(name="person", primitives=[primitive])]
    model.nodes = [*rig.nodes(names), gltf.Node(name="person", mesh=0, skin=0)]
    model.scenes = [gltf.Scene(nodes=[0, PERSON])]
    joints = list(range(len(JOINT_NAMES)))
    model.skins = [gltf.Skin(joints=joints, skeleton=0, inverseBindMatrices=file.add(rig.inverse_bind()))]


def largest_weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (V, 4) and their weights (V, 4), which sum to 1."""
    order = np.argsort(-weights, axis=1, kind="stable")[:, :_INFLUENCES]
    largest = np.take_along_axis(weights, order, axis=1)
    return np.where(largest > 0, order, 0), largest / largest.sum(1, keepdims=True)


def _frames(joints: np.ndarray) -> Rotation:
    """y along the bone, x as near to the world's x as that lets it be (to z, for bones along x)."""
    axes = []
    for index, name in enumerate(JOINT_NAMES):
        along = _bone(index, name, joints)
        along = along / np.linalg.norm(along)
        aside = np.eye(3)[2 if abs(along[0]) > _NEARLY_ALONG else 0]
        z = np.cross(aside, along)
        z /= np.linalg.norm(z)
        axes.append(np.stack([np.cross(along, z), along, z], axis=1))
    return Rotation.from_matrix(np.stack(axes))


def _bone(index: int, name: str, joints: np.ndarray) -> np.ndarray:
    if name in _ENDS:
        return np.array(_ENDS[name])
    children = [child for child, parent in enumerate(PARENTS) if parent == index]
    if not children:
        return joints[index] - joints[PARENTS[index]]
    child = JOINT_NAMES.index(_MAIN_CHILD[name]) if name in _MAIN_CHILD else children[0]
    return joints[child] - joints[index]
