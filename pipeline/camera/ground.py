"""Gravity and the ground: how the first camera is tilted, and the plane that the person's feet stand on.

Signs: pitch is positive where the camera looks down, roll where the picture is turned clockwise (the camera the other
way). Both are of the first frame's camera, whose axes (OpenCV) those of the track's world are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from pipeline.camera.feet import Feet

# Errors expected, degrees: of the way from the standing feet to the centre of mass, and of the spine, from the
# vertical, both in the median frame; and of cameras from being level (they are pitched more than they are rolled).
_BALANCE, _SPINE, _PITCH, _ROLL = 5.0, 8.0, 30.0, 15.0
_ROBUST = 2.0  # errors of a body's axis beyond so many of these count less and less: who sits is not over the feet
_UPRIGHT = 50.0  # degrees that an axis of the body may be off the camera's vertical, to be that of somebody upright
_LEAST_UPRIGHT = 0.3  # share of the frames
_ABOVE, _BELOW = 0.03, 0.015  # metres: errors of a resting heel or toes, above the plane and below it
_DEPTH = 0.04  # share of the distance: errors along the line of sight, which lift or sink what is seen from above
_REST = 0.1  # seconds that a part must be at rest, to be a place on the ground
_SPOT = 0.08  # metres across the line of sight, within which a part that rests again is on the spot it was on
_SAYS = 36.0  # independent measurements that all places of a clip are worth at most
_LEAST_STANDING = 0.05  # share of frames with a foot at rest, below which the feet say nothing
_ANNEALED = (6.0, 3.0, 1.0)  # factors on the errors
_DOUBT = 3.0  # places that the errors' size above is worth, against what the clip's own places tell of it
_FARTHEST = 15.0  # degrees from what body and camera say: farther, the plane through the feet is not believed
_MEDIAN = 0.4  # of the heights of feet at rest, the ground is this quantile: they rise, and do not sink
_LOWEST = 0.1  # quantile of the frames whose lowest point is the ground where no foot stands


@dataclass(frozen=True)
class Ground:
    """Where up is, and where the ground, in the track's world."""

    up: np.ndarray  # (3,) unit
    height: float  # metres of the ground along `up`, from the track's origin
    pitch: float  # degrees
    roll: float
    sigma: tuple[float, float]  # degrees: standard deviations of both; 0 where given
    found: str  # from what, for people
    warnings: tuple[str, ...] = ()

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) track's world to axes with y up; the camera's right stays near x."""
        x = np.array([1.0, 0, 0]) - self.up[0] * self.up
        x /= np.linalg.norm(x)
        return np.stack([x, self.up, np.cross(x, self.up)])


def up_of(pitch: float, roll: float) -> np.ndarray:
    """Up in the axes of a camera (OpenCV) with this pitch and roll, degrees. (3,)"""
    p, r = np.radians([pitch, roll])
    return np.array([np.sin(r) * np.cos(p), -np.cos(r) * np.cos(p), -np.sin(p)])


def tilt_of(up: np.ndarray) -> np.ndarray:
    """Pitch and roll (2,), degrees, of a camera in whose axes `up` (3,) is up."""
    return np.degrees([np.arcsin(np.clip(-up[2], -1, 1)), np.arctan2(up[0], -up[1])])


def find_ground(feet: Feet, standing: np.ndarray, pitch: float | None = None, roll: float | None = None) -> Ground:
    """Gravity and ground from where the feet rest, how the body stands, and how cameras are held.

    Feet at rest lie on one plane. Where a person stands on one spot or walks on one line, that plane may turn: then
    what stands is in balance, the spine is upright in the median, and cameras are about level.

    Args:
        feet: in the track's world.
        standing: how likely each part is at rest. (T, 4)
        pitch: degrees, where it is known.
        roll: degrees, where it is known.
    """
    given = np.array([np.nan if value is None else value for value in (pitch, roll)])
    stands = float((standing.max(axis=1) > 0.5).mean()) >= _LEAST_STANDING
    places = _places(feet, standing) if stands else None
    warnings, found = [], [] if np.isnan(given).all() else ["the settings"]
    axes = []
    if stands:
        axes.append((_upright(feet.balance(standing), standing.max(axis=1) > 0.5), _BALANCE, "balance"))
    else:
        warnings.append("no foot is seen to stand: the ground is where the body is lowest")
    axes.append((_upright(feet.spine(), np.ones(len(standing), bool)), _SPINE, "the spine"))
    axes = [axis for axis in axes if axis[0] is not None]
    if not axes:
        warnings.append(
            "the person is hardly ever upright, or the video is turned: the camera is taken to be about level; if it "
            "is not, set camera.pitch and camera.roll"
        )
    bodily = [_level, *(_near(direction, degrees) for direction, degrees, _ in axes)]
    starts = [np.zeros(2), *(tilt_of(direction) for direction, _, _ in axes)]
    prior = min((_solve(bodily, start, given) for start in starts), key=lambda tilt: _cost(bodily, tilt))
    tilt, scale = prior, 1.0
    if stands and axes:
        for factor in _ANNEALED:  # from broad errors to narrow ones: what is far off is no ground
            at = _solve([*bodily, _Plane(places, factor)], tilt, given, _height(feet, places, up_of(*tilt)))
            tilt = at[:2]
        scale = _scale(_Plane(places, 1.0)(at))
        tilt = _solve([*bodily, _Plane(places, scale)], tilt, given, _height(feet, places, up_of(*tilt)))[:2]
        found.append("the feet")
    apart = np.degrees(np.arccos(np.clip(up_of(*tilt) @ up_of(*prior), -1, 1)))
    if apart > _FARTHEST:
        warnings.append(
            f"the feet tell a ground {apart:.0f} degrees off the one that body and camera tell; {_FARTHEST:.0f} are "
            "believed; set camera.pitch and camera.roll if you know them"
        )
        tilt = prior + (tilt - prior) * _FARTHEST / apart
    found += [name for _, _, name in axes] or ["how cameras are held"]
    terms = [*bodily, *([_Plane(places, scale)] if places is not None else [])]
    height = _height(feet, places, up_of(*tilt))
    sigma = _sigma(terms, np.append(tilt, height), given, places is not None)
    return Ground(up_of(*tilt), height, *map(float, tilt), sigma, ", ".join(found), tuple(warnings))


def _upright(axis: np.ndarray, used: np.ndarray) -> np.ndarray | None:
    """The median direction (3,) of a body's axis (T, 3) in the frames used (T,), or None where it is seldom upright."""
    kept = axis[used & (-axis[:, 1] > np.cos(np.radians(_UPRIGHT)))]
    if len(kept) < max(1, _LEAST_UPRIGHT * used.sum()):
        return None
    middle = np.median(kept, axis=0)
    return middle / np.linalg.norm(middle)


# -- residuals of pitch, roll (degrees) and the ground's height (metres) ----------------------------------------------


def _level(values: np.ndarray) -> np.ndarray:
    return values[:2] / [_PITCH, _ROLL]


def _near(direction: np.ndarray, degrees: float):
    """That up is this direction, with an error of so many degrees; robust (Geman-McClure)."""

    def residuals(values: np.ndarray) -> np.ndarray:
        off = (up_of(*values[:2]) - direction) / np.radians(degrees)
        return off / np.sqrt(1 + off @ off / (2 * _ROBUST) ** 2)

    return residuals


@dataclass(frozen=True)
class _Plane:
    """That places where feet rest are on the ground: robust above it, where they may be on something; none sinks.

    A height's error depends on the plane, by the error of depth: with one error for all, the plane would lean towards
    the lines of sight, along which the places are strewn.
    """

    places: _Places
    factor: float  # on the errors

    def __call__(self, values: np.ndarray) -> np.ndarray:
        up = up_of(*values[:2])
        height = self.places.heights(up) - values[2]
        error = np.hypot(np.where(height > 0, _ABOVE, _BELOW), _DEPTH * self.places.ways @ up)
        off = height / error / self.factor
        scale = np.sqrt(min(1.0, _SAYS / len(height)))
        return scale * np.where(off > 0, off / np.sqrt(1 + off**2 / 4), off / (1 + off**2) ** 0.25)


def _scale(off: np.ndarray) -> float:
    """How large the errors of places are against those expected, from their residuals (S,) on a plane."""
    return float(np.sqrt((_DOUBT + off @ off) / (_DOUBT + max(0, len(off) - 3))))


def _cost(terms: list, values: np.ndarray) -> float:
    return sum(float((term(values) ** 2).sum()) for term in terms)


def _solve(terms: list, tilt: np.ndarray, given: np.ndarray, height: float | None = None) -> np.ndarray:
    """Least squares of the terms over pitch, roll and, with a height to start from, that; what is given is held."""
    start = np.where(np.isnan(given), tilt, given)
    if height is not None:
        start = np.append(start, height)
    free = np.append(np.isnan(given), height is not None)[: len(start)]
    if not free.any():
        return start

    def whole(values: np.ndarray) -> np.ndarray:
        out = start.copy()
        out[free] = values
        return out

    found = least_squares(
        lambda values: np.concatenate([term(whole(values)) for term in terms]), start[free], x_scale="jac"
    )
    return whole(found.x)


@dataclass(frozen=True)
class _Places:
    """Where parts of the feet rest."""

    points: np.ndarray  # (S, K, 3) metres
    ways: np.ndarray  # (S, 3) metres, from the camera to each place

    def heights(self, up: np.ndarray) -> np.ndarray:
        return (self.points @ up).min(axis=1)


def _places(feet: Feet, standing: np.ndarray) -> _Places:
    """The points of a part, in the median over the time that it rests on one spot.

    A foot that is seen on one spot is on one place: what it moves along the line of sight meanwhile, and with that up
    or down, is error, and no evidence of a slope.
    """
    places, ways, rays, middles = [], [], feet.rays(), feet.middles
    for part in range(standing.shape[1]):
        edges = np.flatnonzero(np.diff(np.pad((standing[:, part] > 0.5).astype(int), 1))).reshape(-1, 2)
        spots: list[list[int]] = []
        for first, last in edges:
            if last - first < _REST * feet.fps:
                continue
            frames = list(range(first, last))
            if spots:
                moved = middles[frames, part].mean(0) - middles[spots[-1], part].mean(0)
                ray = rays[first, part]
                if np.linalg.norm(moved - (moved @ ray) * ray) < _SPOT:
                    spots[-1] += frames
                    continue
            spots.append(frames)
        places += [np.median(feet.soles[frames, part], axis=0) for frames in spots]
        ways += [np.median(middles[frames, part] - feet.eyes[frames], axis=0) for frames in spots]
    if not places:
        return _Places(np.median(feet.soles, axis=0), np.median(middles - feet.eyes[:, None], axis=0))
    return _Places(np.stack(places), np.stack(ways))


def _height(feet: Feet, places: _Places | None, up: np.ndarray) -> float:
    """Metres of the ground along `up`: a quantile of the places where feet rest, or where the body is lowest."""
    if places is None:
        lowest = np.minimum((feet.joints @ up).min(axis=1), feet.heights(up).min(axis=1))
        return float(np.quantile(lowest, _LOWEST))
    return float(np.quantile(places.heights(up), _MEDIAN))


def _sigma(terms: list, values: np.ndarray, given: np.ndarray, with_height: bool) -> tuple[float, float]:
    """Standard deviations of pitch and roll, degrees, by the curvature of the squares there."""

    def all_terms(at: np.ndarray) -> np.ndarray:
        return np.concatenate([term(at) for term in terms])

    steps = np.diag([0.1, 0.1, 0.001])
    slopes = [(all_terms(values + step) - all_terms(values - step)) / (2 * step.sum()) for step in steps]
    free = np.append(np.isnan(given), with_height)
    jacobian = np.stack(slopes, axis=1)[:, free]
    variances = np.zeros(3)
    variances[free] = np.diag(np.linalg.pinv(jacobian.T @ jacobian))
    return tuple(np.sqrt(variances[:2]).tolist())
