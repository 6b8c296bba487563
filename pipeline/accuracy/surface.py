"""How much each vertex counts in V2V."""

import numpy as np
import torch

from pipeline.body import BodyModel


def vertex_shares(body: BodyModel) -> np.ndarray:
    """(V,) weights that sum to 1: of SMPL all alike, of the free body by the area of the surface around each vertex.

    Two thirds of the free body's vertices lie in the head, the hands and the feet, where its mesh is fine; a plain mean
    over them would hardly look at the trunk and the thighs, and could not be set beside V2V of SMPL.
    """
    if body.name == "smpl":
        return np.full(len(body.v_template), 1 / len(body.v_template))
    corners = body.v_template[body.faces]  # [F, 3, 3]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
    shares = torch.zeros(len(body.v_template), dtype=torch.float64)
    shares.index_add_(0, body.faces.flatten(), area.double().repeat_interleave(3))
    return (shares / shares.sum()).numpy()
