"""SMPL as datasets state it (in a world, by gender, a shape a frame) made ours: the camera's frame, the neutral body.

Moving SMPL parameters between frames must mind that the body turns about its pelvis, which lies at J0(betas), not at
the origin: under x' = R x + t the root turns by R, and transl' = R (transl + J0) + t - J0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pipeline.body import BodyModel, load_body
from pipeline.datasets.sequence import Motion
from pipeline.runtime.errors import UserError

_MM = 1000.0
_SAME_SHAPE = 1e-3  # standard deviations of a beta


@dataclass(frozen=True)
class Bodies:
    """SMPL's bodies that the user brought."""

    neutral: BodyModel  # float64
    files: Mapping[str, Path | None]  # of the gendered bodies: "female", "male"

    @staticmethod
    def load(neutral: str | Path, female: Path | None = None, male: Path | None = None) -> "Bodies":
        """Read the neutral body; the others are read when a sequence needs them.

        Raises:
            UserError: no file, or a body that is not SMPL's.
        """
        body = load_body(neutral, torch.float64)
        if body.name != "smpl":
            raise UserError(
                f"body_model {neutral}: the datasets' motions are of SMPL's body; register at "
                "https://smpl.is.tue.mpg.de, download SMPL for Python and name its neutral file in body_model"
            )
        return Bodies(body, {"female": female, "male": male})

    def of(self, gender: str, where: Path) -> BodyModel:
        """The body of a gender that the file `where` states. Raises a UserError where its file was not named."""
        if gender == "neutral":
            return self.neutral
        if gender not in self.files:
            raise UserError(f"{where}: gender should be neutral, female or male, found {gender!r}")
        file = self.files[gender]
        if file is None:
            raise UserError(
                f"{where}: its shape is of SMPL's {gender} body; name that file too (config datasets.{gender}, or "
                f"--{gender}): the download from https://smpl.is.tue.mpg.de holds it"
            )
        return load_body(file, torch.float64)


@dataclass(frozen=True)
class Annotation:
    """A person's SMPL parameters as a dataset states them."""

    rotations: np.ndarray  # (T, 24, 3) axis-angle; the root's in the dataset's world
    transl: np.ndarray  # (T, 3) metres, added after the root offset
    betas: np.ndarray  # (10,) or (T, 10)
    valid: np.ndarray  # (T,) bool
    gender: str  # neutral | female | male


def pelvis(body: BodyModel, betas: np.ndarray) -> np.ndarray:
    """J0, the rest position of the root joint in metres: betas (..., 10) -> (..., 3)."""
    zero = body.rest_joints(torch.zeros(10, dtype=torch.float64))[0]
    directions = torch.einsum("v,vcb->cb", body.J_regressor[0], body.shapedirs)
    return zero.numpy() + np.asarray(betas, float) @ directions.numpy().T


def in_camera(
    annotation: Annotation,
    rotation: np.ndarray,  # (T, 3, 3) or (3, 3)
    translation: np.ndarray,  # (T, 3) or (3,)
    bodies: Bodies,
    where: Path,
) -> tuple[Motion, tuple[str, ...]]:
    """The motion in the camera's frame, of the neutral body with one shape.

    Args:
        annotation: in the world.
        rotation: world to camera. Rows of frames that are not valid are not looked at.
        translation: world to camera, metres.
        bodies: the annotation's own body is among them.
        where: the annotation's file, for errors.

    Returns:
        The motion, and what the user should know of it.

    Raises:
        UserError: no frame is valid, or a number of a valid one is not finite, or the gendered body is missing.
    """
    count = len(annotation.transl)
    seen = np.flatnonzero(annotation.valid)
    if len(seen) == 0:
        raise UserError(f"{where}: no frame has a valid motion; choose another sequence or person")
    rotation = np.broadcast_to(rotation, (count, 3, 3))[seen]
    translation = np.broadcast_to(translation, (count, 3))[seen]
    rotations, transl = annotation.rotations[seen].astype(float), annotation.transl[seen].astype(float)
    shapes = np.broadcast_to(annotation.betas, (count, 10))[seen].astype(float)
    for name, values in (("rotations", rotations), ("translations", transl), ("betas", shapes), ("camera", rotation)):
        if not np.isfinite(values).all():
            raise UserError(f"{where}: its {name} hold numbers that are not finite; unpack the dataset again")
    own = bodies.of(annotation.gender, where)
    root = np.einsum("tij,tj->ti", rotation, pelvis(own, shapes) + transl) + translation
    betas, notes = _one_shape(own, bodies.neutral, shapes, annotation.gender)
    orient = (Rotation.from_matrix(rotation) * Rotation.from_rotvec(rotations[:, 0])).as_rotvec()

    nearest = np.abs(np.arange(count)[:, None] - seen).argmin(axis=1)  # a valid row for each frame
    motion = Motion(
        global_orient=orient[nearest],
        body_pose=rotations[:, 1:].reshape(len(seen), 69)[nearest],
        betas=betas,
        transl=(root - pelvis(bodies.neutral, betas))[nearest],
        valid=annotation.valid.copy(),
    )
    return motion, notes


def _one_shape(
    own: BodyModel, neutral: BodyModel, shapes: np.ndarray, gender: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """One neutral shape (10,) for the shapes (T, 10) of a body, and notes on what that changed."""
    betas, notes = shapes.mean(axis=0), []
    spread = float(shapes.std(axis=0).max())
    if spread > _SAME_SHAPE:
        notes.append(f"its shape varies over the clip (a beta by up to {spread:.2f}): their mean is used")
    if gender != "neutral":
        betas, off = neutral_shape(own, neutral, betas)
        notes.append(
            f"its shape is of SMPL's {gender} body: the nearest neutral one is used, {off * _MM:.1f} mm off on average"
        )
    return betas, tuple(notes)


def neutral_shape(own: BodyModel, neutral: BodyModel, betas: np.ndarray) -> tuple[np.ndarray, float]:
    """The neutral betas (10,) whose rest mesh, pelvis on pelvis, is nearest to that of another of SMPL's bodies.

    SMPL's bodies share one topology, and rest vertices are linear in betas: a least-squares problem.

    Returns:
        The betas, and the mean distance of the vertices that is left, metres.
    """
    if own.v_template.shape != neutral.v_template.shape:
        raise UserError(
            f"SMPL's bodies should have one mesh, found {len(own.v_template)} and {len(neutral.v_template)} vertices; "
            "use the three files of one download"
        )
    wanted = own.shaped(torch.as_tensor(betas, dtype=torch.float64)).numpy() - pelvis(own, betas)
    zero = np.zeros(10)
    mean = neutral.v_template.numpy() - pelvis(neutral, zero)
    directions = neutral.shapedirs.numpy() - (pelvis(neutral, np.eye(10)) - pelvis(neutral, zero)).T
    found = np.linalg.lstsq(directions.reshape(-1, 10), (wanted - mean).ravel(), rcond=None)[0]
    return found, float(np.linalg.norm(mean + directions @ found - wanted, axis=1).mean())
