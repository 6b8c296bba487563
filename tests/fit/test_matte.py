"""The masks that the fit makes better: a plate by closed form, outlines nearer to the truth, and what is safe."""

import json
from pathlib import Path

import numpy as np
from helpers_fit import SHORT
from helpers_matte import PERSON, iou, refined, write_clip

from pipeline.__main__ import main
from pipeline.fit.masks import MaskRefiner, crop_box, cut, enlarged, hidden, write_refined
from pipeline.fit.matte import Drawn, Guide, Matte, matte
from pipeline.fit.plate import Layer, Plate, filled, find_plate
from pipeline.formats.camera_track import CameraTrack
from pipeline.formats.images import FrameFolder, MaskFolder, write_mask

HEIGHT, WIDTH, FRAMES = 120, 160, 12


def room(seed: int = 0) -> np.ndarray:
    """A background of soft patches, far from black and white."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60, 170, (HEIGHT // 8, WIDTH // 8, 3))
    return np.kron(coarse, np.ones((8, 8, 1)))


def disc(frame: int) -> np.ndarray:
    """(H, W) bool: somebody round, who walks from left to right."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (x - 40 - 7 * frame) ** 2 + (y - 60) ** 2 < 25**2


def film(gains: np.ndarray, background: np.ndarray, noise: float = 1.0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(1)
    truth = [disc(frame) for frame in range(len(gains))]
    frames = []
    for person, gain in zip(truth, gains):
        picture = np.where(person[..., None], PERSON, background) * gain + noise * rng.standard_normal(
            (HEIGHT, WIDTH, 3)
        )
        frames.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
    return frames, truth


def poor(person: np.ndarray) -> np.ndarray:
    """What a coarse detector finds: the disc 3 px too large on one side and too small on the other."""
    return 255 * np.roll(person, 3, axis=1).astype(np.uint8)


def plate_of(frames: list[np.ndarray], people: list[np.ndarray]) -> Plate:
    return find_plate(frames, people, np.arange(len(frames)), len(frames))


def test_the_plate_is_the_background_freed_of_exposure() -> None:
    gains = np.stack([1 + 0.2 * np.sin(np.arange(FRAMES)), np.ones(FRAMES), np.linspace(0.9, 1.1, FRAMES)], axis=1)
    gains /= np.median(gains, axis=0)
    background = room()
    frames, people = film(gains, background)
    plate = plate_of(frames, people)
    assert plate.known.mean() > 0.95
    scale = np.median(
        plate.layer.colour[plate.known] / background[plate.known], axis=0
    )  # of which frame it is, is free
    np.testing.assert_allclose(scale, 1, atol=0.1)
    np.testing.assert_allclose(plate.gains * scale, gains, atol=0.01)
    off = np.abs(plate.layer.colour / scale - background)[plate.known]
    assert np.quantile(off, 0.99) < 3
    assert np.quantile(plate.layer.sigma[plate.known], 0.9) < 4


def test_without_gains_the_plate_would_be_noisy() -> None:
    """What the exposure changes by is no noise of the plate."""
    gains = np.repeat(np.linspace(0.8, 1.25, FRAMES)[:, None], 3, axis=1)
    frames, people = film(gains, room())
    assert np.median(plate_of(frames, people).layer.sigma) < 4
    spread = 1.4826 * np.median(np.abs(np.stack(frames) - np.median(frames, axis=0)), axis=0)
    assert np.median(spread) > 8


def test_what_is_never_seen_is_filled_in_from_around_and_noisy() -> None:
    known = np.ones((60, 80), bool)
    known[20:40, 30:50] = False
    colour = np.full((60, 80, 3), 90, np.float32)
    plain = filled(colour * known[..., None], np.full((60, 80), 2, np.float32), known)
    np.testing.assert_allclose(plain.colour, 90, atol=0.1)
    rng = np.random.default_rng(0)
    busy = filled(rng.uniform(0, 255, (60, 80, 3)).astype(np.float32), np.full((60, 80), 2, np.float32), known)
    assert busy.sigma[~known].min() > 50 > plain.sigma[~known].max()
    nothing = filled(colour, np.full((60, 80), 2, np.float32), np.zeros((60, 80), bool))
    assert np.isfinite(nothing.colour).all() and nothing.sigma.min() > 100


def test_the_plates_crop_lies_where_the_frames_does() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    ramp = np.dstack([x, y, x + y])
    plate = Plate(
        Layer(ramp, np.ones((HEIGHT, WIDTH), np.float32)), np.full((3, 3), 2.0), np.ones((HEIGHT, WIDTH), bool)
    )
    box = 20, 30, 60, 90
    same = plate.crop(1, box, (WIDTH, HEIGHT), (40, 60))
    np.testing.assert_allclose(same.colour, 2 * cut(ramp, box), atol=1e-3)
    half = plate.crop(1, box, (WIDTH, HEIGHT), (20, 30))  # a pixel's centre lies between four
    np.testing.assert_allclose(
        half.colour[..., 0], np.broadcast_to(2 * (20.5 + 2 * np.arange(20)), (30, 20)), atol=1e-3
    )
    larger = plate.crop(1, (40, 60, 120, 180), (2 * WIDTH, 2 * HEIGHT), (40, 60))
    np.testing.assert_allclose(larger.colour, same.colour, atol=1e-3)


def test_outlines_come_nearer_to_the_truth(tmp_path: Path) -> None:
    gains = np.repeat(np.linspace(0.9, 1.1, FRAMES)[:, None], 3, axis=1)
    frames, truth = film(gains, room())
    masks = [poor(person) for person in truth]
    directory = write_clip(tmp_path, frames, masks, CameraTrack.static(FRAMES, "test"))
    refiner, alphas, _ = refined(directory)
    before = np.mean([iou(mask > 127, person) for mask, person in zip(masks, truth)])
    after = np.mean([iou(alpha, person) for alpha, person in zip(alphas, truth)])
    assert before < 0.87 and after > 0.95
    assert "seen" in refiner.plate.facts()["background plate"]


def test_true_masks_stay(tmp_path: Path) -> None:
    frames, truth = film(np.ones((FRAMES, 3)), room())
    masks = [255 * person.astype(np.uint8) for person in truth]
    _, alphas, _ = refined(write_clip(tmp_path, frames, masks, CameraTrack.static(FRAMES, "test")))
    assert np.mean([iou(alpha, person) for alpha, person in zip(alphas, truth)]) > 0.97


def test_a_wall_like_the_person_does_no_harm(tmp_path: Path) -> None:
    """Where colours tell nothing, the mask stays within a pixel of one who is 50 px tall."""
    frames, truth = film(np.ones((FRAMES, 3)), np.broadcast_to(PERSON + 3.0, (HEIGHT, WIDTH, 3)))
    masks = [255 * person.astype(np.uint8) for person in truth]
    _, alphas, _ = refined(write_clip(tmp_path, frames, masks, CameraTrack.static(FRAMES, "test")))
    assert np.mean([iou(alpha, person) for alpha, person in zip(alphas, truth)]) > 0.9


def test_without_a_camera_track_there_is_no_plate(tmp_path: Path) -> None:
    frames, truth = film(np.ones((FRAMES, 3)), room())
    directory = write_clip(tmp_path, frames, [255 * person.astype(np.uint8) for person in truth], None)
    folders = FrameFolder(directory.frames), MaskFolder(directory.masks)
    assert MaskRefiner.of(directory, *folders, np.eye(3), 10.0) is None


def test_a_plate_of_a_picture_that_changes_decides_nothing(tmp_path: Path) -> None:
    """A camera wrongly taken to stand, or a room full of people: the noise of the plate says so."""
    truth = [disc(frame) for frame in range(FRAMES)]
    frames = [np.where(person[..., None], PERSON, room(seed)).astype(np.uint8) for seed, person in enumerate(truth)]
    masks = [255 * person.astype(np.uint8) for person in truth]
    refiner, alphas, _ = refined(write_clip(tmp_path, frames, masks, CameraTrack.static(FRAMES, "test")))
    assert np.median(refiner.plate.layer.sigma) > 15
    assert np.mean([iou(alpha, person) for alpha, person in zip(alphas, truth)]) > 0.93


def test_what_is_held_is_unknown() -> None:
    """A ball far from the outline belongs to nobody, and to no background: no loss counts it."""
    background = room()
    frames, people = film(np.ones((FRAMES, 3)), background)
    plate = plate_of(frames, people)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ball = (x - 40) ** 2 + (y - 15) ** 2 < 8**2
    picture = np.where(ball[..., None], np.uint8([250, 250, 250]), frames[0])
    found = matte(
        picture,
        255 * people[0].astype(np.uint8),
        plate.crop(0, (0, 0, WIDTH, HEIGHT), (WIDTH, HEIGHT), (WIDTH, HEIGHT)),
    )
    inner = (x - 40) ** 2 + (y - 15) ** 2 < 6**2
    assert not found.sure[inner].any() and not found.alpha[inner].any()
    assert found.sure[people[0]].mean() > 0.9 * 255
    assert iou(found.alpha > 127, people[0]) > 0.97


def test_nobody_stays_nobody() -> None:
    nobody = np.zeros((40, 30), np.uint8)
    plate = Layer(np.full((40, 30, 3), 90, np.float32), np.full((40, 30), 2, np.float32))
    found = matte(np.full((40, 30, 3), 200, np.uint8), nobody, plate)
    assert not found.alpha.any() and found.sure.all()


def test_the_stage_writes_masks_nearer_to_the_truth_and_the_same_ones_again(results, studio_clip) -> None:
    """A studio clip whose masks lie a pixel beside the person, which is 4 px of one who is 400 px tall."""
    truth = MaskFolder(studio_clip.truth / "masks")
    for index in range(len(truth)):
        write_mask(results.masks / f"{index:06d}.png", np.roll(truth[index], 1, axis=1))
    CameraTrack.static(len(truth), "test").save(results.camera_track)
    settings = json.dumps(SHORT | {"crop_sides": {"coarse": 48, "middle": 64, "full": 160}})

    def run() -> list[bytes]:
        assert main(["fit", str(results.root), "--settings", settings, "--threads", "1"]) == 0
        return [file.read_bytes() for file in MaskFolder(results.masks_refined).files]

    written = run()
    folders = MaskFolder(results.masks), MaskFolder(results.masks_refined)
    before, after = (
        np.mean([iou(folder[index] > 127, truth[index] > 127) for index in range(len(truth))]) for folder in folders
    )
    assert after > before + 0.02
    facts = json.loads(results.provenance("fit").read_text())["facts"]["masks"]
    assert "seen" in facts["background plate"] and facts["unknown"].endswith("% of the crops")
    unknown = MaskFolder(results.masks_unknown)
    assert len(unknown) == len(truth)
    assert unknown[0].shape == truth[0].shape and set(np.unique(unknown[0])) <= {0, 255}
    results.checkpoint.unlink()
    assert run() == written


def test_masks_stay_where_they_are_not_to_be_refined(results) -> None:
    settings = json.dumps(SHORT | {"refine_masks": False})
    assert main(["fit", str(results.root), "--settings", settings, "--threads", "1"]) == 0
    found, kept = MaskFolder(results.masks), MaskFolder(results.masks_refined)
    assert all((found[index] == kept[index]).all() for index in range(len(found)))
    assert "masks" not in json.loads(results.provenance("fit").read_text())["facts"]
    assert not results.masks_unknown.exists()


def test_what_is_unknown_is_written_where_it_lies_in_the_frame(results) -> None:
    """A crop at half its size, with a patch of which nothing is known, and a frame whose mask stays."""
    masks = MaskFolder(results.masks)
    x0, y0, x1, y1 = crop_box(masks[0], 0.1)
    width, height = (x1 - x0) // 2, (y1 - y0) // 2
    sure = np.full((height, width), 255, np.uint8)
    sure[height // 2 :] = 0
    found: list[Matte | None] = [None] * len(masks)
    found[0] = Matte(np.full_like(sure, 255), sure)
    out = results.root / "written"
    out.mkdir()
    write_refined(results, out, found, 0.1)
    unknown = MaskFolder(out / "unknown")
    assert len(unknown) == len(masks) and not unknown[1].any()
    rows, columns = np.nonzero(unknown[0])
    assert abs(rows.min() - (y0 + y1) / 2) <= 2 and rows.max() == y1 - 1
    assert (columns.min(), columns.max()) == (x0, x1 - 1)
    assert (MaskFolder(out)[0][y0:y1, x0:x1] == 255).all()


def test_the_guided_filter_keeps_edges_and_is_affine() -> None:
    """A map that is affine in the image's colours comes back; what the image says nothing of is smoothed."""
    rng = np.random.default_rng(0)
    image = rng.random((40, 50, 3)).astype(np.float32)
    values = image @ np.float32([0.2, -0.4, 0.7]) + np.float32(0.3)
    np.testing.assert_allclose(Guide(image, 3, 1e-3)(values), values, atol=2e-3)
    noise = rng.standard_normal((40, 50)).astype(np.float32)
    assert Guide(np.full_like(image, 0.5), 3, 0.02)(noise).std() < 0.3


def test_enlarged_masks_follow_the_picture() -> None:
    y, x = np.mgrid[:80, :60]
    region = x + y < 70
    image = np.where(region[..., None], np.uint8([200, 60, 40]), np.uint8([60, 90, 150]))
    small = (255 * region.reshape(40, 2, 30, 2).mean((1, 3))).astype(np.uint8)
    assert iou(enlarged(small, image) > 127, region) > 0.99
    assert enlarged(small, image[:40, :30]) is small


def test_more_than_the_mask_may_hide_the_background() -> None:
    mask = 255 * disc(5).astype(np.uint8)
    assert hidden(mask)[mask > 127].all() and hidden(mask).sum() > (mask > 127).sum()
    assert not hidden(np.zeros((30, 20), np.uint8)).any()


def drawn_in(person: np.ndarray) -> Drawn:
    """An avatar that is right but for a pixel."""
    share = np.roll(person, 1, axis=0).astype(np.float32)
    return Drawn((PERSON / 255 * share[..., None]).astype(np.float32), share)


def test_an_avatar_brings_outlines_nearer_still() -> None:
    frames, truth = film(np.ones((FRAMES, 3)), room(), noise=12.0)
    plate = plate_of(frames, truth)
    layer = plate.crop(5, (0, 0, WIDTH, HEIGHT), (WIDTH, HEIGHT), (WIDTH, HEIGHT))
    first = matte(frames[5], poor(truth[5]), layer)
    second = matte(frames[5], poor(truth[5]), layer, drawn_in(truth[5]))
    found = [iou(each.alpha > 127, truth[5]) for each in (first, second)]
    assert found[1] >= found[0] and found[1] > 0.95


def test_a_ball_before_the_body_is_unknown_once_there_is_an_avatar() -> None:
    """The detector takes it for the person, and there is no background: only who knows the person can tell."""
    frames, truth = film(np.ones((FRAMES, 3)), room())
    plate = plate_of(frames, truth)
    layer = plate.crop(5, (0, 0, WIDTH, HEIGHT), (WIDTH, HEIGHT), (WIDTH, HEIGHT))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ball = (x - 75) ** 2 + (y - 60) ** 2 < 9**2
    picture = np.where(ball[..., None], np.uint8([30, 220, 240]), frames[5])
    mask = 255 * truth[5].astype(np.uint8)
    first, second = matte(picture, mask, layer), matte(picture, mask, layer, drawn_in(truth[5]))
    assert (first.sure[ball] > 0).mean() > 0.9
    assert (second.sure[ball] == 0).mean() > 0.8
    assert (second.sure[truth[5] & ~ball] > 0).mean() > 0.8
