"""The studio's tiny clip as a real video with measured joints, in both layouts that are read."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import torch

from pipeline.body import load_body
from pipeline.body.anatomy import anatomical_joints
from pipeline.formats.joint_truth import NAMES
from pipeline.formats.pose import Pose
from pipeline.studio.clip import ClipRequest

# The world of the written files: z up, the studio's camera 1.4 m above its origin, looking along y, rolled a little.
_ROTATION = cv2.Rodrigues(np.array([0.0, 0.0, 0.1]))[0] @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
_PLACE = np.array([0.3, -0.5, 1.4])


def true_joints(truth: Path) -> np.ndarray:
    """Joints (T, 12, 3) of a studio clip's truth in its camera's axes, metres."""
    pose = Pose.load(truth / "pose.npz")
    motion = (pose.global_orient, pose.body_pose, pose.betas, pose.transl)
    body = load_body("free", torch.float64)
    return anatomical_joints(body, *(torch.as_tensor(each, dtype=torch.float64) for each in motion)).numpy()


def write_joints(folder: Path, name: str, video: Path, truth: Path, request: ClipRequest, known: bool, **more) -> Path:
    """NAME.mp4 and NAME.npz; returns the latter. Where the camera is not `known`, the joints are in the world."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(video, folder / f"{name}.mp4")
    joints = true_joints(truth)
    arrays = {"names": np.array(NAMES), "seconds": np.arange(len(joints)) / float(request.fps)}
    if known:
        K = Pose.load(truth / "pose.npz").K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # as OpenCV counts pixels
        arrays |= {"joints": joints, "K": K, "dist": np.zeros(4)}
    else:
        arrays |= {"joints": in_world(joints)}
    np.savez(folder / f"{name}.npz", **arrays | more)
    return folder / f"{name}.npz"


def in_world(joints: np.ndarray) -> np.ndarray:
    """Joints in the camera's axes -> in the world's, z up, metres."""
    return joints @ _ROTATION + _PLACE


def write_pose2sim(folder: Path, video: Path, truth: Path, request: ClipRequest, qualisys: bool = False) -> Path:
    """A session with one trial, filmed by one camera, cam01; returns the trial's folder."""
    trial = folder / "Session" / "Trial"
    for name in ("videos", "pose-3d"):
        (trial / name).mkdir(parents=True)
    (folder / "Session" / "calibration").mkdir()
    shutil.copyfile(video, trial / "videos" / "cam01.mp4")
    K = Pose.load(truth / "pose.npz").K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    size = (request.width, request.height)
    text, file = (_qca(K, size), "Calib.qca.txt") if qualisys else (_toml(K, size), "Calib.toml")
    (folder / "Session" / "calibration" / file).write_text(text)
    world = in_world(true_joints(truth))
    for stem in ("Trial_0-14", "Trial_0-14_filt_butterworth", "Trial_0-14_filt_butterworth_LSTM"):
        wrong = 0.0 if stem.endswith("butterworth") else 5.0
        (trial / "pose-3d" / f"{stem}.trc").write_text(trc(world + wrong, float(request.fps)))
    return trial


def trc(world: np.ndarray, rate: float, units: str = "m") -> str:
    """Joints (T, 12, 3) of a world with z up, metres, as Pose2Sim writes them: y up, rows and times from 1."""
    names = [f"{name[0].upper()}{name[2:].capitalize()}" for name in NAMES]
    lines = [
        "PathFileType\t4\t(X/Y/Z)\tTrial.trc",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{len(world)}\t{len(names)}\t{units}\t{rate}\t0\t{len(world)}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t\t",
        "\t\t" + "\t".join(f"{axis}{k + 1}" for k in range(len(names)) for axis in "XYZ") + "\t",
    ]
    scale = {"m": 1, "mm": 1000}[units]
    for number, row in enumerate(world[..., [1, 2, 0]].reshape(len(world), -1) * scale, start=1):
        lines.append(
            "\t".join([str(number), repr(number / rate), *("" if np.isnan(x) else repr(float(x)) for x in row)])
        )
    return "\n".join(lines) + "\n"


def _toml(K: np.ndarray, size: tuple[int, int]) -> str:
    rotation, translation = cv2.Rodrigues(_ROTATION)[0].ravel(), -_ROTATION @ _PLACE
    return (
        f'[int_cam01_img]\nname = "int_cam01_img"\nsize = {[float(side) for side in size]}\nmatrix = {K.tolist()}\n'
        f"distortions = [0.0, 0.0, 0.0, 0.0]\nrotation = {rotation.tolist()}\ntranslation = {translation.tolist()}\n"
        "fisheye = false\n\n[metadata]\nadjusted = false\nerror = 0.0\n"
    )


def _qca(K: np.ndarray, size: tuple[int, int]) -> str:
    """As Qualisys has it: a camera that looks along -z with y up, millimetres, sixty-fourths of pixels."""
    turned = np.diag([1.0, -1.0, -1.0]) @ _ROTATION
    cells = " ".join(f'r{r + 1}{c + 1}="{float(turned[r, c])!r}"' for r in range(3) for c in range(3))
    place = " ".join(f'{axis}="{1000 * float(value)!r}"' for axis, value in zip("xyz", _PLACE))
    lens = " ".join(f'{kind}Distortion{k}="0.0"' for kind in ("radial", "tangental") for k in (1, 2))
    numbers = {"focalLengthU": K[0, 0], "focalLengthV": K[1, 1], "centerPointU": K[0, 2], "centerPointV": K[1, 2]}
    optics = " ".join(f'{key}="{64 * float(value)!r}"' for key, value in numbers.items())
    return (
        (
            "<?xml version='1.0' encoding='ASCII'?>\n<calibration><cameras>"
            '<camera model="Miqus M3" serial="1"/>'
            '<camera model="none" serial="cam01">'
            f'<fov_video left="0" right="{size[0] - 1}" top="0" bottom="{size[1] - 1}"/>'
            f"<transform {place} {cells}/><intrinsic {optics} {lens}/></camera></cameras></calibration>\n"
        )
        .replace("np.float64(", "")
        .replace(')"', '"')
    )
