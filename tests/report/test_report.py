"""The report: its numbers, that it loads nothing, and what happens where parts are absent."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from clip_files import make_clip, provenance
from PIL import Image

from pipeline.__main__ import main
from pipeline.evaluation.summary import number, summarise
from pipeline.evaluation.table import HELD_OUT, STUDIO, TRAIN, MetricTable, read_metrics
from pipeline.formats.camera import Camera, Origin
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.video import VideoInfo
from pipeline.report import figures, sections
from pipeline.report.camera_line import camera_line
from pipeline.report.export_list import export_list
from pipeline.report.focal import focal_text
from pipeline.report.gist import gist
from pipeline.report.masks_line import masks_line
from pipeline.report.page import ReportSettings, _media
from pipeline.report.start_line import start_line
from pipeline.report.sureness import behind_hips, sure_charts
from pipeline.runtime.errors import UserError
from pipeline.video.encode import write_video

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Checks that tags are balanced; collects what the page would load, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []  # followed where a reader clicks, and not before
        self.tags: set[str] = set()
        self.within: list[str] = []  # pages inside the page
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "a":
            self.links += [value for key, value in attrs if key == "href"]
            attrs = [(key, value) for key, value in attrs if key != "href"]
        self.within += [value for key, value in attrs if key == "srcdoc"]
        self.loads += [value for key, value in attrs if key in ("src", "href", "srcset", "poster", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def fill(directory: Path) -> VideoDir:
    """The outputs of fit, render and export that the page shows."""
    paths = VideoDir(directory)
    step = np.arange(20, 420, 20)
    history = pd.DataFrame({"step": step, "colour": 1 / step, "mask": 2 / step, "camel": np.nan, "total": 3 / step})
    history.assign(psnr_person=20.0, n_gaussians=3000, seconds=step / 50).to_csv(paths.history, index=False)
    (paths.renders / "stills").mkdir(parents=True)
    for name in ("overlay.mp4", "turntable.mp4", "novel_pose.mp4"):
        write_video(paths.renders / name, np.full((2, 32, 48, 3), 90, np.uint8), 10)
    for name in ("close_up", "held_out"):
        Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(paths.renders / "stills" / f"{name}.png")
    paths.exports.mkdir()
    for name in ("avatar.ply", "avatar_posed_000001.ply", "avatar_posed_000004.ply", "motion.glb", "extra.txt"):
        (paths.exports / name).write_bytes(b"0" * 1_200_000)
    (paths.exports / ".snakemake_timestamp").touch()
    provenance(paths, "pose", {"backend": "smplify", "smplify": {"iterations": 250}}, ("2 people; <b> & so on",), 4.0)
    provenance(
        paths,
        "fit",
        {"optimise_pose": True, "steps": {"colours": 100, "full": 300, "heldout": 20}, "binding": "camel"},
        (),
        75.0,
    )
    return paths


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    directory, truth = make_clip(tmp_path_factory.mktemp("report"), frames=10)
    assert main(["evaluate", str(directory), "--truth", str(truth)]) == 0
    paths = fill(directory)
    assert main(["report", str(directory)]) == 0
    return paths


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    directory, _ = make_clip(tmp_path_factory.mktemp("report"), frames=5, name="jürgen & söhne")
    assert main(["evaluate", str(directory)]) == 0
    return directory


def test_the_page_holds_the_figures(clip):
    page = Page(clip.report.read_text(encoding="utf-8"))
    table = read_metrics(clip.metrics)
    overall = table[(table.scope == "all") & table.split.isin(["all", HELD_OUT]) & (table.metric != "iou_mask_truth")]
    for row in overall.itertuples():
        if row.split == (HELD_OUT if row.when == "avatar" else "all"):
            assert number(row.value) in page.text, row
    assert "held-out" in page.text and "How sure it is" not in page.text
    assert "guessed: 29 mm as 35-mm equivalent, 70 px" in page.text
    assert "studio truth (synthetic), 10 of 10 frames; 24 SMPL joints, pelvis-aligned" in page.text
    assert re.search("LPIPS \\W \\W not measured", page.text)


VERDICTS = {
    "The fit explains the video better than the initial motion: outline 24 → 12 mm.": 1.0,
    "Not better everywhere: the motion of the left arm (0.4 of 0.5 s) is the initial one.": 0.25,
}


@pytest.mark.parametrize(("words", "kept"), VERDICTS.items())
def test_the_verdict_is_the_first_line(tmp_path, words, kept):
    directory, _ = make_clip(tmp_path, frames=5)
    paths = fill(directory)
    part = {"outline before mm": 24.04, "outline after mm": 31.6, "kept": kept}
    facts = {"frames_trained": 4, "verdict": {"words": words, "better": True, "parts": {"left arm": part}}}
    provenance(paths, "fit", {"optimise_pose": True}, facts=facts)
    assert main(["evaluate", str(directory)]) == 0
    assert main(["report", str(directory)]) == 0
    html = paths.report.read_text(encoding="utf-8")
    page = Page(html)
    body = [word.strip() for word in page.words if word.strip() and not word.strip().startswith("jürgen")]
    assert body[1] == words, "after the page's title"
    assert f'class="verdict {"good" if kept == 1 else "bad"}"' in html
    assert f"left arm 24.0 → 31.6 not seen {kept:.0%}" in page.text
    assert "verdict.words" not in page.text, "not again among the facts of the stage"
    found = read_metrics(paths.metrics)
    found = found[found.metric == "kept_refined"]
    assert found[["when", "scope", "unit", "value"]].values.tolist() == [["refined", "all", "%", 100 * kept]]


@pytest.mark.parametrize(
    ("better", "after", "column"), [(True, 7.4, 0), (True, 12.0, 1), (True, 10.2, None), (False, 7.4, None)]
)
def test_the_outline_of_the_dressed_body_is_gained_or_to_be_distrusted(clip, tmp_path, better, after, column):
    """And not that of the bare body, which is thinner where the fit finds a shape under loose clothes."""
    paths, summary = VideoDir(tmp_path), summarise(read_metrics(clip.metrics), "clip")
    verdict = {"better": better, "outline before mm": 10.2, "outline after mm": after}
    provenance(paths, "fit", {}, facts={"verdict": verdict})
    told = gist(paths, summary, Camera.load(clip.camera))
    line = f"istance of the outline, clothes and all, from the mask's: 10.2 → {after:.1f} mm."
    assert [any(line in words for words in part) for part in told] == [column == 0, column == 1]
    assert "overlap of the body" not in str(told)


def test_the_page_says_what_became_of_the_masks(tmp_path):
    paths, summary = (
        VideoDir(tmp_path),
        pd.DataFrame({"metric": ["iou_mask_truth"], "input": [0.95], "refined": [0.97]}),
    )
    assert masks_line(paths, summary) is None
    found = {"background plate": "96% of the picture was seen", "exposure against the plate": "0.98 to 1.02"}
    provenance(paths, "fit", {}, facts={"masks": found | {"unknown": "0.3% of the crops"}})
    assert masks_line(paths, summary) == (
        "refined by the fit; background plate: 96% of the picture was seen, exposure 0.98 to 1.02; unknown 0.3% of the "
        "crops; IoU with the true masks 0.950 → 0.970"
    )
    moving = {"background plate": "of each frame, from the others", "unknown": "0.1% of the crops"}
    provenance(paths, "fit", {}, facts={"masks": moving})
    assert masks_line(paths, summary[:0]) == (
        "refined by the fit; background plate: of each frame, from the others; unknown 0.1% of the crops"
    )
    provenance(paths, "fit", {}, facts={"masks": {"background plate": "none"}})
    assert masks_line(paths, summary[:0]) == "background plate: none"


def test_the_page_says_what_the_camera_did(tmp_path):
    paths = VideoDir(tmp_path)
    assert camera_line(paths) is None
    world = {"camera": "travelling", "pitch": -3.25, "roll": 2.0, "pitch, sigma": 1.04, "roll, sigma": 0.0}
    provenance(paths, "fit", {}, facts={"world": world | {"tilt found from": "the settings, the feet"}})
    assert camera_line(paths) == (
        "travels; it looks up by 3.2 ± 1.0 degrees, its picture is turned clockwise by 2.0; found from the settings, "
        "the feet"
    )


def test_the_page_shows_both_starts_of_an_import(tmp_path):
    paths = VideoDir(tmp_path)
    assert start_line(paths) is None
    facts = {"tool": "GVHMR", "person": "the person"}
    provenance(paths, "pose", {}, facts=facts)
    assert start_line(paths) == "imported from GVHMR, the person"
    overlaps = {"outline overlap, as imported": 0.69, "outline overlap, set down": 0.83}
    provenance(paths, "pose", {}, facts=facts | overlaps)
    assert start_line(paths) == (
        "imported from GVHMR, the person; overlap (IoU) of its outline and the masks 0.690 as it came, 0.830 set down"
    )
    provenance(paths, "pose", {}, facts=facts | overlaps | {"outline overlap, set down": 0.5})
    assert start_line(paths).endswith("0.500 set down, and left as it came")


def test_a_fit_without_a_verdict_has_no_line(clip):
    assert 'class="verdict' not in clip.report.read_text(encoding="utf-8")


def test_the_page_loads_nothing(clip):
    text = clip.report.read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.loads) > 4
    assert [load[:60] for load in page.loads if not load.startswith("data:")] == []
    assert not page.tags & {"script", "link", "iframe", "object", "embed"}
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []
    assert "http" not in re.sub(r'"data:[^"]*"', "", text)


def test_pictures_and_runs_are_there(clip):
    page = Page(clip.report.read_text(encoding="utf-8"))
    kinds = [load.split(";")[0] for load in page.loads]
    assert kinds.count("data:video/mp4") == 3
    assert kinds.count("data:image/jpeg") == 3 + 2  # first frames of the videos, and the stills
    assert "1 min 15 s" in page.text
    assert "smplify.iterations 250" in page.text
    assert "2 people; <b> & so on" in page.text  # escaped in the source, or it would be a tag
    assert "b" in page.tags and "<b> & so on" not in clip.report.read_text(encoding="utf-8")
    assert "avatar_posed_000001.ply … avatar_posed_000004.ply (2 files) 2.4 MB" in page.text


def test_exports_are_links_with_a_line_on_how_to_open_them(clip, tmp_path):
    page = Page(clip.report.read_text(encoding="utf-8"))
    files = {link for link in page.links if link.startswith("exports/")}
    assert files == {"exports/avatar.ply", "exports/motion.glb", "exports/extra.txt"}
    assert all((clip.root / link).is_file() for link in files)
    assert "snakemake_timestamp" not in page.text  # no export, though Snakemake keeps it there
    rate = f"{float(VideoInfo.load(clip.video).fps):.6g}"
    assert f"set the scene to {rate} frames a second first" in page.text
    names = [
        "motion.glb", "motion.bvh", "motion_smplx.npz", "motion_amass.npz", "motion.trc", "joint_angles.csv",
        "avatar.ply", "avatar_splats.glb", "avatar.vrm", "avatar_canonical.ply", "avatar_sequence.zip",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).write_bytes(b"0")
    listed = export_list(tmp_path, 30000 / 1001)
    assert sorted(export.name for export in listed) == sorted(names)
    uses = {export.name: export.use for export in listed}
    assert len(set(uses.values())) == len(names) and all(uses.values())
    assert "29.97 frames" in uses["motion.glb"] and "not above 30;" in uses["motion_smplx.npz"]


@pytest.mark.parametrize(
    ("origin", "metric", "told"),
    [
        (
            "guess",
            False,
            "guessed: 26 mm as 35-mm equivalent, 955 px; most cameras are within a fifth of it, and the dist",
        ),
        ("metadata", True, "read from the file's metadata: 26 mm as 35-mm equivalent, 955 px; where the camera stabil"),
        ("calibration", True, "calibrated: 26 mm as 35-mm equivalent, 955 px (where)"),
        ("user", True, "given in the settings: 26 mm as 35-mm equivalent, 955 px"),
        (None, True, "26 mm as 35-mm equivalent, 955 px (where)"),
        (None, False, "26 mm as 35-mm equivalent, 955 px (where; the distance may be off as much as it is)"),
    ],
)
def test_the_focal_length_is_told_in_plain_words(origin, metric, told):
    text = focal_text(Camera(np.diag([955.0, 955.0, 1.0]), 1280, 720, "where", metric, origin))
    assert text.startswith(told) if origin in ("guess", "metadata") else text == told


@pytest.mark.parametrize("origin", get_args(Origin))
def test_each_origin_of_the_camera_has_its_words(origin):
    assert "1280 px" in focal_text(Camera(np.diag([1280.0, 1280.0, 1.0]), 1280, 720, "where", True, origin))


@pytest.mark.parametrize("people, shown", [(1, False), (2, True)])
def test_who_is_there_is_shown_where_it_is_a_question(tmp_path, people, shown):
    paths = VideoDir(tmp_path / "a")
    provenance(paths, "masks", {}, (), 1.0, {"people": people})
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(paths.people)
    _, stills = _media(paths, ReportSettings(24))
    assert [still.title for still in stills] == ["Who is in the clip"] * shown


def test_what_was_never_filmed_is_shown_with_what_it_means(tmp_path):
    paths = VideoDir(tmp_path / "a")
    (paths.renders / "stills").mkdir(parents=True)
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(paths.renders / "stills" / "seen.png")
    _, (still,) = _media(paths, ReportSettings(24))
    assert still.title == "What was never filmed" and "colours there are a guess" in still.text


@pytest.mark.parametrize("pictured", [True, False])
def test_the_first_screen_leads_to_the_avatar(tmp_path, pictured):
    directory, _ = make_clip(tmp_path, frames=5)
    paths = fill(directory)
    (paths.exports / "viewer.html").write_text("a page")
    if pictured:
        Image.fromarray(np.full((400, 900, 3), 90, np.uint8)).save(paths.renders / "stills" / "avatar.png")
    assert main(["evaluate", str(directory)]) == 0
    assert main(["report", str(directory)]) == 0
    html = paths.report.read_text(encoding="utf-8")
    header = Page(html.partition("<header>")[2].partition("</header>")[0])
    assert set(header.links) == {"exports/viewer.html"}
    assert (paths.report.parent / header.links[0]).is_file()
    assert len(header.loads) == pictured and all(load.startswith("data:") for load in header.loads)
    assert all(len(load) < 40_000 for load in header.loads)
    assert "Opens in any browser" in Page(html).text


def test_the_avatar_is_in_the_page_and_nothing_else_of_it_runs(tmp_path):
    directory, _ = make_clip(tmp_path, frames=5)
    paths = fill(directory)
    viewer = '<p title="a">a & b</p><script>let a = "</p>" < 1;</script>'
    (paths.exports / "viewer.html").write_text(viewer)
    assert main(["evaluate", str(directory)]) == 0
    assert main(["report", str(directory)]) == 0
    page = Page(paths.report.read_text(encoding="utf-8"))
    assert page.within == [viewer]
    assert not page.tags & {"script", "link", "object", "embed"}
    assert all(load.startswith("data:") for load in page.loads)
    assert main(["report", str(directory), "--settings", "embed_limit: 0.00001"]) == 0
    page = Page(paths.report.read_text(encoding="utf-8"))
    assert page.within == [] and "iframe" not in page.tags and "exports/viewer.html" in page.links


def test_videos_have_a_still_for_paper_and_for_those_who_want_no_motion(clip):
    text = clip.report.read_text(encoding="utf-8")
    posters = re.findall(r'<img src="data:image/jpeg;base64,([^"]*)" alt="[^"]*">\s*<video', text)
    assert len(posters) == text.count("<video") == 3
    for poster in posters:
        with Image.open(io.BytesIO(base64.b64decode(poster))) as image:
            assert image.size == (48, 32) and abs(np.asarray(image).mean() - 90) < 3
    assert "@media (prefers-reduced-motion: reduce) { .clip video { display: none; } }" in text
    assert re.search(r"@media print \{.*\.clip video[^}]*display: none", text)
    assert "renders/overlay.mp4" in Page(text).links  # with it, it can be played all the same


def test_a_render_that_is_no_video_is_named(tmp_path, capsys):
    directory, _ = make_clip(tmp_path, frames=5)
    paths = fill(directory)
    (paths.renders / "overlay.mp4").write_bytes(b"not a video")
    assert main(["evaluate", str(directory)]) == 0
    assert main(["report", str(directory)]) == 1
    assert "overlay.mp4: expected a video" in capsys.readouterr().err


def test_stills_can_be_enlarged_and_closed(clip):
    text = clip.report.read_text(encoding="utf-8")
    places = set(re.findall(r' id="([^"]*)"', text))
    inside = [link for link in Page(text).links if link.startswith("#")]
    assert inside == ["#still-1", "#large-1", "#still-2", "#large-2"]
    assert {link[1:] for link in inside} <= places


def test_the_first_screen_says_what_was_gained_and_what_to_distrust(tmp_path):
    directory, truth = make_clip(tmp_path, frames=6)
    paths = fill(directory)
    refined = Pose.load(paths.pose_refined)
    replace(refined, sigma=np.full((6, 24, 2), [0.02, 0.08])).save(paths.pose_refined)
    provenance(paths, "export", {}, facts={"never filmed, %": 31.4})
    provenance(paths, "render", {}, facts={"frames interpolated": 2})
    assert main(["evaluate", str(directory), "--truth", str(truth)]) == 0
    assert main(["report", str(directory)]) == 0
    found = json.loads(paths.summary.read_text(encoding="utf-8"))
    mpjpe = found["metrics"]["mpjpe"]["splits"]["all"]
    values = f"{number(mpjpe['initial'])} → {number(mpjpe['refined'])} mm"
    better = mpjpe["refined"] < mpjpe["initial"]
    assert any(f"where they truly are: {values}." in line for line in found["gained" if better else "distrust"])
    distrust = " ".join(found["distrust"])
    assert "to about 8 cm; where it is in the picture, to 2 cm" in distrust
    assert "focal length is a guess" in distrust and "Colours of 31% of the avatar" in distrust
    assert "2 frames in which the person was not found" in distrust
    header = Page(paths.report.read_text(encoding="utf-8").partition("<header>")[2].partition("</header>")[0])
    for line in found["gained"] + found["distrust"]:
        assert line in header.text


def test_a_script_reads_the_same(clip):
    found = json.loads(clip.summary.read_text(encoding="utf-8"))
    table = read_metrics(clip.metrics)
    for row in table[table.scope == "all"].itertuples():
        metric = found["metrics"][row.metric]
        assert metric["unit"] == row.unit and metric["splits"][row.split][row.when] == pytest.approx(row.value)
    assert found["synthetic"] is True and found["frames"] == 10 and found["video"] == clip.name
    assert found["warnings"] == [{"stage": "pose", "text": "2 people; <b> & so on"}]
    assert found["seconds"].items() >= {"pose": 4.0, "fit": 75.0}.items()
    assert found["files"]["exports/motion.glb"] == 1_200_000
    assert not [name for name in found["files"] if "snakemake" in name]


def test_what_is_absent_is_left_out(real):
    (VideoDir(real).fit / "history.csv").write_text("step,total\n20,0.5\n")
    assert main(["report", str(real)]) == 0
    page = Page((real / "report.html").read_text(encoding="utf-8"))
    assert "jürgen & söhne" in page.text
    assert "real video" in page.text
    for word in (
        "synthetic",
        "MPJPE",
        "against the truth",
        "Stills",
        "Files for other tools",
        "Worth knowing",
        "Open the avatar",
    ):
        assert word not in page.text, word
    assert "video" not in page.tags
    assert "Mask IoU, body" in page.text


def test_hands_and_feet_have_bands_where_the_fit_says_how_sure_it_is(tmp_path):
    directory, truth = make_clip(tmp_path, frames=6)
    paths = VideoDir(directory)
    assert sure_charts(paths, "free") == []
    refined = Pose.load(paths.pose_refined)
    replace(refined, sigma=np.full((6, 24, 2), 0.03)).save(paths.pose_refined)
    charts = sure_charts(paths, "free")
    assert [label for label, _, _ in charts] == ["Left wrist", "Right wrist", "Left ankle", "Right ankle"]
    assert all("var(--after)" in svg and 'role="img"' in svg for _, _, svg in charts)
    assert main(["evaluate", str(directory), "--truth", str(truth)]) == 0
    fill(directory)
    assert main(["report", str(directory)]) == 0
    page = Page(paths.report.read_text(encoding="utf-8"))
    assert "The band is one standard deviation to either side" in page.text
    assert re.search(
        r"Of this clip's errors, [0-9.]+% lie within it across the line of sight and [0-9.]+% al", page.text
    )
    replace(refined, body_model="smpl", sigma=np.full((6, 24, 2), 0.03)).save(paths.pose_refined)
    with pytest.raises(UserError, match="was made with the body 'smpl', --body-model gives 'free'"):
        sure_charts(paths, "free")


def test_depth_is_counted_from_the_hips():
    joints = np.tile([0.3, 0.1, 4.0], (2, 24, 1))
    ray = joints[0, 0] / np.linalg.norm(joints[0, 0])
    joints[1, 20] += 0.25 * ray
    assert behind_hips(joints, 20) == pytest.approx([0, 0.25])


def test_a_large_video_is_linked(clip, tmp_path):
    assert main(["report", str(clip.root), "--settings", "embed_limit: 0.00001"]) == 0
    page = Page(clip.report.read_text(encoding="utf-8"))
    assert "video" not in page.tags
    assert {"renders/overlay.mp4", "renders/turntable.mp4"} <= set(page.links)
    assert (clip.report.parent / "renders/overlay.mp4").is_file()


@pytest.mark.parametrize("lost", ["metrics.csv", "video.json", "camera.json", "fit/history.csv"])
def test_what_must_be_there_is_named(real, capsys, lost):
    if not VideoDir(real).history.is_file():
        VideoDir(real).history.write_text("step,total\n20,0.5\n")
    before = (real / lost).read_bytes()
    (real / lost).unlink()
    assert main(["report", str(real)]) == 1
    assert lost in capsys.readouterr().err
    (real / lost).write_bytes(before)


def test_a_history_that_is_none_is_an_error(real, capsys):
    history = VideoDir(real).history
    history.write_text("colour,total\n1,2\n")
    assert main(["report", str(real)]) == 1
    assert "history.csv: column 'step' is missing" in capsys.readouterr().err
    history.unlink()


def table() -> pd.DataFrame:
    out = MetricTable(STUDIO, np.array([TRAIN, HELD_OUT, TRAIN]))
    for when, value in (("initial", 3.0), ("refined", 2.0)):
        out.add("mpjpe", when, "p", np.full((3, 2), value), [0, 1, 2], ("left_knee", "head"))
    return out.frame()


def test_charts_take_the_colours_and_the_font_of_the_page():
    for svg in (figures.frame_chart(table(), "mpjpe"), figures.point_chart(table(), "mpjpe")):
        assert "var(--before)" in svg and "var(--after)" in svg
        assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
        assert "font-family" not in svg
        assert "<style" not in svg


def test_charts_are_the_same_each_time():
    assert figures.frame_chart(table(), "mpjpe") == figures.frame_chart(table(), "mpjpe")


def test_joints_are_listed_from_head_to_foot():
    svg = figures.point_chart(table(), "mpjpe")
    heights = {name: float(re.search(rf'y="([\d.]+)"[^>]*>{name}<', svg)[1]) for name in ("head", "left knee")}
    assert heights["head"] < heights["left knee"]


def test_no_chart_of_what_was_not_measured():
    assert figures.frame_chart(table(), "v2v") is None
    assert figures.point_chart(table(), "v2v") is None


@pytest.mark.parametrize(
    ("name", "before", "after", "truth", "verdict"),
    [
        ("mpjpe", 60.0, 50.0, np.nan, "better"),
        ("mpjpe", 50.0, 60.0, np.nan, "worse"),
        ("mpjpe", 50.0, 50.1, np.nan, "same"),
        ("iou_body", 0.8, 0.9, np.nan, "better"),
        ("jitter", 100.0, 300.0, 310.0, "better"),  # smoother than the truth is no virtue
        ("jitter", 300.0, 900.0, 310.0, "worse"),
    ],
)
def test_what_counts_as_better(name, before, after, truth, verdict):
    assert sections._verdict(name, before, after, truth) == verdict


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0.4 s"), (75, "1 min 15 s"), (3700, "1 h 01 min")])
def test_durations(seconds, text):
    assert sections.duration(seconds) == text


def test_no_name_stands_in_a_caption_of_snakemakes_report() -> None:
    """Captions are reStructuredText: a video called `x <javascript:alert(1)>`_ would be a link that runs it."""
    captions = list((Path(sections.__file__).parent / "captions").glob("*.rst"))
    assert captions
    assert not [caption.name for caption in captions if "{{" in caption.read_text()]
