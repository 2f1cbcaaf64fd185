"""How much later one receiver heard it than another: the delay between two spectra.

::

    Spectrum ─┐
    Spectrum ─┴▶ rough peak ─▶ coherence, band by band ─▶ weighted correlation ─▶ PairDelay

The generalised cross-correlation of Knapp and Carter (1976), with maximum-likelihood weights read
from the measured coherence. There is a delay only where one peak stands out of the noise, and
out of the correlation's other peaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from heimdall_edge.signal.spectrum import Spectrum, Window, unit_phasor
from heimdall_edge.types import Complex64, Float32, Float64

_FALSE_PEAK = 12.0
"""A peak's power must be over ln(places tried) + this, where the mean without a signal is 1:
one pair in 160,000 passes by chance."""
_RIVAL_SHARE = 0.9
"""A second peak this near the first, both over the lowest point (a carrier lifts all alike), makes
the delay ambiguous, whatever the noise …"""
_RIVAL_SIGMAS = 4.0
"""… and so does one that the noise may have put second."""
_NULL_COHERENCE = 8.0
"""Over the number of its bins: a band's coherence under this is none. Noise passes in 1 of 3,000
bands: at the channel's edge, far from the others, even a weak one would pull the delay hard."""
_MAX_COHERENCE = 0.9999
_TINY = 1e-30
_OFFSET_TOLERANCE = 0.1
"""Cycles in a window: a smaller difference in frequency costs less than 2 % of the peak."""
_MAX_SIGMA_SHARE = 0.125
"""Of the range that is searched: a delay that is known no better is none."""
_NEWTON_STEPS = 6
_MAX_REFINEMENTS = 4
_STANDS_STILL = 0.02
"""Of σ: a smaller step is none."""


@dataclass(frozen=True, slots=True)
class PairDelay:
    """By how much one receiver's signal is later than another's."""

    delay_s: float
    sigma_s: float
    """Of the noise alone, from the measured coherence; neither clocks nor paths are in it."""
    offset_hz: float = 0.0
    """By how much the later receiver reads a higher frequency."""


def pair_delay(
    late: Spectrum,
    early: Spectrum,
    *,
    max_delay_s: float,
    max_offset_hz: float = 0.0,
) -> PairDelay | None:
    """Measure the delay of one receiver's signal after the other's.

    Parameters
    ----------
    late, early
        On one window. The delay is positive where ``late`` is later.
    max_delay_s
        The delay is sought within ± this.
    max_offset_hz
        The receivers' frequencies may differ by up to this; 0 where they share a reference.

    Returns
    -------
    PairDelay or None
        None where no peak is over the noise, or where more than one may be the true one.
    """
    offset_hz = 0.0
    peak_s = _rough_peak(late, early, max_delay_s)
    if max_offset_hz > 0:
        offset_hz = frequency_offset(late, early, max_offset_hz, max_delay_s, delay_s=peak_s)
    if abs(offset_hz) * late.window.duration_s > _OFFSET_TOLERANCE:
        late = Spectrum.of(late.snippet, late.window, lower_by_hz=offset_hz)
        peak_s = _rough_peak(late, early, max_delay_s)
    if peak_s is None:
        return None
    bands = CrossBands.of(late, early, peak_s)
    gain = np.repeat(bands.gain, late.window.bins_in_band).astype(np.float32)
    cross = late.bins * early.bins.conj() * gain
    weighted = _Correlation.of(cross, late.window, max_delay_s, rms=bands.noise_rms)
    if weighted.is_ambiguous:
        return None
    fine = _refined(late, early, weighted.best_s)
    if fine is None or fine[1] > _MAX_SIGMA_SHARE * max_delay_s:
        return None
    return PairDelay(*fine, offset_hz)


def _rough_peak(late: Spectrum, early: Spectrum, max_delay_s: float) -> float | None:
    """The delay of the highest point, s, if noise alone does not make one as high."""
    cross = late.bins * early.bins.conj()
    correlation = _Correlation.of(cross, late.window, max_delay_s, rms=float(np.linalg.norm(cross)))
    power = float(correlation.height.max()) ** 2
    is_clear = power > _FALSE_PEAK + math.log(len(correlation.height))
    return correlation.best_s if is_clear else None


def _refined(late: Spectrum, early: Spectrum, delay_s: float) -> tuple[float, float] | None:
    """The delay and its σ, s: the bands are measured anew until the delay stands still."""
    for _ in range(_MAX_REFINEMENTS):
        fine = CrossBands.of(late, early, delay_s).fit(delay_s)
        if fine is None or abs(fine[0] - delay_s) < _STANDS_STILL * fine[1]:
            return fine
        delay_s = fine[0]
    return fine


def frequency_offset(
    late: Spectrum,
    early: Spectrum,
    max_offset_hz: float,
    max_delay_s: float,
    *,
    delay_s: float | None,
) -> float:
    """By how much ``late`` reads a higher frequency, Hz.

    At the right delay the product of one with the other's conjugate holds a line at the offset:
    the highest of all delays in the range is taken, or that at ``delay_s`` where it is known.
    """
    duration_s = late.window.duration_s
    n = scipy.fft.next_fast_len(late.window.n_bins)
    x, y = scipy.fft.ifft(late.bins, n), scipy.fft.ifft(early.bins, n).conj()
    step = max(1, int(n / duration_s / (4 * max_offset_hz)))
    size = scipy.fft.next_fast_len(4 * (n // step))
    offsets_hz = np.fft.fftfreq(size, step * duration_s / n)
    sought = np.abs(offsets_hz) <= max_offset_hz
    reach = math.ceil(max_delay_s * n / duration_s)
    lags = range(-reach, reach + 1) if delay_s is None else [round(delay_s * n / duration_s)]
    best_power, best_hz = 0.0, 0.0
    for lag in lags:
        product = (x * np.roll(y, lag))[: n // step * step].reshape(-1, step).sum(axis=1)
        line = np.abs(scipy.fft.fft(product, size)) ** 2
        top = int(np.argmax(line * sought))
        if line[top] > best_power:
            best_power = float(line[top])
            best_hz = float(offsets_hz[top] + _vertex(line, top) * offsets_hz[1])
    return best_hz


def _vertex(height: Float32, top: int) -> float:
    """Where the parabola through a top and its neighbours has its own, in steps from the top."""
    below, at, above = (float(height[(top + i) % len(height)]) for i in (-1, 0, 1))
    bend = 2 * at - below - above
    return 0.5 * (above - below) / bend if bend > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Correlation:
    """|Correlation| over the delays that are sought."""

    delays_s: Float64
    height: Float64
    """Over the rms of what noise makes of it."""

    @classmethod
    def of(
        cls, cross: Complex64, window: Window, max_delay_s: float, *, rms: float
    ) -> _Correlation:
        """Sum groups of bins first, so narrow that the longest delay is a quarter turn in one."""
        in_group = max(1, int(window.duration_s / (4 * max_delay_s)))
        groups = np.add.reduceat(cross, np.arange(0, len(cross), in_group))
        size = scipy.fft.next_fast_len(4 * len(groups))
        step_s = window.duration_s / in_group / size
        reach = min(math.ceil(max_delay_s / step_s), size // 2 - 1)
        height = np.abs(scipy.fft.ifft(groups, size, norm="forward"))
        around = np.concatenate((height[-reach:], height[: reach + 1]))
        delays_s = np.asarray(np.arange(-reach, reach + 1) * step_s, np.float64)
        return cls(delays_s, np.asarray(around / max(rms, _TINY), np.float64))

    @property
    def best_s(self) -> float:
        return float(self.delays_s[np.argmax(self.height)])

    @property
    def is_ambiguous(self) -> bool:
        """Whether a point outside the main lobe may be the true peak."""
        top = int(np.argmax(self.height))
        rises = np.diff(self.height) >= 0
        right = top + int(np.argmax(np.append(rises[top:], True)))
        left = top - int(np.argmax(np.append(~rises[:top][::-1], True)))
        outside = np.concatenate((self.height[:left], self.height[right + 1 :]))
        highest, lowest = float(self.height[top]), float(self.height.min())
        lead = highest - float(outside.max(initial=-math.inf))
        return lead < max(_RIVAL_SIGMAS, (1 - _RIVAL_SHARE) * (highest - lowest))


@dataclass(frozen=True, slots=True, eq=False)
class CrossBands:
    """The cross-spectrum of a pair, band by band; its phase falls with frequency by the delay."""

    hz: Float64
    """float64 [n_bands], where in each band the power in common lies."""
    cross: NDArray[np.complex128]
    """complex128 [n_bands], mean over the band, turned back by the delay at which it was taken."""
    information: Float64
    """float64 [n_bands], 1/rad²: the inverse variance of a band's phase; 0 where all is noise."""
    gain: Float64
    """float64 [n_bands]: what a whitened cross-spectrum is to be weighted with."""
    noise_rms: float
    """Of the weighted sum over all bins, at any delay."""

    @classmethod
    def of(cls, late: Spectrum, early: Spectrum, delay_s: float) -> CrossBands:
        """Measure the bands' coherence, at about the right delay."""
        window = late.window
        n = window.bins_in_band
        turned = late.bands * early.bands.conj()
        turned *= unit_phasor(delay_s * window.bin_hz).reshape(turned.shape)
        cross = np.asarray(np.mean(turned, axis=1, dtype=np.complex128))
        power = _mean_power(late) * _mean_power(early)
        raw = np.abs(cross) ** 2 / np.maximum(power, _TINY)
        # The mean of |coherence|² over n bins is too high by (1 − |coherence|²) / n.
        unbiased = np.clip((raw - 1 / n) / (1 - 1 / n), 0, _MAX_COHERENCE)
        coherence = np.where(raw > _NULL_COHERENCE / n, unbiased, 0)
        information = 2 * n * coherence / (1 - coherence)
        gain = information / np.sqrt(np.maximum(coherence * power, _TINY))
        noise_rms = math.sqrt(float((gain**2 * n * power * (1 - coherence)).sum()))
        return cls(_centroid(turned, cross, window), cross, information, gain, noise_rms)

    def fit(self, delay_s: float) -> tuple[float, float] | None:
        """The delay near ``delay_s`` at which |Σ gain·cross| is highest, and its σ; seconds.

        The bands must have been measured at ``delay_s``. None where they hold no delay.
        """
        if np.count_nonzero(self.information) < 2:
            return None
        omega = 2 * np.pi * (self.hz - np.average(self.hz, weights=self.information))
        sigma_s = 1 / math.sqrt(float((self.information * omega**2).sum()))
        step_s = 0.0
        for _ in range(_NEWTON_STEPS):
            turned = self.gain * self.cross * np.exp(1j * omega * step_s)
            total, slope, curve = ((turned * (1j * omega) ** k).sum() for k in range(3))
            first = (np.conj(total) * slope).real
            second = abs(slope) ** 2 + (np.conj(total) * curve).real
            if second >= 0:
                return None  # no peak here
            step_s -= float(first / second)
        lobe_s = 1 / float(np.ptp(self.hz))
        return (delay_s + step_s, sigma_s) if abs(step_s) < lobe_s else None


def _mean_power(spectrum: Spectrum) -> Float64:
    bands = spectrum.bands
    return np.asarray(np.mean(bands.real**2 + bands.imag**2, axis=1, dtype=np.float64))


def _centroid(turned: Complex64, aligned: NDArray[np.complex128], window: Window) -> Float64:
    """float64 [n_bands], Hz: how fast a band's phase turns with delay.

    A carrier in a corner of its band turns as the corner does, and not as the middle.
    """
    n = window.bins_in_band
    place = (np.arange(n) - (n - 1) / 2) / n
    moment = (turned @ place.astype(np.float32)) / n
    share = (moment * aligned.conj()).real / np.maximum(np.abs(aligned) ** 2, _TINY)
    return np.asarray(window.band_hz + np.clip(share, -0.5, 0.5) * n / window.duration_s)
