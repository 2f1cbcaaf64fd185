"""A KiwiSDR's GNSS stamps → its true sample rate, the instant of each sample, what was lost.

A stamp jitters by some 50 ns, and some are of another time altogether; the converter's clock is
steady. So time is a straight line over the samples, laid through all the stamps that agree. A block
that never came is not announced: the stamps jump by a whole block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.sources.gps_time import WEEK_NS
from heimdall_edge.types import NS_PER_S, Float64

NO_STAMP = -1
MIN_STAMPS = 8
STALE_STAMPS = 2
"""The first ones are zero, or minutes old."""
MIN_SIGMA_S = 1e-7
"""The least σ of a stamp. The fit shows the jitter only; what all stamps of a receiver have in
common (a single-frequency receiver's own error, antenna cable) is of this order."""
_NEVER_FIXED = 255
_STEP_TOLERANCE = 0.005
"""Blocks: how far a step may be off a whole number of them (the nominal rate is, by 1e-4)."""
_FIT_ROUNDS = 5
_OUTLIER_SIGMAS = 5.0
_SIGMA_OVER_MAD = 1.4826
_QUANTUM_NS = 1.0


def stamp_ns(age_s: int, second: int, ns: int) -> int:
    """GPS time of the week that a block's header says, ns; ``NO_STAMP`` where it says none.

    Parameters
    ----------
    age_s
        Seconds since the receiver last knew where it is; 255 is never.
    second, ns
        Of the week; both 0 where the owner gives no stamps out.
    """
    is_known = age_s != _NEVER_FIXED and bool(second or ns)
    is_sane = second * NS_PER_S < WEEK_NS and ns < NS_PER_S
    return second * NS_PER_S + ns if is_known and is_sane else NO_STAMP


def week_step_ns(later_ns: int, earlier_ns: int) -> int:
    """From one time of the week to another, the short way round: ±half a week."""
    return (later_ns - earlier_ns + WEEK_NS // 2) % WEEK_NS - WEEK_NS // 2


@dataclass(frozen=True, slots=True, eq=False)
class StampFit:
    """Time as a straight line over the samples."""

    block_index: NDArray[np.int64]
    """int64 [n_blocks]: which block each is, from 0, counting those that never came."""
    week_time_ns: int
    """GPS time of the week of the first block's first sample."""
    sample_rate_hz: float
    residual_s: float
    """Root mean square of the stamps that were used, about the line."""
    n_used: int
    """How many stamps those are."""


def fit_stamps(
    stamps_ns: NDArray[np.int64], *, samples_per_block: int, nominal_rate_hz: float
) -> StampFit:
    """Lay the line through the stamps.

    Parameters
    ----------
    stamps_ns : int64 [n_blocks]
        GPS time of the week at each block's first sample, ns; ``NO_STAMP`` where it has none.

    Raises
    ------
    ValueError
        Too few stamps agree with each other and with the nominal rate.
    """
    block_ns = samples_per_block * NS_PER_S / nominal_rate_hz
    at = np.flatnonzero(stamps_ns != NO_STAMP)
    elapsed_ns = _elapsed(stamps_ns[at])
    touching = np.diff(at) == 1
    steps_ns = np.diff(elapsed_ns)
    follows = touching & (np.abs(steps_ns / block_ns - 1) < _STEP_TOLERANCE)
    if np.count_nonzero(follows) < MIN_STAMPS:
        usual_ms = np.median(np.abs(steps_ns)) / 1e6 if len(steps_ns) else 0.0
        raise ValueError(
            f"{np.count_nonzero(follows)} of {len(stamps_ns)} stamps follow the one before by "
            f"{block_ns / 1e6:.3f} ms, most by {usual_ms:.3f} ms; expected {MIN_STAMPS} or more"
        )
    block_ns = float(np.median(steps_ns[follows]))
    used = _chain(at, elapsed_ns, follows, block_ns)
    index = _block_index(len(stamps_ns), at[used], elapsed_ns[used], block_ns)
    samples = np.asarray(index[at[used]] * float(samples_per_block), np.float64)
    rate_ns, start_ns, residual_ns = steady_line(samples, elapsed_ns[used])
    first_ns = int(stamps_ns[at[0]]) + round(start_ns)
    return StampFit(
        index, first_ns % WEEK_NS, NS_PER_S / rate_ns, residual_ns / NS_PER_S, len(used)
    )


def _elapsed(stamps_ns: NDArray[np.int64]) -> Float64:
    """float64 [n], ns since the first stamp; the week may have ended between any two."""
    steps_ns = (np.diff(stamps_ns) + WEEK_NS // 2) % WEEK_NS - WEEK_NS // 2
    return np.concatenate(([0.0], np.cumsum(steps_ns)))


def _chain(
    at: NDArray[np.int64], elapsed_ns: Float64, follows: NDArray[np.bool_], block_ns: float
) -> NDArray[np.int64]:
    """Which stamps agree: all that lie whole blocks from the longest run, in the right order."""
    breaks = np.flatnonzero(np.concatenate(([True], ~follows, [True])))
    longest = int(np.argmax(np.diff(breaks)))
    first, end = int(breaks[longest]), int(breaks[longest + 1])
    neighbours = np.append(follows, False) | np.append(False, follows)

    def agrees(i: int, j: int) -> bool:
        blocks = (elapsed_ns[j] - elapsed_ns[i]) / block_ns
        return bool(abs(blocks - round(blocks)) < _STEP_TOLERANCE and blocks > at[j] - at[i] - 0.5)

    chain = list(range(first, end))
    for j in (np.flatnonzero(neighbours[end:]) + end).tolist():
        if agrees(chain[-1], j):
            chain.append(j)
    for i in np.flatnonzero(neighbours[:first])[::-1].tolist():
        if agrees(i, chain[0]):
            chain.insert(0, i)
    return np.array(chain)


def _block_index(
    n_blocks: int, at: NDArray[np.int64], elapsed_ns: Float64, block_ns: float
) -> NDArray[np.int64]:
    """Each block's number: a loss lies just before the stamp that shows it."""
    lost = np.zeros(n_blocks, np.int64)
    steps = np.rint(np.diff(elapsed_ns) / block_ns).astype(np.int64)
    lost[at[1:]] = steps - np.diff(at)
    return np.arange(n_blocks) + np.cumsum(lost)


def steady_line(samples: Float64, elapsed_ns: Float64) -> tuple[float, float, float]:
    """Slope (ns a sample), value at sample 0 (ns), rms residual (ns), without outliers."""
    keep = np.ones(len(samples), bool)
    for _ in range(_FIT_ROUNDS):
        middle = samples[keep].mean()
        slope, height = np.polyfit(samples[keep] - middle, elapsed_ns[keep], 1)
        residual = elapsed_ns - height - slope * (samples - middle)
        spread = _SIGMA_OVER_MAD * float(np.median(np.abs(residual[keep])))
        keep = np.abs(residual) <= _OUTLIER_SIGMAS * max(spread, _QUANTUM_NS)
    rms = float(np.sqrt(np.mean(residual[keep] ** 2)))
    return float(slope), float(height - slope * middle), rms
