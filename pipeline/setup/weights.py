"""Weight files: which ones the estimators need, where they are from, and fetching them.

No stage fetches by itself: `python -m pipeline weights` does, on request.
"""

from __future__ import annotations

import logging
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from pipeline.formats.atomic import atomic_path
from pipeline.runtime.errors import UserError
from pipeline.runtime.progress import track
from pipeline.setup.published import PUBLISHED, sha256, wrong

log = logging.getLogger(__name__)

SMPL_ADDRESS = "https://smpl.is.tue.mpg.de"
HMR2_CHECKPOINT = "logs/train/multiruns/hmr2/0/checkpoints/epoch=35-step=1000000.ckpt"
HMR2_CONFIG = "logs/train/multiruns/hmr2/0/model_config.yaml"
HMR2_MEAN = "data/smpl_mean_params.npz"
HMR2_REGRESSOR = "data/SMPL_to_J19.pkl"
HMR2_FILES = (HMR2_CHECKPOINT, HMR2_CONFIG, HMR2_MEAN, HMR2_REGRESSOR)
UNIDEPTH_FILES = ("config.json", "model.safetensors")
LPIPS_FILES = ("alexnet-owt-7be5be79.pth", "alex.pth")

_SAM2 = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"
_CONVNEXT = "https://download.pytorch.org/models/convnext_tiny-983f1562.pth"  # torchvision names a file by its hash
_SAM2_SIZES = {"sam2.1_hiera_large.pt": 898_083_611}
_ABOUT = {  # MB, for people
    "sam2.1_hiera_tiny.pt": 156, "sam2.1_hiera_small.pt": 184, "sam2.1_hiera_base_plus.pt": 324,
    "sam2.1_hiera_large.pt": 898, "unidepth-v2-vits14": 137, "unidepth-v2-vitb14": 458, "unidepth-v2-vitl14": 1415,
}  # fmt: skip
_HMR2 = (
    "https://www.cs.utexas.edu/~pavlakos/4dhumans/hmr2_data.tar.gz",
    "https://people.eecs.berkeley.edu/~jathushan/projects/4dhumans/hmr2_data.tar.gz",
)
_LPIPS = {
    "alexnet-owt-7be5be79.pth": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "alex.pth": "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
}
_OPENMMLAB = "https://download.openmmlab.com/mmpose/v1/projects/rtmw/onnx_sdk"
_RTMW = (  # archives of these names, and of the same the folders that they go to
    "rtmw-dw-x-l_simcc-cocktail14_270e-384x288_20231122",
    "rtmw-dw-x-l_simcc-cocktail14_270e-256x192_20231122",
    "rtmw-dw-l-m_simcc-cocktail14_270e-256x192_20231122",
)
_INSTANTHMR = "https://huggingface.co/momolesang/InstantHMR/resolve/main"
_MEDIAPIPE = (  # mediapipe's own bucket, and its package for browsers
    "https://storage.googleapis.com/mediapipe-assets/pose_landmark_heavy.tflite",
    "https://cdn.jsdelivr.net/npm/@mediapipe/pose@0.5.1675469404/pose_landmark_heavy.tflite",
)
_PART = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class Weight:
    """One file to fetch, and the files that come of it."""

    files: tuple[Path, ...]  # that must be there in the end
    addresses: tuple[str, ...]  # tried in order; empty: not known
    megabytes: int | None  # about
    licence: str
    bytes: int | None = None
    sha256: str | None = None  # or its first digits
    folder: Path | None = None  # of an archive: where its files go, `files` by the ends of their names in it

    @property
    def missing(self) -> list[Path]:
        return [file for file in self.files if not file.is_file()]

    def wrong(self) -> str:
        """The first file that is there and is not the published one, in words; empty where none is. Reads them."""
        return next(filter(None, (wrong(file) for file in self.files if file.is_file())), "")

    @property
    def download(self) -> Path:
        """Where the fetched file itself goes."""
        return self.folder / Path(self.addresses[0]).name if self.folder else self.files[0]


def wanted(settings: Mapping[str, Any]) -> list[Weight]:
    """The public weights that the settings name.

    Args:
        settings: the whole configuration; read are masks.sam2, landmarks.heavy, landmarks.rtmw,
            depth.unidepth, pose.hmr2, pose.instanthmr, evaluate.lpips_weights and fit.neuhmr.
    """
    weights = [_sam2(Path(settings["masks"]["sam2"]["checkpoint"]))]
    weights += _unidepth(Path(settings["depth"]["unidepth"]["weights"]))
    weights.append(_hmr2(Path(settings["pose"]["hmr2"]["weights"])))
    weights.append(_instanthmr(Path(settings["pose"]["instanthmr"]["weights"])))
    weights.append(_heavy(Path(settings["landmarks"]["heavy"])))
    weights.append(_rtmw(Path(settings["landmarks"]["rtmw"]["weights"])))
    folder = Path(settings["evaluate"]["lpips_weights"])
    for name, address in _LPIPS.items():
        size = 244 if name.startswith("alexnet") else 1
        weights.append(Weight((folder / name,), (address,), size, "BSD", sha256=PUBLISHED[name]))
    path = Path(settings["fit"]["neuhmr"]["features"])
    known = path.name == Path(_CONVNEXT).name
    weights.append(
        Weight((path,), (_CONVNEXT,) if known else (), 114 if known else None, "BSD", sha256=PUBLISHED.get(path.name))
    )
    return weights


def needed(stage: str, settings: Mapping[str, Any]) -> list[Weight]:
    """The weights without which the backend of a stage cannot run; `settings` is the stage's section."""
    backend = settings["backend"]
    if (stage, backend) == ("masks", "sam2"):
        return [_sam2(Path(settings["sam2"]["checkpoint"]))]
    if (stage, backend) == ("depth", "unidepth"):
        return _unidepth(Path(settings["unidepth"]["weights"]))
    if (stage, backend) == ("landmarks", "mediapipe") and settings["model"] == "heavy":
        return [_heavy(Path(settings["heavy"]))]
    if (stage, backend) == ("landmarks", "rtmw"):
        return [_rtmw(Path(settings["rtmw"]["weights"]))]
    if (stage, backend) == ("pose", "hmr2"):
        return [_hmr2(Path(settings["hmr2"]["weights"]))]
    if (stage, backend) == ("pose", "instanthmr"):
        return [_instanthmr(Path(settings["instanthmr"]["weights"]))]
    return []


def _sam2(path: Path) -> Weight:
    known = path.name in _ABOUT
    return Weight(
        (path,),
        (f"{_SAM2}/{path.name}",) if known else (),
        _ABOUT.get(path.name),
        "Apache-2.0",
        _SAM2_SIZES.get(path.name),
        PUBLISHED.get(path.name),
    )


def _unidepth(folder: Path) -> list[Weight]:
    hub = f"https://huggingface.co/lpiccinelli/{folder.name}/resolve/main"
    known = folder.name in _ABOUT
    return [
        Weight(
            (folder / name,),
            (f"{hub}/{name}",) if known else (),
            _ABOUT.get(folder.name) if name.endswith("safetensors") else 1,
            "CC BY-NC 4.0: non-commercial",
        )
        for name in UNIDEPTH_FILES
    ]


def _hmr2(folder: Path) -> Weight:
    return Weight(tuple(folder / name for name in HMR2_FILES), _HMR2, 2700, "MIT code", folder=folder)


def _instanthmr(path: Path) -> Weight:
    known = path.name == "instanthmr.onnx"
    licence = "SAM License (Meta), a distillate of SAM 3D Body"
    return Weight((path,), (f"{_INSTANTHMR}/{path.name}",) if known else (), 77 if known else None, licence)


def _heavy(path: Path) -> Weight:
    known = path.name in PUBLISHED
    return Weight(
        (path,), _MEDIAPIPE if known else (), 28, "Apache-2.0", 27_709_200 if known else None, PUBLISHED.get(path.name)
    )


def _rtmw(folder: Path) -> Weight:
    file = (folder / "end2end.onnx",)
    if folder.name not in _RTMW:
        return Weight(file, (), None, "Apache-2.0")
    return Weight(file, (f"{_OPENMMLAB}/{folder.name}.zip",), None, "Apache-2.0", folder=folder)


def require(weights: list[Weight]) -> None:
    """Raise a UserError that names the first file missing and what mends it."""
    for weight in weights:
        if weight.missing:
            fetched = "snakemake --cores 1 weights fetches it, or " if weight.addresses else ""
            raise UserError(f"{weight.missing[0]}: not found; {fetched}{_by_hand(weight)}")


def require_smpl(body_model: str) -> None:
    """Raise a UserError, with the address and the path, where the body model is not a file that is there."""
    if body_model == "free":
        raise UserError(
            f"backend hmr2: gives SMPL parameters, so body_model must be an SMPL file, found 'free'; register at "
            f"{SMPL_ADDRESS}, put its neutral model at models/smpl/SMPL_NEUTRAL.pkl and set body_model to that path"
        )
    if not Path(body_model).is_file():
        raise UserError(
            f"{body_model}: not found; register at {SMPL_ADDRESS}, download SMPL for Python (version 1.1.0) and put "
            f"its neutral model (basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl) at {Path(body_model).absolute()}"
        )


def _by_hand(weight: Weight) -> str:
    if not weight.addresses:
        return "put it there (its address is not known)"
    if weight.folder:
        return f"unpack {weight.addresses[0]} in {weight.folder}"
    return f"put {weight.addresses[0]} there"


def fetch_all(weights: list[Weight]) -> list[str]:
    """Fetch what is missing, check what is there; go on after a failure.

    Returns:
        One line for each file that could not be had: what to put where.
    """
    lost = []
    for weight in weights:
        if told := weight.wrong():
            lost.append(f"{told}; delete it and run this again")
            continue
        if not weight.missing:
            log.info("%s: is there", weight.files[0] if len(weight.files) == 1 else weight.folder)
            continue
        try:
            fetch(weight)
        except (OSError, ValueError, tarfile.TarError, zipfile.BadZipFile) as error:  # urllib's and the checks' below
            lost.append(f"{weight.missing[0]}: could not be fetched ({error}); {_by_hand(weight)}")
    return lost


def fetch(weight: Weight) -> None:
    """Fetch one weight, going on where an interrupted download stopped, check it, and unpack an archive.

    Raises:
        OSError: no address answered.
        ValueError: no address is known, or size or checksum is not the expected one.
        tarfile.TarError, zipfile.BadZipFile: the archive is damaged.
    """
    if not weight.addresses:
        raise ValueError("no address is known")
    part = weight.download.with_name(weight.download.name + ".part")
    if not (weight.folder and weight.download.is_file()):
        part.parent.mkdir(parents=True, exist_ok=True)
        for address in weight.addresses:
            try:
                _download(address, part, weight.download.name)
                break
            except OSError as error:
                if address == weight.addresses[-1]:
                    raise
                log.info("%s: %s; trying the next address", address, error)
        _check(part, weight)
        part.replace(weight.download)
    if weight.folder:
        _unpack(weight)
    log.info("%s: fetched", weight.download)


def _download(address: str, part: Path, name: str) -> None:
    """Append to `part` what it lacks of the file at `address`."""
    begun = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "humansplathmr", "Range": f"bytes={begun}-"})
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code == 416 and begun:  # nothing beyond what is there
            return
        raise
    with answer:
        goes_on = answer.status == 206
        length = answer.headers.get("Content-Length")
        left = int(length) if length else None
        total = None if left is None else -(-left // _PART)
        with part.open("ab" if goes_on else "wb") as file:
            for piece in track(_pieces(answer), f"fetch {name}", total, "MB"):
                file.write(piece)
                left = None if left is None else left - len(piece)
    if left:
        raise OSError(f"the connection ended {left} bytes early; run it again to go on")


def _pieces(answer: Any) -> Iterator[bytes]:
    while piece := answer.read(_PART):
        yield piece


def _check(part: Path, weight: Weight) -> None:
    """Raise a ValueError, and remove the file, where its size or checksum is wrong."""
    size, told = part.stat().st_size, ""
    if weight.bytes is not None and size != weight.bytes:
        told = f"{weight.bytes} bytes expected, found {size}"
    elif weight.sha256 and not (found := sha256(part)).startswith(weight.sha256):
        told = f"sha256 {weight.sha256} expected, found {found}"
    if told:
        part.unlink()
        raise ValueError(told)


@contextmanager
def _members(path: Path) -> Iterator[Iterator[tuple[str, Callable[[], IO[bytes]]]]]:
    """The files in a zip or tar archive: name, and what opens it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield ((each.filename, partial(archive.open, each)) for each in archive.infolist() if not each.is_dir())
    else:
        with tarfile.open(path) as archive:
            yield ((each.name, partial(archive.extractfile, each)) for each in archive if each.isfile())


def _unpack(weight: Weight) -> None:
    """Take the files that are needed out of the archive, wherever in it they lie, and delete it."""
    endings = {str(file.relative_to(weight.folder)): file for file in weight.files}
    with _members(weight.download) as members:
        for name, opened in track(members, f"unpack {weight.download.name}", unit="file"):
            ending = next((end for end in endings if f"/{name}".endswith(f"/{end}")), None)
            if ending is None:
                continue
            with opened() as source, atomic_path(endings[ending]) as temporary, temporary.open("wb") as target:
                shutil.copyfileobj(source, target, _PART)
    if weight.missing:
        raise ValueError(f"{weight.download} does not hold {weight.missing[0].name}")
    weight.download.unlink()
