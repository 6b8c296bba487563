"""InstantHMR's backend through onnxruntime, with a small network whose answer is known: make test-models."""

import json

import numpy as np
import pytest
import torch

from pipeline.__main__ import main
from pipeline.body import load_body
from pipeline.body.anatomy import COCO, anatomical_joints
from pipeline.estimators import pose_instanthmr
from pipeline.estimators.settings import InstantHmrSettings
from pipeline.formats.camera import Camera
from pipeline.formats.images import MaskFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.geometry.boxes import mask_box
from pipeline.motion.readers.mhr import KEYPOINTS
from pipeline.runtime.errors import UserError

for package in ("onnxruntime", "onnx"):
    pytest.importorskip(package, reason="make test-models installs it")

BODY = load_body("free")
DISTANCE = 3.0
ORIENT, KNEES = torch.tensor([[np.pi - 0.1, 0.0, 0.0]]), 0.6


def standing() -> tuple[torch.Tensor, ...]:
    """Arguments of the body: upright before the camera, knees bent."""
    pose = torch.zeros(1, 69)
    pose[0, [3 * 3, 3 * 4]] = KNEES  # joints 4 and 5, about x
    return ORIENT, pose, torch.zeros(10), torch.zeros(1, 3)


def truth() -> dict[str, np.ndarray]:
    """Points of MHR70 that our body has, about the middle of the hips, by name."""
    given = standing()
    vertices = BODY(*given).vertices[0].numpy()
    points = dict(zip(COCO, anatomical_joints(BODY, *given, names=COCO)[0].numpy()))
    points |= {name: vertices[BODY.vertex_ids[name]] for name in KEYPOINTS.values() if name in BODY.vertex_ids}
    middle = (points["l_hip"] + points["r_hip"]) / 2
    return {name: point - middle for name, point in points.items()}


def write_network(path, width: int, height: int, joints: int = 70) -> None:
    """A network of InstantHMR's inputs and outputs: the same person always, at the middle of the crop."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    known = truth()
    points = np.zeros((1, 70, 3), np.float32)
    for index, name in KEYPOINTS.items():
        points[0, index] = known.get(name, np.zeros(3))
    focal = np.hypot(width, height)
    to_place = np.zeros((3, 3), np.float32)  # [x y scale] of the crop to the place at this distance
    to_place[0, 0], to_place[1, 1] = width / 2 / focal * DISTANCE, height / 2 / focal * DISTANCE
    constants = {
        "points": points[:, :joints],
        "to_place": to_place,
        "distance": np.array([[0, 0, DISTANCE]], np.float32),
        "none": np.zeros((1, 1), np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["cliff_cond", "to_place"], ["across"]),
        helper.make_node("Add", ["across", "distance"], ["cam_trans"]),
        helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["grey", "none"], ["nothing"]),
        helper.make_node("Add", ["points", "nothing"], ["joints_3d"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 224, 224])
    crop = helper.make_tensor_value_info("cliff_cond", TensorProto.FLOAT, ["batch", 3])
    outputs = [
        helper.make_tensor_value_info("cam_trans", TensorProto.FLOAT, ["batch", 3]),
        helper.make_tensor_value_info("joints_3d", TensorProto.FLOAT, ["batch", joints, 3]),
    ]
    arrays = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "known", [image, crop], outputs, arrays), opset_imports=[helper.make_opsetid("", 13)]
    )
    model.ir_version = 8
    checker.check_model(model)
    save(model, path)


def options(path) -> str:
    return json.dumps({"backend": "instanthmr", "instanthmr": {"weights": str(path), "device": "cpu"}})


def test_the_pose_is_what_the_network_says_where_the_masks_are(results, tmp_path):
    """Rotations and places of the network's person, its distance by the focal lengths' ratio."""
    camera, masks = Camera.load(results.camera), MaskFolder(results.masks)
    write_network(tmp_path / "known.onnx", camera.width, camera.height)
    Landmarks.none(len(masks)).save(results.landmarks)  # nothing to set it down on
    assert main(["pose", str(results.root), "--settings", options(tmp_path / "known.onnx")]) == 0
    pose, wanted = Pose.load(results.pose_init), truth()
    assert pose.source == "InstantHMR known.onnx" and pose.valid.all()
    arguments = [torch.as_tensor(value) for value in (pose.global_orient, pose.body_pose, pose.betas, pose.transl)]
    found = anatomical_joints(BODY, *arguments, names=COCO).numpy()
    middle = found[:, [COCO.index("l_hip"), COCO.index("r_hip")]].mean(1)
    about = np.array([wanted[name] for name in COCO])
    assert np.linalg.norm(found - middle[:, None] - about, axis=2).mean() < 0.02
    assert middle[:, 2] == pytest.approx(DISTANCE * camera.K[0, 0] / np.hypot(camera.width, camera.height), rel=0.02)
    pixels = middle @ pose.K.T
    boxes = np.array([mask_box(mask) for mask in masks])
    assert np.abs(pixels[:, :2] / pixels[:, 2:] - (boxes[:, :2] + boxes[:, 2:]) / 2).max() < 2.0
    assert read_provenance(results.provenance("pose"))["facts"]["tool"] == "InstantHMR"


def test_the_crop_is_the_one_of_its_authors():
    """A square of 1.2 times the box, black beyond the image, ImageNet's mean and spread: here without resampling."""
    image = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    crop = pose_instanthmr.crop_image(image, np.array([112.0, 100.0]), 224.0)
    padded = np.zeros((224, 224, 3))
    padded[12:, :200] = image[:212]
    wanted = (padded / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(crop, wanted.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("wrong", ["text", "other joints"])
def test_a_file_that_is_no_such_network_is_told(tmp_path, wrong):
    file = tmp_path / "network.onnx"
    if wrong == "text":
        file.write_text("no network")
    else:
        write_network(file, 128, 160, joints=17)
    told = "not a network that onnxruntime reads" if wrong == "text" else "expected InstantHMR's inputs"
    with pytest.raises(UserError, match=rf"network\.onnx: {told}"):
        pose_instanthmr.load_network(InstantHmrSettings(str(file), "cpu"))


def test_a_gpu_that_onnxruntime_does_not_find_is_told(results, tmp_path, monkeypatch, capsys):
    import onnxruntime

    write_network(tmp_path / "known.onnx", 128, 160)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    settings = options(tmp_path / "known.onnx").replace('"cpu"', '"cuda"')
    assert main(["pose", str(results.root), "--settings", settings]) == 1
    assert "onnxruntime finds none" in capsys.readouterr().err
