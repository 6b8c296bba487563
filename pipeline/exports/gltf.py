"""A glTF 2.0 file in the making: the model, and the binary data that its accessors describe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pygltflib as gltf

from pipeline.formats.atomic import atomic_path

_COMPONENTS = {
    np.dtype(np.float32): gltf.FLOAT,
    np.dtype(np.uint32): gltf.UNSIGNED_INT,
    np.dtype(np.uint8): gltf.UNSIGNED_BYTE,
}
_TYPES = {1: gltf.SCALAR, 3: gltf.VEC3, 4: gltf.VEC4, 16: gltf.MAT4}


class GltfFile:
    """What `save` writes as one binary file (.glb, .vrm)."""

    def __init__(self, copyright: str | None = None) -> None:
        asset = gltf.Asset(version="2.0", generator="humansplathmr", copyright=copyright)
        self.model = gltf.GLTF2(scene=0, asset=asset)
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

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        self.model.buffers = [gltf.Buffer(byteLength=len(self.data))]
        self.model.set_binary_blob(bytes(self.data))
        with atomic_path(path) as temporary:
            self.model.save_binary(str(temporary))


def linear_bytes(
    colors: np.ndarray,  # (N, 3)
    alpha: np.ndarray | float = 1.0,  # (N,)
) -> np.ndarray:  # (N, 4)
    """sRGB in [0, 1] -> linear RGBA bytes: glTF's vertex colours are linear."""
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    alpha = np.broadcast_to(alpha, len(colors))[:, None]
    return np.round(255 * np.concatenate([linear, alpha], axis=1)).astype(np.uint8)
