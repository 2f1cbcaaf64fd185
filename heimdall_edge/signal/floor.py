"""The noise floor of a channel, found among cells of time and frequency.

A low quantile of the cells is noise as long as a tenth of them is free: beside a carrier that
never ends (frequency), between transmissions that fill the channel (time), or both. What the
quantile reads too low is known, for averaged power of noise is gamma distributed, and is put back.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from heimdall_edge.types import Float32, Float64

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


class _LevelHistogram:
    """Levels of late, in steps of 0.1 dB, each with a weight that fades; and their low quantile."""

    def __init__(self, shape: float) -> None:
        self._weights: Float64 = np.zeros(_N_STEPS, np.float64)
        self._correction = gamma_quantile(shape, _QUANTILE)

    def add(self, power: Float32, *, fading: float) -> None:
        level_db = 10 * np.log10(np.maximum(power[np.isfinite(power)], LEAST_NOISE_POWER))
        steps = ((level_db - _LEAST_DB) / _DB_PER_STEP).astype(np.intp)
        self._weights *= fading
        self._weights += np.bincount(np.clip(steps, 0, _N_STEPS - 1), minlength=_N_STEPS)

    @property
    def noise_power(self) -> float | None:
        """Mean of the noise whose low quantile this is; None while empty."""
        below = np.cumsum(self._weights)
        if below[-1] == 0:
            return None
        wanted = _QUANTILE * below[-1]
        step = int(np.searchsorted(below, wanted))
        within = 1 - (below[step] - wanted) / self._weights[step]
        low_db = _LEAST_DB + (step + within) * _DB_PER_STEP
        return float(10 ** (low_db / 10)) / self._correction


class NoiseFloor:
    """Tracks a channel's noise by the levels of the last minute.

    Two kinds of level fall into histograms that forget with a time constant of 20 s: those of
    single columns over 16 frames (a carrier that never ends leaves most of them free) and those of
    single frames over the whole channel (short pauses between bursts are free). The floor is the
    lower of their 10 % quantiles, corrected. It falls within 5 s of the noise, rises within a
    minute, and outlasts whatever leaves a tenth of either kind free meanwhile.
    """

    def __init__(self, *, n_columns: int) -> None:
        self._columns = _LevelHistogram(independent_averages(_FRAMES_PER_CELL))
        self._frames = _LevelHistogram(independent_columns(n_columns))
        self.power: float | None = None
        """Mean noise level on the scale of the frames, linear; None before the first."""

    @staticmethod
    def whole_cells(n_frames: int) -> int:
        """The least number of frames that is not under ``n_frames`` and leaves none over."""
        return max(1, math.ceil(n_frames / _FRAMES_PER_CELL)) * _FRAMES_PER_CELL

    def update(self, density: Float32, *, hop_s: float) -> None:
        """Learn from frames, float32 [n_frames, n_columns], but for those that fill no cell."""
        n_cells = len(density) // _FRAMES_PER_CELL
        if n_cells == 0:
            return
        cells = density[: n_cells * _FRAMES_PER_CELL].reshape(n_cells, _FRAMES_PER_CELL, -1)
        fading = math.exp(-n_cells * _FRAMES_PER_CELL * hop_s / _MEMORY_S)
        self._columns.add(cells.mean(axis=1), fading=fading)
        self._frames.add(cells.mean(axis=2), fading=fading)
        found = [self._columns.noise_power, self._frames.noise_power]
        self.power = min((p for p in found if p is not None), default=None)
