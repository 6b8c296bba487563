"""Results in a storage: Snakemake's plugins for another folder, with the whole DAG, and for S3, with a server here."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_workflow import DOWNSTREAM_OF_FIT, NAME, TOO_SHORT, Workflow, laid, last_lines

BUCKET = "clips"


def needs(package: str) -> pytest.MarkDecorator:
    there = importlib.util.find_spec(package) is not None
    return pytest.mark.skipif(not there, reason=f"{package} is not installed: pip install -e '.[dev]'")


@dataclass(frozen=True)
class Stored(Workflow):
    """A workflow whose results go to a storage."""

    storage: tuple[str, ...]  # options of snakemake

    def snakemake(self, *arguments: str, changed: str = "{}") -> subprocess.CompletedProcess[str]:
        return super().snakemake(*self.storage, *arguments, changed=changed)


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory: pytest.TempPathFactory, studio_clip) -> Stored:
    """The workflow after one complete run whose results went to the folder `store`."""
    root = laid(tmp_path_factory.mktemp("stored"), studio_clip).root
    made = Stored(root, ("--default-storage-provider", "fs", "--default-storage-prefix", "store"))
    done = made.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    (root / "said").write_text("\n".join(last_lines(done)), encoding="utf-8")
    return made


in_a_folder = [
    needs("snakemake_storage_plugin_fs"),
    pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync, which the plugin for folders runs, is not there"),
]


class TestFolder:
    pytestmark = in_a_folder

    def test_the_results_are_in_the_storage_alone(self, in_folder: Stored) -> None:
        results = in_folder.root / "store" / "results"
        for name in ("frames/000000.jpg", "renders/overlay.mp4", "fit/avatar.npz", "logs/fit.log", "report.html"):
            assert (results / NAME / name).is_file(), name
        assert (results / "metrics.csv").is_file()
        assert not (in_folder.root / "results").exists()
        assert not (in_folder.root / "store" / "videos").exists()

    def test_the_last_line_is_read_from_the_storage(self, in_folder: Stored) -> None:
        said = (in_folder.root / "said").read_text(encoding="utf-8")
        assert re.search(rf"^{NAME}  done .*IoU.* store/results/{NAME}/report\.html$", said, re.MULTILINE)
        assert "Storing in storage" not in said

    def test_only_what_changed_runs_again(self, in_folder: Stored) -> None:
        assert in_folder.planned() == set()
        assert in_folder.planned_rules("fit: {weights: {ssim: 0.123}}") == DOWNSTREAM_OF_FIT

    def test_results_outside_of_the_storage_are_refused(self, in_folder: Stored) -> None:
        done = in_folder.snakemake("--dry-run", changed="results: /somewhere")
        assert done.returncode != 0
        assert "config.results: /somewhere: with --default-storage-provider" in done.stdout + done.stderr

    def test_no_figures_of_other_settings_stay_in_the_storage(self, in_folder: Stored, tmp_path: Path) -> None:
        spoilt = Stored(tmp_path / "workflow", in_folder.storage)
        shutil.copytree(in_folder.root, spoilt.root)
        (spoilt.root / "videos" / "second.mp4").write_text("no video")
        done = spoilt.snakemake("--forcerun", "report")
        assert done.returncode != 0
        table = spoilt.root / "store" / "results" / "metrics.csv"
        assert NAME in table.read_text(encoding="utf-8"), "of the one that is done"
        done = spoilt.snakemake(changed=TOO_SHORT)
        assert done.returncode != 0
        assert f"store/results/{NAME}/report.html is of an earlier run" in last_lines(done)[-1]
        assert not table.exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of an empty S3 server on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "server.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            for _ in range(300):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@needs("snakemake_storage_plugin_s3")
@needs("moto")
def test_stages_run_with_s3(server: str, studio_clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rules differ in their videos alone (depth, camera), and folders are no objects there."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    options = ("--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{BUCKET}")
    root = tmp_path / "workflow"
    root.mkdir()
    made = Stored(laid(root, studio_clip).root, (*options, "--storage-s3-endpoint-url", server))
    shutil.copy2(root / "videos" / f"{NAME}.mp4", root / "videos" / "take #2.mp4")
    done = made.snakemake("--until", "masks", "camera", "refuse")
    assert done.returncode != 0
    assert re.match(r"videos/take #2\.mp4: S3 takes no #; rename it", last_lines(done)[-1])
    os.unlink(root / "videos" / "take #2.mp4")
    assert made.snakemake("--until", "masks", "camera").returncode == 0
    assert last_lines(made.snakemake("--until", "masks", "camera"))[-1] == "1 video was up to date"
    assert made.planned_rules("masks: {reach: 0.3}") >= {"masks", "landmarks", "pose"}
