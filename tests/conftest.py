"""Fixtures that many tests share."""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import hypothesis
import pytest
import torch
from helpers_fit import prepare

from pipeline.body import BodyModel, load_body
from pipeline.formats.paths import VideoDir
from pipeline.runtime import threads
from pipeline.setup.sources import sources
from pipeline.studio.clip import ClipRequest, make_clip

hypothesis.settings.register_profile("busy", deadline=None)  # a busy machine stops anybody for a while
hypothesis.settings.load_profile("busy")
torch.set_num_threads(1)  # tests run side by side, and the threads of torch spin while they wait


@dataclass(frozen=True)
class StudioClip:
    """A tiny clip: `video`, and its `truth` beside it (see pipeline/studio/clip.py). Do not write there."""

    video: Path
    truth: Path
    request: ClipRequest


TINY = ClipRequest(
    seed=3,
    frames=14,
    fps=Fraction(10),
    width=128,
    height=160,
    motion="walk",
    outfit="shirt",
    camera="static",
    views=2,
)


@pytest.fixture(scope="session")
def studio_clip(pytestconfig: pytest.Config) -> StudioClip:
    """A person walks once round a circle: 14 frames, 128 x 160, all sides seen, found by mediapipe in every frame.

    Rendered once and kept in pytest's cache until a source of the studio changes.
    """
    folder = pytestconfig.cache.mkdir("studio") / _digest()
    if not folder.exists():
        temporary = Path(tempfile.mkdtemp(dir=folder.parent))
        make_clip(temporary, "tiny", TINY)
        try:
            temporary.rename(folder)
        except OSError:  # another test process was faster
            shutil.rmtree(temporary)
    return StudioClip(folder / "tiny.mp4", folder / "tiny.truth", TINY)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("free")


@pytest.fixture(scope="module")
def results(studio_clip: StudioClip, body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> VideoDir:
    """What the fit reads of the tiny clip, its initial pose the truth, disturbed. A module may write there."""
    return prepare(studio_clip, body, tmp_path_factory.mktemp("results") / "tiny")


@pytest.fixture(autouse=True)
def _little_work_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests are small, and what two threads make of a kernel should be tested."""
    monkeypatch.setattr(threads, "WORTH_SHARING", 0.0)


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    """Undo what a command run inside a test did to the package's logger, which `caplog` listens to."""
    log = logging.getLogger("pipeline")
    handlers, propagate, level = log.handlers[:], log.propagate, log.level
    yield
    for handler in set(log.handlers) - set(handlers):
        handler.close()
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)


def _digest() -> str:
    digest = hashlib.sha256(repr(TINY).encode())
    for file in sources("pipeline.studio.clip"):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
