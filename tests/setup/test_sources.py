"""Which files a rule lists as its input."""

from pipeline.setup.sources import PACKAGE, sources


def names(*modules: str) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in sources(*modules)}


def test_a_module_brings_what_it_imports_directly_or_not() -> None:
    found = names("pipeline.formats.pose")
    assert {
        "formats/pose.py",
        "formats/arrays.py",
        "formats/atomic.py",
        "runtime/errors.py",
        "formats/__init__.py",
    } <= found
    assert "formats/camera.py" not in found


def test_data_files_beside_a_package_belong_to_it() -> None:
    assert "body/data/free_body.npz" in names("pipeline.body")


def test_no_stage_brings_another() -> None:
    stages = sorted(file.stem for file in (PACKAGE / "stages").glob("[a-z]*.py"))
    for stage in stages:
        brought = {name for name in names(f"pipeline.stages.{stage}") if name.startswith("stages/")}
        assert brought == {"stages/__init__.py", f"stages/{stage}.py"}


def test_all_listed_files_exist() -> None:
    assert all(path.is_file() for path in sources("pipeline.formats.pose", "pipeline.body"))
