"""Files that come with the code: what is said where one is gone."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.body import load, load_body
from pipeline.estimators.smplify import corrector, rotations, temporal
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import default_config, merged
from pipeline.setup import doctor, preflight, shipped
from pipeline.setup.doctor import MISSING, OK
from pipeline.setup.shipped import SHIPPED, read_by
from pipeline.stages import learn
from pipeline.studio import subject

GONE = Path("pipeline/nowhere/data")
READERS = {
    "LANDMARK_MAP": (corrector, corrector.shipped_corrector.__wrapped__, "pose.smplify.corrector: none"),
    "LANDMARK_NETWORK": (temporal, temporal.shipped_temporal.__wrapped__, "pose.smplify.corrector: none (or linear)"),
    "ROTATION_LAYERS": (rotations, rotations.shipped_teller.__wrapped__, "pose.smplify.rotations: 0"),
    "FREE_BODY": (load.shipped, lambda: load_body("free"), "body_model: FILE, an SMPL model of your own,"),
    "CLOTHES": (subject, lambda: subject.dress(load_body("free"), [0.0] * 10, "shirt", 0), None),
}


def lost(name: str) -> shipped.Shipped:
    file = getattr(shipped, name)
    return replace(file, file=GONE / file.file.name)


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_gone_says_what_it_is_and_what_to_do(name, monkeypatch):
    module, read, without = READERS[name]
    file = lost(name)
    monkeypatch.setattr(module, name, file)
    with pytest.raises(UserError) as raised:
        read()
    told = str(raised.value)
    assert told.startswith(f"{file.path}: not found; expected the {file.name}, which comes with the code: git -C ")
    assert f" checkout {file.file} brings it back" in told and "run the stage" not in told and "SMPL for" not in told
    assert told.endswith(f"; {without} does without it" if without else "brings it back")


def test_they_lie_where_they_are_said_to():
    for file in SHIPPED:
        assert file.require() == file.path and file.path.is_file()


def test_what_a_configuration_reads():
    config = default_config()
    names = ("FREE_BODY", "LANDMARK_MAP", "LANDMARK_NETWORK", "ROTATION_LAYERS")
    body, linear, network, layers = (getattr(shipped, name) for name in names)

    def read(**sections):
        return read_by(merged(config, sections))

    assert read() == [body, linear, network, layers]
    assert read(body_model="models/smpl.pkl") == [linear, network, layers]
    assert read(pose={"smplify": {"rotations": 0.0}}) == [body, linear, network]
    assert read(pose={"smplify": {"corrector": "linear"}}) == [body, linear]
    for other in (
        {"pose": {"smplify": {"corrector": "none"}}}, {"pose": {"backend": "import"}},
        {"landmarks": {"backend": "rtmw"}}, {"landmarks": {"model": "heavy"}},
    ):  # fmt: skip
        assert read(**other) == [body]


def test_what_is_advised_does_without_it():
    """Each advice is a setting that this configuration takes, and the file is not read then."""
    for file in SHIPPED:
        for setting, value in re.findall(r"^(pose\.\S+): (\w+)", file.without):
            section = {setting.split(".")[-1]: int(value) if value.isdigit() else value}
            assert set(section) <= set(default_config()["pose"]["smplify"])
            assert file not in read_by(merged(default_config(), {"pose": {"smplify": section}}))


def test_it_is_told_before_any_job(monkeypatch):
    monkeypatch.setattr(shipped, "LANDMARK_NETWORK", lost("LANDMARK_NETWORK"))
    with pytest.raises(UserError, match=r"temporal\.npz: not found; expected the network"):
        preflight.check_backends(default_config(), packages=False)
    without = merged(default_config(), {"pose": {"smplify": {"corrector": "none"}}})
    preflight.check_backends(without, packages=False)


def test_the_doctor_knows_them(monkeypatch):
    assert doctor._shipped(shipped.CLOTHES).state == OK
    part = doctor._shipped(lost("LANDMARK_MAP"))
    assert part.state == MISSING and part.mend.endswith("checkout pipeline/nowhere/data/corrector.npz")


def test_learning_looks_for_its_files_before_it_films(monkeypatch, tmp_path, capsys):
    films = ["learn", "--films", str(tmp_path / "films")]
    for option in ("--start", "--motion"):
        assert main([*films, "--temporal", option, str(tmp_path / "none.npz")]) == 1
        said = capsys.readouterr().err
        assert f"none.npz: not found; expected the file that learn's {option} names" in said
    monkeypatch.setattr(learn, "LANDMARK_MAP", lost("LANDMARK_MAP"))
    assert main([*films, "--temporal"]) == 1
    assert "corrector.npz: not found; expected the map" in capsys.readouterr().err
    assert not (tmp_path / "films").exists()
