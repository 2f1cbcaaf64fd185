"""The noise floor of a channel, found among cells of time and frequency.

A low quantile of the cells is noise as long as a tenth of them is free: beside a carrier that
never ends (frequency), between transmissions that fill the channel (time), or both. What the
quantile reads too low is known, for averaged power of noise is gamma distributed, and is put back.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.types import Float32, Float64

Rows = NDArray[np.intp]
"""Indices of channels, ascending."""

LEAST_NOISE_POWER = 1e-15
"""-150 dBFS: under the floor of any converter; digital silence counts as this much noise."""

_HANN_OVERLAP_CORRELATION = (1 / 6) ** 2
"""Between the powers of two Hann frames that overlap by half, in white noise."""

_HANN_NEIGHBOUR_CORRELATIONS = ((2 / 3) ** 2, (1 / 6) ** 2)
"""Between the powers of a Hann frame's columns, one and two apart, in white noise."""

_FRAMES_PER_CELL = 16
_QUANTILE = 0.1
_MEMORY_S = 20.0
_DB_PER_STEP = 0.1
_LEAST_DB, _GREATEST_DB = 10 * math.log10(LEAST_NOISE_POWER), 30.0
_N_STEPS = round((_GREATEST_DB - _LEAST_DB) / _DB_PER_STEP)


def gamma_quantile(shape: float, probability: float) -> float:
    """Quantile of a gamma distribution of mean 1.

    Wilson & Hilferty, Proc. Nat. Acad. Sci. 17 (1931) 684: within 0.5 % for shape >= 4 and
    within 4 % for shape 1, at probabilities of 0.1 … 0.9.
    """
    z = NormalDist().inv_cdf(probability)
    return (1 - 1 / (9 * shape) + z / (3 * math.sqrt(shape))) ** 3


def independent_averages(n_frames: int) -> float:
    """How many independent spectra the mean of half-overlapped Hann frames is worth."""
    return n_frames / (1 + 2 * _HANN_OVERLAP_CORRELATION * (n_frames - 1) / n_frames)


def independent_columns(n_columns: int) -> float:
    """How many independent powers the mean of adjacent columns of one Hann frame is worth."""
    first, second = _HANN_NEIGHBOUR_CORRELATIONS
    excess = first * (n_columns - 1) + second * max(n_columns - 2, 0)
    return n_columns / (1 + 2 * excess / n_columns)


def quiet_level(density: Float64, *, n_frames: int, quantile: float = 0.25) -> float:
    """Noise level of one window, from the quiet columns of its mean spectrum.

    For a channel that is never silent: it needs a quarter of the band free, but no moment.

    Parameters
    ----------
    density : float64 [n_columns]
        Mean power density of half-overlapped Hann frames, columns within the channel only.
    n_frames
        How many frames it is the mean of.
    """
    low = float(np.quantile(density, quantile))
    return low / gamma_quantile(independent_averages(n_frames), quantile)


class _LevelHistograms:
    """Levels of late, in steps of 0.1 dB, each with a weight that fades; and their low quantile."""

    def __init__(self, n_channels: int, shape: float) -> None:
        self._weights: Float64 = np.zeros((n_channels, _N_STEPS), np.float64)
        self._lowest, self._highest = _N_STEPS - 1, 0
        """Steps that ever had a weight: a third of them, where nothing is at full scale."""
        self._correction = gamma_quantile(shape, _QUANTILE)

    def add(self, power: Float32, rows: Rows, *, fading: float) -> None:
        """Add levels of the channels in ``rows``, float32 [n_rows, n]."""
        is_finite = np.isfinite(power)
        level_db = 10 * np.log10(np.maximum(np.where(is_finite, power, 1.0), LEAST_NOISE_POWER))
        steps = ((level_db - _LEAST_DB) / _DB_PER_STEP).astype(np.intp).clip(0, _N_STEPS - 1)
        self._weights[rows, self._used] *= fading
        self._lowest = min(self._lowest, int(steps.min()))
        self._highest = max(self._highest, int(steps.max()))
        cells = steps + rows[:, None] * _N_STEPS
        np.add.at(self._weights.reshape(-1), cells[is_finite], 1.0)

    def noise_power(self, rows: Rows) -> Float64:
        """Mean of the noise whose low quantile this is, float64 [n_rows]; NaN while empty."""
        weights = self._weights[rows, self._used]
        below = np.cumsum(weights, axis=1)
        wanted = _QUANTILE * below[:, -1:]
        step = np.count_nonzero(below < wanted, axis=1)[:, None]
        at_step = np.take_along_axis(weights, step, axis=1)
        with np.errstate(invalid="ignore"):  # 0 / 0 where nothing was ever added
            within = 1 - (np.take_along_axis(below, step, axis=1) - wanted) / at_step
        low_db = _LEAST_DB + (self._lowest + step + within) * _DB_PER_STEP
        power: Float64 = 10 ** (low_db[:, 0] / 10) / self._correction
        return power

    @property
    def _used(self) -> slice:
        return slice(self._lowest, self._highest + 1)


class NoiseFloors:
    """Tracks the noise of channels of one width by the levels of the last minute.

    Two kinds of level fall into histograms that forget with a time constant of 20 s: those of
    single columns over 16 frames (a carrier that never ends leaves most of them free) and those of
    single frames over the whole channel (short pauses between bursts are free). The floor is the
    lower of their 10 % quantiles, corrected. It falls within 5 s of the noise, rises within a
    minute, and outlasts whatever leaves a tenth of either kind free meanwhile.
    """

    def __init__(self, *, n_channels: int, n_columns: int) -> None:
        self._columns = _LevelHistograms(n_channels, independent_averages(_FRAMES_PER_CELL))
        self._frames = _LevelHistograms(n_channels, independent_columns(n_columns))
        self.power: Float64 = np.full(n_channels, np.nan)
        """float64 [n_channels]: mean noise level on the scale of the frames, linear; NaN before
        the first."""

    @staticmethod
    def whole_cells(n_frames: int) -> int:
        """The least number of frames that is not under ``n_frames`` and leaves none over."""
        return max(1, math.ceil(n_frames / _FRAMES_PER_CELL)) * _FRAMES_PER_CELL

    def update(self, density: Float32, rows: Rows, *, hop_s: float) -> None:
        """Learn from frames, but for those that fill no cell.

        Parameters
        ----------
        density : float32 [n_rows, n_frames, n_columns]
        rows : intp [n_rows]
            The channels that they are of; the others' floors stay.
        """
        n_cells = density.shape[1] // _FRAMES_PER_CELL
        if n_cells == 0 or len(rows) == 0:
            return
        n_frames = n_cells * _FRAMES_PER_CELL
        cells = density[:, :n_frames].reshape(len(rows), n_cells, _FRAMES_PER_CELL, -1)
        fading = math.exp(-n_frames * hop_s / _MEMORY_S)
        # Sums by einsum: NumPy's own of so short rows take several times as long.
        per_column = np.einsum("rcfk->rck", cells) / np.float32(_FRAMES_PER_CELL)
        per_frame = np.einsum("rcfk->rcf", cells) / np.float32(cells.shape[3])
        self._columns.add(per_column.reshape(len(rows), -1), rows, fading=fading)
        self._frames.add(per_frame.reshape(len(rows), -1), rows, fading=fading)
        found = (self._columns.noise_power(rows), self._frames.noise_power(rows))
        self.power[rows] = np.fmin(*found)
