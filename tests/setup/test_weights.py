"""Fetching weights from a server on this machine: resumed, checked, unpacked; and what is said without one."""

import hashlib
import http.server
import importlib
import io
import itertools
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipeline.__main__ import main
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import DEFAULT_CONFIG, check_config, default_config, merged
from pipeline.setup.preflight import check_backends, estimator
from pipeline.setup.published import check_published
from pipeline.setup.weights import (
    HMR2_FILES,
    UNIDEPTH_FILES,
    Weight,
    fetch,
    fetch_all,
    needed,
    require,
    require_smpl,
    wanted,
)

CONTENT = bytes(range(256)) * 20_000  # 5 MB
PAPER = DEFAULT_CONFIG.with_name("paper.yaml")


class Server(http.server.ThreadingHTTPServer):
    files: dict[str, bytes]
    asked: list[tuple[str, str]]  # path, Range
    cut: int | None = None  # bytes after which a connection ends
    ranges = True


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted_range = self.headers.get("Range", "")
        self.server.asked.append((self.path, wanted_range))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(wanted_range.removeprefix("bytes=").rstrip("-") or 0) if self.server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start or (wanted_range and self.server.ranges) else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = len(content) if self.server.cut is None else start + self.server.cut
        self.wfile.write(content[start:stop])

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        made.files, made.asked = {"/w.pt": CONTENT}, []
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()


def weight(server: Server, tmp_path: Path, name: str = "w.pt", **facts) -> Weight:
    address = f"http://127.0.0.1:{server.server_port}/{name}"
    return Weight((tmp_path / "models" / name,), (address,), 5, "CC0", **facts)


def test_a_file_is_fetched_and_checked(server: Server, tmp_path: Path) -> None:
    asked = weight(server, tmp_path, bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    fetch(asked)
    assert asked.files[0].read_bytes() == CONTENT
    assert asked.missing == []
    assert [file.name for file in asked.files[0].parent.iterdir()] == ["w.pt"]


@pytest.mark.parametrize("ranges", [True, False], ids=["resumes", "server that cannot resume"])
def test_a_broken_download_goes_on(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.cut, server.ranges = 2_000_000, ranges
    asked = weight(server, tmp_path, sha256=hashlib.sha256(CONTENT).hexdigest())
    with pytest.raises(OSError, match="ended 3120000 bytes early"):
        fetch(asked)
    assert asked.missing == [asked.files[0]]
    server.cut = None
    fetch(asked)
    assert asked.files[0].read_bytes() == CONTENT
    assert server.asked[-1][1] == "bytes=2000000-"


def test_a_download_that_was_whole_but_not_renamed(server: Server, tmp_path: Path) -> None:
    asked = weight(server, tmp_path)
    asked.files[0].parent.mkdir()
    asked.files[0].with_name("w.pt.part").write_bytes(CONTENT)
    fetch(asked)
    assert asked.files[0].read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"bytes": 7}, "7 bytes expected, found 5120000"),
        ({"sha256": "0" * 64}, "sha256 0000"),
        ({"sha256": "983f1562"}, "sha256 983f1562 expected, found 13fbe33c"),
    ],
)
def test_a_wrong_file_is_not_kept(server: Server, tmp_path: Path, facts: dict, told: str) -> None:
    asked = weight(server, tmp_path, **facts)
    (line,) = fetch_all([asked])
    assert told in line and line.startswith(str(asked.files[0]))
    assert list(asked.files[0].parent.iterdir()) == []


def test_the_next_address_is_tried(server: Server, tmp_path: Path) -> None:
    there = weight(server, tmp_path)
    gone = there.addresses[0].replace("w.pt", "moved.pt")
    fetch(Weight(there.files, (gone, *there.addresses), 5, "CC0"))
    assert there.files[0].read_bytes() == CONTENT


def archive_of(names: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.parametrize("prefix", ["", "./", "hmr2_data/"])
def test_only_what_is_needed_is_unpacked(server: Server, tmp_path: Path, prefix: str) -> None:
    content = {prefix + name: name.encode() for name in HMR2_FILES}
    server.files["/w.tar.gz"] = archive_of(content | {"../../evil": b"x", prefix + "data/smpl/README": b"x"})
    folder = tmp_path / "models" / "hmr2"
    address = f"http://127.0.0.1:{server.server_port}/w.tar.gz"
    asked = Weight(tuple(folder / name for name in HMR2_FILES), (address,), 1, "MIT", folder=folder)
    fetch(asked)
    assert {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()} == set(HMR2_FILES)
    assert all((folder / name).read_text() == name for name in HMR2_FILES)
    assert not (tmp_path / "evil").exists()


def test_a_zip_is_unpacked_as_well(server: Server, tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("20230831/rtmpose_onnx/rtmw/end2end.onnx", b"network")
        archive.writestr("20230831/rtmpose_onnx/rtmw/pipeline.json", b"{}")
    folder = tmp_path / "rtmw"
    server.files["/w.zip"] = made.getvalue()
    fetch(Weight((folder / "end2end.onnx",), (f"http://127.0.0.1:{server.server_port}/w.zip",), 1, "x", folder=folder))
    assert [file.name for file in folder.iterdir()] == ["end2end.onnx"]
    assert (folder / "end2end.onnx").read_bytes() == b"network"


def test_an_archive_that_lacks_a_file_is_told(server: Server, tmp_path: Path) -> None:
    server.files["/w.tar.gz"] = archive_of({HMR2_FILES[0]: b"x"})
    folder = tmp_path / "hmr2"
    address = f"http://127.0.0.1:{server.server_port}/w.tar.gz"
    (line,) = fetch_all([Weight(tuple(folder / n for n in HMR2_FILES), (address,), 1, "MIT", folder=folder)])
    assert "does not hold model_config.yaml" in line


def test_of_a_name_with_a_hash_the_first_digits_are_checked(server: Server, tmp_path: Path) -> None:
    asked = weight(server, tmp_path, sha256=hashlib.sha256(CONTENT).hexdigest()[:8])
    fetch(asked)
    assert asked.files[0].read_bytes() == CONTENT
    features = {w.files[0].name: w for w in wanted(default_config())}["convnext_tiny-983f1562.pth"]
    assert features.sha256 == "983f1562"


def test_a_file_put_there_by_hand_is_checked(tmp_path: Path, monkeypatch, capsys) -> None:
    """Cut short, or another model's: said when it is looked for, before torch reads it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("fetched"))
    for each in wanted(default_config()):
        for file in each.files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    names = [
        "models/sam2/sam2.1_hiera_large.pt",
        "models/mediapipe/pose_landmark_heavy.tflite",
        "models/lpips/alexnet-owt-7be5be79.pth",
        "models/lpips/alex.pth",
    ]
    names.append(default_config()["fit"]["neuhmr"]["features"])
    assert main(["weights"]) == 1
    shown = capsys.readouterr()
    assert {line.split()[1] for line in shown.out.splitlines() if line.startswith("wrong")} == set(names)
    empty = hashlib.sha256().hexdigest()[:8]
    told = [line for line in shown.err.splitlines() if line.startswith("missing: ")]
    assert [line.split(":")[1].strip() for line in told] == names
    assert all(line.endswith(f"found {empty}...; delete it and run this again") for line in told)
    for name in names:
        with pytest.raises(UserError, match=f"^{name}: expected sha256 .*found {empty}"):
            check_published(Path(name))
    own = tmp_path / "own.pt"
    own.touch()
    check_published(own)


# What the presets need


def paper_config(**changed) -> dict:
    return merged(merged(default_config(), yaml.safe_load(PAPER.read_text())), changed)


def test_the_paper_preset_is_a_valid_overlay() -> None:
    check_config(paper_config())
    assert [estimator(paper_config(), stage) is None for stage in ("masks", "depth", "pose")] == [False] * 3
    assert [estimator(default_config(), stage) for stage in ("masks", "depth", "pose")] == [None] * 3


def test_the_weights_follow_the_config() -> None:
    small = {
        "masks": {"sam2": {"checkpoint": "w/sam2.1_hiera_tiny.pt"}},
        "depth": {"unidepth": {"weights": "w/unidepth-v2-vits14"}},
    }
    weights = {str(weight.files[0]): weight for weight in wanted(paper_config(**small))}
    assert weights["w/sam2.1_hiera_tiny.pt"].addresses[0].endswith("/sam2.1_hiera_tiny.pt")
    assert weights["w/unidepth-v2-vits14/model.safetensors"].megabytes == 137
    assert needed("masks", default_config()["masks"]) == []
    assert len(needed("depth", paper_config()["depth"])) == len(UNIDEPTH_FILES)
    own = needed("masks", paper_config(masks={"sam2": {"checkpoint": "mine.pt"}})["masks"])
    with pytest.raises(UserError, match=r"^mine\.pt: not found; put it there \(its address is not known\)$"):
        require(own)


def test_each_missing_piece_is_one_line_before_any_work(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = paper_config()
    steps = [
        ("models/sam2/sam2.1_hiera_large.pt: not found; snakemake --cores 1 weights fetches it, or put https://", None),
        ("models/unidepth-v2-vitl14/config.json: not found", "models/sam2/sam2.1_hiera_large.pt"),
        ("models/unidepth-v2-vitl14/model.safetensors: not found", "models/unidepth-v2-vitl14/config.json"),
        (f"models/hmr2/{HMR2_FILES[0]}: not found", "models/unidepth-v2-vitl14/model.safetensors"),
    ]
    steps += [(f"models/hmr2/{n}: not found", f"models/hmr2/{p}") for p, n in itertools.pairwise(HMR2_FILES)]
    steps.append(("models/smpl/SMPL_NEUTRAL.pkl: not found; register at https://smpl", f"models/hmr2/{HMR2_FILES[-1]}"))
    for told, put in steps:
        if put:
            Path(put).parent.mkdir(parents=True, exist_ok=True)
            Path(put).touch()
        with pytest.raises(UserError) as raised:
            check_backends(config, packages=False)
        assert str(raised.value).startswith(told)
        assert "\n" not in str(raised.value)
    assert str(tmp_path / "models/smpl/SMPL_NEUTRAL.pkl") in str(raised.value)
    Path("models/smpl").mkdir()
    Path("models/smpl/SMPL_NEUTRAL.pkl").touch()
    check_backends(config, packages=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"^settings fit\.device: cuda needs the package gsplat, which is not installed"
    ):
        check_backends(config, packages=True)
    with pytest.raises(UserError, match=r"^backend sam2: the package torchvision is not installed; make paper-env"):
        check_backends(merged(config, {"fit": {"device": "cpu"}}), packages=True)
    check_backends(default_config(), packages=True)


def test_hmr2_needs_smpl() -> None:
    with pytest.raises(UserError, match=r"body_model must be an SMPL file, found 'free'; register at https://smpl"):
        require_smpl("free")


@pytest.mark.parametrize(
    ("stage", "backend"), [("masks", "sam2"), ("landmarks", "rtmw"), ("depth", "unidepth"), ("pose", "hmr2")]
)
def test_a_stage_without_its_weights_stops_at_once(tmp_path: Path, monkeypatch, capsys, stage, backend) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([stage, "results/x", "--settings", f"backend: {backend}"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {stage}: models/") and "not found" in line


@pytest.mark.parametrize(("stage", "backend"), [("masks", "sam2"), ("depth", "unidepth"), ("pose", "hmr2")])
def test_a_stage_without_a_gpu_stops_at_once(tmp_path: Path, monkeypatch, capsys, stage, backend) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for weight_ in wanted(default_config()):
        for file in weight_.files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    assert main([stage, "results/x", "--settings", f"backend: {backend}"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {stage}: backend {backend}: needs a GPU")


@pytest.mark.parametrize(("stage", "backend"), [("masks", "sam2"), ("depth", "unidepth"), ("pose", "hmr2")])
def test_a_stage_without_its_package_stops_at_once(tmp_path: Path, monkeypatch, capsys, stage, backend) -> None:
    monkeypatch.chdir(tmp_path)
    for weight_ in wanted(default_config()):
        for file in weight_.files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    real = importlib.import_module

    def without_packages(name: str) -> object:
        if name.split(".")[0] == backend:
            raise ModuleNotFoundError(f"No module named {backend!r}", name=backend)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", without_packages)
    assert main([stage, "results/x", "--settings", f"{{backend: {backend}, {backend}: {{device: cpu}}}}"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"error: {stage}: backend {backend}: the package {backend} is not installed; make paper-env")


def test_offline_it_says_what_to_put_where(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    assert main(["weights"]) == 1
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if line.startswith("missing: ")]
    assert len(lines) == len(wanted(default_config()))
    assert all("no network" in line and "https://" in line for line in lines)
    assert "https://smpl.is.tue.mpg.de" in shown.out
    assert main(["weights", "--list"]) == 0
