"""When each of a live KiwiSDR's frames was taken, and how many samples never came.

::

             ┌─ 24 stamps agree ─▶ on stamps ── a stamp is off ─▶ wait for the next ones
    finding ─┤                        ▲                            │ it alone: an outlier
             │                        └────────────────────────────┤ all, by whole samples: a loss
             └─ no stamps ─▶ on the host's time                    └ all, otherwise: find anew

Losses show in two ways. What the server or the network dropped on its way to us leaves a gap in the
sequence numbers; what the server's own signal processing lost does not: there the stamps jump, by
a whole number of samples. A frame is given as soon as its time and place are certain: at once as a
rule, after a second at the beginning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median_low

from heimdall_edge.sources.host_time import HostTime
from heimdall_edge.sources.kiwi_frames import SoundFrame
from heimdall_edge.sources.kiwi_line import RunningLine, begin_line
from heimdall_edge.sources.kiwi_stamps import MIN_SIGMA_S, MIN_STAMPS, NO_STAMP
from heimdall_edge.sources.sample_clock import SampleClock
from heimdall_edge.types import ClockSource, ClockState, FrequencyError

FIRST_FRAMES = 24
"""About a second: with so many stamps the line begins."""
PATIENCE_FRAMES = 72
"""So long may it take until so many stamps agree; then the host's time must do."""
CONFIRMED_BY = 6
"""Stamps in a row that must agree on being off: a quarter of a second."""
UNDECIDED_FRAMES = 24
MOST_LOST_S = 5.0
"""A longer loss is a stall, and ended otherwise."""
WHOLE_SAMPLE = 0.05
"""How near to a whole number of samples a loss must be."""
HOLDOVER = 2e-8
"""By how much the crystal may be off what the last positions said of it."""
SOLVED_EVERY_S = 10.0
"""A server that knows where it is finds that out anew within so long."""
LOCKED_FOR_S = 60.0
"""Without a position or a stamp for longer, its time is its crystal's."""
_SEQUENCE = 1 << 32


def next_sequence(frame: SoundFrame) -> int:
    """The sequence number after a frame's."""
    return (frame.sequence + 1) % _SEQUENCE


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A frame with its place in time."""

    frame: SoundFrame
    sample_start: int
    lost_samples: int
    """Just before it, in whichever way they showed."""
    start_utc_ns: int
    sample_rate_hz: float
    clock: ClockState
    frequency_error: FrequencyError | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A frame whose time is not certain yet."""

    frame: SoundFrame
    sample: int
    lost_samples: int
    """Just before it, by the sequence numbers."""
    monotonic_ns: int
    offset_ns: int = 0
    """By how much its stamp is off the line."""


class LiveTime:
    """Takes frames as they come, gives them with their time; pure but for the host's clock.

    Parameters
    ----------
    nominal_rate_hz
        As the server announced it.
    first_sample
        Index of the first frame's first sample.
    first_sequence
        The sequence number that the first frame should have, where that is known.
    sample_clock
        Makes the clock for a server that gives no stamps.
    """

    def __init__(
        self,
        *,
        nominal_rate_hz: float,
        host: HostTime,
        first_sample: int = 0,
        first_sequence: int | None = None,
        sample_clock: Callable[[float, HostTime], SampleClock] | None = None,
    ) -> None:
        self._nominal_rate_hz, self._host = nominal_rate_hz, host
        self._next = self._given_end = first_sample
        self._sample_clock = (sample_clock or _clock_of)(nominal_rate_hz, host)
        self._sequence = first_sequence
        self._frame_samples: int | None = None
        self._waiting: list[_Waiting] = []
        self._running: RunningLine | None = None
        self._on_host = False
        self._told_utc_ns: int | None = None

    @property
    def has_stamps(self) -> bool:
        return self._running is not None

    def take(self, frame: SoundFrame, monotonic_ns: int) -> list[TimedFrame]:
        """Take a frame; gives those, in order, whose time is certain now.

        Raises
        ------
        ValueError
            The sequence numbers or the stamps go back, or frames change their size.
        """
        lost_samples = self._lost_before(frame)
        sample = self._next + lost_samples
        self._next = sample + frame.n_samples
        waiting = _Waiting(frame, sample, lost_samples, monotonic_ns)
        if self._running is not None:
            return self._on_stamps(waiting, self._running)
        if self._on_host and frame.stamp_ns == NO_STAMP:
            return [self._by_host(waiting)]
        self._on_host = False
        return self._find(waiting)

    def _lost_before(self, frame: SoundFrame) -> int:
        """Samples that the sequence numbers say never came."""
        expected, size = self._sequence, self._frame_samples
        self._sequence = next_sequence(frame)
        self._frame_samples = frame.n_samples
        if size is not None and frame.n_samples != size:
            raise ValueError(f"frame of {frame.n_samples} samples; expected {size} as before")
        if expected is None:
            return 0
        lost = (frame.sequence - expected) % _SEQUENCE * frame.n_samples
        if lost > MOST_LOST_S * self._nominal_rate_hz:
            raise ValueError(f"sequence number {frame.sequence}; expected {expected} or soon after")
        return lost

    # ── the first line ────────────────────────────────────────────────────────────────────

    def _find(self, waiting: _Waiting) -> list[TimedFrame]:
        self._waiting.append(waiting)
        n_waiting = len(self._waiting)
        n_stamps = sum(w.frame.stamp_ns != NO_STAMP for w in self._waiting)
        if n_waiting < FIRST_FRAMES or (
            0 < n_stamps < FIRST_FRAMES and n_waiting < PATIENCE_FRAMES
        ):
            return []
        try:
            if n_stamps < MIN_STAMPS:
                raise ValueError(f"{n_stamps} stamps")
            self._running, samples = begin_line(
                [(w.sample, w.frame.stamp_ns) for w in self._waiting],
                samples_per_frame=waiting.frame.n_samples,
                nominal_rate_hz=self._nominal_rate_hz,
                near_utc_ns=self._host.utc_ns(),
            )
        except ValueError:  # they do not agree (yet): others may
            if n_stamps and n_waiting < PATIENCE_FRAMES:
                return []
            return self._give_up_stamps()
        self._next += samples[-1] - waiting.sample
        placed = zip(self._taken(), samples, strict=True)
        return self._release([replace(w, sample=sample) for w, sample in placed])

    def _give_up_stamps(self) -> list[TimedFrame]:
        self._on_host = True
        return [self._by_host(waiting) for waiting in self._taken()]

    def _taken(self) -> list[_Waiting]:
        taken, self._waiting = self._waiting, []
        return taken

    # ── on stamps ─────────────────────────────────────────────────────────────────────────

    def _on_stamps(self, waiting: _Waiting, running: RunningLine) -> list[TimedFrame]:
        stamp_ns = waiting.frame.stamp_ns
        if stamp_ns != NO_STAMP:
            offset_ns = running.offset_ns(waiting.sample, stamp_ns)
            waiting = replace(waiting, offset_ns=offset_ns)
        if abs(waiting.offset_ns) <= running.tolerance_ns:
            if stamp_ns == NO_STAMP and self._waiting:
                self._waiting.append(waiting)
                return self._undecided()
            if stamp_ns != NO_STAMP:
                running.take(waiting.sample, stamp_ns)
            return self._release([*self._taken(), waiting])
        self._waiting.append(waiting)
        run = self._run_that_agrees(running.tolerance_ns)
        return self._shift(run, running) if run else self._undecided()

    def _undecided(self) -> list[TimedFrame]:
        """Wait on, but not for ever: the stamps may be nothing but noise."""
        return self._release(self._taken()) if len(self._waiting) > UNDECIDED_FRAMES else []

    def _run_that_agrees(self, tolerance_ns: float) -> int:
        """How many of the last ones are off by the same amount; 0 where too few are."""
        run = [w for w in self._waiting if w.frame.stamp_ns != NO_STAMP][-CONFIRMED_BY:]
        offsets_ns = [w.offset_ns for w in run]
        if len(run) < CONFIRMED_BY or max(offsets_ns) - min(offsets_ns) > tolerance_ns:
            return 0
        return len(self._waiting) - self._waiting.index(run[0])

    def _shift(self, n_run: int, running: RunningLine) -> list[TimedFrame]:
        """All stamps are off by the same: samples never came, or it is another time altogether."""
        taken = self._taken()
        before, run = taken[:-n_run], taken[-n_run:]
        offset_ns = median_low(w.offset_ns for w in run if w.frame.stamp_ns != NO_STAMP)
        shift = offset_ns / running.line.ns_per_sample
        lost = round(shift)
        is_loss = 0 < lost <= MOST_LOST_S * running.line.sample_rate_hz
        if not is_loss or abs(shift - lost) > WHOLE_SAMPLE:
            released = self._release(before)
            self._running, self._waiting = None, run
            return released
        run = [replace(w, sample=w.sample + lost) for w in run]
        self._next += lost
        for w in run:
            if w.frame.stamp_ns != NO_STAMP:
                running.take(w.sample, w.frame.stamp_ns)
        return self._release([*before, *run])

    def _release(self, taken: list[_Waiting]) -> list[TimedFrame]:
        return [self._by_line(waiting) for waiting in taken]

    def _by_line(self, waiting: _Waiting) -> TimedFrame:
        assert self._running is not None
        line = self._running.line
        timed = TimedFrame(
            frame=waiting.frame,
            sample_start=waiting.sample,
            lost_samples=waiting.sample - self._given_end,
            start_utc_ns=line.utc_ns(waiting.sample),
            sample_rate_hz=line.sample_rate_hz,
            clock=self._clock(waiting, self._running),
        )
        return self._given(timed)

    def _clock(self, waiting: _Waiting, running: RunningLine) -> ClockState:
        """How good a stamp is: the scatter, and what the crystal does while nobody checks it."""
        since_s = (waiting.sample - running.last_sample) / running.line.sample_rate_hz
        age_s = waiting.frame.age_s if waiting.frame.stamp_ns != NO_STAMP else 0
        unchecked_s = max(float(age_s), since_s)
        drift_s = HOLDOVER * max(0.0, unchecked_s - SOLVED_EVERY_S)
        sigma_s = math.hypot(max(running.line.residual_s, MIN_SIGMA_S), drift_s)
        return ClockState(ClockSource.GNSS, sigma_s=sigma_s, locked=unchecked_s <= LOCKED_FOR_S)

    def _by_host(self, waiting: _Waiting) -> TimedFrame:
        """The host's time, and the losses that it shows."""
        arrival = self._sample_clock.arrived(
            waiting.frame.n_samples, waiting.monotonic_ns, lost_samples=waiting.lost_samples
        )
        self._next += arrival.lost_samples - waiting.lost_samples
        timed = TimedFrame(
            frame=waiting.frame,
            sample_start=self._given_end + arrival.lost_samples,
            lost_samples=arrival.lost_samples,
            start_utc_ns=arrival.start_utc_ns,
            sample_rate_hz=self._nominal_rate_hz,
            clock=replace(arrival.clock, locked=False),
            frequency_error=arrival.frequency_error,
        )
        return self._given(timed)

    def _given(self, timed: TimedFrame) -> TimedFrame:
        told_ns, self._told_utc_ns = self._told_utc_ns, timed.start_utc_ns
        if told_ns is not None and timed.start_utc_ns <= told_ns:
            back_ms = (told_ns - timed.start_utc_ns) / 1e6
            raise ValueError(f"its time went back by {back_ms:.3f} ms; expected it to go on")
        self._given_end = timed.sample_start + timed.frame.n_samples
        return timed


def _clock_of(sample_rate_hz: float, host: HostTime) -> SampleClock:
    return SampleClock(sample_rate_hz=sample_rate_hz, host=host)
