"""Wideband samples in, every channel's own samples out: fast convolution, one FFT for all.

::

                          ┌─ × response ─ small IFFT ─ × oscillator ─▶ channel 0
    frames ─ FFT ─ − mean ┼─ × response ─ small IFFT ─ × oscillator ─▶ channel 1
    (overlap-save)        └─ …

Frame k of a run covers samples ``k * hop`` to ``k * hop + n_fft``; the filters spoil ``margin``
samples at either end of it, and the ``hop`` samples between are kept. Frames lie on the run's own
grid, so the output does not depend on how the samples were cut into blocks.

A channel's filter is a Kaiser-windowed FIR, symmetric about its own sample (no delay in the time
stamps, only a wait of up to ``n_fft - margin`` samples), centred on the channel's exact frequency.
Of its response only the bins within the channel's output rate are computed: beyond them it is
100 dB down, so nothing needs to be folded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from heimdall_edge.signal.channel_plan import (
    FramePlan,
    channel_decimation,
    channel_taps,
    check_fits,
    plan_frames,
)
from heimdall_edge.types import ChannelSpec, Complex64, Float64

BATCH_SAMPLES = 131_072
"""Samples that are transformed at once, so that they stay in the processor's cache."""


class MeanTracker:
    """The converter's offset: the mean of all frames so far, later of the last few seconds.

    Parameters
    ----------
    nominal : float
        The offset that the sample format promises, on I and on Q, in the converter's own steps.
    max_deviation : float
        How far the offset may lie from it: what is beyond is a signal. 0: nothing is tracked.
    time_constant : float
        In samples.
    """

    def __init__(
        self, *, nominal: float, max_deviation: float = 0.0, time_constant: float = math.inf
    ) -> None:
        self._nominal = complex(nominal, nominal)
        self._max_deviation = max_deviation
        self._time_constant = time_constant
        self._n_seen = 0
        self._mean = self._nominal

    def track(self, frame_means: NDArray[Any], hop: int) -> NDArray[np.complex128]:
        """Take the means of frames ``hop`` samples apart; give what to subtract from each."""
        tracked = np.empty(len(frame_means), np.complex128)
        for i, frame_mean in enumerate(frame_means.tolist()):
            self._n_seen += 1
            weight = max(1 / self._n_seen, min(1.0, hop / self._time_constant))
            self._mean += weight * (frame_mean - self._mean)
            tracked[i] = self._mean
        deviation = (tracked - self._nominal).view(np.float64)
        limited = np.clip(deviation, -self._max_deviation, self._max_deviation)
        return limited.view(np.complex128) + self._nominal


class Channelizer:
    """Filters, shifts and decimates all channels of one receiver.

    Parameters
    ----------
    channels : sequence of ChannelSpec
        Any number, of any width and place within the band.
    full_scale : float
        What the samples are divided by.
    mean : MeanTracker
        Says what is subtracted from them first.

    Raises
    ------
    ValueError
        A channel does not fit into the band, or is too narrow for this rate.
    """

    def __init__(
        self,
        *,
        sample_rate_hz: float,
        center_freq_hz: float,
        channels: Sequence[ChannelSpec],
        full_scale: float,
        mean: MeanTracker,
    ) -> None:
        for channel in channels:
            check_fits(channel, sample_rate_hz=sample_rate_hz, center_freq_hz=center_freq_hz)
        self._mean = mean
        self.decimations = tuple(
            channel_decimation(sample_rate_hz, channel.bandwidth_hz) for channel in channels
        )
        """One a channel: input samples an output sample."""
        filters = [channel_taps(sample_rate_hz, c.bandwidth_hz) for c in channels]
        self.plan = plan_frames(
            sample_rate_hz=sample_rate_hz,
            half_length=max(len(taps) for taps in filters) // 2,
            quantum=math.lcm(*self.decimations),
        )
        self._spectrum = _Spectrum(self.plan.n_fft)
        self._banks = {divisor: _Bank(self.plan, divisor) for divisor in self.decimations}
        for channel, divisor, taps in zip(channels, self.decimations, filters, strict=True):
            offset_hz = Fraction(channel.frequency_hz) - Fraction(center_freq_hz)
            offset = offset_hz / Fraction(sample_rate_hz)
            self._banks[divisor].add(taps / full_scale, offset, self._spectrum)
        max_frames = max(1, BATCH_SAMPLES // self.plan.n_fft)
        self._frames = np.empty((max_frames, self.plan.n_fft), np.complex64)
        self._held = np.empty(max_frames * self.plan.hop + 2 * self.plan.margin, np.complex64)
        """Samples that no complete frame has used up yet; the first ``_n_held`` are valid."""
        self.restart(0)

    def restart(self, sample_index: int) -> None:
        """Forget all samples (not the mean); the next one fed has this index."""
        self._n_held = 0
        self.output_index = sample_index + self.plan.margin
        """Index of the input sample at which every channel's next output sample lies."""

    def feed(self, interleaved: NDArray[Any]) -> list[Complex64]:
        """Take the next samples; give each channel's new samples, complex64 [n_outputs].

        Parameters
        ----------
        interleaved : array, any real dtype, [2 * n_samples]
            I, Q, I, Q …
        """
        n_frames = self._n_complete(self._n_held + len(interleaved) // 2)
        outputs = {
            divisor: np.empty((bank.n_channels, n_frames, bank.n_kept), np.complex64)
            for divisor, bank in self._banks.items()
        }
        n_done = 0
        while len(interleaved):
            interleaved = self._hold(interleaved)
            if self._n_complete(self._n_held) == 0:
                break
            spectra = self._transform_held()
            done = slice(n_done, n_done + len(spectra))
            for divisor, bank in self._banks.items():
                bank.filter(spectra, self.output_index, out=outputs[divisor][:, done])
            self.output_index += len(spectra) * self.plan.hop
            n_done += len(spectra)
        rows = {divisor: iter(channels) for divisor, channels in outputs.items()}
        return [next(rows[divisor]).flatten() for divisor in self.decimations]

    def _n_complete(self, n_samples: int) -> int:
        """How many frames lie wholly within that many samples."""
        return max(0, (n_samples - 2 * self.plan.margin) // self.plan.hop)

    def _hold(self, interleaved: NDArray[Any]) -> NDArray[Any]:
        """Convert as many samples as there is room for; give back the rest."""
        n_taken = min(len(self._held) - self._n_held, len(interleaved) // 2)
        free = self._held[self._n_held : self._n_held + n_taken]
        free.view(np.float32)[:] = interleaved[: 2 * n_taken]
        self._n_held += n_taken
        return interleaved[2 * n_taken :]

    def _transform_held(self) -> Complex64:
        """Use up the complete frames; give their spectra less the mean, [n_frames, n_fft]."""
        n_fft, hop = self.plan.n_fft, self.plan.hop
        n_frames = self._n_complete(self._n_held)
        frames = self._frames[:n_frames]
        frames[:] = np.lib.stride_tricks.sliding_window_view(self._held, n_fft)[::hop][:n_frames]
        spectra = self._spectrum.of(frames)
        spectra[:, 0] -= n_fft * self._mean.track(spectra[:, 0] / n_fft, hop)
        n_left = self._n_held - n_frames * hop
        self._held[:n_left] = self._held[n_frames * hop : self._n_held]
        self._n_held = n_left
        return spectra


class _Spectrum:
    """A long transform in two passes of short ones (Cooley and Tukey's, the rows by columns).

    pocketfft vectorises over transforms, not within one, and allocates as much as it transforms:
    many short ones are faster than a few long ones, and take no fresh pages from the system.
    """

    def __init__(self, n_fft: int) -> None:
        self._n_rows = max(n for n in range(1, math.isqrt(n_fft) + 1) if n_fft % n == 0)
        self._n_columns = n_fft // self._n_rows
        products = np.outer(np.arange(self._n_rows), np.arange(self._n_columns))
        self._twiddles = _phasor(-products / n_fft)

    def of(self, frames: Complex64) -> Complex64:
        """Put frames' spectra in their place, complex64 [n_frames, n_fft], in :meth:`position`s."""
        rows = frames.reshape(-1, self._n_rows, self._n_columns)
        columns = scipy.fft.fft(rows, axis=1, overwrite_x=True)
        columns *= self._twiddles
        spectra: Complex64 = scipy.fft.fft(columns, axis=2, overwrite_x=True)
        return spectra.reshape(frames.shape)

    def position(self, bins: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where bins stand in :meth:`of`'s output; bin 0 is the first."""
        columns, rows = np.divmod(bins % (self._n_rows * self._n_columns), self._n_rows)
        return rows * self._n_columns + columns


class _Bank:
    """The channels that share one decimation, computed together."""

    def __init__(self, plan: FramePlan, decimation: int) -> None:
        self._plan = plan
        self._decimation = decimation
        self._n_bins = plan.n_fft // decimation
        self.n_kept = plan.hop // decimation
        self._kept = slice(plan.margin // decimation, plan.margin // decimation + self.n_kept)
        self._positions = np.empty((0, self._n_bins), np.int64)
        """int64 [n_channels, n_bins]: where a channel's bins stand in the spectrum."""
        self._responses = np.empty((0, self._n_bins), np.float32)
        """float32 [n_channels, n_bins]."""
        self._residuals = np.empty((0, self.n_kept), np.complex64)
        """complex64 [n_channels, n_kept]: from the nearest bin to the channel's exact centre."""
        self._steps = np.empty(0, np.uint64)
        """uint64 [n_channels]: oscillator steps a sample; 2**64 are a cycle, and wrap exactly."""

    @property
    def n_channels(self) -> int:
        return len(self._steps)

    def add(self, taps: Float64, offset: Fraction, spectrum: _Spectrum) -> None:
        """Add a channel whose centre lies ``offset`` cycles a sample from the band's."""
        plan = self._plan
        center = round(offset * plan.n_fft)
        # In the order of the small transform: the upper half of the channel comes first.
        bins = center + np.fft.fftfreq(self._n_bins, 1 / self._n_bins).astype(np.int64)
        response = _response(taps, float(offset), plan.n_fft)[bins % plan.n_fft] / self._decimation
        kept_samples = self._decimation * np.arange(self.n_kept)
        start = center * plan.margin % plan.n_fft / plan.n_fft
        residual = _phasor(start + float(Fraction(center, plan.n_fft) - offset) * kept_samples)
        step = np.array([round(offset * 2**64) % 2**64], np.uint64)
        self._positions = np.vstack([self._positions, spectrum.position(bins)])
        self._responses = np.vstack([self._responses, response.astype(np.float32)])
        self._residuals = np.vstack([self._residuals, residual])
        self._steps = np.append(self._steps, step)

    def filter(self, spectra: Complex64, first_index: int, *, out: Complex64) -> None:
        """Compute the channels' samples.

        Parameters
        ----------
        spectra : complex64 [n_frames, n_fft]
        first_index : int
            Of the input sample at the first frame's first output.
        out : complex64 [n_channels, n_frames, n_kept]
        """
        own = np.take(spectra, self._positions, axis=1)
        own *= self._responses
        filtered = scipy.fft.ifft(own, overwrite_x=True)[:, :, self._kept]
        indices = [(first_index + i * self._plan.hop) % 2**64 for i in range(len(spectra))]
        turns = np.array(indices, np.uint64)[:, None] * self._steps
        filtered *= _phasor(turns * -(2.0**-64))[:, :, None]
        np.multiply(filtered, self._residuals, out=out.swapaxes(0, 1))


def _response(taps: Float64, center_cycles: float, n_fft: int) -> Float64:
    """The taps' response about a centre in cycles a sample; float64 [n_fft], real: no delay."""
    n = np.arange(len(taps)) - len(taps) // 2
    shifted = np.zeros(n_fft, np.complex128)
    shifted[n] = taps * np.exp(2j * np.pi * center_cycles * n)
    response: Float64 = scipy.fft.fft(shifted).real
    return response


def _phasor(cycles: NDArray[np.floating[Any]]) -> Complex64:
    phasor: Complex64 = np.exp(2j * np.pi * cycles).astype(np.complex64)
    return phasor
