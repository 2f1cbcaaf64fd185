"""From the delays of pairs to one arrival time a receiver.

::

    Pairs ─▶ those that contradict the others taken out ─▶ least squares ─▶ ArrivalTimes
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from heimdall_edge.types import ArrivalTime

CONTRADICTION_SIGMAS = 4.0
"""Beyond this many standard deviations, delays contradict each other, or the speed of light."""
_LEAST_SIGMA_US = 1e-6


@dataclass(frozen=True, slots=True)
class Pair:
    """By how much receiver ``late`` (its index) heard it later than receiver ``early``."""

    late: int
    early: int
    delay_us: float
    sigma_us: float
    """Of the noise alone."""
    is_possible: bool = True
    """Whether a wave that travels between them at the speed of light allows it."""

    def other(self, receiver: int) -> int:
        return self.early if receiver == self.late else self.late

    def later(self, receiver: int) -> float:
        """By how much that receiver heard it later than the other, µs."""
        return self.delay_us if receiver == self.late else -self.delay_us


def solve(
    pairs: Sequence[Pair], floor_us: Sequence[float], *, tolerance_us: float
) -> tuple[ArrivalTime | None, ...]:
    """One arrival time a receiver from the delays of pairs, by weighted least squares.

    The noise is taken as each receiver's own, so that the errors of pairs which share a receiver
    are correlated: σ² of a pair is the sum of its two receivers' σ², and averaging over pairs
    buys nothing. That is exact for a strong signal; for a weak one, where pairs are the more
    independent the weaker it is, the σ are too large rather than too small.

    Parameters
    ----------
    pairs
        At most one for any two receivers.
    floor_us
        Per receiver: σ of what is not noise.
    tolerance_us
        How far three delays round a triangle may miss zero, beyond their noise.
    """
    n = len(floor_us)
    doubtful = _doubtful(pairs, n, tolerance_us)
    sound = [p for p, doubt in zip(pairs, doubtful, strict=True) if not doubt]
    outliers = {i for i in range(n) if 2 * len(_of(sound, i)) < len(_of(pairs, i))}
    kept = _linked([p for p in sound if not {p.late, p.early} & outliers] or pairs)
    toa_us, noise_us2 = _least_squares(kept, n)
    arrivals: list[ArrivalTime | None] = [None] * n
    for i in range(n):
        if _of(kept, i):
            sigma_us = math.hypot(floor_us[i], math.sqrt(noise_us2[i]))
            arrivals[i] = ArrivalTime(toa_us[i], sigma_us, is_outlier=i in outliers)
        elif i in outliers and (against := [p for p in _of(pairs, i) if _of(kept, p.other(i))]):
            late_us = np.median([toa_us[p.other(i)] + p.later(i) for p in against])
            sigma_us = math.hypot(floor_us[i], float(np.median([p.sigma_us for p in against])))
            arrivals[i] = ArrivalTime(float(late_us), sigma_us, is_outlier=True)
    return _first_at_zero(arrivals)


def _of(pairs: Sequence[Pair], receiver: int) -> list[Pair]:
    return [p for p in pairs if receiver in (p.late, p.early)]


def _doubtful(pairs: Sequence[Pair], n: int, tolerance_us: float) -> list[bool]:
    """Whether a pair is impossible, or most triangles that it is a side of do not close."""
    delay_us = np.full((n, n), np.nan)
    variance = np.full((n, n), np.nan)
    for p in pairs:
        if p.is_possible:
            delay_us[p.late, p.early], delay_us[p.early, p.late] = p.delay_us, -p.delay_us
            variance[p.late, p.early] = variance[p.early, p.late] = p.sigma_us**2
    doubtful = []
    for p in pairs:
        miss_us = p.delay_us + delay_us[p.early] + delay_us[:, p.late]
        allowed = p.sigma_us**2 + variance[p.early] + variance[:, p.late]
        closed = np.abs(miss_us) <= np.sqrt(CONTRADICTION_SIGMAS**2 * allowed + tolerance_us**2)
        doubtful.append(not p.is_possible or 2 * closed.sum() < np.isfinite(miss_us).sum())
    return doubtful


def _linked(pairs: Sequence[Pair]) -> list[Pair]:
    """The largest set of pairs whose receivers all hang together."""
    groups: list[set[int]] = []
    for p in pairs:
        joined = {p.late, p.early}.union(*(g for g in groups if g & {p.late, p.early}))
        groups = [g for g in groups if not g & joined] + [joined]
    largest = max(groups, key=len, default=set())
    return [p for p in pairs if p.late in largest]


def _least_squares(pairs: Sequence[Pair], n: int) -> tuple[list[float], list[float]]:
    """Arrival times (µs) and their variances by noise (µs²); 0 where there is no pair."""
    if not pairs:
        return [0.0] * n, [0.0] * n
    difference = np.zeros((len(pairs), n))
    rows = np.arange(len(pairs))
    difference[rows, [p.late for p in pairs]] = 1
    difference[rows, [p.early for p in pairs]] = -1
    sigma_us = np.maximum([p.sigma_us for p in pairs], _LEAST_SIGMA_US)
    delay_us = np.array([p.delay_us for p in pairs])
    toa_us = np.linalg.lstsq(difference / sigma_us[:, None], delay_us / sigma_us)[0]
    # Two receivers, or a chain, leave the shares open: the least norm makes them even.
    noise_us2 = np.maximum(np.linalg.lstsq(np.abs(difference), sigma_us**2)[0], 0)
    return toa_us.tolist(), noise_us2.tolist()


def _first_at_zero(arrivals: Sequence[ArrivalTime | None]) -> tuple[ArrivalTime | None, ...]:
    """The same, counted from the first one that is no outlier, or from the first."""
    present = [a for a in arrivals if a is not None]
    trusted = [a for a in present if not a.is_outlier] or present
    zero_us = min((a.toa_us for a in trusted), default=0.0)
    return tuple(a and replace(a, toa_us=a.toa_us - zero_us) for a in arrivals)
