"""Gravity and the ground: how the first camera is tilted (`tilt.py` has the signs), and what the feet stand on.

The track's world has the axes of the first frame's camera (OpenCV).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from pipeline.body import JOINT_NAMES
from pipeline.camera.feet import Feet
from pipeline.camera.tilt import tilt_of, up_of
from pipeline.camera.verticals import Segments

# Errors expected, degrees: of the scene's lines, at least; of the way from the standing feet to the centre of mass and
# of the spine, from the vertical, both in the median frame; and of cameras from being level (pitched more than rolled).
_LINES, _BALANCE, _SPINE, _PITCH, _ROLL = 1.0, 5.0, 8.0, 30.0, 15.0
_ROBUST = 2.0  # errors of a direction beyond so many of these count less and less: who sits is not over the feet
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
_NO_FEET = [number for number, name in enumerate(JOINT_NAMES) if name.split("_")[-1] not in ("ankle", "foot")]


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


def find_ground(
    feet: Feet,
    standing: np.ndarray,
    pitch: float | None = None,
    roll: float | None = None,
    segments: Segments | None = None,
) -> Ground:
    """Gravity and ground from where the feet rest, how the body stands, lines of the scene, and how cameras are held.

    Feet at rest lie on one plane. Where a person stands on one spot or walks on one line, that plane may turn: then
    what stands is in balance, the spine is upright in the median, and edges of the scene are upright or level.

    Args:
        feet: in the track's world.
        standing: how likely each part is at rest. (T, 4)
        pitch: degrees, where it is known.
        roll: degrees, where it is known.
        segments: edges seen in the pictures.
    """
    given = np.array([np.nan if value is None else value for value in (pitch, roll)])
    stands = float((standing.max(axis=1) > 0.5).mean()) >= _LEAST_STANDING
    places = _places(feet, standing) if stands else None
    warnings = [] if stands else ["no foot is seen to stand: the ground is where the body is lowest"]
    axes = [("the spine", _upright(feet.spine(), np.ones(len(standing), bool)), _SPINE)]
    if stands:
        axes.insert(0, ("balance", _upright(feet.balance(standing), standing.max(axis=1) > 0.5), _BALANCE))
    told = [_Told(name, tilt_of(up), np.eye(2) * degrees**2) for name, up, degrees in axes if up is not None]
    found = _tilt(told, places, given)
    lines = segments.tell(found.tilt) if segments is not None else None
    if lines is not None:
        told.insert(0, _Told("lines of the scene", lines.tilt, lines.covariance + np.eye(2) * _LINES**2))
        found = _tilt(told, places, given)
    if not told:
        warnings.append(
            "the person is hardly ever upright, or the video is turned: the camera is taken to be about level; if it "
            "is not, set camera.pitch and camera.roll"
        )
    tilt = found.tilt
    apart = np.degrees(np.arccos(np.clip(up_of(*tilt) @ up_of(*found.without_feet), -1, 1)))
    if apart > _FARTHEST:
        warnings.append(
            f"the feet tell a ground {apart:.0f} degrees off the one that all else tells; {_FARTHEST:.0f} are "
            "believed; set camera.pitch and camera.roll if you know them"
        )
        tilt = found.without_feet + (tilt - found.without_feet) * _FARTHEST / apart
    sources = [each.name for each in told] or ["how cameras are held"]
    sources = ["the settings"] * (not np.isnan(given).all()) + ["the feet"] * bool(stands and told) + sources
    height = _height(feet, places, up_of(*tilt))
    sigma = _sigma(found.terms, np.append(tilt, height), given, places is not None)
    return Ground(up_of(*tilt), height, *map(float, tilt), sigma, ", ".join(sources), tuple(warnings))


@dataclass(frozen=True)
class _Tilt:
    tilt: np.ndarray  # (2,) pitch and roll, degrees
    without_feet: np.ndarray  # (2,) what all but the feet tells
    terms: list  # residuals that it is the least squares of


@dataclass(frozen=True)
class _Told:
    """What the body or the scene tells of the tilt."""

    name: str
    tilt: np.ndarray  # (2,) pitch and roll, degrees
    covariance: np.ndarray  # (2, 2) of its error

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Residuals (2,), robust (Geman-McClure)."""
        off = np.linalg.solve(np.linalg.cholesky(self.covariance), values[:2] - self.tilt)
        return off / np.sqrt(1 + off @ off / (2 * _ROBUST) ** 2)


def _tilt(told: list[_Told], places: _Places | None, given: np.ndarray) -> _Tilt:
    """Pitch and roll from what tells them, and from the feet's places."""
    terms = [_level, *told]
    starts = [np.zeros(2), *(each.tilt for each in told)]
    alone = min((_solve(terms, start, given) for start in starts), key=lambda tilt: _cost(terms, tilt))
    if places is None or not told:
        return _Tilt(alone, alone, terms + [_Plane(places, 1.0)] * (places is not None))
    values = np.append(alone, 0.0)
    for factor in _ANNEALED:  # from broad errors to narrow ones: what is far off is no ground
        values[2] = places.ground(up_of(*values[:2]))
        values = _solve([*terms, _Plane(places, factor)], values, given)
    terms.append(_Plane(places, _scale(_Plane(places, 1.0)(values))))
    return _Tilt(_solve(terms, values, given)[:2], alone, terms)


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


def _solve(terms: list, start: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Least squares of the terms over pitch, roll and, where the start (2,) or (3,) has it, height; given ones held."""
    start = np.append(np.where(np.isnan(given), start[:2], given), start[2:])
    free = np.append(np.isnan(given), np.ones(len(start) - 2, bool))
    if not free.any():
        return start

    def whole(values: np.ndarray) -> np.ndarray:
        out = start.copy()
        out[free] = values
        return out

    def residuals(values: np.ndarray) -> np.ndarray:
        return np.concatenate([term(whole(values)) for term in terms])

    return whole(least_squares(residuals, start[free], x_scale="jac").x)


@dataclass(frozen=True)
class _Places:
    """Where parts of the feet rest."""

    points: np.ndarray  # (S, K, 3) metres
    ways: np.ndarray  # (S, 3) metres, from the camera to each place

    def heights(self, up: np.ndarray) -> np.ndarray:
        return (self.points @ up).min(axis=1)

    def ground(self, up: np.ndarray) -> float:
        """Height of the ground that they lie on."""
        return float(np.quantile(self.heights(up), _MEDIAN))


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
    """Metres of the ground along `up`: where feet rest, and below all other joints (of who lies, or kneels)."""
    others = float(np.quantile((feet.joints[:, _NO_FEET] @ up).min(axis=1), _LOWEST))
    if places is None:
        return min(others, float(np.quantile(feet.heights(up).min(axis=1), _LOWEST)))
    return min(others, places.ground(up))


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
