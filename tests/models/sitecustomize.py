"""Run by every Python that has this folder on its path: lets the jobs of a workflow import torchvision on a CPU."""

import sys
from importlib.abc import MetaPathFinder


class BeforeTorchvision(MetaPathFinder):
    """Declares torchvision's operators when it is about to be imported, and finds nothing."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "torchvision":
            from torchvision_on_cpu import declare_operators

            declare_operators()


sys.meta_path.insert(0, BeforeTorchvision())
