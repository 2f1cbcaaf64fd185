"""One transmitter as one receiver's antenna gets it: late, faded, and off in frequency.

::

    Schedule, Modulation ─at t − τ(t)─┐
    Path ─────────delay τ, level──────┴─▶ Reception.add_to(planes)

With f the carrier, f₀ what the receiver is tuned to in truth and t the true time of a sample,
its baseband is A(t) m(t − τ) exp 2πj[(f − f₀) t − f τ]: delay is exact to the rounding of
float64 (0.1 ns after eleven days), and a moving transmitter has its Doppler shift.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from heimdall_edge.config_simulation import Transmitter
from heimdall_edge.sources.propagation import Path
from heimdall_edge.sources.radio import Radio
from heimdall_edge.sources.waveforms import Modulation, Schedule
from heimdall_edge.types import Float32, Float64

SEGMENT_SAMPLES = 8_192
"""Delay and amplitude go straight over so many samples: 33 ms at 250 kHz, where a car that passes
at 30 m is off by 1 mm. Arrays of this size stay in a core's cache, and in malloc's own store."""


class Reception:
    """Adds a transmitter's signal to a receiver's samples.

    The receiver's own filter is ideal: a carrier outside its band is not received at all.
    """

    def __init__(
        self, *, transmitter: Transmitter, modulation: Modulation, path: Path, radio: Radio
    ) -> None:
        self._frequency_hz = transmitter.frequency_hz
        self._schedule = Schedule.of(transmitter)
        self._modulation = modulation
        self._path = path
        self._radio = radio

    @property
    def is_in_band(self) -> bool:
        offset_hz = self._frequency_hz - self._radio.tuned_hz
        return abs(offset_hz) < self._radio.sample_rate_hz / 2

    def add_to(self, planes: Float32, *, first_sample: int) -> None:
        """Add it to float32 [2, n] (I, Q; full scale 1.0) whose first sample has that number."""
        edges = np.append(np.arange(0, planes.shape[1], SEGMENT_SAMPLES), planes.shape[1])
        edges_s = (first_sample + edges) / self._radio.sample_rate_hz
        at_s = edges_s if self._path.changes else edges_s[:1]
        delays_s = np.broadcast_to(self._path.delay_s(at_s), edges.shape)
        levels_dbm = np.broadcast_to(self._path.level_dbm(at_s), edges.shape)
        amplitudes = self._radio.amplitude(levels_dbm)
        for i, (begin, end) in enumerate(pairwise(edges.tolist())):
            ends = slice(i, i + 2)
            if self._schedule.is_on_within(*(edges_s[ends] - delays_s[ends])):
                self._add_segment(
                    planes[:, begin:end], first_sample + begin, delays_s[ends], amplitudes[ends]
                )

    def _add_segment(
        self, planes: Float32, first_sample: int, delays_s: Float64, amplitudes: Float64
    ) -> None:
        """Add a segment, given delay and amplitude at its begin and end."""
        n_samples = planes.shape[1]
        numbers = np.arange(first_sample, first_sample + n_samples, dtype=np.float64)
        time_s = numbers / self._radio.sample_rate_hz
        along = np.arange(n_samples) / n_samples
        delay_s = delays_s[0] + (delays_s[1] - delays_s[0]) * along
        sent_s = time_s - delay_s
        amplitude = (amplitudes[0] + (amplitudes[1] - amplitudes[0]) * along).astype(np.float32)
        amplitude = amplitude * self._schedule.amplitude(sent_s)
        amplitude = amplitude * self._modulation.amplitude(sent_s)
        cycles = (self._frequency_hz - self._radio.tuned_hz) * time_s
        cycles -= self._frequency_hz * delay_s
        cycles += self._modulation.phase_cycles(sent_s)
        cycles -= np.rint(cycles)
        angle_rad = (2 * np.pi * cycles).astype(np.float32)
        planes[0] += amplitude * np.cos(angle_rad)
        planes[1] += amplitude * np.sin(angle_rad)
