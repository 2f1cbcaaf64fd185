"""Windows of several receivers as spectra on one grid of frequencies and of UTC.

The receivers' rates and first samples differ a little. The chirp-z transform takes each window at
the very same frequencies, its phase counted from the very same instant: nothing is resampled or
interpolated, and the spectra of different receivers can be multiplied bin by bin. A receiver whose
own rate the window was made for, as all are where the rates are equal, needs but a plain FFT.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from heimdall_edge.types import NS_PER_S, Complex64, Float32, Float64, IQSnippet, frozen_array

MIN_BINS = 128
"""Fewer frequencies than this hold no estimate of a coherence."""
_MAX_BANDS = 64
_MIN_BINS_IN_BAND = 64
BINS_IN_GROUP = 16
"""A band is so many bins, times a whole number."""
_TAPER = 0.1
"""Share of the window under its two ramps: without them a carrier leaks over the whole channel,
and the leakage has the delay of the window's edges, not of the signal."""
_TRIM_BINS = 24
_TRIM_SHARE = 0.02
"""A band's strongest bins, so many at least, do not count for its level: a carrier and the skirts
that the ramps give it are among them."""
_LINE = 8.0
"""What is over this many times a band's level is a carrier, and is left out: it says nothing about
delay. A code that repeats every second, as DCF77's, must stay: its lines hold all its power, and
stand √T over the level in a window of T seconds."""
_WHOLE = 1e-9
"""Bins this near to those of a Fourier transform, in their distance, are those."""
_DYNAMIC_RANGE = 1e-5
"""A band so far under the strongest one lies in the channel filter's stop band."""


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of UTC that is compared, and the frequencies at which."""

    start_utc_ns: int
    duration_s: float
    n_bands: int
    bins_in_band: int

    @classmethod
    def of(cls, start_utc_ns: int, duration_s: float, sample_rate_hz: float) -> Window:
        """All frequencies that the slowest receiver's rate holds, 1 / duration apart.

        The duration is cut to a number of samples that transforms fast: a few percent
        less for a short one, under one for a long one.
        ValueError where the frequencies are fewer than ``MIN_BINS``.
        """
        n_samples = math.floor(sample_rate_hz * duration_s)
        if n_samples < MIN_BINS:
            raise ValueError(
                f"the window holds {n_samples} frequencies, expected {MIN_BINS} or more"
            )
        while scipy.fft.next_fast_len(n_samples) > n_samples:
            n_samples -= 1
        groups_in_band = math.ceil(n_samples / (_MAX_BANDS * BINS_IN_GROUP))
        bins_in_band = max(_MIN_BINS_IN_BAND, groups_in_band * BINS_IN_GROUP)
        return cls(
            start_utc_ns, n_samples / sample_rate_hz, n_samples // bins_in_band, bins_in_band
        )

    @property
    def n_bins(self) -> int:
        return self.n_bands * self.bins_in_band

    @property
    def first_bin(self) -> int:
        return -(self.n_bins // 2)

    @property
    def rate_hz(self) -> float:
        """Width of all the frequencies together: the sample rate of the window's time grid."""
        return self.n_bins / self.duration_s

    @property
    def bin_hz(self) -> Float64:
        """float64 [n_bins], rising."""
        return (self.first_bin + np.arange(self.n_bins)) / self.duration_s

    @property
    def band_hz(self) -> Float64:
        """float64 [n_bands], the middle of each band."""
        middle = self.first_bin + (self.bins_in_band - 1) / 2
        bins = middle + self.bins_in_band * np.arange(self.n_bands)
        return np.asarray(bins / self.duration_s, np.float64)


@dataclass(frozen=True, eq=False)  # no slots: what each pair asks for is kept
class Spectrum:
    """What one receiver heard in a window, white: in each band the noise-like part has power 1."""

    snippet: IQSnippet
    window: Window
    bins: Complex64
    """complex64 [n_bins], at ``window.bin_hz``, phase from the window's start; read-only."""
    lowered_by_hz: float = 0.0
    """By so much lower are all frequencies than the receiver read them."""

    @classmethod
    def of(cls, snippet: IQSnippet, window: Window, *, lower_by_hz: float = 0.0) -> Spectrum:
        """Transform a snippet's share of the window, all frequencies lowered by an offset."""
        rate_hz = snippet.sample_rate_hz
        begin = (window.start_utc_ns - snippet.start_utc_ns) * rate_hz / NS_PER_S
        first = max(0, math.ceil(begin))
        iq = snippet.iq[first : first + round(window.duration_s * rate_hz)]
        iq = iq * _taper(len(iq))
        if lower_by_hz:
            iq *= unit_ramp(-lower_by_hz / rate_hz, 0, len(iq))
        turns = 1 / (window.duration_s * rate_hz)
        bins = chirp_z(iq, turns, window.first_bin, window.n_bins)
        bins *= unit_ramp((begin - first) * turns, window.first_bin, window.n_bins)
        return cls(snippet, window, frozen_array(_whitened(bins, window)), lower_by_hz)

    def lowered(self, by_hz: float) -> Spectrum:
        """The same with all frequencies lowered by so much more, measured anew."""
        return Spectrum.of(self.snippet, self.window, lower_by_hz=self.lowered_by_hz + by_hz)

    @property
    def bands(self) -> Complex64:
        """complex64 [n_bands, bins_in_band], the same numbers."""
        return self.bins.reshape(self.window.n_bands, self.window.bins_in_band)

    @cached_property
    def power(self) -> Float32:
        """float32 [n_bins]."""
        return np.asarray(self.bins.real**2 + self.bins.imag**2)

    @cached_property
    def band_power(self) -> Float64:
        """float64 [n_bands], mean over each band."""
        return np.asarray(
            self.power.reshape(self.window.n_bands, -1).mean(axis=1, dtype=np.float64)
        )

    @cached_property
    def waveform(self) -> Complex64:
        """complex64 [n_bins, or a few more], over the window's time; 0 Hz is the first bin."""
        n = scipy.fft.next_fast_len(self.window.n_bins)
        return np.asarray(scipy.fft.ifft(self.bins, n), np.complex64)


def unit_phasor(turns: NDArray[np.floating[Any]]) -> Complex64:
    """e^(2πj·turns): float64 takes the whole turns off, then float32 is enough."""
    angle = ((turns - np.rint(turns)) * (2 * np.pi)).astype(np.float32)
    phasor = np.empty(angle.shape, np.complex64)
    phasor.real, phasor.imag = np.cos(angle), np.sin(angle)
    return phasor


def unit_ramp(turns: float, first: int, n: int) -> Complex64:
    """e^(2πj·turns·k) at k = first … first + n − 1: a table of products needs but 2√n phasors."""
    width = math.isqrt(n) + 1
    coarse = unit_phasor(turns * (first + np.arange(0, n, width)))
    fine = unit_phasor(turns * np.arange(width))
    return np.outer(coarse, fine).reshape(-1)[:n]


def chirp_z(iq: Complex64, turns: float, first_bin: int, n_bins: int) -> Complex64:
    """Σ iq[n]·e^(−2πj·turns·k·n) at k = first_bin … first_bin + n_bins − 1 (Bluestein, 1970).

    A Fourier transform whose bins may lie at any distance, ``turns`` (cycles a sample).
    """
    n = len(iq)
    n_fft = round(1 / turns)
    if max(n, n_bins) <= n_fft and abs(turns * n_fft - 1) < _WHOLE:
        k = np.arange(first_bin, first_bin + n_bins)
        return np.take(scipy.fft.fft(iq, n_fft), k, mode="wrap")
    k = np.arange(first_bin, first_bin + n_bins)
    chirp = unit_phasor(turns / 2 * np.arange(max(n, n - first_bin, k[-1] + 1)) ** 2.0)
    size = scipy.fft.next_fast_len(n + n_bins - 1)
    kernel = np.zeros(size, np.complex64)
    kernel[:n_bins] = chirp[np.abs(k)]
    kernel[size - n + 1 :] = chirp[np.abs(np.arange(first_bin - n + 1, first_bin))]
    product = scipy.fft.fft(iq * chirp[:n].conj(), size) * scipy.fft.fft(kernel)
    return np.asarray(scipy.fft.ifft(product)[:n_bins] * chirp[np.abs(k)].conj(), np.complex64)


def _taper(n: int) -> Float32:
    """float32 [n], a Tukey window."""
    edge = min(n // 2, math.ceil(_TAPER / 2 * n))
    ramp = np.sin(np.pi / 2 * (np.arange(edge) + 0.5) / max(edge, 1)) ** 2
    taper = np.ones(n, np.float32)
    taper[:edge], taper[n - edge :] = ramp, ramp[::-1]
    return taper


def _whitened(bins: Complex64, window: Window) -> Complex64:
    """Each band over its own level, without carriers, and without bands of the stop band."""
    bands = bins.reshape(window.n_bands, window.bins_in_band)
    power = bands.real**2 + bands.imag**2
    n = window.bins_in_band
    kept = n - max(min(_TRIM_BINS, n // 2), round(_TRIM_SHARE * n))
    level = np.partition(power, kept, axis=1)[:, :kept].mean(axis=1, keepdims=True)
    floor = max(float(level.max()) * _DYNAMIC_RANGE, float(np.finfo(np.float32).tiny))
    white = bands * np.where(level > floor, 1 / np.sqrt(np.maximum(level, floor)), 0)
    white[power >= _LINE**2 * level] = 0
    return np.asarray(white, np.complex64).reshape(-1)
