"""One spectrum, many channels: each is a handful of its bins, filtered, and transformed back."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from heimdall_edge.signal.channel_plan import FramePlan
from heimdall_edge.signal.long_fft import LongFft, phasor
from heimdall_edge.types import ChannelSpec, Complex64, Float32, Float64


class _Tuning(NamedTuple):
    """What a bank needs to know of one channel."""

    channel: ChannelSpec
    bins: NDArray[np.int64]
    """int64 [n_bins], from 0 to n_fft - 1, in the order of the small transform."""
    response: Float32
    """float32 [n_bins]."""
    residual: Complex64
    """complex64 [n_kept]: from the nearest bin to its exact centre."""
    step: int
    """Oscillator steps a sample; 2**64 are a cycle, and wrap exactly."""


class ChannelBank:
    """The channels of one width, cut out of the spectrum of the whole band.

    Parameters
    ----------
    plan
        Of the frames.
    fft
        What gives the frames' spectra.
    bandwidth_hz, decimation
        Of all its channels.
    """

    def __init__(
        self, plan: FramePlan, fft: LongFft, *, bandwidth_hz: float, decimation: int
    ) -> None:
        self._plan = plan
        self._fft = fft
        self.bandwidth_hz = bandwidth_hz
        self.decimation = decimation
        """Input samples an output sample."""
        self._n_bins = plan.n_fft // decimation
        self.n_kept = plan.hop // decimation
        self._kept = slice(plan.margin // decimation, plan.margin // decimation + self.n_kept)
        self._all: list[_Tuning] = []
        self.channels: tuple[ChannelSpec, ...] = ()
        """Those that are computed, in the order of the output's rows."""

    def add(self, channel: ChannelSpec, taps: Float64, offset: Fraction) -> None:
        """Add a channel whose centre lies ``offset`` cycles a sample from the band's.

        It is computed once :meth:`limit_to` has named it and :meth:`find_bins` found its bins.
        """
        plan = self._plan
        center = round(offset * plan.n_fft)
        # In the order of the small transform: the upper half of the channel comes first.
        bins = center + np.fft.fftfreq(self._n_bins, 1 / self._n_bins).astype(np.int64)
        response = _response(taps, float(offset), plan.n_fft)[bins % plan.n_fft] / self.decimation
        kept_samples = self.decimation * np.arange(self.n_kept)
        start = center * plan.margin % plan.n_fft / plan.n_fft
        self._all.append(
            _Tuning(
                channel,
                bins % plan.n_fft,
                response.astype(np.float32),
                phasor(start + float(Fraction(center, plan.n_fft) - offset) * kept_samples),
                round(offset * 2**64) % 2**64,
            )
        )

    def limit_to(self, channels: Collection[str]) -> None:
        """Compute the channels of these names only."""
        chosen = [tuning for tuning in self._all if tuning.channel.name in channels]
        n = len(chosen)
        self.channels = tuple(tuning.channel for tuning in chosen)
        self.bins = np.reshape([t.bins for t in chosen], (n, self._n_bins)).astype(np.int64)
        """int64 [n_channels, n_bins]: what is needed of the spectrum."""
        self._responses = np.reshape([t.response for t in chosen], (n, self._n_bins))
        self._residuals = np.reshape([t.residual for t in chosen], (n, self.n_kept))
        self._steps = np.array([t.step for t in chosen], np.uint64)

    def find_bins(self) -> None:
        """Learn where the bins stand in the spectra: after each :meth:`LongFft.keep`."""
        self._positions = self._fft.position(self.bins)

    def filter(self, spectra: Complex64, first_index: int, *, out: Complex64) -> None:
        """Compute the channels' samples, at the channels' own rate and each about its centre.

        Parameters
        ----------
        spectra : complex64 [n_frames, n_kept]
            As the long transform orders them.
        first_index : int
            Of the input sample at the first frame's first output.
        out : complex64 [n_channels, n_frames, n_kept]
        """
        if not self.channels:
            return
        own = np.take(spectra, self._positions, axis=1)
        own *= self._responses
        filtered = scipy.fft.ifft(own, overwrite_x=True)[:, :, self._kept]
        indices = [(first_index + i * self._plan.hop) % 2**64 for i in range(len(spectra))]
        turns = np.array(indices, np.uint64)[:, None] * self._steps
        filtered *= phasor(turns * -(2.0**-64))[:, :, None]
        np.multiply(filtered, self._residuals, out=out.swapaxes(0, 1))


def _response(taps: Float64, center_cycles: float, n_fft: int) -> Float64:
    """The taps' response about a centre in cycles a sample; float64 [n_fft], real: no delay."""
    n = np.arange(len(taps)) - len(taps) // 2
    shifted = np.zeros(n_fft, np.complex128)
    shifted[n] = taps * np.exp(2j * np.pi * center_cycles * n)
    response: Float64 = scipy.fft.fft(shifted).real
    return response
