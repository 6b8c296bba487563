"""Each estimator through its stage: files, shapes, dtypes, axes; and what it says of weights that are not its own."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.__main__ import main
from pipeline.camera.intrinsics import intrinsics_from_rays
from pipeline.estimators import depth_unidepth, hmr2_network, masks_sam2, networks, pose_hmr2
from pipeline.estimators.settings import MasksSettings, PoseSettings
from pipeline.formats.camera import Camera
from pipeline.formats.images import DepthFolder, FrameFolder, MaskFolder
from pipeline.formats.paths import VideoDir
from pipeline.formats.pose import Pose
from pipeline.formats.provenance import read_provenance
from pipeline.formats.video import VideoInfo
from pipeline.geometry.boxes import mask_box
from pipeline.runtime.errors import UserError
from pipeline.runtime.settings import load_settings
from pipeline.setup.weights import HMR2_CHECKPOINT, HMR2_REGRESSOR

FRAMES, HEIGHT, WIDTH = 14, 160, 128


def stage(name: str, directory: Path, settings: dict, *more: str) -> int:
    return main([name, str(directory), "--settings", json.dumps(settings), *more])


def truth_of(studio_clip, directory: Path) -> None:
    """The studio's masks, depth and camera as the stages before would have written them."""
    paths = VideoDir(directory)
    shutil.copytree(studio_clip.truth / "masks", paths.masks)
    shutil.copytree(studio_clip.truth / "depth", paths.depth)
    shutil.copy(studio_clip.truth / "camera.json", paths.camera)


# SAM 2


def test_masks(paper_settings: dict, directory: Path) -> None:
    assert stage("masks", directory, paper_settings["masks"]) == 0
    masks = MaskFolder(directory / "masks")
    assert len(masks) == FRAMES
    assert all(masks[i].shape == (HEIGHT, WIDTH) and masks[i].dtype == np.uint8 for i in range(FRAMES))
    assert any(masks[i].max() > 127 for i in range(FRAMES))
    record = read_provenance(directory / "provenance" / "masks.json")
    assert record["facts"]["prompt"]["frame"] in range(FRAMES)
    x0, y0, x1, y1 = record["facts"]["prompt"]["box"]
    assert 0 <= x0 < x1 <= WIDTH and 0 <= y0 < y1 <= HEIGHT
    assert record["versions"]["sam2"] != ""


@pytest.fixture
def followed(paper_settings: dict, decoded: Path, monkeypatch):
    """Logits of every frame, with what the predictor was asked, by the size of the chunks."""
    settings = load_settings("masks", paper_settings["masks"], MasksSettings).sam2
    predictor = masks_sam2.load_predictor(settings)
    frames = FrameFolder(decoded / "frames")

    def follow(order, chunk: int) -> tuple[dict, list]:
        asked = []
        init = predictor.init_state

        def init_state(folder: str, **options):
            asked.append([Path(f).resolve().stem for f in sorted(Path(folder).iterdir())])
            return init(folder, **options)

        monkeypatch.setattr(predictor, "init_state", init_state)
        found = dict(masks_sam2._follow(predictor, frames, order, (40.0, 20.0, 90.0, 150.0), chunk))
        monkeypatch.setattr(predictor, "init_state", init)
        return found, asked

    return follow


def test_chunks_cover_each_frame_once_and_bring_the_first_along(followed) -> None:
    found, asked = followed(range(4, -1, -1), 2)
    assert list(found) == [4, 3, 2, 1, 0]
    assert all(logits.shape == (HEIGHT, WIDTH) and logits.dtype == np.float32 for logits in found.values())
    assert asked == [["000004", "000003"], ["000004", "000003", "000002", "000001"], ["000004", "000001", "000000"]]


def test_one_chunk_is_the_predictor_as_its_owners_run_it(followed, paper_settings, decoded: Path, tmp_path) -> None:
    """Same logits as one pass over the folder of frames, backwards too."""
    settings = load_settings("masks", paper_settings["masks"], MasksSettings).sam2
    predictor = masks_sam2.load_predictor(settings)
    whole = tmp_path / "frames"
    whole.mkdir()
    for index in range(5):
        shutil.copy(decoded / "frames" / f"{index:06d}.jpg", whole)
    with torch.inference_mode():
        for order, options in ((range(5), {}), (range(4, -1, -1), {"reverse": True})):
            state = predictor.init_state(str(whole))
            predictor.add_new_points_or_box(state, order[0], 1, box=np.array([40, 20, 90, 150], np.float32))
            expected = {i: logits[0, 0].numpy() for i, _, logits in predictor.propagate_in_video(state, **options)}
            found, _ = followed(order, 100)
            for index in order:
                np.testing.assert_allclose(found[index], expected[index], atol=1e-3)


def test_weights_of_another_size_are_told(paper_settings: dict) -> None:
    chosen = paper_settings["masks"]["sam2"] | {"config": "configs/sam2.1/sam2.1_hiera_s.yaml"}
    settings = load_settings("masks", paper_settings["masks"] | {"sam2": chosen}, MasksSettings).sam2
    with pytest.raises(UserError, match=r"sam2\.1_hiera_tiny\.pt: cannot be loaded as configs/sam2\.1/sam2\.1_hiera_s"):
        masks_sam2.load_predictor(settings)


# UniDepthV2


def test_depth(paper_settings: dict, directory: Path) -> None:
    assert stage("depth", directory, paper_settings["depth"]) == 0
    depth, camera = DepthFolder(directory / "depth"), Camera.load(directory / "camera.json")
    assert len(depth) == FRAMES
    for index in (0, FRAMES - 1):
        assert depth[index].shape == (HEIGHT, WIDTH)
        unknown = (depth[index] == 0).mean()
        assert 0.03 < unknown < 0.07  # depth.unidepth.discard
    assert camera.metric and "UniDepthV2" in camera.source
    assert (camera.width, camera.height) == (WIDTH, HEIGHT)
    facts = read_provenance(directory / "provenance" / "depth.json")["facts"]
    assert facts["frames for K"] == 3


def test_the_rays_give_a_camera_that_projects_the_networks_points(unidepth_folder: Path, decoded: Path) -> None:
    """The intrinsics that UniDepth returns miss its own points by pixels; those fitted to its rays do not."""
    model = depth_unidepth.load_model(unidepth_folder, 0, torch.device("cpu"))
    rgb = torch.from_numpy(FrameFolder(decoded / "frames")[0].copy()).permute(2, 0, 1)
    found = model.infer(rgb)
    u = np.arange(WIDTH) + 0.5
    points, K = found["points"][0].double().numpy(), intrinsics_from_rays(found["rays"][0].numpy())
    ours = K[0, 0] * points[0] / points[2] + K[0, 2] - u
    theirs = found["intrinsics"][0].double().numpy()
    returned = theirs[0, 0] * points[0] / points[2] + theirs[0, 2] - u
    assert np.sqrt((ours**2).mean()) < 1
    assert np.sqrt((returned**2).mean()) > np.sqrt((ours**2).mean())


def test_frames_together_are_frames_one_by_one(unidepth_folder: Path, decoded: Path) -> None:
    """With one K for all of them."""
    model, frames = depth_unidepth.load_model(unidepth_folder, 0, torch.device("cpu")), FrameFolder(decoded / "frames")
    K = torch.tensor([[150.0, 0, 64], [0, 150, 80], [0, 0, 1]])
    together, alone = (
        torch.cat([found["depth"] for _, found in depth_unidepth._infer(model, frames, [1, 5, 9], batch, K, "depth")])
        for batch in (3, 1)
    )
    assert together.shape == (3, 1, HEIGHT, WIDTH)
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)
    assert (together[0] - together[2]).abs().max() > 1e-3


def test_a_known_focal_length_is_used(paper_settings: dict, directory: Path) -> None:
    assert stage("depth", directory, paper_settings["depth"] | {"focal": 150.0}) == 0
    camera = Camera.load(directory / "camera.json")
    np.testing.assert_allclose(camera.K, [[150, 0, 64], [0, 150, 80], [0, 0, 1]])
    assert camera.metric


def test_unidepth_weights_that_lack_a_key_are_told(unidepth_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(unidepth_folder, tmp_path / "unidepth-v2-vits14"))
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(next(iter(tensors)))
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UserError, match="not the weights of UniDepthV2"):
        depth_unidepth.load_model(folder, 0, torch.device("cpu"))


# HMR2.0


def test_pose(paper_settings: dict, directory: Path, studio_clip, smpl_file: Path) -> None:
    truth_of(studio_clip, directory)
    assert stage("pose", directory, paper_settings["pose"], "--body-model", str(smpl_file)) == 0
    pose = Pose.load(directory / "pose_init.npz")
    assert len(pose) == FRAMES and pose.body_model == "smpl" and pose.valid.all()
    np.testing.assert_array_equal(pose.K, Camera.load(directory / "camera.json").K)
    # Where the network's own pixels are: upright in the box, at a distance that follows from K and the box.
    masks, fy = MaskFolder(directory / "masks"), pose.K[1, 1]
    for frame in (0, 7):
        x0, y0, x1, y1 = mask_box(masks[frame])
        np.testing.assert_array_equal(pose.bbox[frame], [x0, y0, x1, y1])
        pelvis = pose.K @ (pose.transl[frame] + [0, 0.9, 0])
        assert x0 - 5 < pelvis[0] / pelvis[2] < x1 + 5
        assert pose.transl[frame, 2] == pytest.approx(2 * fy / (0.9 * max(y1 - y0, (x1 - x0) * 4 / 3)), rel=0.25)
    facts = read_provenance(directory / "provenance" / "pose.json")["facts"]
    assert facts["scale"]["chosen"] in ("body", "depth")
    assert facts["scale"]["frames"] == FRAMES


def test_the_networks_keypoints_are_our_bodys_joints_in_our_crops_pixels(hmr2_folder, smpl_file, decoded) -> None:
    """Its own 2D keypoints (OpenPose order) agree with crop_pixels of our joints: one body, one camera, one unit."""
    from pipeline.body import load_body
    from pipeline.geometry.weak_perspective import crop_pixels

    body = load_body(smpl_file)
    model = hmr2_network.load_model(hmr2_folder, body, torch.device("cpu"))
    frames = FrameFolder(decoded / "frames")
    box = (40.0, 20.0, 90.0, 150.0)
    predicted = hmr2_network.predict(model, frames, {3: box}, 1)
    image = hmr2_network.crop_image(frames[3], predicted.centre[0], predicted.side[0])
    with torch.inference_mode():
        out = model({"img": image[None]})
    theirs = out["pred_keypoints_2d"][0].double().numpy() * predicted.side[0] + predicted.centre[0]
    joints = pose_hmr2._joints(body, predicted.rotmats, predicted.betas[0])
    ours = crop_pixels(joints, predicted.camera, predicted.centre, predicted.side)[0]
    openpose = {8: 0, 9: 2, 10: 5, 11: 8, 12: 1, 13: 4, 14: 7, 2: 17, 5: 16, 4: 21, 7: 20}
    for theirs_at, ours_at in openpose.items():
        np.testing.assert_allclose(theirs[theirs_at], ours[ours_at], atol=0.05)


def test_a_crop_is_that_of_the_owners_code(decoded: Path) -> None:
    """But for their half pixels: they count both images from the first pixel's centre, and so shift one."""
    for name in ("skimage", "skimage.transform", "skimage.filters"):
        networks._stand_in(name)  # of other functions of that file
    package = Path(importlib.util.find_spec("hmr2").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("owners_crop", package / "datasets" / "utils.py")
    owners = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(owners)
    image = FrameFolder(decoded / "frames")[0]
    centre, side = hmr2_network.crop_place((40.0, 20.0, 90.0, 150.0))
    shift = 0.5 * side / hmr2_network.CROP - 0.5
    patch, _ = owners.generate_image_patch_cv2(image, *(centre + shift), side, side, 256, 256, False, 1.0, 0)
    theirs = (patch / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    ours = hmr2_network.crop_image(image, centre, side).numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(ours, theirs, atol=0.06)  # OpenCV interpolates in steps of 1/32 px
    assert np.abs(ours - theirs).mean() < 0.002
    width, height = owners.expand_to_aspect_ratio((50.0, 130.0), [192, 256])
    assert max(width, height) == side


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"state_dict": {"w": torch.ones(2, 3)}, "callbacks": [Trap()]}, tmp_path / "trap.ckpt")
    state = networks.load_tensors(tmp_path / "trap.ckpt", "state_dict")
    torch.testing.assert_close(state["w"], torch.ones(2, 3))
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_that_lacks_a_key_is_told(hmr2_folder: Path, smpl_file: Path, tmp_path: Path) -> None:
    from pipeline.body import load_body

    folder = Path(shutil.copytree(hmr2_folder, tmp_path / "hmr2"))
    content = torch.load(folder / HMR2_CHECKPOINT, weights_only=False)
    del content["state_dict"]["smpl_head.deccam.bias"]
    torch.save(content, folder / HMR2_CHECKPOINT)
    with pytest.raises(UserError, match=r"lacks 1 keys of HMR2\.0 such as 'smpl_head\.deccam\.bias'"):
        hmr2_network.load_model(folder, load_body(smpl_file), torch.device("cpu"))
    (folder / HMR2_CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match="not the checkpoint expected"):
        hmr2_network.load_model(folder, load_body(smpl_file), torch.device("cpu"))
    (folder / HMR2_REGRESSOR).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UserError, match=r"not a pickled array \(it names os\.system"):
        hmr2_network.load_model(folder, load_body(smpl_file), torch.device("cpu"))


def test_depth_that_agrees_sets_the_bodys_size(paper_settings: dict, directory: Path, studio_clip, smpl_file) -> None:
    """Depth maps 8% beyond the body: the body grows, goes farther and keeps its place in the image."""
    from pipeline.estimators.body_scale import ClipScale

    truth_of(studio_clip, directory)
    settings = load_settings("pose", paper_settings["pose"], PoseSettings)
    body_file = str(smpl_file)
    video = VideoInfo.load(directory / "video.json")
    assert video.frames == FRAMES
    found = {}
    for quotient in (1.0, 1.08, 1.5):
        scale = ClipScale(quotient, 0.01, 9)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pose_hmr2, "find_scale", lambda *_, scale=scale: scale)
            assert stage("pose", directory, paper_settings["pose"], "--body-model", body_file) == 0
        record = read_provenance(directory / "provenance" / "pose.json")
        found[quotient] = Pose.load(directory / "pose_init.npz"), record
    assert settings.hmr2.scale_tolerance < 0.5
    same, larger, kept = (found[q][0] for q in (1.0, 1.08, 1.5))
    assert np.median(larger.transl[:, 2] / same.transl[:, 2]) == pytest.approx(1.08, abs=0.015)
    np.testing.assert_array_equal(kept.betas, same.betas)
    np.testing.assert_array_equal(kept.transl, same.transl)
    assert found[1.08][1]["facts"]["scale"]["chosen"] == "depth"
    assert found[1.5][1]["facts"]["scale"]["chosen"] == "body"
    assert any("1.50 times as far" in line for line in found[1.5][1]["warnings"])
