"""The body model: a mesh with SMPL's 24-joint tree, posed by linear blend skinning.

Motions are in motion/, clothes in studio/.
"""

from pipeline.body.load import load_body
from pipeline.body.model import JOINT_NAMES, PARENTS, BodyModel, BodyOutput, skin, vertex_normals

__all__ = ["JOINT_NAMES", "PARENTS", "BodyModel", "BodyOutput", "load_body", "skin", "vertex_normals"]
