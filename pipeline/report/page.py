"""The page itself: contents from the results folder, shape from the template."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from pipeline.camera.intrinsics import clip_camera
from pipeline.evaluation.summary import summarise
from pipeline.evaluation.table import METRICS, STUDIO, read_metrics
from pipeline.formats.camera import Camera
from pipeline.formats.paths import VideoDir
from pipeline.formats.provenance import read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.report import figures, sections
from pipeline.report.camera_line import camera_line
from pipeline.report.export_list import export_list
from pipeline.report.focal import focal_text
from pipeline.report.gist import gist
from pipeline.report.masks_line import masks_line
from pipeline.report.media import Medium, picture, thumbnail, video
from pipeline.report.start_line import start_line
from pipeline.report.sureness import sure_charts
from pipeline.runtime.errors import UserError

_FRAME_CHARTS = ("mpjpe", "v2v", "translation_error", "iou_body", "reprojection", "jitter")
_POINT_CHARTS = ("mpjpe", "reprojection")
_VIDEOS = (
    ("overlay.mp4", "Video, before and after", "The body mesh over the video, before and after the refinement."),
    ("turntable.mp4", "The avatar from all sides", "One full turn."),
    ("novel_pose.mp4", "A motion the person never did", "The same avatar, driven by another motion."),
    (
        "world.mp4",
        "The world, from above and from the side",
        "Where the person goes, where the feet stand (left orange, right blue), and where the camera is.",
    ),
)
_STILLS = (
    ("close_up.png", "Close up", "The mesh in detail, before and after."),
    (
        "overlay.png",
        "Moments of the clip",
        "The video, the mesh before and the mesh after, at moments across the clip.",
    ),
    ("held_out.png", "Video and avatar", "Frames that the avatar was not trained on, and its picture of them."),
    (
        "masks.png",
        "The person cut out",
        "By the masks as they were found, and as the fit refined them by the background, the edges and the colours.",
    ),
    ("avatar.png", "The avatar's sides", "The avatar standing, from several sides."),
    (
        "seen.png",
        "What was never filmed",
        "The avatar from four sides, striped where no frame that it was trained on shows it: colours there are a guess "
        "from the body's other side or from what is around.",
    ),
    (
        "sure.png",
        "How sure it is",
        "The body coloured by how far each part may be nearer or farther than shown: one standard deviation of its "
        "depth against the hips. Dark is sure. One video tells least of what lies along the line of sight.",
    ),
    (
        "world.png",
        "The world",
        "The path on the ground, footprints (left orange, right blue) and the camera, from above and from the side.",
    ),
    ("novel_pose.png", "A new motion", "Moments of the motion that the person never did."),
)
_THUMBNAIL = 176  # px: height of the picture by the link to the viewer, twice that on the page
_NOT_TERMS = ("step", "total", "psnr_person", "n_gaussians", "seconds")


@dataclass(frozen=True)
class ReportSettings:
    """Section `report` of the configuration."""

    embed_limit: float


def build_page(directory: Path, settings: ReportSettings, body_model: str = "free") -> str:
    """The report of results/<video> as one HTML page that loads nothing from elsewhere.

    Parts whose files are not there are left out, as the errors of a video without truth are. What the page is about,
    metrics.csv, video.json, camera.json and fit/history.csv, must be there.

    Args:
        directory: results/<video>.
        settings: of the page.
        body_model: "free" or the path of the body that the motion is of.

    Raises:
        UserError: one of these is missing, or a file is not what its stage writes.
    """
    paths = VideoDir(directory)
    table = read_metrics(paths.metrics)
    if table.empty:
        raise UserError(f"{paths.metrics}: holds no figure; run the stage evaluate again")
    summary = summarise(table, paths.name)
    runs, info = sections.stage_runs(paths), VideoInfo.load(paths.video)
    clips, stills = _media(paths, settings)
    fit, camera = next((run for run in runs if run.name == "fit"), None), clip_camera(paths)
    gained, distrust = gist(paths, summary, camera)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        name=paths.name,
        footage=table["footage"].iloc[0],
        synthetic=table["footage"].iloc[0] == STUDIO,
        facts=_facts(info, camera, fit, camera_line(paths), start_line(paths), masks_line(paths, summary)),
        verdict=sections.verdict(paths),
        viewer=_viewer(paths, settings),
        gained=gained,
        distrust=distrust,
        cards=sections.cards(summary),
        warnings=[(run.name, warning) for run in runs for warning in run.warnings],
        hero=clips.pop("overlay.mp4", None),
        clips=list(clips.values()),
        stills=stills,
        comparisons=sections.comparisons(summary),
        pictures=sections.pictures(summary),
        frame_charts=_charts(figures.frame_chart, table, _FRAME_CHARTS),
        sure=sure_charts(paths, body_model),
        within=sections.within_sigma(summary),
        point_charts=_charts(figures.point_chart, table, _POINT_CHARTS),
        fit_charts=_fit_charts(paths, fit),
        runs=runs,
        total=sections.duration(sum(run.seconds for run in runs)),
        duration=sections.duration,
        exports=export_list(paths.exports, _motion_rate(paths, info)),
        glossary=sections.glossary(table),
    )


def _motion_rate(paths: VideoDir, info: VideoInfo) -> float:
    """Frames a second of the motion files."""
    record = paths.provenance("export")
    chosen = read_provenance(record)["settings"].get("fps") if record.is_file() else None
    return chosen or float(info.fps)


def _facts(
    info: VideoInfo,
    camera: Camera,
    fit: sections.StageRun | None,
    world: str | None,
    start: str | None,
    masks: str | None,
) -> list[tuple[str, str]]:
    fps = f"{float(info.fps):.4g} frames/s"
    facts = [
        ("Source", Path(info.source).name),
        ("Frames", f"{info.frames} of {info.width} by {info.height} px, {fps}, {float(info.frames / info.fps):.1f} s"),
    ]
    facts.append(("Focal length", focal_text(camera)))
    if world is not None:
        facts.append(("Camera", world))
    if start is not None:
        facts.append(("Start", start))
    known = dict(fit.facts) if fit else {}
    counts = [
        f"{known[key]} {text}"
        for key, text in (
            ("frames_trained", "trained"),
            ("frames_held_out", "held out"),
            ("frames_interpolated", "lost"),
        )
        if key in known
    ]
    if counts:
        facts.append(("Split", ", ".join(counts)))
    if masks is not None:
        facts.append(("Masks", masks))
    if "gaussians" in known:
        binding = dict(fit.settings).get("binding", "")
        facts.append(("Avatar", f"{known['gaussians']} Gaussians{f', binding {binding}' if binding else ''}"))
    return facts


@dataclass(frozen=True)
class _Viewer:
    """The page that draws the avatar."""

    link: str  # from the report's folder
    picture: str | None  # a small one of the avatar
    page: str | None  # itself, where it is not too large to be put into the report


def _viewer(paths: VideoDir, settings: ReportSettings) -> _Viewer | None:
    """None where there is no such page."""
    page, still = paths.exports / "viewer.html", paths.renders / "stills" / "avatar.png"
    if not page.is_file():
        return None
    link, small = page.relative_to(paths.report.parent).as_posix(), page.stat().st_size <= settings.embed_limit * 1e6
    picture = thumbnail(still, _THUMBNAIL) if still.is_file() else None
    return _Viewer(link, picture, page.read_text(encoding="utf-8") if small else None)


def _media(paths: VideoDir, settings: ReportSettings) -> tuple[dict[str, Medium], list[Medium]]:
    """Videos by file name, and stills; those that are there."""
    clips = {
        name: video(paths.renders / name, paths.report, title, text, settings.embed_limit)
        for name, title, text in _VIDEOS
        if (paths.renders / name).is_file()
    }
    folder = paths.renders / "stills"
    stills = [picture(folder / name, title, text) for name, title, text in _STILLS if (folder / name).is_file()]
    if sections.several_people(paths):
        text = "Everybody who was found. The setting masks.person chooses who is followed."
        stills.append(picture(paths.people, "Who is in the clip", text))
    return clips, stills


def _charts(draw: Any, table: Any, metrics: tuple[str, ...]) -> list[tuple[str, str, Markup]]:
    """Label, unit and SVG of the metrics that can be drawn."""
    charts = [(METRICS[name].label, METRICS[name].unit, draw(table, name)) for name in metrics]
    return [(label, unit, Markup(svg)) for label, unit, svg in charts if svg is not None]


def _fit_charts(paths: VideoDir, fit: sections.StageRun | None) -> dict[str, Any] | None:
    """How the joint optimisation went: total loss, PSNR, and the terms of the loss."""
    history = sections.read_history(paths.history)
    if history.empty:
        return None
    settings = dict(fit.settings) if fit else {}
    phases = {
        name.removeprefix("steps."): int(value)
        for name, value in settings.items()
        if name.startswith("steps.") and name != "steps.heldout" and settings.get("refiner") != "neuhmr"
    }
    numeric = history.select_dtypes("number")
    terms = [name for name in numeric.columns if name not in _NOT_TERMS and (numeric[name] > 0).any()]
    terms = sorted(terms, key=lambda name: -float(np.nanmean(numeric[name])))[: len(figures.SERIES)]
    single = (
        ("total", "Loss", True),
        ("psnr_person", "PSNR of the person while training, dB", False),
        ("n_gaussians", "Gaussians", False),
    )
    return {
        "single": [
            (title, Markup(figures.history_chart(history, column, phases, title, log)))
            for column, title, log in single
            if column in numeric.columns
        ],
        "terms": [name.replace("_", " ") for name in terms],
        "terms_chart": Markup(figures.terms_chart(history, terms, phases)) if terms else None,
    }
