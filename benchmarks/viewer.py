"""`python -m benchmarks.viewer results/demo`: how long viewer.html takes for a picture, and how right that is.

With --pictures DIR it also writes pictures of the page. Needs Chromium and selenium. See docs/viewer.md."""

import argparse
import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.chromium import chromium, missing, open_viewer
from pipeline.avatar import Avatar, render_avatar
from pipeline.body import load_body
from pipeline.camera.world import with_world
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose

_FRAMES = 100
_COMPARED = 8
_STILL = {"prefers-reduced-motion": "reduce"}
# ms of script for each picture: kinematics, skinning, projection and sorting; and with the calls of WebGL.
_MEASURE = f"""
viewer.playing = false;
const part = [], all = [];
for (let i = 0; i < {_FRAMES}; i++) {{
  viewer.frame = i % viewer.movement.frames;
  viewer.orbit.azimuth += 0.05;
  const start = performance.now();
  viewer.draw();
  all.push(performance.now() - start);
  part.push(viewer.took);
  viewer.stage.gl.readPixels(0, 0, 1, 1, 6408, 5121, new Uint8Array(4)); // waits, or pictures would pile up
}}
const median = values => values.sort((a, b) => a - b)[values.length >> 1];
return [viewer.splats.count, median(part), median(all)];
"""
# Name, width and height of the window, colour scheme, and what is done first.
_PICTURES = (
    ("orbit", 1280, 800, "light", ""),
    ("dark", 1280, 800, "dark", "viewer.choose(2); viewer.seek(30)"),
    ("clip", 1280, 800, "light", "viewer.view = 'clip'; viewer.show.bones = true; viewer.seek(0)"),
    ("mesh", 1280, 800, "light", "viewer.show.mesh = true; viewer.show.splats = false"),
    ("unseen", 1280, 800, "light", "viewer.show.unseen = true; viewer.orbit.azimuth += 2.6"),
    ("pose", 1280, 800, "light", "viewer.show.bones = true; viewer.skeleton.turned[16] = [0, 0, 1.2]"),
    ("phone", 390, 844, "light", ""),
    ("phone_open", 390, 844, "dark", "document.getElementById('more').click()"),
)


def decoded(url: str) -> np.ndarray:
    """A PNG's data URL as (H, W, 3) in [0, 1]."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")) / 255


def psnr(driver: Any, paths: VideoDir, frame: int) -> float:
    """dB on the person: the page's picture in the clip's camera, over white, against `render_avatar`'s.

    Both show the motion of the world, in which feet that rest hold the legs.

    Args:
        driver: a browser that has the page open.
        paths: of the video, its body the free one.
    """
    body = load_body("free")
    pose = with_world(Pose.load(paths.pose_refined), body)
    avatar = Avatar.from_file(AvatarFile.load(paths.avatar), body)
    found = decoded(driver.execute_script(f"return viewer.picture({frame})"))
    height, width = found.shape[:2]
    values = (pose.global_orient[frame], pose.body_pose_world[frame], pose.transl[frame], pose.K)
    motion = [torch.as_tensor(each, dtype=torch.float32) for each in values]
    with torch.no_grad():
        image, alpha = render_avatar(avatar, body, *motion, width, height, background=torch.ones(3))
    error = (found - image.clamp(0, 1).numpy()) ** 2
    return float(-10 * np.log10(error[alpha.numpy() > 0.5].mean()))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.viewer", description=__doc__)
    parser.add_argument("directory", type=Path, help="results/<video>, with the free body")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write pictures of the page there")
    args = parser.parse_args(arguments)
    if (reason := missing()) is not None:
        parser.error(reason)
    paths = VideoDir(args.directory)
    page, frames = paths.exports / "viewer.html", len(Pose.load(paths.pose_refined))
    with chromium(media=_STILL) as driver:
        open_viewer(driver, page)
        count, part, whole = driver.execute_script(_MEASURE)
        driver.execute_script("viewer.choose(0)")
        found = [psnr(driver, paths, frame) for frame in range(0, frames, max(1, frames // _COMPARED))]
    print(f"{page}: {page.stat().st_size / 1e3:.0f} kB, {count} Gaussians")
    print(f"against our rasterizer, {len(found)} frames, on the person: {min(found):.1f} to {max(found):.1f} dB")
    print(
        f"script for a picture, median of {_FRAMES}: {part:.1f} ms to skin, project and sort; {whole:.1f} ms with WebGL"
    )
    for name, width, height, scheme, script in _PICTURES if args.pictures else ():
        args.pictures.mkdir(parents=True, exist_ok=True)
        with chromium(width, height, media=_STILL | {"prefers-color-scheme": scheme}) as driver:
            open_viewer(driver, page)
            driver.execute_script(script)
            driver.execute_script("viewer.changed()")
            driver.execute_async_script("setTimeout(arguments[0], 500)")
            driver.save_screenshot(str(args.pictures / f"{name}.png"))


if __name__ == "__main__":
    main()
