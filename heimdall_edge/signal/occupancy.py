"""Where in its channel a signal lies: occupied bandwidth and offset, from its mean spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from heimdall_edge.signal.floor import independent_averages
from heimdall_edge.signal.stft import Stft, band_columns, hann
from heimdall_edge.types import Complex64, Float64

LEAST_SAMPLES = 16
"""Fewer have no spectrum worth the name."""

_COLUMNS_IN_BAND = 128
_TAIL = 0.005
_FLOOR_MARGIN_DB = 1.0
"""The tracked floor may be this much too low."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelSpectrum:
    """Mean power density of a burst, and the part of it that lies in the channel."""

    density: Float64
    """float64 [n_fft], from -rate / 2 up; white noise of power σ² reads σ²."""
    n_frames: int
    sample_rate_hz: float
    bandwidth_hz: float

    @classmethod
    def of(cls, iq: Complex64, *, sample_rate_hz: float, bandwidth_hz: float) -> ChannelSpectrum:
        """Average half-overlapped Hann frames (Welch), at least seven where there is room."""
        finest = 2 * round(_COLUMNS_IN_BAND / 2 * sample_rate_hz / bandwidth_hz)
        stft = Stft(hann(max(LEAST_SAMPLES, min(finest, len(iq) // 8 * 2))))
        density = stft.mean_power_density(iq)
        return cls(density, stft.n_frames(len(iq)), sample_rate_hz, bandwidth_hz)

    @property
    def columns(self) -> slice:
        """The columns within the channel."""
        return band_columns(len(self.density), self.sample_rate_hz, self.bandwidth_hz)

    @property
    def share_in_channel(self) -> float:
        """Share of the power that lies in the channel, 0…1."""
        total = float(self.density.sum())
        return float(self.density[self.columns].sum()) / total if total > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What a signal takes up of its channel."""

    bandwidth_hz: float
    """Holds 99 % of the signal's power."""
    centroid_hz: float
    """Centre of the signal's power, from the channel's centre."""


def occupancy(spectrum: ChannelSpectrum, *, noise_power: float) -> Occupancy | None:
    """Occupied bandwidth by the β/2 method, and the centre of power; None if all is noise.

    Half a per cent of the signal's power lies below the band and as much above (ITU-R SM.328,
    measured as SM.443 says). SM.443 wants 30 dB of SNR for it, which few bursts have: the noise is
    taken off first, and columns that noise alone may reach (four standard deviations of the mean,
    and a decibel for the floor's own error) count as empty.

    Parameters
    ----------
    noise_power
        Noise floor in the channel's bandwidth, linear.
    """
    step_hz = spectrum.sample_rate_hz / len(spectrum.density)
    columns = spectrum.columns
    noise = noise_power * max(spectrum.sample_rate_hz / spectrum.bandwidth_hz, 1.0)
    spread = 4 / math.sqrt(independent_averages(spectrum.n_frames))
    density = spectrum.density[columns]
    significant = density > noise * (10 ** (_FLOOR_MARGIN_DB / 10) + spread)
    signal = np.where(significant, density - noise, 0.0)
    total = float(signal.sum())
    if not total > 0:
        return None
    centers_hz = (np.arange(len(spectrum.density))[columns] - len(spectrum.density) // 2) * step_hz
    edges_hz = np.append(centers_hz - step_hz / 2, centers_hz[-1] + step_hz / 2)
    below = np.concatenate(([0.0], np.cumsum(signal) / total))
    low_hz, high_hz = np.interp([_TAIL, 1 - _TAIL], below, edges_hz)
    return Occupancy(
        bandwidth_hz=float(high_hz - low_hz),
        centroid_hz=float(np.dot(centers_hz, signal) / total),
    )
