"""The landmarks stage: what each backend gives of a tiny clip, and of files of the user's."""

import importlib.util
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.body import load_body
from pipeline.estimators import landmarks_mediapipe, load_backend
from pipeline.estimators.settings import LandmarksSettings
from pipeline.estimators.sharper import Pictures
from pipeline.formats.images import MaskFolder, write_frame, write_mask
from pipeline.formats.landmarks import Landmarks
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import Provenance, read_provenance
from pipeline.geometry.boxes import mask_box
from pipeline.landmarks import detector
from pipeline.landmarks.detector import LANDMARK_NAMES, SOURCE, Detection
from pipeline.landmarks.names import BODY_25, COCO, HALPE_26, OPENPOSE_18, WHOLE_BODY, limb_of, ours
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import check_config, default_config, load_settings, merged
from pipeline.setup.preflight import check_backends

SETTINGS = load_settings("landmarks", {}, LandmarksSettings)
ONE_WAY = replace(SETTINGS, mirrored=False)
LOST = (5, 6, 7)


@pytest.fixture(scope="module")
def masked(studio_clip, tmp_path_factory) -> VideoDir:
    """The tiny clip after the masks stage, three of its frames wiped."""
    directory = VideoDir(tmp_path_factory.mktemp("landmarks") / "tiny")
    assert main(["decode", str(studio_clip.video), str(directory.root)]) == 0
    assert main(["masks", str(directory.root)]) == 0
    for index in LOST:
        mask = MaskFolder(directory.masks)[index]
        write_mask(directory.masks / f"{index:06d}.png", np.zeros_like(mask))
        write_frame(directory.frames / f"{index:06d}.jpg", np.full((*mask.shape, 3), 110, np.uint8))
    return directory


@pytest.fixture(scope="module")
def found(masked) -> Landmarks:
    """What the default detector gives; no camera is needed."""
    assert main(["landmarks", str(masked.root)]) == 0
    return Landmarks.load(masked.landmarks)


def test_the_default_finds_the_person_where_they_are_seen(found, masked):
    assert found.names == LANDMARK_NAMES and found.source == SOURCE
    assert found.xy.shape == (14, 33, 2) and found.world.shape == (14, 33, 3)
    assert (found.visibility[list(LOST)] == 0).all() and (found.xy[list(LOST)] == 0).all()
    seen = found.visibility > 0.5
    assert seen.any(1).sum() == 11
    assert (found.xy[seen] >= 0).all() and (found.xy[seen] < (128, 160)).all()
    record = read_provenance(masked.provenance("landmarks"))
    assert record["facts"]["found_frames"] == 11 and record["settings"]["backend"] == "mediapipe"


def test_another_network_takes_the_place_of_the_wheels(masked, found, tmp_path):
    """The wheel's own under another name gives the same numbers; a file that is none is read, too, and told."""
    wheel = Path(importlib.util.find_spec("mediapipe").origin).parent / "modules" / "pose_landmark"
    inside = sorted(wheel.iterdir())
    own = tmp_path / "mine.tflite"
    shutil.copy(wheel / "pose_landmark_full.tflite", own)
    directory = VideoDir(shutil.copytree(masked.root, tmp_path / "clip"))
    assert main(["landmarks", str(directory.root), "--settings", f"{{model: heavy, heavy: '{own}'}}"]) == 0
    heavy = Landmarks.load(directory.landmarks)
    assert heavy.source == f"{SOURCE}, heavy model"
    np.testing.assert_array_equal(heavy.xy, found.xy)
    assert sorted(wheel.iterdir()) == inside, "nothing is written among the packages"
    own.write_bytes(b"no network")
    with pytest.raises(UserError, match=r"mine\.tflite: mediapipe cannot read this network"):
        detector.PoseDetector(True, False, 0.5, own)


def test_the_heavy_model_is_looked_for_before_any_work(masked, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["landmarks", str(masked.root), "--settings", "model: heavy"]) == 1
    said = capsys.readouterr().err
    assert "models/mediapipe/pose_landmark_heavy.tflite: not found; snakemake --cores 1 weights fetches it" in said
    with pytest.raises(UserError, match=r"pose_landmark_heavy\.tflite: not found"):
        check_backends(merged(default_config(), {"landmarks": {"model": "heavy"}}), packages=False)
    file = tmp_path / "models" / "mediapipe" / "pose_landmark_heavy.tflite"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"cut short")
    assert main(["landmarks", str(masked.root), "--settings", "model: heavy"]) == 1
    assert "expected sha256 59e42d71" in capsys.readouterr().err


def test_points_outside_the_picture_are_not_seen(masked):
    """Feet below the edge: kept where the detector guesses them, and not seen."""

    def follow(frames, indices, *_):
        for index in indices:
            x0, y0, x1, y1 = mask_box(MaskFolder(masked.masks)[index]) or (0, 0, 1, 1)
            rows = np.where(np.arange(33) < 29, np.linspace(y0, y1, 33), 170)
            xy = np.stack([np.full(33, (x0 + x1) / 2), rows], 1)
            yield index, Detection(xy, np.ones(33), np.zeros((33, 3)), None)

    provenance = Provenance("landmarks", SETTINGS)
    found = landmarks_mediapipe.estimate_from(follow, "mine", masked, ONE_WAY, provenance)
    kept = np.setdiff1d(np.arange(14), LOST)
    assert (found.visibility[kept, :29] == 1).all() and (found.visibility[kept, 29:] == 0).all()
    assert (found.xy[kept, 29:, 1] == 170).all() and found.source == "mine"


def test_landmarks_of_somebody_before_the_person_are_not_taken():
    """The mask shows what is to be seen of the person: a strip beside whoever stands in front."""
    mask = np.zeros((100, 100), np.uint8)
    mask[10:90, 50:60] = 255
    rows = np.linspace(12, 88, 33)
    people = [Detection(np.stack([columns, rows], 1), np.ones(33), np.zeros((33, 3)), None)
              for columns in (np.linspace(20, 52, 33), np.linspace(49, 61, 33))]  # fmt: skip
    found = landmarks_mediapipe._detect(
        lambda *_: enumerate(people), Pictures([mask] * 2), [mask] * 2, [mask_box(mask)] * 2, ONE_WAY
    )
    assert [list(ways) for ways in found] == [[1], []]


def test_masks_of_another_clip_are_refused(masked, tmp_path):
    (masked.masks / "000013.png").rename(tmp_path / "last.png")
    try:
        with pytest.raises(UserError, match="14 masks expected, found 13"):
            landmarks_mediapipe.estimate(masked, SETTINGS, Provenance("landmarks", SETTINGS))
    finally:
        (tmp_path / "last.png").rename(masked.masks / "000013.png")


def test_nobody_in_the_masks_gives_no_landmarks_and_says_so(masked, tmp_path):
    provenance, nobody = Provenance("landmarks", SETTINGS), VideoDir(tmp_path / "nobody")
    nobody.masks.mkdir(parents=True)
    for name in ("frames", "video.json"):
        (nobody.root / name).symlink_to(masked.root / name)
    for index in range(14):
        write_mask(nobody.masks / f"{index:06d}.png", np.zeros((160, 128), np.uint8))
    none = landmarks_mediapipe.estimate(nobody, SETTINGS, provenance)
    assert none.visibility.shape == (14, 33) and not none.visibility.any()
    assert "found in no frame" in provenance.warnings[0]


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ({"min_confidence": 0.3}, "config.pose: the key 'min_confidence' is now landmarks.min_confidence"),
        ({"smplify": {"swap_doubt": 0.1}}, "config.pose.smplify: the key 'swap_doubt' is now landmarks.swap_doubt"),
    ],
)
def test_keys_that_moved_are_told(old, now):
    with pytest.raises(UserError, match=now):
        check_config(merged(default_config(), {"pose": old}))


# --- Landmarks of the user's own -------------------------------------------------------------------------------------

POINTS = {name: k for k, name in enumerate(LANDMARK_NAMES)}


def pixels(found: Landmarks, names: tuple[str, ...], factor: float = 1.0) -> np.ndarray:
    """(T, L, 3) x, y, confidence of a layout, from what mediapipe found; names that it does not know are missing."""
    rows = np.zeros((len(found), len(names), 3))
    for k, name in enumerate(names):
        if name in POINTS:
            rows[:, k, :2] = found.xy[:, POINTS[name]] * factor
            rows[:, k, 2] = (found.visibility[:, POINTS[name]] > 0.1) * 0.9
    return rows


def stranger(rows: np.ndarray) -> np.ndarray:
    """Somebody who stands elsewhere."""
    return rows + [70, 0, 0] * (rows[..., 2:] > 0)


def openpose(folder: Path, rows: np.ndarray, names: tuple[str, ...]) -> Path:
    folder.mkdir()
    for frame, person in enumerate(rows):
        people = [{"pose_keypoints_2d": one.ravel().tolist()} for one in (stranger(person), person) if one[:, 2].any()]
        (folder / f"clip_{frame:012d}_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    return folder


def coco_results(path: Path, rows: np.ndarray, names: tuple[str, ...]) -> Path:
    listed = []
    for frame, person in enumerate(rows):
        for one in (stranger(person), person):
            row = {"image_id": frame + 1, "score": 0.9}  # counted from 1
            for key, (a, b) in zip(
                ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts"),
                ((0, 17), (17, 23), (23, 91), (91, 112), (112, 133)),
            ):
                row[key] = one[a:b].ravel().tolist()
            listed.append(row)
    path.write_text(json.dumps(listed))
    return path


def coco_annotations(path: Path, rows: np.ndarray, names: tuple[str, ...]) -> Path:
    images = [{"id": 1000 + 7 * frame, "file_name": f"{frame}.jpg"} for frame in range(len(rows))]
    listed = [
        {"image_id": image["id"], "keypoints": (person * [1, 1, 2 / 0.9]).ravel().tolist()}
        for image, person in zip(images, rows)
    ]
    path.write_text(json.dumps({"images": images, "annotations": listed[::-1]}))
    return path


def mmpose(path: Path, rows: np.ndarray, names: tuple[str, ...]) -> Path:
    info = [
        {"frame_id": frame + 1, "instances": [{"keypoints": p[:, :2].tolist(), "keypoint_scores": p[:, 2].tolist()}]}
        for frame, p in enumerate(rows)
    ]
    path.write_text(json.dumps({"meta_info": {}, "instance_info": info}))
    return path


def deeplabcut(path: Path, rows: np.ndarray, names: tuple[str, ...]) -> Path:
    theirs = [re.sub("^(l|r)(eft|ight)_(.)", lambda m: m[1].upper() + m[3].upper(), name) for name in names]
    people = ("one", "two")
    lines = [["scorer", *["net"] * 6 * len(names)]]
    lines += [["individuals", *np.repeat(people, 3 * len(names))], ["bodyparts", *np.repeat(theirs, 3).tolist() * 2]]
    lines += [["coords", *["x", "y", "likelihood"] * 2 * len(names)]]
    for frame, person in enumerate(rows):
        cells = [
            f"{v}" if one[k // 3, 2] else "" for one in (stranger(person), person) for k, v in enumerate(one.ravel())
        ]
        lines.append([str(frame), *cells])
    path.write_text("\n".join(",".join(line) for line in lines))
    return path


@pytest.mark.parametrize(
    ("write", "name", "names", "factor"),
    [
        (openpose, "json", BODY_25, 1.0),
        (openpose, "json", HALPE_26, 3.0),  # pixels of a larger video file
        (openpose, "json", WHOLE_BODY, 1.0),
        (coco_results, "results.json", WHOLE_BODY, 1.0),
        (coco_annotations, "annotations.json", COCO, 1.0),
        (mmpose, "mmpose.json", COCO, 1.0),
        (deeplabcut, "net.csv", COCO, 1.0),
    ],
)
def test_other_tools_files_give_the_person_on_the_masks(found, masked, tmp_path, write, name, names, factor):
    path = write(tmp_path / name, pixels(found, names, factor), names)
    directory = VideoDir(shutil.copytree(masked.root, tmp_path / "clip"))
    if factor != 1:
        record = read_provenance(directory.provenance("decode"))
        record["facts"]["size in the file"] = [int(128 * factor), int(160 * factor)]
        directory.provenance("decode").write_text(json.dumps(record))
    assert main(["landmarks", str(directory.root), "--settings", f"{{backend: import, path: '{path}'}}"]) == 0
    given = Landmarks.load(directory.landmarks)
    assert given.world is None and given.source.endswith("(imported)")
    kept = [k for k in range(14) if k not in LOST]
    for joint in ("nose", "left_wrist", "right_ankle", "left_hip"):
        theirs, mine = given.names.index(joint), POINTS[joint]
        seen = given.visibility[:, theirs] > 0
        assert set(np.flatnonzero(seen)) <= set(kept) and seen.sum() > 7
        np.testing.assert_allclose(given.xy[seen, theirs], found.xy[seen, mine], atol=1e-3)
    assert main(["depth", str(directory.root)]) == 0
    assert main(["pose", str(directory.root)]) == 0
    pose, own = Pose.load(directory.pose_init), load_body("free")
    assert list(np.flatnonzero(~pose.valid)) == list(LOST)
    assert np.isfinite(pose.body_pose).all() and own.name == pose.body_model


def test_our_own_file_is_taken_as_it_is(found, masked, tmp_path):
    directory = VideoDir(shutil.copytree(masked.root, tmp_path / "clip"))
    found.save(tmp_path / "mine.npz")
    settings = f"{{backend: import, path: '{tmp_path}/mine.npz'}}"
    assert main(["landmarks", str(directory.root), "--settings", settings]) == 0
    given = Landmarks.load(directory.landmarks)
    assert given.source == found.source
    np.testing.assert_array_equal(given.world, found.world)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", "{", "expected JSON"),
        ("a.json", "[]", "nobody in it"),
        ("a.json", '{"people": []}', "expected COCO's results"),
        ("a.json", '[{"image_id": "x", "keypoints": [1, 2, 1]}]', "expected numbers of frames"),
        ("a.json", '[{"image_id": 1, "keypoints": [1, 2, 1]}]', "1 landmarks a person; known are layouts of 17"),
        ("a.json", '[{"image_id": 1, "keypoints": [1, 2]}]', "key 'keypoints' should hold x, y, confidence"),
        ("a.json", '{"instance_info": [{"frame_id": 1}]}', "expected MMPose's"),
        ("a.csv", "a,b\n1,2\n", "expected DeepLabCut's rows"),
        ("a.csv", "scorer,n,n,n\nbodyparts,LHip,LHip,LHip\ncoords,x,y,likelihood\n0,1,x,1\n", "expected numbers"),
        (
            "a.csv",
            "scorer,n,n,n\nbodyparts,LHip,LHip,LHip\ncoords,x,y,likelihood\n0,1,1,1\n",
            "DeepLabCut has 1 frames",
        ),
        ("a.txt", "", "expected a folder of OpenPose's"),
    ],
)
def test_bad_files_are_told(masked, tmp_path, capsys, name, text, told):
    (tmp_path / name).write_text(text)
    settings = f"{{backend: import, path: '{tmp_path}/{name}'}}"
    assert main(["landmarks", str(masked.root), "--settings", settings]) == 1
    said = capsys.readouterr().err
    assert told in said and name in said and said.strip().count("\n") == 0


def test_a_file_of_somebody_else_is_told(found, masked, tmp_path, capsys):
    path = openpose(tmp_path / "json", stranger(pixels(found, COCO)), COCO)
    assert main(["landmarks", str(masked.root), "--settings", f"{{backend: import, path: '{path}'}}"]) == 1
    assert "nobody in it lies on the masks" in capsys.readouterr().err
    assert main(["landmarks", str(masked.root), "--settings", "{backend: import}"]) == 1
    assert "landmarks.path" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        *(("LHip", "left_hip"), ("left_hip", "left_hip"), ("hip_L", "left_hip"), ("Hip", "mid_hip"), ("Nose", "nose")),
        *(("RBigToe", "right_big_toe"), ("Left Small Toe", "left_small_toe"), ("rightKnee", "right_knee")),
    ],
)
def test_names_of_other_tools(theirs, mine):
    assert ours(theirs) == mine


def test_layouts_have_their_numbers_of_landmarks():
    assert [len(set(names)) for names in (COCO, OPENPOSE_18, BODY_25, HALPE_26, WHOLE_BODY)] == [17, 18, 25, 26, 133]
    assert WHOLE_BODY[91] == "left_hand_wrist" and WHOLE_BODY[112] == "right_hand_wrist"
    assert BODY_25[8] == "mid_hip" and BODY_25[19] == "left_big_toe" and HALPE_26[19] == "mid_hip"


def test_which_limb_a_landmark_lies_on():
    told = {"left_foot_index": "left leg", "left_index": "left arm", "right_hand_thumb_2": "right arm",
            "right_big_toe": "right leg", "left_knee": "left leg", "left_shoulder": None, "right_hip": None,
            "nose": None, "face_3": None, "left_ear": None, "mid_hip": None}  # fmt: skip
    assert {name: limb_of(name) for name in told} == told
    on_limbs = [name for name in LANDMARK_NAMES if limb_of(name)]
    assert len(on_limbs) == 18  # elbow, wrist, three fingers; knee, ankle, heel, toes; on both sides


@pytest.mark.parametrize("backend", ["rtmw", "import", "none"])
def test_who_does_not_put_left_and_right_right_refuses_to_be_told_the_facing(backend):
    settings = load_settings("landmarks", {"backend": backend, "facing": "camera"}, LandmarksSettings)
    with pytest.raises(UserError, match=f"landmarks.facing: camera is set, .* of backend {backend} are taken as they"):
        load_backend("landmarks", backend).check(settings)
