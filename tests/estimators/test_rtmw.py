"""RTMW's backend through rtmlib and onnxruntime, with a small network whose answer is known: make test-models."""

import json
import shutil

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.estimators import landmarks_rtmw
from pipeline.estimators.settings import LandmarksSettings
from pipeline.formats.images import FrameFolder, MaskFolder, write_frame, write_mask
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance
from pipeline.geometry.boxes import mask_box
from pipeline.landmarks.names import WHOLE_BODY
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings

for package in ("rtmlib", "onnxruntime", "onnx"):
    pytest.importorskip(package, reason="make test-models installs it")

WIDTH, HEIGHT = 48, 64
LOST = 3


def red_finder(path, landmarks: int = 133, seed: int | None = None) -> None:
    """A network of RTMW's inputs and outputs: each landmark is the reddest pixel; with `seed`, anywhere at all."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    def along(axis: int, name: str, length: int) -> list:
        nodes = [
            helper.make_node("ReduceMax", ["red"], [f"{name}_line"], axes=[axis], keepdims=0),  # [1, 1, length]
            helper.make_node("Resize", [f"{name}_line", "", "twice"], [f"{name}_bins"], mode="nearest"),
            helper.make_node("Tile", [f"{name}_bins", "count"], [f"{name}_all"]),
        ]
        weights = np.ones((1, landmarks, 2 * length), np.float32)
        if seed is not None:
            weights = np.random.default_rng(seed).uniform(0.1, 0.9, weights.shape).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"{name}_weights"))
        return [*nodes, helper.make_node("Mul", [f"{name}_all", f"{name}_weights"], [name])]

    constants = [
        numpy_helper.from_array(np.array([0], np.int64), "first"),
        numpy_helper.from_array(np.array([1, 1, 2], np.float32), "twice"),
        numpy_helper.from_array(np.array([1, landmarks, 1], np.int64), "count"),
    ]
    nodes = [helper.make_node("Gather", ["input", "first"], ["red"], axis=1)]
    nodes += along(2, "simcc_x", WIDTH) + along(3, "simcc_y", HEIGHT)
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, landmarks, 2 * length])
        for name, length in (("simcc_x", WIDTH), ("simcc_y", HEIGHT))
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "red", [image], outputs, constants), opset_imports=[helper.make_opsetid("", 13)]
    )
    model.ir_version = 8
    checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(model, path)


@pytest.fixture
def clip(results, tmp_path) -> VideoDir:
    """The tiny clip with a red dot on the person, a bright blue one beside it; one mask is empty."""
    directory = VideoDir(shutil.copytree(results.root, tmp_path / "clip"))
    frames, masks = FrameFolder(directory.frames), MaskFolder(directory.masks)
    for index, frame in enumerate(frames):
        x, y = dot(masks[index])
        dark = frame // 4
        dark[y - 2 : y + 3, x - 2 : x + 3] = (255, 0, 0)
        dark[y - 2 : y + 3, x + 8 : x + 13] = (0, 0, 255)
        write_frame(directory.frames / f"{index:06d}.jpg", dark)
    write_mask(directory.masks / f"{LOST:06d}.png", np.zeros_like(masks[LOST]))
    return directory


def dot(mask: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero(mask > 200)
    return int(np.median(columns)), int(np.median(rows))


def options(folder) -> str:
    return json.dumps({"backend": "rtmw", "rtmw": {"weights": str(folder), "device": "cpu"}})


def test_landmarks_are_where_the_network_sees_them(clip, results, tmp_path, capsys):
    """Of an RGB picture, the first channel is red; crops and back again cost two pixels at most."""
    red_finder(tmp_path / "rtmw" / "end2end.onnx")
    assert main(["landmarks", str(clip.root), "--settings", options(tmp_path / "rtmw")]) == 0
    found = Landmarks.load(clip.landmarks)
    assert found.names == WHOLE_BODY and found.world is None and found.source == "rtmw rtmw"
    assert "onnxruntime backend" not in capsys.readouterr().out
    for index in range(len(found)):
        if index == LOST:
            assert not found.visibility[index].any() and not found.xy[index].any()
            continue
        mask = MaskFolder(results.masks)[index]
        x0, y0, x1, y1 = mask_box(mask)
        pixel = 1.25 * max((x1 - x0) / WIDTH, (y1 - y0) / HEIGHT)  # of the network, in the picture
        assert np.abs(found.xy[index] - dot(mask)).max() < 2 + pixel + 2
        assert (found.visibility[index] > 0.9).all()
    assert read_provenance(clip.provenance("landmarks"))["facts"]["found_frames"] == len(found) - 1


def test_any_network_of_the_right_kind_runs_to_the_pose(clip, tmp_path):
    red_finder(tmp_path / "rtmw" / "end2end.onnx", seed=0)
    assert main(["landmarks", str(clip.root), "--settings", options(tmp_path / "rtmw")]) == 0
    found = Landmarks.load(clip.landmarks)
    assert ((found.visibility >= 0) & (found.visibility <= 1)).all() and found.visibility.any()
    assert main(["pose", str(clip.root), "--settings", "smplify: {iterations: 5, outlier: 100}"]) == 0


@pytest.mark.parametrize("wrong", ["text", "other landmarks"])
def test_a_file_that_is_no_such_network_is_told(tmp_path, wrong):
    file = tmp_path / "end2end.onnx"
    if wrong == "text":
        file.write_text("no network")
    else:
        red_finder(file, landmarks=17)
    settings = load_settings("landmarks", json.loads(options(tmp_path)), LandmarksSettings)
    told = "not a network that onnxruntime reads" if wrong == "text" else "expected RTMW's 133 landmarks"
    with pytest.raises(UserError, match=rf"end2end\.onnx: {told}"):
        landmarks_rtmw.load_network(settings.rtmw)


def test_a_gpu_that_onnxruntime_does_not_find_is_told(tmp_path, monkeypatch):
    import onnxruntime

    red_finder(tmp_path / "end2end.onnx")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    overrides = json.loads(options(tmp_path))
    overrides["rtmw"]["device"] = "cuda"
    with pytest.raises(UserError, match="onnxruntime finds none"):
        landmarks_rtmw.check(load_settings("landmarks", overrides, LandmarksSettings))
