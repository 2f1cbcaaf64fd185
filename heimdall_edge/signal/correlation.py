"""How much later one receiver heard it than another: the delay between two spectra.

::

    Spectrum ─▶ tuned ─┐
    Spectrum ──────────┴▶ CrossSpectrum ─▶ rough peak ─▶ coherence, band by band
                                  ─▶ weighted correlation ─▶ PairDelay

The generalised cross-correlation of Knapp and Carter (1976), with maximum-likelihood weights read
from the measured coherence. There is a delay only where one peak stands out of the noise, and
out of the correlation's other peaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from heimdall_edge.signal.frequency import frequency_offset
from heimdall_edge.signal.spectrum import BINS_IN_GROUP, Spectrum, Window, unit_phasor
from heimdall_edge.types import Complex64, Float64

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
_OFFSET_SIGMAS = 3.0
"""A difference in frequency within this many of its σ is none …"""
_OFFSET_TOLERANCE = 0.1
"""… if it is under so many cycles in a window, which cost 2 % of the peak. At this much, speech
25 dB over the noise would be pulled by three σ of its delay: hence the other limit."""
_MAX_SIGMA_SHARE = 0.125
"""Of the range that is searched: a delay that is known no better is none."""
_FEW_TURNS = 0.003
"""Bins whose phases differ by no more are summed as they are: costs 3e-5 of the coherence."""
_NEWTON_STEPS = 6
_STANDS_STILL = 0.001
"""Of σ: a smaller step of Newton's is the last."""
_MAX_REFINEMENTS = 3


@dataclass(frozen=True, slots=True)
class PairDelay:
    """By how much one receiver's signal is later than another's."""

    delay_s: float
    sigma_s: float
    """Of the noise alone, from the measured coherence; neither clocks nor paths are in it."""


def pair_delay(late: Spectrum, early: Spectrum, *, max_delay_s: float) -> PairDelay | None:
    """Measure the delay of one receiver's signal after the other's.

    Parameters
    ----------
    late, early
        On one window, at one frequency (``tuned``). The delay is positive where ``late`` is later.
    max_delay_s
        The delay is sought within ± this.

    Returns
    -------
    PairDelay or None
        None where no peak is over the noise, or where more than one may be the true one.
    """
    cross = CrossSpectrum.of(late, early, max_delay_s)
    peak = _rough_peak(cross, max_delay_s)
    if peak is None:
        return None
    bands = CrossBands.of(cross, peak.delay_s)
    weighted = _Correlation.of(cross, max_delay_s, gain=bands.gain, rms=bands.noise_rms)
    if weighted.is_ambiguous:
        return None
    fine = _refined(cross, bands, weighted.best_s)
    if fine is None or fine.sigma_s > _MAX_SIGMA_SHARE * max_delay_s:
        return None
    return fine


def tuned(late: Spectrum, early: Spectrum, *, max_delay_s: float, max_offset_hz: float) -> Spectrum:
    """``late`` at the frequencies that the other receiver reads, where they differ at all.

    Parameters
    ----------
    late, early
        On one window.
    max_delay_s, max_offset_hz
        The delay and the difference in frequency are sought within ± these.
    """
    if max_offset_hz <= 0:
        return late
    peak = _rough_peak(CrossSpectrum.of(late, early, max_delay_s), max_delay_s)
    delay_s = None if peak is None else peak.delay_s
    offset_hz = frequency_offset(late, early, max_offset_hz, max_delay_s, delay_s=delay_s)
    # The bound on the frequency of a line in noise (Rife and Boorstyn, 1974), in cycles.
    sigma = math.sqrt(6) / (2 * math.pi * peak.height) if peak else 0.0
    tolerance = min(_OFFSET_TOLERANCE, _OFFSET_SIGMAS * sigma)
    is_one_frequency = abs(offset_hz) * late.window.duration_s <= tolerance
    return late if is_one_frequency else late.lowered(offset_hz)


class _Peak(NamedTuple):
    delay_s: float
    height: float
    """Over the rms of noise."""


def _rough_peak(cross: CrossSpectrum, max_delay_s: float) -> _Peak | None:
    """The highest point, if noise alone does not make one as high."""
    correlation = _Correlation.of(cross, max_delay_s, rms=cross.norm)
    height = float(correlation.height.max())
    is_clear = height**2 > _FALSE_PEAK + math.log(len(correlation.height))
    return _Peak(correlation.best_s, height) if is_clear else None


def _refined(cross: CrossSpectrum, bands: CrossBands, near_s: float) -> PairDelay | None:
    """The delay and its σ: the bands are measured anew until they are, at the delay they give."""
    for _ in range(_MAX_REFINEMENTS):
        fine = bands.fit(near_s)
        if fine is None or abs(fine.delay_s - bands.delay_s) < bands.reach_s:
            return fine
        near_s = fine.delay_s
        bands = CrossBands.of(cross, near_s)
    return bands.fit(near_s)


@dataclass(frozen=True, slots=True, eq=False)
class _Correlation:
    """|Correlation| over the delays that are sought."""

    delays_s: Float64
    height: Float64
    """Over the rms of what noise makes of it."""

    @classmethod
    def of(
        cls,
        cross: CrossSpectrum,
        max_delay_s: float,
        *,
        gain: Float64 | None = None,
        rms: float,
    ) -> _Correlation:
        """Sum groups of bins first, so narrow that the longest delay is a quarter turn in one.

        Each band counts ``gain`` [n_bands] times. Noise makes ``rms`` of all of them.
        """
        window = cross.window
        bands = cross.groups if gain is None else cross.groups * gain[:, np.newaxis]
        finer = max(1, int(window.duration_s / (4 * max_delay_s * cross.bins_in_group)))
        in_group = finer * cross.bins_in_group
        groups = np.add.reduceat(bands.reshape(-1), np.arange(0, bands.size, finer))
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
class CrossSpectrum:
    """A pair's cross-spectrum, summed over groups of bins in which no delay turns the phase."""

    window: Window
    groups: Complex64
    """complex64 [n_bands, groups_in_band]"""
    bins_in_group: int
    band_power: Float64
    """float64 [n_bands], the product of both receivers' mean powers."""
    norm: float
    """Root of the sum of its power over all bins: what a sum of random phases comes to."""

    @classmethod
    def of(cls, late: Spectrum, early: Spectrum, max_delay_s: float) -> CrossSpectrum:
        """Multiply the bins of one with the other's conjugates."""
        window = late.window
        most = min(BINS_IN_GROUP, window.duration_s / max_delay_s * _FEW_TURNS)
        bins_in_group = 1 << max(0, int(math.log2(most))) if most > 0 else 1
        x, y = (s.bins.reshape(-1, bins_in_group) for s in (late, early))
        groups = np.einsum("ij,ij->i", x, y.conj()).reshape(window.n_bands, -1)
        norm = math.sqrt(float(late.power @ early.power))
        return cls(window, groups, bins_in_group, late.band_power * early.band_power, norm)

    @property
    def place(self) -> Float64:
        """float64 [groups_in_band], the groups' middles over the band's width, from its middle."""
        n = self.groups.shape[1]
        return np.asarray((np.arange(n) - (n - 1) / 2) / n)


@dataclass(frozen=True, slots=True, eq=False)
class CrossBands:
    """The cross-spectrum of a pair, band by band; its phase falls with frequency by the delay."""

    delay_s: float
    """At which they were measured."""
    reach_s: float
    """As far from it they hold."""
    hz: Float64
    """float64 [n_bands], where in each band the power in common lies."""
    cross: NDArray[np.complex128]
    """complex128 [n_bands], mean over the band, turned back by ``delay_s``."""
    information: Float64
    """float64 [n_bands], 1/rad²: the inverse variance of a band's phase; 0 where all is noise."""
    gain: Float64
    """float64 [n_bands]: what a whitened cross-spectrum is to be weighted with."""
    noise_rms: float
    """Of the weighted sum over all bins, at any delay."""

    @classmethod
    def of(cls, product: CrossSpectrum, delay_s: float) -> CrossBands:
        """Measure the bands' coherence, at about the right delay."""
        n, power = product.window.bins_in_band, product.band_power
        width_hz = n / product.window.duration_s
        band_hz, place = product.window.band_hz, product.place
        turned = product.groups * unit_phasor(delay_s * (band_hz[:, np.newaxis] + place * width_hz))
        cross = np.asarray(turned.sum(axis=1, dtype=np.complex128) / n)
        raw = np.abs(cross) ** 2 / np.maximum(power, _TINY)
        # The mean of |coherence|² over n bins is too high by (1 − |coherence|²) / n.
        unbiased = np.clip((raw - 1 / n) / (1 - 1 / n), 0, _MAX_COHERENCE)
        coherence = np.where(raw > _NULL_COHERENCE / n, unbiased, 0)
        information = 2 * n * coherence / (1 - coherence)
        gain = information / np.sqrt(np.maximum(coherence * power, _TINY))
        noise_rms = math.sqrt(float((gain**2 * n * power * (1 - coherence)).sum()))
        # A carrier in a corner of its band turns as the corner does, and not as the middle.
        moment = turned @ place.astype(np.float32) / n
        share = (moment * cross.conj()).real / np.maximum(np.abs(cross) ** 2, _TINY)
        hz = np.asarray(band_hz + np.clip(share, -0.5, 0.5) * width_hz)
        return cls(delay_s, _FEW_TURNS / width_hz, hz, cross, information, gain, noise_rms)

    def fit(self, near_s: float) -> PairDelay | None:
        """The delay near ``near_s`` at which |Σ gain·cross| is highest, and its σ.

        None where the bands hold no delay.
        """
        if np.count_nonzero(self.information) < 2:
            return None
        omega = 2 * np.pi * (self.hz - np.average(self.hz, weights=self.information))
        sigma_s = 1 / math.sqrt(float(self.information @ omega**2))
        # The sum over the bands, and its first two derivatives by the delay.
        terms = self.gain * self.cross * (1j * omega) ** np.arange(3)[:, np.newaxis]
        past_s = near_s - self.delay_s
        for _ in range(_NEWTON_STEPS):
            total, slope, curve = terms @ np.exp(1j * omega * past_s)
            second = abs(slope) ** 2 + (np.conj(total) * curve).real
            if second >= 0:
                return None  # no peak here
            step_s = -float((np.conj(total) * slope).real / second)
            past_s += step_s
            if abs(step_s) < _STANDS_STILL * sigma_s:
                break
        delay_s, lobe_s = self.delay_s + past_s, 1 / float(np.ptp(self.hz))
        return PairDelay(delay_s, sigma_s) if abs(delay_s - near_s) < lobe_s else None
