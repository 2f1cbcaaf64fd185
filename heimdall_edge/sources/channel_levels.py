"""One channel's levels → what its receiver says of it: observations, and that it listened.

::

    Reading ─▶ LevelTracker ─▶ LevelSpan ─▶ Observation
                    └─────────────────────▶ Listening
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from heimdall_edge.config import Channel
from heimdall_edge.signal.level_spans import LevelSpan, to_power
from heimdall_edge.signal.levels import LevelTracker
from heimdall_edge.signal.measure import observation_id
from heimdall_edge.signal.mel import GREATEST_DB, LEAST_DB, power_to_db
from heimdall_edge.types import (
    ClockState,
    Float32,
    Listening,
    Mel,
    Observation,
    ReceiverInfo,
    frozen_array,
)

Said = Observation | Listening

MAX_READINGS = 4096
"""Remembered for the spectrogram of one transmission."""
LEAST_MEL_ROWS, GREATEST_MEL_ROWS = 8, 64
LONGEST_PERIOD_S = 0.25
"""Of the feeds that use this, from reading to reading: by so much may a transmission look shorter
than it is."""
BOUND_SHARE = 0.75
"""With more lower bounds than this among its readings, a level is not given."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a server says of one channel at one moment, of the time since the moment before."""

    level_db: float
    quiet_db: float | None = None
    """Noise in the channel, from the quiet part of its spectrum."""
    is_bound: bool = False
    """The true level may be far higher."""
    power: Float32 | None = None
    """float32 [n_bins]: linear, on the level's scale, evenly over the channel, lowest frequency
    first."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a reading was at hand."""

    utc_ns: int
    monotonic_s: float
    clock: ClockState


class ChannelLevels:
    """Follows one channel of one receiver.

    Parameters
    ----------
    min_duration_s
        What is shorter says little, at the pace of this feed.
    silence_counts
        Whether a transmission over the limit would have been found; if not, the limit that is said
        is infinite.
    """

    def __init__(
        self,
        *,
        channel: Channel,
        receiver: ReceiverInfo,
        min_duration_s: float = 0.0,
        silence_counts: bool = True,
    ) -> None:
        self.channel = channel
        self._receiver = receiver
        self._silence_counts = silence_counts
        min_duration_s = max(channel.min_duration_s, min_duration_s)
        is_burst = channel.mode == "burst"
        self._least_duration_s = min_duration_s + LONGEST_PERIOD_S if is_burst else 0.0
        self._tracker = LevelTracker(
            mode=channel.mode,
            open_db=channel.open_db,
            close_db=channel.close_db,
            hang_s=channel.hang_s,
            min_duration_s=min_duration_s,
            max_duration_s=channel.max_duration_s,
            window_s=channel.window_s,
        )
        self._readings: deque[tuple[int, Reading]] = deque(maxlen=MAX_READINGS)
        self._moment: Moment | None = None
        self._listening_since_ns = self._said_until_ns = 0

    @property
    def floor_db(self) -> float | None:
        """Tracked noise in the channel."""
        return self._tracker.floor_db

    def hear(self, reading: Reading, moment: Moment) -> list[Said]:
        """Take the next reading; raises ValueError where it is no number."""
        spans = self._tracker.add(moment.utc_ns, reading.level_db, quiet_db=reading.quiet_db)
        self._moment = moment
        said = self._observations(spans, moment)
        self._readings.append((moment.utc_ns, reading))
        return said + list(self._listening())

    def flush(self) -> list[Said]:
        """End what is open: the channel is not listened to any more, or not without a gap."""
        moment, spans = self._moment, self._tracker.flush()
        return [] if moment is None else self._observations(spans, moment)

    def _observations(self, spans: list[LevelSpan], moment: Moment) -> list[Said]:
        """Those that are long enough; of the others neither sound nor silence is claimed."""
        for span in spans:
            if span.is_too_short:
                self._said_until_ns = max(self._said_until_ns, span.end_utc_ns)
        return [self._observation(span, moment) for span in spans if not span.is_too_short]

    def _listening(self) -> Iterator[Listening]:
        """That the channel is decided up to an instant, if that instant moved on."""
        since_ns, until_ns = self._tracker.listening_since_ns, self._tracker.listened_until_ns
        limit_db = self._tracker.limit_db
        if since_ns is None or until_ns is None or limit_db is None:
            return
        if since_ns != self._listening_since_ns:  # after a gap, or a clock that was set, even back
            self._listening_since_ns = self._said_until_ns = since_ns
        from_ns = self._said_until_ns
        if until_ns > from_ns:
            self._said_until_ns = until_ns
            yield Listening(
                receiver=self._receiver,
                start_utc_ns=from_ns,
                end_utc_ns=until_ns,
                limit_dbfs={self.channel.name: limit_db if self._silence_counts else math.inf},
                least_duration_s=self._least_duration_s,
            )

    def _observation(self, span: LevelSpan, moment: Moment) -> Observation:
        readings = self._readings_in(span)
        n_bounds = sum(reading.is_bound for reading in readings)
        is_level = n_bounds <= BOUND_SHARE * len(readings)
        return Observation(
            observation_id=observation_id(
                station=self._receiver.station,
                receiver_id=self._receiver.receiver_id,
                channel=self.channel.name,
                start_utc_ns=span.start_utc_ns,
            ),
            receiver=self._receiver,
            channel=self.channel.name,
            frequency_hz=self.channel.frequency_hz,
            start_utc_ns=span.start_utc_ns,
            duration_s=span.duration_s,
            noise_floor_dbfs=span.floor_db,
            level_dbfs=span.level_db if is_level else None,
            snr_db=span.snr_db if is_level else None,
            clock=moment.clock,
            mel=_mel(readings, floor_db=span.floor_db) if is_level else None,
            detected_monotonic_s=moment.monotonic_s,
        )

    def _readings_in(self, span: LevelSpan) -> list[Reading]:
        """Those that ended within a span."""
        while self._readings and self._readings[0][0] <= span.start_utc_ns:
            self._readings.popleft()
        return [reading for utc_ns, reading in self._readings if utc_ns <= span.end_utc_ns]


def _mel(readings: list[Reading], *, floor_db: float) -> Mel | None:
    """A coarse spectrogram: a frame a reading, a row a bin or several; None with too few bins."""
    powers = [reading.power for reading in readings if reading.power is not None]
    n_bins = len(powers[0]) if powers else 0
    if n_bins < LEAST_MEL_ROWS:
        return None
    edges = np.linspace(0, n_bins, min(n_bins, GREATEST_MEL_ROWS) + 1).round().astype(np.intp)
    sums = np.add.reduceat(np.stack(powers, axis=1), edges[:-1], axis=0)
    noise = np.float32(to_power(floor_db) / n_bins) * np.diff(edges)[:, np.newaxis]
    over_floor_db = power_to_db((sums / noise).astype(np.float32))
    return Mel(frozen_array(np.clip(over_floor_db, LEAST_DB, GREATEST_DB)))
