"""Measured joints of a person in a video, by cameras around or by markers: NAME.npz beside NAME.mp4.

| key | |
|---|---|
| `joints` (T, J, 3) | metres: in the camera's axes (OpenCV) where `K` is there, else in any world |
| `names` (J,) | NAMES in any order, and others that are not read |
| `seconds` (T,) | time of each row in the video, from its first frame on, rising |
| `ok` (T, J) | optional: False where a joint was not measured; it may be NaN there |
| `K` (3, 3), `dist` (4,) | optional: of the whole upright picture, px, as OpenCV has them |
| any other (T, J, 3) | what another method found on this video, in the same axes |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pipeline.formats.arrays import check_arrays, read_npz
from pipeline.runtime.errors import UserError

NAMES = (
    "r_hip", "r_knee", "r_ankle", "l_hip", "l_knee", "l_ankle",
    "r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist",
)  # fmt: skip
_MOST_GAP = 0.1  # seconds between rows, beyond which nothing is known of what lies between


@dataclass(frozen=True)
class JointTruth:
    """The twelve joints of NAMES over time."""

    source: str  # the file, for people
    joints: np.ndarray  # (T, 12, 3) metres; 0 where not ok
    seconds: np.ndarray  # (T,) rising
    ok: np.ndarray  # (T, 12) bool
    K: np.ndarray | None = None  # (3, 3) px; then the joints are in the camera's axes
    others: Mapping[str, np.ndarray] = field(default_factory=dict)  # (T, 12, 3) metres by other methods

    @staticmethod
    def load(path: str | Path) -> JointTruth:
        """Read the file. Raises UserError naming the file, the key and what is wrong."""
        arrays = read_npz(path)
        for key in ("joints", "names", "seconds"):
            if key not in arrays:
                raise UserError(f"{path}: key {key!r} is missing; found {', '.join(sorted(arrays)) or 'nothing'}")
        names = [str(name) for name in np.atleast_1d(arrays["names"])]
        absent = [name for name in NAMES if name not in names]
        if absent:
            raise UserError(f"{path}: key 'names': {absent[0]!r} is missing; expected {', '.join(NAMES)}")
        order = [names.index(name) for name in NAMES]
        joints = np.asarray(arrays["joints"], np.float64)
        shape = (len(arrays["seconds"]), len(names), 3)
        if joints.shape != shape:
            raise UserError(f"{path}: key 'joints' should have shape {shape}, found {joints.shape}")
        measured = np.isfinite(joints).all(2)
        if "ok" in arrays:
            check_arrays(path, arrays, {"ok": shape[:2]})
            measured = arrays["ok"].astype(bool)
        optional = {key: (3, 3) for key in ("K",) if key in arrays}
        values = {"joints": np.where(measured[..., None], joints, 0.0), "seconds": arrays["seconds"]}
        check_arrays(path, values | {key: arrays[key] for key in optional}, {"seconds": ("T",), "joints": shape})
        check_arrays(path, arrays, optional)
        if not len(joints) or (np.diff(arrays["seconds"]) <= 0).any():
            raise UserError(f"{path}: key 'seconds' should rise from row to row, in at least one row")
        others = {key: each for key, each in arrays.items() if key != "joints" and np.shape(each) == shape}
        check_arrays(path, others, dict.fromkeys(others, shape))
        return JointTruth(
            source=str(path),
            joints=values["joints"][:, order],
            seconds=np.asarray(arrays["seconds"], np.float64),
            ok=measured[:, order],
            K=np.asarray(arrays["K"], np.float64) if "K" in arrays else None,
            others={key: np.asarray(each, np.float64)[:, order] for key, each in others.items()},
        )

    def at(
        self,
        seconds: np.ndarray,  # (N,)
    ) -> tuple[np.ndarray, JointTruth]:
        """Which of these times were measured, (N,) bool, and the joints then, between rows by a straight line.

        A time is measured within half a row's step of the first and the last row, and where rows on both sides are
        near. A joint is ok where it is in the rows on both sides.
        """
        times = np.asarray(seconds, np.float64)
        half = np.median(np.diff(self.seconds)) / 2 if len(self.seconds) > 1 else _MOST_GAP / 2
        inside = np.clip(times, self.seconds[0], self.seconds[-1])
        after = np.clip(np.searchsorted(self.seconds, inside, side="left"), 0, len(self.seconds) - 1)
        exact = self.seconds[after] == inside
        before = np.where(exact, after, np.maximum(after - 1, 0))
        step = self.seconds[after] - self.seconds[before]
        known = (np.abs(times - inside) <= half + 1e-9) & (step <= max(_MOST_GAP, 2.1 * half))
        share = np.divide(inside - self.seconds[before], step, out=np.zeros_like(inside), where=step > 0)

        def between(rows: np.ndarray) -> np.ndarray:
            mixed = rows[before] + share[:, None, None] * (rows[after] - rows[before])
            return mixed[known]

        resampled = replace(
            self,
            joints=between(self.joints),
            seconds=times[known],
            ok=(self.ok[before] & self.ok[after])[known],
            others={name: between(rows) for name, rows in self.others.items()},
        )
        return known, resampled
