"""Windows of several receivers as spectra on one grid of frequencies and of UTC.

The receivers' rates and first samples differ a little. The chirp-z transform takes each window at
the very same frequencies, its phase counted from the very same instant: nothing is resampled or
interpolated, and the spectra of different receivers can be multiplied bin by bin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from heimdall_edge.types import NS_PER_S, Complex64, Float32, Float64, IQSnippet, frozen_array

MIN_BINS = 128
"""Fewer frequencies than this hold no estimate of a coherence."""
_MAX_BANDS = 64
_MIN_BINS_IN_BAND = 64
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

        ValueError where they are fewer than ``MIN_BINS``.
        """
        n_bins = math.floor(sample_rate_hz * duration_s)
        if n_bins < MIN_BINS:
            raise ValueError(f"the window holds {n_bins} frequencies, expected {MIN_BINS} or more")
        n_bands = min(_MAX_BANDS, n_bins // _MIN_BINS_IN_BAND)
        return cls(start_utc_ns, duration_s, n_bands, n_bins // n_bands)

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
        return np.asarray(self.bin_hz.reshape(self.n_bands, -1).mean(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """What one receiver heard in a window, white: in each band the noise-like part has power 1."""

    snippet: IQSnippet
    window: Window
    bins: Complex64
    """complex64 [n_bins], at ``window.bin_hz``, phase from the window's start; read-only."""

    @classmethod
    def of(cls, snippet: IQSnippet, window: Window, *, lower_by_hz: float = 0.0) -> Spectrum:
        """Transform a snippet's share of the window, all frequencies lowered by an offset."""
        rate_hz = snippet.sample_rate_hz
        begin = (window.start_utc_ns - snippet.start_utc_ns) * rate_hz / NS_PER_S
        first = max(0, math.ceil(begin))
        end = min(len(snippet.iq), math.floor(begin + window.duration_s * rate_hz) + 1)
        iq = snippet.iq[first:end] * _taper(end - first)
        if lower_by_hz:
            iq *= unit_phasor(-lower_by_hz / rate_hz * np.arange(len(iq)))
        bins = chirp_z(iq, 1 / (window.duration_s * rate_hz), window.first_bin, window.n_bins)
        bins *= unit_phasor((begin - first) / rate_hz * window.bin_hz)
        return cls(snippet, window, frozen_array(_whitened(bins, window)))

    @property
    def bands(self) -> Complex64:
        """complex64 [n_bands, bins_in_band], the same numbers."""
        return self.bins.reshape(self.window.n_bands, self.window.bins_in_band)


def unit_phasor(turns: NDArray[np.floating[Any]]) -> Complex64:
    """e^(2πj·turns): float64 takes the whole turns off, then float32 is enough."""
    angle = ((turns - np.rint(turns)) * (2 * np.pi)).astype(np.float32)
    phasor = np.empty(angle.shape, np.complex64)
    phasor.real, phasor.imag = np.cos(angle), np.sin(angle)
    return phasor


def chirp_z(iq: Complex64, turns: float, first_bin: int, n_bins: int) -> Complex64:
    """Σ iq[n]·e^(−2πj·turns·k·n) at k = first_bin … first_bin + n_bins − 1 (Bluestein, 1970).

    A Fourier transform whose bins may lie at any distance, ``turns`` (cycles a sample).
    """
    n = len(iq)
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
    scale = np.where(level > floor, 1 / np.sqrt(np.maximum(level, floor)), 0)
    scale = np.where(power < _LINE**2 * level, scale, 0)
    return np.asarray(bands * scale, np.complex64).reshape(-1)
