"""The frame rate that the timestamps of a file tell."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

_NTSC = [Fraction(1000 * rate, 1001) for rate in (24, 30, 48, 60, 120, 240)]
STANDARD_RATES = [*_NTSC, *map(Fraction, (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240))]
_LONGEST_GAP = 1.0  # seconds, and at least ten frames: nothing was filmed in a longer one
_MOST_FRAMES = 4  # that a frame of a varying rate becomes at a constant one, on the average


@dataclass(frozen=True)
class Gaps:
    """Long intervals between frames that are closed."""

    count: int
    longer_than: float  # seconds
    become: float  # seconds: the usual interval
    closed: float  # seconds, by which the video gets shorter


def close_gaps(
    timestamps: np.ndarray,  # (N,) sorted, in ticks of `base`
    base: Fraction,
) -> tuple[np.ndarray, Gaps | None]:
    """The timestamps, (N,) ticks, with each long gap made as short as the usual interval; None where there is none."""
    steps = np.diff(timestamps).astype(np.float64)
    if not (steps > 0).any():
        return timestamps, None
    tick = float(base)
    median = float(np.median(steps[steps > 0]))
    longest = max(_LONGEST_GAP, 10 * median * tick)
    gap = steps * tick > longest
    if not gap.any():
        return timestamps, None
    # The mean of those like the median: a container that counts milliseconds holds 33, 33, 34.
    usual = float(steps[np.abs(steps - median) < median / 2].mean())
    closed = np.concatenate([[0.0], np.cumsum(np.where(gap, usual, steps))])
    saved = (float(timestamps[-1] - timestamps[0]) - float(closed[-1])) * tick
    return timestamps[0] + closed, Gaps(int(gap.sum()), longest, usual * tick, saved)


def frame_rate(
    timestamps: np.ndarray,  # (N,) sorted, in ticks of `base`
    base: Fraction,
    nominal: Fraction | None = None,
    duration: int = 0,
    rounding: int = 1,
) -> tuple[Fraction, bool]:
    """The exact frame rate that timestamps were rounded from, and whether they keep to it.

    A rate fits when every timestamp is within rounding of it: containers that count milliseconds hold
    30000/1001 as 0, 33, 67, ... Rates are tried in the order nominal, standard, mean. Where none fits the rate
    varies; it becomes the standard rate at the median interval, or the median's own. Where that would repeat
    most frames many times, as where frames come in bursts, the mean interval takes the median's place.

    Args:
        base: seconds a tick.
        nominal: what the file claims, if anything.
        duration: ticks of a frame, used when there is just one.
        rounding: ticks that timestamps may be off.
    """
    ticks = np.asarray(timestamps, dtype=np.float64) - float(timestamps[0])
    if len(ticks) == 1:
        interval = duration or (1 / (nominal or 25) / base)
        return nominal or 1 / (interval * base), True
    last = Fraction(round(float(timestamps[-1] - timestamps[0])))
    rates = [*([nominal] if nominal else []), *STANDARD_RATES]
    if last > 0:
        rates.append((len(ticks) - 1) / (last * base))
    for rate in rates:
        drift = ticks - np.arange(len(ticks)) * float(1 / (rate * base))
        if drift.max() - drift.min() <= rounding + 1e-6:
            return rate, True
    steps = np.diff(ticks)
    interval = float(np.median(steps[steps > 0])) * float(base)
    mean = float(last) / len(steps) * float(base)
    if mean > _MOST_FRAMES * interval:
        interval = mean
    nearest = min(STANDARD_RATES, key=lambda rate: abs(float(rate) * interval - 1))
    if abs(float(nearest) * interval - 1) < 0.03:
        # A jittering clock cannot tell 30 from 30000/1001: take the round one, unless the file claims the other.
        claims_ntsc = nominal in _NTSC and abs(float(nominal) * interval - 1) < 0.03
        return (nominal if claims_ntsc else Fraction(round(nearest))), False
    return max(Fraction(1 / interval).limit_denominator(1001), Fraction(1, 1001)), False
