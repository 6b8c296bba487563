"""viewer.html in a browser: it loads, draws the picture that our rasterizer draws, and does what its controls say."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.chromium import chromium, missing, open_viewer
from benchmarks.viewer import decoded, psnr
from pipeline.__main__ import main
from pipeline.formats.avatar import AvatarFile
from pipeline.formats.paths import VideoDir

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))
STILL = {"prefers-reduced-motion": "reduce"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(1000, 640, media=STILL) as driver:
        yield driver


@pytest.fixture
def driver(browser: Any, page: Path) -> Any:
    """The page, loaded anew."""
    open_viewer(browser, page)
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def click(driver: Any, css: str) -> None:
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", driver.find_element("css selector", css))
    driver.find_element("css selector", css).click()


def chip(driver: Any, name: str) -> None:
    """Press the radio button or the switch with this label."""
    element = driver.find_element("xpath", f"//label[span[normalize-space()={name!r}]]/input")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def press(driver: Any, keys: str) -> None:
    driver.find_element("id", "canvas").send_keys(keys)


def state(driver: Any, expression: str) -> Any:
    return driver.execute_script(f"return viewer.{expression}")


def canvas(driver: Any) -> np.ndarray:
    """What is on the canvas now. (H, W, 3) in [0, 1]"""
    url = driver.execute_script("viewer.draw(); return viewer.canvas.toDataURL('image/png')")
    return decoded(url)


def changed(a: np.ndarray, b: np.ndarray) -> float:
    """The share of the pixels that differ by more than a few steps."""
    return float((np.abs(a - b).max(-1) > 0.03).mean())


@pytest.mark.parametrize("frame", [0, 6, 13])
def test_the_picture_is_that_of_our_rasterizer(driver: Any, fitted: VideoDir, frame: int) -> None:
    assert psnr(driver, fitted, frame) > 45


def test_it_plays_pauses_and_steps(driver: Any) -> None:
    assert state(driver, "playing") is False  # reduced motion is asked for
    click(driver, "#play")
    assert state(driver, "playing") is True
    assert driver.find_element("id", "play").get_attribute("aria-label") == "Pause"
    driver.execute_async_script("setTimeout(arguments[0], 400)")
    assert state(driver, "frame") > 0
    press(driver, " ")
    assert state(driver, "playing") is False
    frame = round(state(driver, "frame"))
    press(driver, ".")
    assert state(driver, "frame") == frame + 1
    press(driver, ",")
    click(driver, "#back")
    assert state(driver, "frame") == max(0, frame - 1)
    click(driver, "#on")
    assert state(driver, "frame") == max(0, frame - 1) + 1
    driver.execute_script("const t = document.getElementById('time'); t.value = 5; t.dispatchEvent(new Event('input'))")
    assert state(driver, "frame") == 5
    assert "frame 5" in driver.find_element("id", "clock").text
    before = canvas(driver)
    driver.execute_script("viewer.seek(9)")
    assert changed(before, canvas(driver)) > 0.005


def test_motions_are_chosen(driver: Any) -> None:
    driver.execute_script("viewer.seek(4)")
    after = canvas(driver)
    chip(driver, "Before")
    assert state(driver, "movement.kind") == "before"
    assert state(driver, "frame") == 4  # the moment stays
    assert changed(after, canvas(driver)) > 0.003
    press(driver, "b")
    assert state(driver, "movement.kind") == "after"
    np.testing.assert_allclose(canvas(driver), after)
    press(driver, "c")
    chip(driver, "Squat")
    assert state(driver, "movement.name") == "Squat"
    assert state(driver, "view") == "orbit"  # the clip's camera never saw it
    assert "never done" in driver.find_element("id", "status").text
    assert not driver.find_element("css selector", "input[value=clip]").is_enabled()


def test_the_view_turns_and_zooms(driver: Any) -> None:
    from selenium.webdriver import ActionChains, Keys

    azimuth, zoom = state(driver, "orbit.azimuth"), state(driver, "orbit.zoom")
    start = canvas(driver)
    press(driver, Keys.ARROW_LEFT)
    assert state(driver, "orbit.azimuth") > azimuth
    press(driver, "+")
    assert state(driver, "orbit.zoom") > zoom
    turned = state(driver, "orbit.azimuth")
    element = driver.find_element("id", "canvas")
    ActionChains(driver).move_to_element_with_offset(element, 200, 100).click_and_hold().move_by_offset(
        60, 0
    ).release().perform()
    assert state(driver, "orbit.azimuth") == pytest.approx(turned - 0.48, abs=0.02)
    zoomed = state(driver, "orbit.zoom")
    ActionChains(driver).scroll_from_origin(_origin(element), 0, 200).perform()
    assert state(driver, "orbit.zoom") < zoomed
    _pinch(driver, 100, 200)
    assert state(driver, "orbit.zoom") == pytest.approx(2 * zoomed * np.exp(-0.2), rel=0.02)
    assert changed(start, canvas(driver)) > 0.01
    click(driver, "#front")
    np.testing.assert_allclose(canvas(driver), start)


def _origin(element: Any) -> Any:
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    return ScrollOrigin.from_element(element)


def _pinch(driver: Any, first: int, last: int) -> None:
    """Two fingers move from `first` px apart to `last`."""

    def fingers(kind: str, apart: int) -> None:
        points = [{"x": 400 + side * apart / 2, "y": 300, "id": index} for index, side in enumerate((-1, 1))]
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points if apart else []})

    fingers("touchStart", first)
    fingers("touchMove", (first + last) // 2)
    fingers("touchMove", last)
    fingers("touchEnd", 0)


@pytest.mark.parametrize(
    ("name", "key"), [("Mesh", "m"), ("Splats", "s"), ("Ground and path", "g"), ("Never filmed", "u")]
)
def test_switches_show_and_hide(driver: Any, name: str, key: str) -> None:
    driver.execute_script("viewer.splats.seen.fill(0, 0, 3000)")
    start = canvas(driver)
    chip(driver, name)
    switched = canvas(driver)
    assert changed(start, switched) > 0.005
    press(driver, key)
    np.testing.assert_allclose(canvas(driver), start)


def test_the_mesh_is_clay_or_coloured(driver: Any) -> None:
    assert not driver.find_element("id", "coloured").is_enabled()
    press(driver, "s")
    chip(driver, "Mesh")
    clay = canvas(driver)
    chip(driver, "Mesh in colours")
    coloured = canvas(driver)
    assert changed(clay, coloured) > 0.02
    height, width = clay.shape[:2]
    middle = (slice(int(0.3 * height), int(0.4 * height)), slice(int(0.48 * width), int(0.52 * width)))
    red = coloured[middle].mean((0, 1))
    assert red[0] > 1.8 * red[1]  # the shirt
    assert np.ptp(clay[middle].mean((0, 1))) < 0.1


def test_the_mesh_lies_where_the_splats_are(driver: Any) -> None:
    press(driver, "g")
    chip(driver, "Mesh")
    chip(driver, "Mesh in colours")
    press(driver, "m")
    background = canvas(driver)[0, -1]
    splats = np.abs(canvas(driver) - background).max(-1) > 0.3
    press(driver, "sm")
    mesh = np.abs(canvas(driver) - background).max(-1) > 0.3
    assert (splats & mesh).sum() / (splats | mesh).sum() > 0.75  # the tiny clip's splats are broad
    assert (mesh & ~splats).sum() / mesh.sum() < 0.03


def test_the_clips_camera_shows_pictures_behind(driver: Any, fitted: VideoDir) -> None:
    chip(driver, "The clip's camera")
    press(driver, "sg")
    picture = canvas(driver)
    with Image.open(fitted.frames / "000000.jpg") as image:
        scale = picture.shape[0] / image.height
        frame = np.asarray(image.convert("RGB").resize((round(image.width * scale), picture.shape[0]))) / 255
    left = (picture.shape[1] - frame.shape[1]) // 2
    assert np.abs(picture[:, left : left + frame.shape[1]] - frame).mean() < 0.03
    pictures = state(driver, "text.camera.frames")
    click(driver, "#on")
    assert state(driver, "frame") == pictures[1]  # from picture to picture
    assert driver.find_element("id", "on").accessible_name == "To the next picture"
    press(driver, ",")
    assert state(driver, "frame") == pictures[0]
    driver.execute_script("viewer.seek(2.6)")
    press(driver, "cc")
    assert state(driver, "frame") == 3  # the nearest one
    chip(driver, "Orbit")
    assert state(driver, "view") == "orbit"


def test_joints_turn_by_sliders_and_go_back(driver: Any) -> None:
    from selenium.webdriver.support.ui import Select

    start = canvas(driver)
    Select(driver.find_element("id", "joint")).select_by_visible_text("left elbow")
    assert state(driver, "show.bones") is True
    driver.execute_script(
        "const t = document.getElementById('turn-y'); t.value = -90; t.dispatchEvent(new Event('input'))"
    )
    elbow, wrist = (
        state(driver, "text.joints.indexOf('left_elbow')"),
        state(driver, "text.joints.indexOf('left_wrist')"),
    )
    assert state(driver, f"skeleton.turned[{elbow}]") == pytest.approx([0, -np.pi / 2, 0])
    assert driver.find_element("id", "degrees-y").text == "-90°"
    bent = canvas(driver)
    place = state(driver, f"skeleton.place({wrist})")
    click(driver, "#reset-joint")
    press(driver, "k")
    np.testing.assert_allclose(canvas(driver), start)
    assert changed(bent, start) > 0.002
    assert np.linalg.norm(np.subtract(place, state(driver, f"skeleton.place({wrist})"))) > 0.15


def test_a_dragged_joint_follows_the_pointer(driver: Any) -> None:
    from selenium.webdriver import ActionChains

    press(driver, "k")
    canvas(driver)
    wrist = state(driver, "text.joints.indexOf('left_wrist')")
    x, y, _ = state(driver, f"places[{wrist}]")
    box = driver.find_element("id", "canvas").rect
    element, dx, dy = driver.find_element("id", "canvas"), round(x - box["width"] / 2), round(y - box["height"] / 2)
    azimuth = state(driver, "orbit.azimuth")
    drag = ActionChains(driver).move_to_element_with_offset(element, dx, dy).click_and_hold()
    drag.move_by_offset(8, -14).move_by_offset(8, -14).release().perform()
    canvas(driver)
    there = state(driver, f"places[{wrist}]")
    assert np.hypot(there[0] - x - 16, there[1] - y + 28) < 3
    assert state(driver, "orbit.azimuth") == azimuth
    assert state(driver, "text.joints[viewer.chosen]") == "left_elbow"  # what turned
    click(driver, "#reset-all")
    assert not np.any(state(driver, "skeleton.turned"))


def test_everything_can_be_touched_and_has_a_name(page: Path) -> None:
    with chromium(390, 844, media=STILL) as driver:
        open_viewer(driver, page)
        click(driver, "#more")
        assert driver.find_element("id", "more").get_attribute("aria-expanded") == "true"
        controls = driver.find_elements("css selector", "button, input, select, summary")
        shown = [
            each for each in controls if driver.execute_script("return arguments[0].getClientRects().length", each)
        ]
        assert len(shown) > 20
        for each in shown:
            name = each.accessible_name or each.text
            assert name, each.get_attribute("outerHTML")
            assert each.rect["height"] >= 44, name
            assert each.rect["width"] >= 44, name
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        stage, bar = driver.find_element("id", "stage").rect, driver.find_element("id", "bar").rect
        assert stage["height"] > 250
        assert stage["y"] + stage["height"] <= bar["y"] + 1


def test_a_driven_motion_plays_first(fitted: VideoDir, tmp_path: Path) -> None:
    words = ["drive", "--avatar", str(fitted.root), "--motion", "cross", "--out", str(tmp_path)]
    assert main([*words, "--seconds", "0.4", "--height", "64"]) == 0
    with chromium(640, 480, media=STILL) as driver:
        open_viewer(driver, tmp_path / "viewer.html")
        assert state(driver, "movement.name") == "Cross"
        assert "Cross, never done" in driver.find_element("id", "status").text
        press(driver, "b")
        assert state(driver, "movement.kind") in ("before", "after")


def test_where_the_avatar_does_not_tell_what_was_filmed_the_page_says_so(fitted: VideoDir, tmp_path: Path) -> None:
    folder = VideoDir(tmp_path / "old")
    folder.fit.mkdir(parents=True)
    for name in ("frames", "pose_init.npz", "fit/pose_refined.npz"):
        (folder.root / name).symlink_to(fitted.root / name)
    replace(AvatarFile.load(fitted.avatar), seen=None).save(folder.avatar)
    assert main(["export", str(folder.root)]) == 0
    with chromium(640, 480, media=STILL) as driver:
        open_viewer(driver, folder.exports / "viewer.html")
        start = canvas(driver)
        press(driver, "u")
        np.testing.assert_allclose(canvas(driver), start)
        assert not driver.find_element("id", "unseen").is_enabled()
        assert "is not known" in driver.find_element("id", "unseen-hint").get_attribute("textContent")


def test_it_plays_by_itself_where_motion_is_welcome_and_is_dark_at_night(page: Path) -> None:
    with chromium(640, 480, media={"prefers-color-scheme": "dark"}) as driver:
        open_viewer(driver, page)
        assert state(driver, "playing") is True
        press(driver, " ")
        assert canvas(driver)[0, -1].max() < 0.2


def test_without_webgl_it_says_so(page: Path) -> None:
    with chromium(640, 480, webgl=False) as driver:
        driver.get(page.resolve().as_uri())
        driver.execute_async_script("setTimeout(arguments[0], 1500)")
        message = driver.find_element("css selector", "[role=alert]")
        assert message.is_displayed()
        assert "WebGL 2" in message.text
        assert not driver.find_element("id", "loading").is_displayed()
