"""The digest of the code."""

import shutil

from pipeline.runtime.code import _ROOT, code_digest


def test_it_is_of_all_files_and_of_nothing_that_python_leaves_there(tmp_path):
    first = shutil.copytree(_ROOT / "runtime", tmp_path / "a", ignore=shutil.ignore_patterns("__pycache__"))
    second = shutil.copytree(first, tmp_path / "b")
    (second / "__pycache__").mkdir()
    (second / "__pycache__" / "code.pyc").write_bytes(b"compiled")
    (second / ".code.py.swp").write_bytes(b"an editor's")
    assert code_digest(first) == code_digest(second)
    third = shutil.copytree(first, tmp_path / "c")
    (third / "code.py").write_text((third / "code.py").read_text() + "\n")
    fourth = shutil.copytree(first, tmp_path / "d")
    (fourth / "code.py").rename(fourth / "codes.py")
    assert len({code_digest(folder) for folder in (first, third, fourth)}) == 3


def test_it_is_the_same_for_all_processes_of_a_run():
    assert code_digest() == code_digest(_ROOT)
