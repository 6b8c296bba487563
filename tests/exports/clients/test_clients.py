"""`make test-clients`: the files of exports/ in the programs that they are for."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from export_readers import FPS, FRAMES, Glb
from PIL import Image
from scipy.spatial import cKDTree

from benchmarks.chromium import chromium, missing
from benchmarks.viewer import decoded
from pipeline.__main__ import main
from pipeline.exports.ply import facing_viewer, write_ply
from pipeline.exports.splat_glb import write_splats

CLIENTS = os.environ.get("CLIENTS")
HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    CLIENTS is None, reason="programs that open exports are not installed: make test-clients"
)


def told(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "unknown"),
    [("motion.glb", None), ("avatar.vrm", "VRMC_vrm"), ("avatar_splats.glb", "KHR_gaussian_splatting")],
)
def test_khronos_validator(results: Path, name: str, unknown: str | None) -> None:
    """No finding but that it does not know an extension, and takes the names of its attributes for errors."""
    issues = json.loads(told("node", HERE / "validate.js", results / "exports" / name))
    for issue in issues["messages"]:
        assert unknown is not None and unknown in issue["message"] + issue["pointer"], issue
    assert issues["numWarnings"] == issues["numHints"] == 0 and issues["numInfos"] == (unknown is not None)


def test_three_vrm(results: Path) -> None:
    vrm = json.loads(told("node", HERE / "vrm.js", results / "exports" / "avatar.vrm"))
    assert (vrm["version"], vrm["bones"]) == ("1", 22)
    rest, turned = ({name: np.array(place) for name, place in vrm[key].items()} for key in ("rest", "turned"))
    arm, thigh = turned["hand"] - rest["shoulder"], turned["knee"] - rest["hip"]
    assert -arm[1] > 0.95 * np.linalg.norm(arm)  # the arm hangs
    assert thigh[2] > 0.95 * np.linalg.norm(thigh)  # the thigh is ahead


def test_splat_transform(tmp_path: Path) -> None:
    """Its own splat GLB of a PLY has our values; it faces the other way."""
    rng = np.random.default_rng(0)
    means, quats, scales = rng.normal(size=(500, 3)), rng.normal(size=(500, 4)), rng.uniform(0.01, 0.1, (500, 3))
    means, quats = means.astype(np.float32), quats.astype(np.float32)
    look = (scales, rng.uniform(0.1, 0.9, 500), 0.3 * rng.normal(size=(500, 4, 3)))
    write_splats(tmp_path / "ours.glb", means, quats, *look)
    write_ply(tmp_path / "a.ply", *facing_viewer(means, quats), *look)
    told(
        "node",
        f"{CLIENTS}/node_modules/@playcanvas/splat-transform/bin/cli.mjs",
        tmp_path / "a.ply",
        tmp_path / "b.glb",
    )
    ours, theirs = (_attributes(Glb(tmp_path / name)) for name in ("ours.glb", "b.glb"))
    distance, index = cKDTree(theirs["POSITION"] * [-1, 1, -1]).query(ours["POSITION"])
    assert distance.max() < 1e-6
    signs = {"SH_DEGREE_1_COEF_1": -1, "SH_DEGREE_1_COEF_2": -1}
    for name in ("SCALE", "OPACITY", *(key for key in ours if key.startswith("SH_"))):
        np.testing.assert_allclose(ours[name], signs.get(name, 1) * theirs[name][index], atol=1e-6, err_msg=name)


def _attributes(glb: Glb) -> dict[str, np.ndarray]:
    named = glb.json["meshes"][0]["primitives"][0]["attributes"]
    return {name.split(":")[-1]: glb.accessor(index) for name, index in named.items()}


@pytest.fixture(scope="module")
def drawn_by(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], np.ndarray]]:
    """What a program makes of a file in headless Chromium: its name and the file's -> (600, 400, 3) in [0, 1]."""
    if missing() is not None:
        pytest.skip(str(missing()))
    from selenium.webdriver.support.ui import WebDriverWait

    folder = tmp_path_factory.mktemp("served")
    (folder / "node_modules").symlink_to(f"{CLIENTS}/node_modules")
    (folder / "exports").symlink_to(results / "exports")
    (folder / "browser.html").symlink_to(HERE / "browser.html")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, chromium(400, 600) as driver:
        Thread(target=server.serve_forever, daemon=True).start()

        def draw(program: str, name: str) -> np.ndarray:
            driver.get(f"http://127.0.0.1:{server.server_port}/browser.html?with={program}&file=/exports/{name}")
            done = WebDriverWait(driver, 300).until(
                lambda d: d.execute_script("return window.picture || window.failed")
            )
            assert done.startswith("data:"), done
            picture = decoded(done)
            if pictures := os.environ.get("PICTURES"):
                Image.fromarray((255 * picture).astype(np.uint8)).save(f"{pictures}/{program}_{name}.png")
            return picture

        yield draw
        server.shutdown()


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("three", "motion.glb"),
        ("vrm", "avatar.vrm"),
        ("spark", "avatar.ply"),
        ("playcanvas", "avatar_splats.glb"),
    ],
)
def test_a_person_stands_in_the_browser(drawn_by: Callable[[str, str], np.ndarray], program: str, name: str) -> None:
    """Upright, of a person's size, and facing the camera: the avatar's left half is red, its right one blue."""
    picture = drawn_by(program, name)
    rows, _ = np.nonzero(picture.min(2) < 0.7)
    metre = 300 / np.tan(np.deg2rad(15)) / 4  # px, above the origin
    soles, stature = (300 - rows.max()) / metre + 0.95, (rows.max() - rows.min()) / metre
    red, blue = (picture[..., one] > picture[..., other] + 0.2 for one, other in ((0, 2), (2, 0)))
    assert 1.4 < stature < 2.2 and abs(soles) < 0.12
    assert red.sum() > 1000 and blue.sum() > 1000
    assert np.nonzero(red)[1].mean() > np.nonzero(blue)[1].mean() + 0.1 * metre


def test_bvh_packages(results: Path) -> None:
    code = (
        "import sys, json, bvh, pybvh; path = sys.argv[1]; one = bvh.Bvh(open(path).read()); "
        "two = pybvh.read_bvh_file(path); print(json.dumps([one.nframes, one.frame_time, len(one.get_joints()), "
        "two.frame_count, two.frame_time]))"
    )
    found = json.loads(told(f"{CLIENTS}/bin/python", "-c", code, results / "exports" / "motion.bvh"))
    assert found == pytest.approx([FRAMES, 1 / FPS, 24, FRAMES, 1 / FPS])


@pytest.fixture(scope="module")
def in_blender(results: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Blender makes of the motion in each format."""
    if subprocess.run([f"{CLIENTS}/bin/python", "-c", "import bpy"], check=False, capture_output=True).returncode:
        pytest.skip(f"bpy 5.0.1 is for Python 3.11, this is {sys.version_info[0]}.{sys.version_info[1]}")
    folder, glb = tmp_path_factory.mktemp("converted"), results / "exports" / "motion.glb"
    files = [glb, results / "exports" / "motion.bvh"]
    for suffix in ("fbx", "usdc", "abc"):
        files.append(folder / f"motion.{suffix}")
        assert main(["convert", str(glb), str(files[-1]), "--blender", str(HERE / "blender.sh")]) == 0
    lines = told(f"{CLIENTS}/bin/python", HERE / "in_bpy.py", str(FPS), str(FRAMES), *files).splitlines()
    return json.loads(next(line for line in lines if line.startswith("told ")).removeprefix("told "))


def test_blender_imports_the_glb_ready_to_pose(in_blender: dict[str, Any]) -> None:
    glb = in_blender["glb"]
    np.testing.assert_allclose(glb["heights"][0], 0, atol=1e-5)
    assert 1.4 < glb["heights"][1] < 2.1 and glb["cameras"] == 1
    along = {name: np.array(direction) for name, direction in glb["along"].items()}
    for name, direction in (
        ("left_knee", [0, 0, -1]), ("right_hip", [0, 0, -1]), ("spine2", [0, 0, 1]), ("left_elbow", [1, 0, 0]),
        ("right_shoulder", [-1, 0, 0]), ("left_foot", [0, -1, 0]),
    ):  # fmt: skip
        assert along[name] @ direction > 0.95, name


@pytest.mark.parametrize("kind", ["bvh", "fbx", "usdc"])
def test_blender_moves_all_formats_alike(in_blender: dict[str, Any], kind: str) -> None:
    for one, other in zip(in_blender["glb"]["joints"], in_blender[kind]["joints"], strict=True):
        for name, place in one.items():
            np.testing.assert_allclose(other[name], place, atol=1e-4, err_msg=f"{kind} {name}")  # 0.1 mm
    if kind == "bvh":
        assert in_blender["bvh"]["fps"] == FPS


def test_alembic_holds_the_mesh(in_blender: dict[str, Any]) -> None:
    low, high = in_blender["abc"]["heights"]
    assert 1.2 < high - low < 2.2
