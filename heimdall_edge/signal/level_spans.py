"""Stretches of time with their level, and what a run of them is: a transmission, or a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from heimdall_edge.signal.measure import snr_db
from heimdall_edge.types import NS_PER_S


def to_power(level_db: float) -> float:
    """Linear power of a level."""
    return float(10 ** (level_db / 10))


def to_db(power: float) -> float:
    """Level of a linear power, over 0."""
    return 10 * math.log10(power)


@dataclass(frozen=True, slots=True)
class LevelSpan:
    """One transmission, or one window or piece of a long one."""

    start_utc_ns: int
    end_utc_ns: int
    level_db: float
    """Of the mean power, noise included."""
    floor_db: float
    """The noise when it began (of a window: in it)."""
    is_too_short: bool = False
    """There was something, but too short to say what: not to be reported, nor to be denied."""

    @property
    def duration_s(self) -> float:
        return (self.end_utc_ns - self.start_utc_ns) / NS_PER_S

    @property
    def snr_db(self) -> float:
        """Signal alone over noise; at least -30 dB."""
        return snr_db(to_power(self.level_db), to_power(self.floor_db))


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time from one value to the next, and the power that the latter says of it."""

    start_utc_ns: int
    end_utc_ns: int
    power: float
    quiet_power: float | None = None
    """Noise in the channel at that time, as the channel's own spectrum shows it."""

    @property
    def duration_s(self) -> float:
        return (self.end_utc_ns - self.start_utc_ns) / NS_PER_S


def mean_power(stretches: Sequence[Stretch], start_utc_ns: int, end_utc_ns: int) -> float:
    """Mean over time, within the two instants."""
    energy, time_ns = 0.0, 0
    for stretch in stretches:
        shared_ns = min(stretch.end_utc_ns, end_utc_ns) - max(stretch.start_utc_ns, start_utc_ns)
        if shared_ns > 0:
            energy, time_ns = energy + shared_ns * stretch.power, time_ns + shared_ns
    return energy / time_ns
