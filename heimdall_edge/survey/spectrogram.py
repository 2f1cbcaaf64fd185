"""The wideband spectrum of a stream of blocks: its mean, its peak, and how it passed in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heimdall_edge.signal.stft import Stft, hann
from heimdall_edge.types import NS_PER_S, Complex64, Float32, Float64, frozen_array

MIN_FFT, MAX_FFT = 1_024, 65_536
COLUMNS_PER_CHANNEL = 8
"""The narrowest channel is at least so many columns wide, within ``MAX_FFT``."""
MAX_COLUMNS = 2_048
"""Of the waterfall: about twice what a picture shows."""
MAX_ROWS = 512
"""Twice as many are halved, so that memory stays bounded however long it lasts."""
HANN_NOISE_COLUMNS = 1.5
"""Equivalent noise bandwidth of a Hann window."""
MEDIAN_OF_EXPONENTIAL = 0.693_147_18
"""Of mean 1: how the power of noise in one column of one spectrum is spread."""
QUIET_SHARE = 0.25
"""The noise is that of the quiet quarter of the time: bursts that fill the band are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Waterfall:
    """Power density by time and frequency."""

    power: Float32
    """float32 [n_rows, n_columns], linear, where a full-scale tone reads 1.0; oldest first, from
    -rate / 2 up; NaN where nothing was received."""
    row_ns: int
    start_utc_ns: int

    @property
    def duration_s(self) -> float:
        return len(self.power) * self.row_ns / NS_PER_S


class Spectrogram:
    """Takes a stream's samples, gap by gap, and keeps its spectra.

    Parameters
    ----------
    narrowest_hz
        Width of the narrowest channel, which decides on the resolution.
    """

    def __init__(self, *, sample_rate_hz: float, narrowest_hz: float) -> None:
        wanted = COLUMNS_PER_CHANNEL * sample_rate_hz / narrowest_hz
        n_fft = 1 << max(0, int(np.ceil(np.log2(wanted))))
        self.n_fft = min(MAX_FFT, max(MIN_FFT, n_fft))
        self.sample_rate_hz = sample_rate_hz
        self._stft = Stft(hann(self.n_fft), hop_length=self.n_fft)
        self._sum: Float64 = np.zeros(self.n_fft)
        self._max: Float32 = np.zeros(self.n_fft, np.float32)
        self._medians: list[Float32] = []
        self.n_frames = 0
        self._rest: Complex64 = np.empty(0, np.complex64)
        self._n_columns = min(self.n_fft, MAX_COLUMNS)
        self._rows: Float64 = np.zeros((2 * MAX_ROWS, self._n_columns))
        self._weights: Float64 = np.zeros(2 * MAX_ROWS)
        self._row_ns = round(self.n_fft * NS_PER_S / sample_rate_hz)
        self._start_utc_ns: int | None = None

    @property
    def frame_s(self) -> float:
        """How long one spectrum lasts."""
        return self.n_fft / self.sample_rate_hz

    @property
    def resolution_hz(self) -> float:
        """Width of the filter that a column is."""
        return HANN_NOISE_COLUMNS * self.sample_rate_hz / self.n_fft

    def feed(self, iq: Complex64, *, start_utc_ns: int, follows: bool) -> Float32:
        """Take the next samples.

        Returns
        -------
        float32 [n_frames, n_fft]
            Power density of the whole frames in them; what is left over waits for the next.
        """
        rest = self._rest if follows else self._rest[:0]
        early_ns = round(len(rest) * NS_PER_S / self.sample_rate_hz)
        joined = np.concatenate((rest, iq))
        density = self._stft.power_density(joined)
        self._rest = joined[len(density) * self.n_fft :]
        if len(density):
            self._add(density, start_utc_ns - early_ns)
        return density

    def _add(self, density: Float32, start_utc_ns: int) -> None:
        self._sum += density.sum(0, np.float64)
        np.maximum(self._max, density.max(0), out=self._max)
        self._medians.append(np.median(density, axis=1).astype(np.float32))
        self.n_frames += len(density)
        self._start_utc_ns = start_utc_ns if self._start_utc_ns is None else self._start_utc_ns
        narrow = density.reshape(len(density), self._n_columns, -1).max(axis=2)
        frame_ns = self.frame_s * NS_PER_S
        at_ns = start_utc_ns - self._start_utc_ns + np.arange(len(density)) * frame_ns
        while at_ns[-1] >= len(self._rows) * self._row_ns:
            self._halve()
        rows = np.maximum(at_ns / self._row_ns, 0).astype(np.intp)
        np.add.at(self._rows, rows, narrow)
        np.add.at(self._weights, rows, 1)

    def _halve(self) -> None:
        """Let one row stand for two."""
        for array in (self._rows, self._weights):
            pairs = array[0::2] + array[1::2]
            array[: len(pairs)], array[len(pairs) :] = pairs, 0
        self._row_ns *= 2

    @property
    def mean(self) -> Float64:
        """float64 [n_fft]: mean power in each column, where a full-scale tone reads 1.0."""
        return self._sum / max(1, self.n_frames) * self._tone

    @property
    def peak(self) -> Float64:
        """float64 [n_fft]: the greatest of any frame, on the same scale."""
        return self._max.astype(np.float64) * self._tone

    @property
    def noise_power(self) -> float:
        """In the whole band, by the quiet half of the columns, in the quiet quarter of the time."""
        medians = np.concatenate(self._medians) if self._medians else np.zeros(1)
        return float(np.quantile(medians, QUIET_SHARE)) / MEDIAN_OF_EXPONENTIAL

    @property
    def _tone(self) -> float:
        """What brings a density to the power of a tone in one column."""
        return HANN_NOISE_COLUMNS / self.n_fft

    def waterfall(self) -> Waterfall:
        """What passed, of at most 1,024 rows."""
        n_rows = int(np.flatnonzero(self._weights)[-1]) + 1 if self.n_frames else 0
        with np.errstate(invalid="ignore"):
            power = self._rows[:n_rows] / self._weights[:n_rows, None] * self._tone
        return Waterfall(
            frozen_array(power.astype(np.float32)), self._row_ns, self._start_utc_ns or 0
        )
