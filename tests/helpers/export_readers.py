"""What other programs do with the files of exports/, by the formats' own rules and none of the product's code."""

import json
import re
import struct
from pathlib import Path

import numpy as np
import torch
from plyfile import PlyData
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel, BodyOutput
from pipeline.exports.world import WorldMotion
from pipeline.formats.pose import Pose

FRAMES, FPS = 9, 25.0  # of the clip of tests/exports/


def posed(pose: Pose, body: BodyModel) -> BodyOutput:
    motion = [torch.as_tensor(a, dtype=torch.float32) for a in (pose.global_orient, pose.body_pose)]
    betas, transl = (torch.as_tensor(a, dtype=torch.float32) for a in (pose.betas, pose.transl))
    return body(*motion, betas, transl)


def moved(points: torch.Tensor, transform: np.ndarray) -> np.ndarray:
    """(T, N, 3) points of each frame by one transform (4, 4), or by each frame's (T, 4, 4)."""
    each = np.broadcast_to(transform, (len(points), 4, 4))
    return points.numpy() @ each[:, :3, :3].transpose(0, 2, 1) + each[:, None, :3, 3]


def in_world(motion: WorldMotion, betas: np.ndarray, body: BodyModel) -> BodyOutput:
    """The body in a world motion."""
    poses, transl, betas = (torch.as_tensor(a, dtype=torch.float32) for a in (motion.poses, motion.transl, betas))
    return body(poses[:, 0], poses[:, 1:].flatten(1), betas, transl)


def bvh_joints(text: str) -> tuple[dict[str, np.ndarray], float]:
    """Positions (T, 3) of each joint in centimetres by forward kinematics, and the frame time, of any BVH text."""
    tokens = iter(re.findall(r"\S+", text.split("MOTION")[0]))
    joints: list[dict] = []
    stack: list[dict] = []
    for token in tokens:
        if token in ("ROOT", "JOINT"):
            joint = {"name": next(tokens), "parent": stack[-1] if stack else None}
            joints.append(joint)
        elif token == "End":
            joint = {"name": next(tokens)}
        elif token == "{":
            stack.append(joint)
        elif token == "}":
            stack.pop()
        elif token == "OFFSET":
            stack[-1]["offset"] = np.array([float(next(tokens)) for _ in range(3)])
        elif token == "CHANNELS":
            stack[-1]["channels"] = [next(tokens) for _ in range(int(next(tokens)))]
    head, *lines = text.split("Frame Time:")[1].strip().splitlines()
    rows = np.array([[float(word) for word in line.split()] for line in lines])
    assert len(rows) == int(re.search(r"Frames:\s*(\d+)", text)[1])
    column, found = 0, {}
    for joint in joints:
        rotation, position = np.tile(np.eye(3), (len(rows), 1, 1)), np.tile(joint["offset"], (len(rows), 1))
        for channel in joint["channels"]:
            axis, kind = channel[0].lower(), channel[1:]
            if kind == "position":
                position[:, "xyz".index(axis)] += rows[:, column]
            else:
                rotation = rotation @ Rotation.from_euler(axis, rows[:, column, None], degrees=True).as_matrix()
            column += 1
        if (parent := joint["parent"]) is not None:
            position = parent["position"] + (parent["rotation"] @ position[..., None])[..., 0]
            rotation = parent["rotation"] @ rotation
        joint |= {"position": position, "rotation": rotation}
        found[joint["name"]] = position
    assert column == rows.shape[1]
    return found, float(head)


class Glb:
    """The parts of a GLB that this test needs, read by the specification."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        self.json = json.loads(data[20 : 20 + size])
        self.binary = data[20 + size + 8 :]

    def accessor(self, index: int) -> np.ndarray:
        accessor = self.json["accessors"][index]
        view = self.json["bufferViews"][accessor["bufferView"]]
        kind = {5126: "<f4", 5125: "<u4", 5123: "<u2", 5121: "u1"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
        values = np.frombuffer(self.binary, kind, accessor["count"] * width, view["byteOffset"])
        return values.reshape(-1, width).astype(float)

    def world_matrices(self, key: int | None) -> np.ndarray:
        """(nodes, 4, 4) at one key of the animation; None: at rest."""
        nodes = self.json["nodes"]
        local = [
            {"translation": node.get("translation", [0, 0, 0]), "rotation": node.get("rotation", [0, 0, 0, 1])}
            for node in nodes
        ]
        if key is not None:
            animation = self.json["animations"][0]
            for channel in animation["channels"]:
                sampler = animation["samplers"][channel["sampler"]]
                local[channel["target"]["node"]][channel["target"]["path"]] = self.accessor(sampler["output"])[key]
        world: dict[int, np.ndarray] = {}

        def visit(index: int, above: np.ndarray) -> None:
            matrix = np.eye(4)
            matrix[:3, :3] = Rotation.from_quat(local[index]["rotation"]).as_matrix()
            matrix[:3, 3] = local[index]["translation"]
            world[index] = above @ matrix
            for child in nodes[index].get("children", []):
                visit(child, world[index])

        for root in self.json["scenes"][0]["nodes"]:
            visit(root, np.eye(4))
        return np.stack([world[index] for index in range(len(nodes))])

    def skinned(self, key: int | None) -> np.ndarray:
        """(V, 3) vertices of the mesh at one key of the animation; None: at rest."""
        attributes, skin = self.json["meshes"][0]["primitives"][0]["attributes"], self.json["skins"][0]
        weights, ids = self.accessor(attributes["WEIGHTS_0"]), self.accessor(attributes["JOINTS_0"]).astype(int)
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
        bind = self.accessor(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        blended = np.einsum("vk,vkij->vij", weights, (self.world_matrices(key)[skin["joints"]] @ bind)[ids])
        return np.einsum("vij,vj->vi", blended[:, :3, :3], self.accessor(attributes["POSITION"])) + blended[:, :3, 3]


def read_ply(path: Path) -> dict[str, torch.Tensor]:
    """Gaussians as the original viewer reads them."""
    vertex = PlyData.read(str(path))["vertex"]

    def columns(*names: str) -> np.ndarray:
        return np.stack([vertex[name] for name in names], axis=1).astype(np.float64)

    rest = columns(*(f"f_rest_{i}" for i in range(45))).reshape(-1, 3, 15).transpose(0, 2, 1)
    sh = np.concatenate([columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None], rest], axis=1)
    arrays = {
        "means": columns("x", "y", "z"),
        "quats": columns("rot_0", "rot_1", "rot_2", "rot_3"),
        "scales": np.exp(columns("scale_0", "scale_1", "scale_2")),
        "opacities": 1 / (1 + np.exp(-columns("opacity")[:, 0])),
        "sh": sh,
    }
    return {name: torch.from_numpy(values).float() for name, values in arrays.items()}
