"""When a transmission reached each receiver, for receivers whose clocks share a time base.

::

    Observations with IQ ─▶ common Window ─▶ Spectra ─▶ Pairs ─▶ one ArrivalTime a receiver

A receiver's σ is the root sum of squares of three parts, taken as independent: the noise (from the
measured coherence), its clock, and what no averaging removes (path, antenna, filters), which the
caller knows for its class of path; ``docs/tdoa-error-budget.md`` derives it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from heimdall_edge.geodesy import distance_m, is_absurd
from heimdall_edge.signal.correlation import pair_delay
from heimdall_edge.signal.pairs import CONTRADICTION_SIGMAS, Pair, solve
from heimdall_edge.signal.spectrum import MIN_BINS, Spectrum, Window
from heimdall_edge.types import (
    NS_PER_S,
    ArrivalTime,
    ClockSource,
    IQSnippet,
    Observation,
)

SPEED_OF_LIGHT_M_S = 299_792_458.0
_SHARED_CLOCKS = (ClockSource.GNSS, ClockSource.PTP)
_REACH = 1.5
"""Delays are sought this far beyond what the distance allows: a clock that is wrong then shows as
an impossible delay, not as a chance peak."""


def arrival_times(
    observations: Sequence[Observation],
    *,
    systematic_sigma_us: float,
    max_frequency_offset_hz: float = 100.0,
) -> tuple[ArrivalTime | None, ...]:
    """Measure the relative arrival times of one transmission.

    Parameters
    ----------
    observations
        Of one scene. Those count that were heard, kept their IQ, have a place, and a locked GNSS
        or PTP clock of known σ.
    systematic_sigma_us
        What no averaging removes, per receiver: some 20 for LF ground wave, 0.3 in line of sight.
    max_frequency_offset_hz
        The frequencies that two receivers read may differ by up to this.

    Returns
    -------
    tuple of ArrivalTime or None
        One an observation, in their order, the first arrival at zero; None where there is none.
        All are None where fewer than two could be measured.
    """
    if not 0 <= systematic_sigma_us < math.inf:
        raise ValueError(f"systematic_sigma_us is {systematic_sigma_us}, expected 0 or more")
    usable = [i for i, o in enumerate(observations) if _is_usable(o)]
    usable, window = _common_window(observations, usable)
    arrivals: list[ArrivalTime | None] = [None] * len(observations)
    if window is not None:
        heard = [observations[i] for i in usable]
        floor_us = [math.hypot(_clock_sigma_us(o), systematic_sigma_us) for o in heard]
        pairs = _measure_pairs(heard, window, floor_us, max_frequency_offset_hz)
        solved = solve(pairs, floor_us, tolerance_us=CONTRADICTION_SIGMAS * systematic_sigma_us)
        for i, arrival in zip(usable, solved, strict=True):
            arrivals[i] = arrival
    return tuple(arrivals)


# ── who is compared, and when ─────────────────────────────────────────────────────────────


def _is_usable(observation: Observation) -> bool:
    clock, snippet = observation.clock, observation.snippet
    return (
        observation.heard
        and clock.source in _SHARED_CLOCKS
        and clock.locked
        and clock.sigma_s is not None
        and 0 <= clock.sigma_s < math.inf
        and not is_absurd(observation.receiver.place)
        and snippet is not None
        and 0 < snippet.sample_rate_hz < math.inf
        and len(snippet.iq) >= MIN_BINS
        and bool(np.isfinite(snippet.iq).all())
        and bool(snippet.iq.any())
    )


def _clock_sigma_us(observation: Observation) -> float:
    return (observation.clock.sigma_s or 0.0) * 1e6


def _snippet(observation: Observation) -> IQSnippet:
    assert observation.snippet is not None  # _is_usable saw to it
    return observation.snippet


def _span_ns(snippet: IQSnippet) -> tuple[int, int]:
    length = round(len(snippet.iq) * NS_PER_S / snippet.sample_rate_hz)
    return snippet.start_utc_ns, snippet.start_utc_ns + length


def _overlap_ns(spans: Sequence[tuple[int, int]]) -> int:
    return min(end for _, end in spans) - max(start for start, _ in spans)


def _common_window(
    observations: Sequence[Observation], usable: list[int]
) -> tuple[list[int], Window | None]:
    """The stretch that all usable receivers have, without those few that would halve it."""
    spans = {i: _span_ns(_snippet(observations[i])) for i in usable}
    while len(spans) > 2:
        usual_ns = float(np.median([end - start for start, end in spans.values()]))
        if _overlap_ns([*spans.values()]) >= usual_ns / 2:
            break
        without = {i: _overlap_ns([s for j, s in spans.items() if j != i]) for i in spans}
        del spans[max(without, key=without.__getitem__)]
    if len(spans) < 2:
        return [], None
    duration_s = _overlap_ns([*spans.values()]) / NS_PER_S
    rate_hz = min(_snippet(observations[i]).sample_rate_hz for i in spans)
    if duration_s * rate_hz < MIN_BINS:
        return [], None
    start_utc_ns = max(start for start, _ in spans.values())
    return list(spans), Window.of(start_utc_ns, duration_s, rate_hz)


def _measure_pairs(
    heard: Sequence[Observation],
    window: Window,
    floor_us: Sequence[float],
    max_offset_hz: float,
) -> list[Pair]:
    """The delays of all pairs that have a clear one."""
    spectra = [Spectrum.of(_snippet(o), window) for o in heard]
    pairs = []
    for late, early in combinations(range(len(heard)), 2):
        slack_us = CONTRADICTION_SIGMAS * math.hypot(floor_us[late], floor_us[early])
        path_us = _path_us(heard[late], heard[early])
        reach_s = (_REACH * path_us + slack_us) * 1e-6 + 2 / window.rate_hz
        measured = pair_delay(
            spectra[late],
            spectra[early],
            max_delay_s=min(reach_s, window.duration_s / 4),
            max_offset_hz=max_offset_hz,
        )
        if measured is not None:
            delay_us, sigma_us = measured.delay_s * 1e6, measured.sigma_s * 1e6
            possible = abs(delay_us) <= path_us + math.hypot(
                slack_us, CONTRADICTION_SIGMAS * sigma_us
            )
            pairs.append(Pair(late, early, delay_us, sigma_us, possible))
    return pairs


def _path_us(one: Observation, other: Observation) -> float:
    """How long a wave takes from one receiver to the other: no delay between them is longer."""
    a, b = one.receiver.place, other.receiver.place
    metres = distance_m(a.latitude_deg, a.longitude_deg, b.latitude_deg, b.longitude_deg)
    return float(metres) / SPEED_OF_LIGHT_M_S * 1e6
