"""A Fourier transform of tens of thousands of samples, as fast as NumPy and SciPy can."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from heimdall_edge.types import Complex64

MOST_ROWS, LEAST_COLUMNS = 1_024, 32
"""More rows would slow the first pass down, fewer columns the second one."""


def phasor(cycles: NDArray[np.floating[Any]]) -> Complex64:
    """Unit vectors at angles in cycles, worked out in the angles' own precision."""
    unit: Complex64 = np.exp(2j * np.pi * cycles).astype(np.complex64)
    return unit


class LongFft:
    """A long transform in two passes of short ones (Cooley and Tukey's, the rows by columns).

    pocketfft vectorises over transforms, not within one, and allocates as much as it transforms:
    many short ones are faster than a few long ones, and take no fresh pages from the system. And
    the second pass may leave out what nobody wants: each of its transforms gives every
    ``n_rows``-th bin, so there are many rows, for a narrow channel to need few of them.
    """

    def __init__(self, n_fft: int) -> None:
        most = max(math.isqrt(n_fft), min(MOST_ROWS, n_fft // LEAST_COLUMNS))
        self._n_rows = max(n for n in range(1, most + 1) if n_fft % n == 0)
        self._n_columns = n_fft // self._n_rows
        products = np.outer(np.arange(self._n_rows), np.arange(self._n_columns))
        self._twiddles = phasor(-products / n_fft)
        self.keep(np.arange(n_fft))

    def keep(self, bins: NDArray[np.int64]) -> None:
        """Compute only these bins from now on, and those that cost nothing more."""
        self._rows = np.unique(bins % self._n_rows)
        self._kept_twiddles = self._twiddles[self._rows]

    def of(self, frames: Complex64) -> Complex64:
        """Put frames' spectra in their place, in :meth:`position`s.

        Parameters
        ----------
        frames : complex64 [n_frames, n_fft]

        Returns
        -------
        complex64 [n_frames, n_kept]
        """
        rows = frames.reshape(-1, self._n_rows, self._n_columns)
        columns = scipy.fft.fft(rows, axis=1, overwrite_x=True)
        if len(self._rows) < self._n_rows:
            columns = columns[:, self._rows]
        columns *= self._kept_twiddles
        spectra: Complex64 = scipy.fft.fft(columns, axis=2, overwrite_x=True)
        return spectra.reshape(len(frames), -1)

    def position(self, bins: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where bins that are kept stand in :meth:`of`'s output."""
        columns, rows = np.divmod(bins % (self._n_rows * self._n_columns), self._n_rows)
        return np.searchsorted(self._rows, rows) * self._n_columns + columns
