"""One receiver on one centre: what its blocks say of noise, use, clipping, gain and time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heimdall_edge.config import Channel
from heimdall_edge.signal.chain import SignalChain
from heimdall_edge.signal.channel_plan import check_fits
from heimdall_edge.signal.frontend import LAYOUTS
from heimdall_edge.signal.measure import power_to_dbfs
from heimdall_edge.survey.channels import ChannelLevels, ChannelMeasure
from heimdall_edge.survey.spectrogram import Spectrogram, Waterfall
from heimdall_edge.types import (
    NS_PER_S,
    ClockState,
    Complex64,
    Float64,
    FrequencyError,
    IQBlock,
    Observation,
    ReceiverInfo,
    SampleCount,
)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What one receiver heard on one centre."""

    receiver_id: str
    center_freq_hz: float
    sample_rate_hz: float
    duration_s: float
    count: SampleCount
    discarded: int
    mean: Float64
    """float64 [n_fft]: mean power of each column, from -rate / 2 up; a full-scale tone is 1.0."""
    peak: Float64
    """float64 [n_fft]: the greatest power of each."""
    resolution_hz: float
    """Width of the filter that a column is."""
    waterfall: Waterfall
    noise_dbfs: float
    """In the whole band, without what is in few of its columns or in less than 3/4 of the time."""
    quantisation_dbfs: float | None
    """What the converter's steps alone add; None for floats."""
    peak_dbfs: float
    """The greatest I or Q; 0 is full scale."""
    dc_dbfs: float
    dc_over_noise_db: float
    """How far the spike at the centre stands out of the spectrum beside it."""
    gain_db: float | None
    clock: ClockState
    frequency_error: FrequencyError | None
    measured_rate_hz: float | None
    """Samples a second of this host's clock, for what comes in its own time; None where it is
    too short to tell."""
    channels: tuple[ChannelMeasure, ...]
    out_of_band: tuple[str, ...]
    """Names of channels that this centre does not reach."""
    observations: tuple[Observation, ...]


class Meter:
    """Takes the blocks of one receiver, all of one centre, rate and format.

    Parameters
    ----------
    first
        The first block, which decides on rate, centre and format; to be fed as well.
    gain_db
        The configured gain, where blocks do not say.
    """

    def __init__(
        self,
        first: IQBlock,
        *,
        receiver: ReceiverInfo,
        channels: Sequence[Channel],
        gain_db: float | None = None,
    ) -> None:
        self._first = self._last = first
        self._receiver, self._gain_db = receiver, gain_db
        self._channels = [c for c in channels if _reaches(first, c)]
        self._out_of_band = tuple(c.name for c in channels if c not in self._channels)
        self._layout = LAYOUTS[first.datatype]
        narrowest_hz = min((c.bandwidth_hz for c in self._channels), default=first.sample_rate_hz)
        self._spectrogram = Spectrogram(
            sample_rate_hz=first.sample_rate_hz, narrowest_hz=narrowest_hz
        )
        self._chain: SignalChain | None = None
        if self._channels:
            self._chain = SignalChain(
                receiver=receiver, channels=tuple(self._channels), gain_db=gain_db
            )
        self._observations: list[Observation] = []
        self._levels = ChannelLevels(
            self._channels,
            n_fft=self._spectrogram.n_fft,
            sample_rate_hz=first.sample_rate_hz,
            center_freq_hz=first.center_freq_hz,
            has_spike=self._layout.is_raw,
        )
        self._next_index: int | None = None
        self._count, self._discarded = SampleCount(), 0
        self._sum, self._peak = np.zeros(2), 0.0
        self._arrived_ns: list[tuple[int, int]] = []
        """(index after the last sample, monotonic time) of the first block and the latest."""

    def accepts(self, block: IQBlock) -> bool:
        """Whether a block is of this meter's centre, rate and format."""
        first = self._first
        return (
            block.center_freq_hz == first.center_freq_hz
            and block.datatype == first.datatype
            and math.isclose(block.sample_rate_hz, first.sample_rate_hz, rel_tol=1e-6)
        )

    def feed(self, block: IQBlock, *, arrived_monotonic_ns: int) -> None:
        """Take the next block.

        Raises
        ------
        BurstError
            Its samples make no sense.
        """
        if self._chain is not None:
            self._observations += self._chain.process(block).observations
        self._account(block, arrived_monotonic_ns)
        iq = self._complex(block)
        density = self._spectrogram.feed(
            iq, start_utc_ns=block.start_utc_ns, follows=block.sample_start == self._next_index
        )
        self._next_index = block.sample_start + block.n_samples
        self._levels.feed(density)
        self._last = block

    def result(self) -> Measured:
        """What was measured so far; ends what is open."""
        if self._chain is not None:
            self._observations += self._chain.flush().observations
        first, last, mean = self._first, self._last, self._spectrogram.mean
        received = max(1, self._count.received)
        dc = float(np.sum(np.square(self._sum / received)))
        full_scale = self._layout.full_scale
        is_float = first.datatype.startswith("cf")
        return Measured(
            receiver_id=self._receiver.receiver_id,
            center_freq_hz=first.center_freq_hz,
            sample_rate_hz=last.sample_rate_hz,
            duration_s=self._count.received / first.sample_rate_hz,
            count=self._count,
            discarded=self._discarded,
            mean=mean,
            peak=self._spectrogram.peak,
            waterfall=self._spectrogram.waterfall(),
            resolution_hz=self._spectrogram.resolution_hz,
            noise_dbfs=power_to_dbfs(self._spectrogram.noise_power),
            quantisation_dbfs=None if is_float else power_to_dbfs(full_scale**-2 / 6),
            peak_dbfs=power_to_dbfs(self._peak**2),
            dc_dbfs=power_to_dbfs(dc),
            dc_over_noise_db=_spike_db(mean),
            gain_db=self._gain_db if last.gain_db is None else last.gain_db,
            clock=last.clock,
            frequency_error=last.frequency_error,
            measured_rate_hz=self._measured_rate_hz(),
            channels=self._levels.measures(
                floors_dbfs=self._chain.noise_floor_dbfs if self._chain is not None else {},
                observations=self._observations,
            ),
            out_of_band=self._out_of_band,
            observations=tuple(self._observations),
        )

    # ── block by block ────────────────────────────────────────────────────────────────────

    def _account(self, block: IQBlock, arrived_monotonic_ns: int) -> None:
        layout, samples = self._layout, block.samples
        at_limit = ((samples <= layout.lowest) | (samples >= layout.highest)).reshape(-1, 2)
        self._count += SampleCount(
            received=block.n_samples,
            lost=block.lost_samples,
            dropped=block.dropped_samples,
            clipped=int(np.count_nonzero(at_limit.any(axis=1))),
        )
        self._discarded += block.discarded_samples
        arrival = (block.sample_start + block.n_samples, arrived_monotonic_ns)
        self._arrived_ns = [*self._arrived_ns[:1], arrival]

    def _complex(self, block: IQBlock) -> Complex64:
        """complex64 [n_samples], full scale 1.0, the converter's offset still in it."""
        values = block.samples.astype(np.float32)
        values -= self._layout.zero
        values /= self._layout.full_scale
        pairs = values.reshape(-1, 2)
        self._sum += pairs.sum(axis=0, dtype=np.float64)
        self._peak = max(self._peak, float(np.abs(values).max(initial=0.0)))
        return values.view(np.complex64)

    # ── in the end ────────────────────────────────────────────────────────────────────────

    def _measured_rate_hz(self) -> float | None:
        if len(self._arrived_ns) < 2:
            return None
        (first, began_ns), (last, ended_ns) = self._arrived_ns
        lasted_s = (ended_ns - began_ns) / NS_PER_S
        return (last - first) / lasted_s if lasted_s > 1.0 else None


def _reaches(block: IQBlock, channel: Channel) -> bool:
    try:
        check_fits(
            channel.spec, sample_rate_hz=block.sample_rate_hz, center_freq_hz=block.center_freq_hz
        )
    except ValueError:
        return False
    return True


def _spike_db(mean: Float64) -> float:
    """The centre's column over the median of those on either side, past the window's skirts."""
    middle = len(mean) // 2
    beside = np.concatenate((mean[middle - 24 : middle - 3], mean[middle + 4 : middle + 25]))
    return 10 * math.log10(max(float(mean[middle]), 1e-30) / max(float(np.median(beside)), 1e-30))
