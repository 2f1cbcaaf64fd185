"""Wideband samples in, every channel's own samples out: fast convolution, one FFT for all.

::

                          ┌─ × responses ─ small IFFTs ─ × oscillators ─▶ channels of one width
    frames ─ FFT ─ − mean ┼─ × responses ─ small IFFTs ─ × oscillators ─▶ of another
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
from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.signal.channel_bank import ChannelBank
from heimdall_edge.signal.channel_plan import (
    channel_decimation,
    channel_taps,
    check_fits,
    plan_frames,
)
from heimdall_edge.signal.long_fft import LongFft
from heimdall_edge.types import ChannelSpec, Complex64

BATCH_SAMPLES = 131_072
"""Samples that are transformed at once, so that they stay in the processor's cache."""

_MEAN_BIN = np.zeros(1, np.int64)


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
        widths_hz = dict.fromkeys(channel.bandwidth_hz for channel in channels)
        filters = {width_hz: channel_taps(sample_rate_hz, width_hz) for width_hz in widths_hz}
        decimations = [channel_decimation(sample_rate_hz, width_hz) for width_hz in widths_hz]
        self.plan = plan_frames(
            sample_rate_hz=sample_rate_hz,
            half_length=max(len(taps) for taps in filters.values()) // 2,
            quantum=math.lcm(*decimations),
        )
        self._fft = LongFft(self.plan.n_fft)
        banks = {
            width_hz: ChannelBank(self.plan, self._fft, bandwidth_hz=width_hz, decimation=divisor)
            for width_hz, divisor in zip(widths_hz, decimations, strict=True)
        }
        for channel in channels:
            offset_hz = Fraction(channel.frequency_hz) - Fraction(center_freq_hz)
            offset = offset_hz / Fraction(sample_rate_hz)
            taps = filters[channel.bandwidth_hz] / full_scale
            banks[channel.bandwidth_hz].add(channel, taps, offset)
        self.banks = tuple(banks.values())
        """The channels by their widths, in the order in which these come first."""
        self._computed: frozenset[str] | None = None
        self.limit_to({channel.name for channel in channels})
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

    def limit_to(self, channels: Collection[str]) -> None:
        """From the next samples on, compute the channels of these names only."""
        if self._computed == (names := frozenset(channels)):
            return
        self._computed = names
        for bank in self.banks:
            bank.limit_to(names)
        self._fft.keep(np.concatenate([_MEAN_BIN, *(bank.bins.ravel() for bank in self.banks)]))
        for bank in self.banks:
            bank.find_bins()

    def feed(self, interleaved: NDArray[Any]) -> list[Complex64]:
        """Take the next samples; give each bank's new ones, complex64 [n_channels, n_outputs].

        Parameters
        ----------
        interleaved : array, any real dtype, [2 * n_samples]
            I, Q, I, Q …
        """
        n_frames = self._n_complete(self._n_held + len(interleaved) // 2)
        outputs = [
            np.empty((len(bank.channels), n_frames, bank.n_kept), np.complex64)
            for bank in self.banks
        ]
        n_done = 0
        while len(interleaved):
            interleaved = self._hold(interleaved)
            if self._n_complete(self._n_held) == 0:
                break
            spectra = self._transform_held()
            done = slice(n_done, n_done + len(spectra))
            for bank, output in zip(self.banks, outputs, strict=True):
                bank.filter(spectra, self.output_index, out=output[:, done])
            self.output_index += len(spectra) * self.plan.hop
            n_done += len(spectra)
        return [output.reshape(len(output), n_frames * output.shape[2]) for output in outputs]

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
        """Use up the complete frames; give their spectra less the mean, [n_frames, n_kept]."""
        n_fft, hop = self.plan.n_fft, self.plan.hop
        n_frames = self._n_complete(self._n_held)
        frames = self._frames[:n_frames]
        frames[:] = np.lib.stride_tricks.sliding_window_view(self._held, n_fft)[::hop][:n_frames]
        spectra = self._fft.of(frames)
        spectra[:, 0] -= n_fft * self._mean.track(spectra[:, 0] / n_fft, hop)
        n_left = self._n_held - n_frames * hop
        self._held[:n_left] = self._held[n_frames * hop : self._n_held]
        self._n_held = n_left
        return spectra
