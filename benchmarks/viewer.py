"""`python -m benchmarks.viewer results/demo/exports/viewer.html`: how long the page's script takes for a picture.

With --pictures DIR it also writes pictures of the page. Docs: docs/viewer.md. Needs Chromium and selenium."""

import argparse
from pathlib import Path

from benchmarks.chromium import chromium, missing, open_viewer

_FRAMES = 300
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
  viewer.stage.gl.finish();
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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.viewer", description=__doc__)
    parser.add_argument("page", type=Path, help="exports/viewer.html of a video")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write pictures of the page there")
    args = parser.parse_args(arguments)
    if (reason := missing()) is not None:
        parser.error(reason)
    with chromium(media=_STILL) as driver:
        open_viewer(driver, args.page)
        count, part, whole = driver.execute_script(_MEASURE)
    print(f"{args.page}: {args.page.stat().st_size / 1e3:.0f} kB, {count} Gaussians")
    print(
        f"script for a picture, median of {_FRAMES}: {part:.1f} ms to skin, project and sort; {whole:.1f} ms with WebGL"
    )
    for name, width, height, scheme, script in _PICTURES if args.pictures else ():
        args.pictures.mkdir(parents=True, exist_ok=True)
        with chromium(width, height, media=_STILL | {"prefers-color-scheme": scheme}) as driver:
            open_viewer(driver, args.page)
            driver.execute_script(script)
            driver.execute_script("viewer.changed()")
            driver.execute_async_script("setTimeout(arguments[0], 500)")
            driver.save_screenshot(str(args.pictures / f"{name}.png"))


if __name__ == "__main__":
    main()
