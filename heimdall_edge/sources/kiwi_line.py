"""Time as a straight line over the samples, renewed as stamps come: for a receiver that runs on.

The converter's crystal drifts by some 1e-10 a second as it warms, and a stamp jitters by 50 ns:
over one minute the drift bends the line by less than 0.05 µs, and a thousand stamps leave some
nanoseconds of their jitter. Half an hour would be worse, not better.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from heimdall_edge.sources.gps_time import WEEK_NS, utc_of_week_time
from heimdall_edge.sources.kiwi_stamps import MIN_STAMPS, fit_stamps, steady_line, week_step_ns
from heimdall_edge.types import NS_PER_S

WINDOW_S = 60.0
RENEWED_EVERY = 24
"""Stamps: about once a second."""
TOLERANCE_NS = 2_000.0
"""How far a stamp may be off the line at least; a sample takes 83,000."""
TOLERANCE_SIGMAS = 8.0


@dataclass(frozen=True, slots=True)
class Line:
    """When each sample was taken."""

    at_sample: int
    at_utc_ns: int
    ns_per_sample: float
    residual_s: float
    """Root mean square of the stamps about it."""

    @property
    def sample_rate_hz(self) -> float:
        return NS_PER_S / self.ns_per_sample

    def utc_ns(self, sample: int) -> int:
        return self.at_utc_ns + round((sample - self.at_sample) * self.ns_per_sample)


class RunningLine:
    """The line through the last minute's stamps.

    Parameters
    ----------
    first
        Through the stamps that it begins with.
    week_ns
        GPS time of the week, ns, at ``first.at_utc_ns``.
    """

    def __init__(self, first: Line, *, week_ns: int, samples_per_frame: int) -> None:
        self.line = first
        self._week_minus_utc_ns = (week_ns - first.at_utc_ns) % WEEK_NS
        n_stamps = round(WINDOW_S * first.sample_rate_hz / samples_per_frame)
        self._stamps: deque[tuple[int, int]] = deque(maxlen=max(n_stamps, MIN_STAMPS))
        self._since_renewed = 0
        self.last_sample = first.at_sample
        """Of the last frame whose stamp agreed."""

    @property
    def tolerance_ns(self) -> float:
        """How far a stamp that agrees may be off."""
        return max(TOLERANCE_NS, TOLERANCE_SIGMAS * self.line.residual_s * NS_PER_S)

    def offset_ns(self, sample: int, stamp_ns: int) -> int:
        """By how much a stamp is later than the line; the week may have ended meanwhile."""
        return week_step_ns(
            stamp_ns, (self.line.utc_ns(sample) + self._week_minus_utc_ns) % WEEK_NS
        )

    def take(self, sample: int, stamp_ns: int) -> None:
        """Go on with a stamp that agrees."""
        utc_ns = self.line.utc_ns(sample) + self.offset_ns(sample, stamp_ns)
        self._stamps.append((sample, utc_ns))
        self.last_sample = sample
        self._since_renewed += 1
        if self._since_renewed >= RENEWED_EVERY:
            self._renew()

    def _renew(self) -> None:
        self._since_renewed = 0
        at_sample, at_utc_ns = self._stamps[0]
        # Integers are subtracted first: as floats, instants since 1970 resolve 256 ns.
        samples = np.array([float(sample - at_sample) for sample, _ in self._stamps])
        elapsed_ns = np.array([float(utc_ns - at_utc_ns) for _, utc_ns in self._stamps])
        slope, height_ns, rms_ns = steady_line(samples, elapsed_ns)
        self.line = Line(at_sample, at_utc_ns + round(height_ns), slope, rms_ns / NS_PER_S)


def begin_line(
    frames: list[tuple[int, int]],
    *,
    samples_per_frame: int,
    nominal_rate_hz: float,
    near_utc_ns: int,
) -> tuple[RunningLine, list[int]]:
    """Lay the first line through some frames.

    Parameters
    ----------
    frames
        Each frame's first sample, as far as the sequence numbers say, and its stamp (ns of the
        week, or ``NO_STAMP``).
    near_utc_ns
        About now: it settles the week.

    Returns
    -------
    The line, and each frame's first sample with the frames that never came counted in.

    Raises
    ------
    ValueError
        Too few stamps agree, or the host's clock is before 1999.
    """
    first_sample = frames[0][0]
    numbers = [(sample - first_sample) // samples_per_frame for sample, _ in frames]
    stamps_ns = np.full(numbers[-1] + 1, -1, np.int64)
    stamps_ns[numbers] = [stamp for _, stamp in frames]
    fit = fit_stamps(
        stamps_ns, samples_per_block=samples_per_frame, nominal_rate_hz=nominal_rate_hz
    )
    first = Line(
        first_sample,
        utc_of_week_time(fit.week_time_ns, near_utc_ns=near_utc_ns),
        NS_PER_S / fit.sample_rate_hz,
        fit.residual_s,
    )
    running = RunningLine(first, week_ns=fit.week_time_ns, samples_per_frame=samples_per_frame)
    samples = [first_sample + int(fit.block_index[n]) * samples_per_frame for n in numbers]
    for sample, (_, stamp) in zip(samples, frames, strict=True):
        if stamp >= 0 and abs(running.offset_ns(sample, stamp)) <= running.tolerance_ns:
            running.take(sample, stamp)
    return running, samples
