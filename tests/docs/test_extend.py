"""docs/extend.md: each example, written where the page says into a copy of the package, runs on the tiny clip."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import dataset_layouts as layouts
import jsonschema
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main
from pipeline.avatar import Avatar
from pipeline.body import JOINT_NAMES, BodyModel
from pipeline.formats.camera import Camera
from pipeline.formats.images import FrameFolder, MaskFolder
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.runtime.settings import default_config, merged

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "extend.md"
BLOCK = re.compile(r"^```(?P<kind>\w+)(?: file=(?P<file>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: python is a file, diff changes one, yaml is a config, sh is to be run."""

    kind: str
    file: str | None
    text: str


def blocks(heading: str) -> list[Block]:
    """The fenced blocks of a section of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = [Block(match["kind"], match["file"], match["text"]) for match in BLOCK.finditer(section)]
    assert {"python", "diff", "sh"} <= {block.kind for block in found}
    return found


def apply(root: Path, heading: str) -> None:
    """Do in a copy of the repository what a section says, up to its commands; its configs pass the schema then."""
    for block in blocks(heading):
        if block.kind == "python":
            path = root / block.file
            assert not path.exists(), f"{PAGE}: {block.file} is there already; the example needs another name"
            path.write_text(block.text, encoding="utf-8")
        elif block.kind == "diff":
            sides = {
                sign: "".join(f"{line[1:]}\n" for line in block.text.splitlines() if line[0] == sign) for sign in "-+"
            }
            path = root / block.file
            text = path.read_text(encoding="utf-8")
            assert text.count(sides["-"]) == 1, f"{PAGE}: {block.file} has not just once: {sides['-']}"
            path.write_text(text.replace(sides["-"], sides["+"]), encoding="utf-8")
        elif block.kind == "yaml":
            schema = yaml.safe_load((root / "config" / "schemas" / "config.schema.yaml").read_text(encoding="utf-8"))
            jsonschema.validate(merged(default_config(), yaml.safe_load(block.text)), schema)


def run(root: Path, heading: str) -> None:
    """Run the commands of a section in the copy."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in (block.text for block in blocks(heading) if block.kind == "sh"):
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=root,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its config, to be edited."""
    for part in ("pipeline", "config"):
        shutil.copytree(REPOSITORY / part, tmp_path / part, ignore=shutil.ignore_patterns("*.pyc*"))
    return tmp_path


@pytest.fixture
def clip(copy: Path, results: VideoDir) -> VideoDir:
    """results/clip of the copy, with what the fit reads."""
    return VideoDir(shutil.copytree(results.root, copy / "results" / "clip"))


@pytest.fixture
def fitted(clip: VideoDir, body: BodyModel) -> Pose:
    """What a fit would leave in results/clip: the motion, and Gaussians on vertices of the body."""
    pose = Pose.load(clip.pose_init)
    pose.save(clip.pose_refined)
    betas, chosen = torch.as_tensor(pose.betas, dtype=torch.float32), torch.arange(0, len(body.v_template), 40)
    count = len(chosen)
    avatar = Avatar(
        means=body.shaped(betas)[chosen],
        quats=torch.tensor([1.0, 0, 0, 0]).expand(count, 4),
        scales=torch.full((count, 3), 0.01),
        opacities=torch.full((count,), 0.9),
        sh=torch.zeros(count, 1, 3),
        weights=body.weights[chosen],
        betas=betas,
    )
    avatar.to_file(body, "camel", np.ones(len(pose), bool)).save(clip.avatar)
    return pose


def test_an_estimator(copy: Path, clip: VideoDir, studio_clip) -> None:
    shutil.rmtree(clip.masks)
    apply(copy, "An estimator")
    run(copy, "An estimator")
    masks, truth = MaskFolder(clip.masks), MaskFolder(studio_clip.truth / "masks")
    assert len(masks) == len(truth)
    shares = [((a > 127) & (b > 127)).sum() / ((a > 127) | (b > 127)).sum() for a, b in zip(masks, truth)]
    assert np.mean(shares) > 0.6
    assert clip.people.is_file()


def test_a_detector(copy: Path, clip: VideoDir, studio_clip) -> None:
    apply(copy, "A detector")
    run(copy, "A detector")
    found = Landmarks.load(clip.landmarks)
    assert found.source == "mediapipe on brightened frames"
    assert (found.visibility > 0.5).any(axis=0).all()
    assert main(["pose", str(clip.root)]) == 0
    pose, truth = Pose.load(clip.pose_init), Pose.load(studio_clip.truth / "pose.npz")
    assert pose.source == "mediapipe on brightened frames landmarks, fitted"
    assert pose.valid.mean() > 0.8
    assert np.linalg.norm(pose.transl - truth.transl, axis=1).mean() < 0.5


def test_an_exporter(copy: Path, clip: VideoDir, fitted: Pose) -> None:
    apply(copy, "An exporter")
    run(copy, "An exporter")
    table = pd.read_csv(clip.exports / "joints.csv")
    assert list(table.columns)[:4] == ["seconds", "pelvis_x", "pelvis_y", "pelvis_z"]
    assert table.shape == (len(fitted), 1 + 3 * len(JOINT_NAMES))
    assert (table["head_y"] > table["pelvis_y"]).all() and (table["pelvis_y"] > 0.5).all()
    assert {"motion.bvh", "motion.glb", "motion_amass.npz", "avatar.ply"} <= {
        file.name for file in clip.exports.iterdir()
    }


def test_a_dataset(copy: Path, studio_clip) -> None:
    world = layouts.make_world(copy, studio_clip.video, studio_clip.truth, frames=5)
    film = world.film
    still = film.rotation[0], film.translation[0]
    turn = Rotation.from_matrix(still[0]).inv()
    trans = turn.apply(film.pelvis + film.pose.transl - still[1]) - film.pelvis
    poses = np.concatenate([(turn * film.orient).as_rotvec(), film.pose.body_pose], axis=1)
    for index, image in enumerate(film.images):
        layouts.write_image(copy / "data" / "lab" / "walk" / "images" / f"{index}.jpg", image)
    arrays = {"poses": poses, "trans": trans, "betas": film.pose.betas, "K": film.pose.K, "R": still[0], "t": still[1]}
    np.savez(copy / "data" / "lab" / "walk" / "motion.npz", **arrays)
    with np.load(world.neutral) as body:
        layouts.dump(copy / "models" / "SMPL_NEUTRAL.pkl", dict(body))

    apply(copy, "A dataset")
    run(copy, "A dataset")
    made = VideoDir(copy / "results" / "lab_walk")
    truth = Pose.load(made.root / "truth" / "pose.npz")
    np.testing.assert_allclose(truth.transl, film.pose.transl, atol=1e-5)
    np.testing.assert_allclose(truth.body_pose, film.pose.body_pose, atol=1e-5)
    np.testing.assert_allclose(Camera.load(made.camera).K, film.pose.K, atol=1e-6)
    assert len(FrameFolder(made.frames)) == len(film)
