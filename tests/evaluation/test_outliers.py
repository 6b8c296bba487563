"""Frames that went wrong are named."""

import numpy as np
import pandas as pd

from pipeline.evaluation.outliers import stand_out


def table(psnr: np.ndarray, overlap: np.ndarray) -> pd.DataFrame:
    columns = {"scope": "frame", "when": "avatar", "split": "train"}
    parts = [
        pd.DataFrame(columns | {"metric": name, "key": [str(frame) for frame in range(len(values))], "value": values})
        for name, values in (("psnr_crop", psnr), ("iou_avatar", overlap))
    ]
    whole = pd.DataFrame([columns | {"metric": "psnr_crop", "scope": "all", "key": "", "value": 3.0}])
    return pd.concat([*parts, whole], ignore_index=True)


def usual(frames: int = 40) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return 25 + random.normal(0, 1.0, frames), 0.94 + random.normal(0, 0.01, frames)


def test_a_clip_like_any_other_has_none():
    assert stand_out(table(*usual())) is None


def test_the_worst_is_named_first_with_what_tells_it():
    psnr, overlap = usual()
    psnr[12], overlap[12] = 18.0, 0.5  # the outline tells more
    psnr[30], psnr[3] = 17.0, np.nan  # a frame without a person has no figure
    told = stand_out(table(psnr, overlap))
    assert "in 2 frame(s): 12 (overlap 0.50, half of all frames have overlap 0.94), 30 (17.0 dB, half" in told


def test_of_many_some_are_named():
    psnr, overlap = usual()
    overlap[:11] = np.linspace(0.1, 0.6, 11)
    told = stand_out(table(psnr, overlap))
    assert "in 11 frame(s): 0 (overlap 0.10" in told and "and 3 more;" in told
