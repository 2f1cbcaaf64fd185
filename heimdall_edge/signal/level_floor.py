"""The noise floor of a channel of which only its level is known, a few times a second."""

from __future__ import annotations

import math

import numpy as np

from heimdall_edge.types import Float64

_QUANTILE = 0.1
_MEMORY_S = 20.0
_SETTLE_S = 2.0
"""There is no floor before so much time has been heard."""
_DB_PER_STEP = 0.1
_LEAST_DB, _GREATEST_DB = -300.0, 300.0
_N_STEPS = round((_GREATEST_DB - _LEAST_DB) / _DB_PER_STEP)


class LevelFloor:
    """The level that a channel is under for a tenth of the time of late.

    It forgets with a time constant of 20 s: it falls within 5 s of the noise, rises within a
    minute, and outlasts whatever is silent for a tenth of that. A value is taken to be an average
    over many independent powers, so the quantile is the mean noise, but for some tenths of a dB.
    """

    def __init__(self) -> None:
        self._weight_s: Float64 = np.zeros(_N_STEPS, np.float64)
        self._heard_s = 0.0
        self.power: float | None = None
        """Linear; None before 2 s have been heard."""

    def add(self, power: float, *, duration_s: float) -> None:
        """Learn that the level had this linear power, over 0, for so long."""
        level_db = 10 * math.log10(power)
        step = math.floor((level_db - _LEAST_DB) / _DB_PER_STEP)
        self._weight_s *= math.exp(-duration_s / _MEMORY_S)
        self._weight_s[min(max(step, 0), _N_STEPS - 1)] += duration_s
        self._heard_s += duration_s
        if self._heard_s >= _SETTLE_S:
            self.power = self._quantile()

    def _quantile(self) -> float:
        below = np.cumsum(self._weight_s)
        wanted = _QUANTILE * below[-1]
        step = int(np.searchsorted(below, wanted))
        within = 1 - (below[step] - wanted) / self._weight_s[step]
        return float(10 ** ((_LEAST_DB + (step + within) * _DB_PER_STEP) / 10))
