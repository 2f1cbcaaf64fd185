"""Made-up arrivals of sample chunks: what a USB bus, a radio link or a long way do to them.

Each model gives delays that only add to the true time; chunks never overtake each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from heimdall_edge.types import NS_PER_S, ClockSource, ClockState, Float64

BEGAN_S, UTC_OFFSET_NS = 1_000.0, 1_790_000_000 * NS_PER_S
STEERED = ClockState(ClockSource.NTP, 0.002, locked=True)
Delays = Callable[[np.random.Generator, Float64], Float64]
"""When each chunk was complete (seconds) → how much later it is at hand."""


@dataclass(slots=True)
class ScriptedHost:
    """A host whose clocks stand where they are put."""

    now_ns: int = 0
    utc_offset_ns: int = UTC_OFFSET_NS
    clock: ClockState = STEERED

    def utc_ns(self) -> int:
        return self.now_ns + self.utc_offset_ns

    def monotonic_ns(self) -> int:
        return self.now_ns


def usb(rng: np.random.Generator, at_s: Float64) -> Float64:
    """Half a millisecond and an exponential 0.8; one chunk in a thousand up to 100 ms late."""
    delay_s = 0.0005 + rng.exponential(0.0008, len(at_s))
    return delay_s + np.where(rng.random(len(at_s)) < 1e-3, rng.uniform(0, 0.1, len(at_s)), 0.0)


def busy_host(rng: np.random.Generator, at_s: Float64) -> Float64:
    """The reader gets its turn every 50 ms or so, and then takes all that waits."""
    turns_s = np.cumsum(rng.exponential(0.05, int(np.ptp(at_s) * 25) + 100)) + at_s[0]
    turns_s = np.append(turns_s, np.arange(turns_s[-1], at_s[-1] + 1.0, 0.05))
    waited_s: Float64 = turns_s[np.searchsorted(turns_s, at_s)] - at_s
    return usb(rng, at_s) + waited_s


def wifi(rng: np.random.Generator, at_s: Float64) -> Float64:
    """Exponential 8 ms; every 20 s a stall of up to 1 s, caught up 1.3 to 5 times as fast."""
    delay_s = 0.004 + rng.exponential(0.008, len(at_s))
    stalls_s = np.cumsum(rng.exponential(20.0, int(np.ptp(at_s) / 10) + 1)) + at_s[0]
    for stall_s in stalls_s[stalls_s < at_s[-1]]:
        length_s, speed = min(rng.exponential(0.3), 1.0), rng.uniform(1.3, 5.0)
        first, last = np.searchsorted(at_s, [stall_s, stall_s + length_s * speed / (speed - 1)])
        behind_s = length_s - (at_s[first:last] - stall_s) * (1 - 1 / speed)
        delay_s[first:last] = np.maximum(delay_s[first:last], behind_s)
    return delay_s


def internet(rng: np.random.Generator, at_s: Float64) -> Float64:
    """20 ms, gamma-distributed 5 more, a queue that wanders by 3 ms (σ) within half a minute."""
    steps = rng.normal(0.0, 1.0, int(np.ptp(at_s)) + 2)
    queue = np.zeros(len(steps))
    for i in range(1, len(queue)):
        queue[i] = queue[i - 1] * (1 - 1 / 30) + steps[i] * np.sqrt(2 / 30)
    standing_s: Float64 = 0.003 * np.abs(np.interp(at_s - at_s[0], np.arange(len(queue)), queue))
    jitter_s: Float64 = rng.gamma(2.0, 0.0025, len(at_s))
    return 0.020 + jitter_s + standing_s


MODELS: dict[str, Delays] = {
    "usb": usb,
    "busy host": busy_host,
    "wifi": wifi,
    "internet": internet,
}


@dataclass(frozen=True, slots=True, eq=False)
class Chunks:
    """A made-up stream: what a source would see of it, and the truth."""

    arrival_ns: list[int]
    """When each chunk is at hand, monotonic."""
    begin_s: Float64
    """When each chunk's first sample was at the antenna, monotonic, float64 [n_chunks]."""


def chunks(
    delays: Delays,
    *,
    rng: np.random.Generator,
    n_chunks: int,
    chunk_s: float,
    ppm: Float64 | float = 0.0,
    lost_s: dict[int, float] | None = None,
) -> Chunks:
    """Make a stream up.

    Parameters
    ----------
    chunk_s
        A chunk's length at the nominal rate.
    ppm
        By how much the crystal is fast; one number, or one a chunk.
    lost_s
        Number of a chunk → seconds of samples that are lost just before it.
    """
    lengths_s = np.broadcast_to(chunk_s / (1 + np.asarray(ppm) * 1e-6), n_chunks)
    gaps_s = np.zeros(n_chunks)
    for number, gap_s in (lost_s or {}).items():
        gaps_s[number] += gap_s
    end_s = BEGAN_S + np.cumsum(lengths_s + gaps_s)
    arrival_s = np.maximum.accumulate(end_s + delays(rng, end_s))
    return Chunks([round(t * NS_PER_S) for t in arrival_s.tolist()], end_s - lengths_s)
