"""Short-time power spectra of complex IQ: what detection, measuring and the mel share."""

from __future__ import annotations

import numpy as np
import scipy.fft

from heimdall_edge.types import Complex64, Float32, Float64

_VALUES_AT_ONCE = 2**19
"""Bounds the memory that a mean over a long signal takes."""


def hann(n_fft: int) -> Float32:
    """Periodic Hann window, float32 [n_fft]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def band_columns(n_fft: int, sample_rate_hz: float, bandwidth_hz: float) -> slice:
    """The columns of a power density that lie within ±``bandwidth_hz`` / 2."""
    reach = int(min(bandwidth_hz / sample_rate_hz, 1.0) * n_fft / 2 + 1e-9)
    return slice(n_fft // 2 - reach, min(n_fft // 2 + reach + 1, n_fft))


class Stft:
    """Two-sided short-time Fourier transform, of which only the power is kept.

    Parameters
    ----------
    window : float32 [n_fft]
        n_fft is even.
    hop_length
        Samples from one frame to the next; half of n_fft when left out.
    """

    def __init__(self, window: Float32, hop_length: int | None = None) -> None:
        self.n_fft = len(window)
        self.hop_length = hop_length or self.n_fft // 2
        energy = np.sum(np.square(window, dtype=np.float64))
        # A sign that alternates shifts the spectrum by half the rate: column 0 becomes -rate / 2.
        signs = np.where(np.arange(self.n_fft) % 2, -1.0, 1.0)
        self._window: Float32 = (signs * window / np.sqrt(energy)).astype(np.float32)

    def n_frames(self, n_samples: int) -> int:
        """How many whole frames fit."""
        return max(0, 1 + (n_samples - self.n_fft) // self.hop_length)

    def power_density(self, iq: Complex64) -> Float32:
        """Power density of each whole frame.

        Parameters
        ----------
        iq : complex64 [..., n_samples]

        Returns
        -------
        float32 [..., n_frames, n_fft]
            Column k at (k - n_fft / 2) / n_fft of the sample rate: both sides of complex IQ, lowest
            frequency first. White noise of power σ² reads σ² in every column; a frame's mean over
            the columns is therefore its power.
        """
        n_frames = self.n_frames(iq.shape[-1])
        shape = (*iq.shape[:-1], n_frames, self.n_fft)
        if n_frames == 0:
            return np.empty(shape, np.float32)
        iq = np.ascontiguousarray(iq)
        # A view, as by as_strided, which takes longer than the transform of a small block.
        strides = (*iq.strides[:-1], self.hop_length * iq.itemsize, iq.itemsize)
        frames = np.ndarray(shape, iq.dtype, iq, strides=strides)
        with np.errstate(over="ignore", invalid="ignore"):  # bad samples give inf or NaN: so be it
            spectra = scipy.fft.fft(frames * self._window, axis=-1, overwrite_x=True)
            parts = spectra.view(np.float32)
            np.square(parts, out=parts)
            density: Float32 = parts[..., 0::2] + parts[..., 1::2]
        return density

    def mean_power_density(self, iq: Complex64) -> Float64:
        """Mean of :meth:`power_density` over all whole frames (at least one), float64 [n_fft]."""
        n_frames = self.n_frames(len(iq))
        n_at_once = max(1, _VALUES_AT_ONCE // self.n_fft)
        total = np.zeros(self.n_fft, np.float64)
        for first in range(0, n_frames, n_at_once):
            last = min(first + n_at_once, n_frames) - 1
            part = iq[first * self.hop_length : last * self.hop_length + self.n_fft]
            total += self.power_density(part).sum(0, np.float64)
        return total / n_frames
