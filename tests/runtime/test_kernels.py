"""`python -m pipeline kernels`: what it compiles is what fit, evaluate and render need."""

import json
import shutil
import subprocess
import sys

import pytest
from helpers_fit import SHORT, prepare

from pipeline.body import load_body

# In a process of its own: in this one, other tests have compiled already.
COMPILED_BY_THE_STAGES = """
import json, sys
from numba.core.dispatcher import Dispatcher
from pipeline.__main__ import main

def compiled():
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("pipeline.")]
    kernels = {id(k): k for module in modules for k in vars(module).values() if isinstance(k, Dispatcher)}
    return {f"{kernel.__name__} {signature}" for kernel in kernels.values() for signature in kernel.signatures}

assert main(["kernels"]) == 0
before = compiled()
assert main(["fit", sys.argv[1], "--settings", sys.argv[2]]) == 0
assert main(["evaluate", sys.argv[1]]) == 0
assert main(["render", sys.argv[1], "--settings", sys.argv[3]]) == 0
print(json.dumps([sorted(before), sorted(compiled() - before)]))
"""


SHORT_FILMS = "{turntable_seconds: 0.1, novel_seconds: 0.2, avatar_height: 64}"


@pytest.mark.parametrize("use_depth", [True, False])
def test_after_it_the_stages_compile_nothing(studio_clip, tmp_path, use_depth) -> None:
    folder = prepare(studio_clip, load_body("free"), tmp_path / "clip")
    shutil.copy(studio_clip.truth / "camera_track.npz", folder.camera_track)  # still: masks are refined, too
    settings = json.dumps(SHORT | {"use_depth": use_depth})
    command = [sys.executable, "-c", COMPILED_BY_THE_STAGES, str(folder.root), settings, SHORT_FILMS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    before, after = json.loads(done.stdout.splitlines()[-1])
    assert any(name.startswith("composite_backward") for name in before)
    assert not after, after
