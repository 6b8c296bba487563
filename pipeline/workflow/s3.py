"""What snakemake-storage-plugin-s3 (0.3.6) needs to run this workflow."""

from __future__ import annotations

import posixpath
from urllib.parse import urlsplit

UNSAFE = "#"  # in a name: the plugin reads keys as URLs, and drops what follows


def keep_constraints() -> None:
    """Let local paths follow the keys when Snakemake writes a rule's wildcard constraints into those.

    The plugin takes the local path once, before that: then any rule would match the paths of any video.
    """
    from snakemake_storage_plugin_s3 import StorageObject

    def local_suffix(self: StorageObject) -> str:
        return f"{self.bucket}/{posixpath.normpath(urlsplit(self.query).path.lstrip('/'))}"

    StorageObject.local_suffix = local_suffix
