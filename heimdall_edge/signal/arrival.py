"""When a transmission reached each receiver, for receivers whose clocks share a time base.

::

    Observations with IQ ─▶ common Window ─▶ Spectra ─▶ Pairs ─▶ one ArrivalTime a receiver

Up to six receivers are all compared with each other; of more, all with the five strongest: as the
noise in an arrival time is the receiver's own, further pairs would not average it.

A receiver's σ is the root sum of squares of three parts, taken as independent: the noise (from the
measured coherence), its clock, and what no averaging removes (path, antenna, filters), which the
caller knows for its class of path; ``docs/tdoa-error-budget.md`` derives it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

from heimdall_edge.geodesy import SPEED_OF_LIGHT_M_S, distance_m, is_absurd
from heimdall_edge.signal.correlation import pair_delay, tuned
from heimdall_edge.signal.pairs import CONTRADICTION_SIGMAS, Pair, solve
from heimdall_edge.signal.spectrum import MIN_BINS, Spectrum, Window
from heimdall_edge.types import (
    NS_PER_S,
    ArrivalTime,
    Float64,
    IQSnippet,
    Observation,
)

_REACH = 1.5
"""Delays are sought this far beyond what the distance allows: a clock that is wrong then shows as
an impossible delay, not as a chance peak."""
_HUBS = 5
"""So many receivers are compared with all: a pair of any two is then a side of three triangles at
least, and one bad receiver does not outvote the others."""


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
        comparison = _Comparison(heard, window, floor_us, max_frequency_offset_hz)
        pairs = _measure_pairs(heard, comparison)
        solved = solve(pairs, floor_us, tolerance_us=CONTRADICTION_SIGMAS * systematic_sigma_us)
        for i, arrival in zip(usable, solved, strict=True):
            arrivals[i] = arrival
    return tuple(arrivals)


# ── who is compared, and when ─────────────────────────────────────────────────────────────


def _is_usable(observation: Observation) -> bool:
    clock, snippet = observation.clock, observation.snippet
    return (
        observation.heard
        and clock.shares_time_base
        and clock.sigma_s is not None
        and 0 <= clock.sigma_s < math.inf
        and not is_absurd(observation.receiver.place)
        and snippet is not None
        and 0 < snippet.sample_rate_hz < math.inf
        and len(snippet.iq) >= MIN_BINS
        and 0 < float(np.vdot(snippet.iq, snippet.iq).real) < math.inf  # nor not a number
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


# ── what is measured ──────────────────────────────────────────────────────────────────────


class _Comparison:
    """The receivers of a window, each tuned to others as it is compared with them."""

    def __init__(
        self,
        heard: Sequence[Observation],
        window: Window,
        floor_us: Sequence[float],
        max_offset_hz: float,
    ) -> None:
        self._window, self._floor_us, self._max_offset_hz = window, floor_us, max_offset_hz
        self._spectra = [Spectrum.of(_snippet(o), window) for o in heard]
        self._path_us = _path_us(heard)
        self._at_frequency_of = list(range(len(heard)))

    def pair(self, late: int, early: int) -> Pair | None:
        """Measure the delay of one after the other, if there is a clear one."""
        slack_us = CONTRADICTION_SIGMAS * math.hypot(self._floor_us[late], self._floor_us[early])
        path_us = float(self._path_us[late, early])
        reach_s = (_REACH * path_us + slack_us) * 1e-6 + 2 / self._window.rate_hz
        max_delay_s = min(reach_s, self._window.duration_s / 4)
        spectrum, reference = self._spectra[late], self._at_frequency_of[early]
        if self._at_frequency_of[late] != reference:
            spectrum = tuned(
                spectrum,
                self._spectra[early],
                max_delay_s=max_delay_s,
                max_offset_hz=self._max_offset_hz,
            )
        measured = pair_delay(spectrum, self._spectra[early], max_delay_s=max_delay_s)
        if measured is None:
            return None
        self._spectra[late], self._at_frequency_of[late] = spectrum, reference
        delay_us, sigma_us = measured.delay_s * 1e6, measured.sigma_s * 1e6
        possible_us = path_us + math.hypot(slack_us, CONTRADICTION_SIGMAS * sigma_us)
        return Pair(late, early, delay_us, sigma_us, abs(delay_us) <= possible_us)


def _measure_pairs(heard: Sequence[Observation], comparison: _Comparison) -> list[Pair]:
    """The delays of all after the strongest few, where they are clear.

    Who matches none of these is then compared with the strongest of those left, and so on: the
    strongest may have heard something else.
    """
    pairs: list[Pair] = []
    waiting = sorted(range(len(heard)), key=lambda i: _strength_db(heard[i]), reverse=True)
    while len(waiting) > 1:
        hubs, others = waiting[:_HUBS], waiting[_HUBS:]
        tried = [*combinations(hubs, 2), *product(hubs, others)]
        measured = [comparison.pair(late, early) for early, late in tried]
        pairs += [pair for pair in measured if pair is not None]
        matched = {pair.late for pair in pairs}
        waiting = [i for i in others if i not in matched]
    return pairs


def _strength_db(observation: Observation) -> float:
    snr_db = observation.snr_db
    return snr_db if snr_db is not None and math.isfinite(snr_db) else -math.inf


def _path_us(heard: Sequence[Observation]) -> Float64:
    """float64 [n, n]: how long a wave takes from one receiver to another; no delay is longer."""
    places = [o.receiver.place for o in heard]
    latitude_deg = np.array([p.latitude_deg for p in places])
    longitude_deg = np.array([p.longitude_deg for p in places])
    metres = distance_m(
        latitude_deg[:, np.newaxis], longitude_deg[:, np.newaxis], latitude_deg, longitude_deg
    )
    return np.asarray(metres / SPEED_OF_LIGHT_M_S * 1e6)
