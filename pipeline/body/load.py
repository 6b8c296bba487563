"""Read a body in SMPL's layout: the free body shipped here, or a licensed SMPL file (npz or pickle)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from pipeline.body.model import BETAS, JOINTS, PARENTS, BodyModel
from pipeline.body.unpickle import load_smpl_pickle
from pipeline.formats.arrays import read_npz
from pipeline.runtime.errors import UserError
from pipeline.setup import shipped

FREE_BODY = shipped.FREE_BODY.path
SMPL_VERTICES = 6890
# SMPL files carry no landmark vertices; these are the published ones of its one mesh (smplx `vertex_ids.py`).
SMPL_VERTEX_IDS = {
    "nose": 332, "reye": 6260, "leye": 2800, "rear": 4071, "lear": 583,
    "rthumb": 6191, "rindex": 5782, "rmiddle": 5905, "rring": 6016, "rpinky": 6133,
    "lthumb": 2746, "lindex": 2319, "lmiddle": 2445, "lring": 2556, "lpinky": 2673,
    "LBigToe": 3216, "LSmallToe": 3226, "LHeel": 3387, "RBigToe": 6617, "RSmallToe": 6624, "RHeel": 6787,
}  # fmt: skip


def load_body(name_or_path: str | Path, dtype: torch.dtype = torch.float32) -> BodyModel:
    """Read a body model.

    Args:
        name_or_path: "free" (shipped with this package), or the path of an .npz or .pkl file in SMPL's layout. More
            than ten betas in the file: the first ten are used.
        dtype: of the floating point tensors.

    Raises:
        UserError: naming the file, the key and the shape found, when the file is absent or is not in SMPL's layout.
    """
    path = shipped.FREE_BODY.require() if name_or_path == "free" else Path(name_or_path)
    return body_from_arrays(_read_arrays(path), str(path), dtype)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(
            f"{path}: no such body model; for SMPL register at https://smpl.is.tue.mpg.de, download it for Python "
            "(version 1.1.0) and give the path of its neutral model, or use the free body (body_model: free)"
        )
    if path.suffix == ".pkl":
        return load_smpl_pickle(path)
    if path.suffix == ".npz":
        return read_npz(path)
    raise UserError(f"{path}: a body model is an .npz or a .pkl file, found '{path.suffix}'")


def body_from_arrays(arrays: Mapping[str, np.ndarray], source: str, dtype: torch.dtype = torch.float32) -> BodyModel:
    """Check arrays in SMPL's layout and make a `BodyModel` of them; `source` names the file in errors (UserError)."""

    def array(key: str, shape: tuple[int | None, ...], hint: str) -> np.ndarray:
        if key not in arrays:
            raise UserError(f"{source}: key '{key}' {hint} is missing; found {', '.join(sorted(arrays))}")
        value = np.asarray(arrays[key])
        fits = value.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, value.shape))
        if not fits or value.dtype.kind not in "iufb":
            raise UserError(f"{source}: key '{key}' must be {hint}, found {value.dtype} of shape {value.shape}")
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UserError(f"{source}: key '{key}' holds values that are not finite; fetch the file again")
        return value

    template = array("v_template", (None, 3), "(V, 3)")
    count = len(template)
    shapedirs = array("shapedirs", (count, 3, None), f"({count}, 3, 10 or more)")
    if shapedirs.shape[2] < BETAS:
        raise UserError(f"{source}: key 'shapedirs' must be ({count}, 3, 10 or more), found shape {shapedirs.shape}")
    posedirs = array("posedirs", (count, 3, 9 * (JOINTS - 1)), f"({count}, 3, {9 * (JOINTS - 1)})")
    regressor = array("J_regressor", (JOINTS, count), f"({JOINTS}, {count})")
    weights = array("weights", (count, JOINTS), f"({count}, {JOINTS})")
    faces = array("f", (None, 3), "(F, 3)").astype(np.int64)
    if faces.size == 0 or faces.min() < 0 or faces.max() >= count:
        raise UserError(f"{source}: key 'f' must be (F, 3) indices of the {count} vertices, found others")
    tree = array("kintree_table", (2, JOINTS), f"(2, {JOINTS})").astype(np.int64)
    parents = (-1, *(int(parent) for parent in tree[0, 1:]))  # the root's parent is written as -1 or 2^32 - 1
    if parents != PARENTS:
        raise UserError(f"{source}: key 'kintree_table' must be SMPL's tree of 24 joints, found parents {parents}")

    # A zero that is expanded takes no memory, where SMPL's dense posedirs would take 33 MB.
    zero = torch.zeros(1, 1, 1, dtype=dtype).expand(posedirs.shape)
    return BodyModel(
        name=_name(arrays, source, count),
        v_template=torch.as_tensor(template, dtype=dtype),
        shapedirs=torch.as_tensor(np.ascontiguousarray(shapedirs[:, :, :BETAS]), dtype=dtype),
        posedirs=torch.as_tensor(posedirs, dtype=dtype) if posedirs.any() else zero,
        J_regressor=torch.as_tensor(regressor, dtype=dtype),
        weights=torch.as_tensor(weights, dtype=dtype),
        faces=torch.as_tensor(faces),
        parents=parents,
        vertex_ids=_vertex_ids(arrays, source, count),
    )


def _name(arrays: Mapping[str, np.ndarray], source: str, count: int) -> str:
    if "name" in arrays:
        return str(np.asarray(arrays["name"]).item())
    if count == SMPL_VERTICES:
        return "smpl"
    raise UserError(
        f"{source}: has {count} vertices, SMPL has {SMPL_VERTICES}; another body must name itself in 'name'"
    )


def _vertex_ids(arrays: Mapping[str, np.ndarray], source: str, count: int) -> dict[str, int]:
    if "extra_vertex_names" not in arrays:
        return dict(SMPL_VERTEX_IDS) if count == SMPL_VERTICES else {}
    names = np.asarray(arrays["extra_vertex_names"])
    ids = np.asarray(arrays.get("extra_vertex_ids", ()))
    if names.shape != ids.shape or ids.ndim != 1 or ids.size == 0 or ids.min() < 0 or ids.max() >= count:
        raise UserError(
            f"{source}: key 'extra_vertex_ids' must hold one vertex index for each of the {names.size} "
            f"'extra_vertex_names', found shape {ids.shape}"
        )
    return {str(name): int(index) for name, index in zip(names, ids)}
