"""Which of an OpenWebRX server's measurements serves a channel, and what a row says of it.

Rows come about 9 times a second without a gap, and show all channels at once; the S-meter shows
62 ms in every 250, of the one channel that it is tuned to, and costs the host a demodulator. So
rows serve wherever they are true. Compressed ones are not: four bits a bin climb some 35 dB within
five bins, and a carrier one or two bins wide loses most of its level. There the S-meter serves the
first channel, and the rows the others, whose silence then says nothing. It serves the first one,
too, where bins are too wide for its channel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from heimdall_edge.config import BAND_SHARE, Channel
from heimdall_edge.sources.channel_levels import Reading
from heimdall_edge.sources.openwebrx_rows import Band, SpectrumRow
from heimdall_edge.types import ChannelSpec, Float32, frozen_array

LEAST_BINS = 4
LEAST_BINS_FOR_QUIET = 8
QUIET_QUANTILE = 0.25
LEAST_POWER = 1e-30
CLIMB_BINS = 2
NARROW_OUTPUT_HZ, WIDE_OUTPUT_HZ = 12_000, 48_000
"""Rates that the server is asked to demodulate at: its filter may be almost as wide."""
FILTER_SHARE = 0.98


@dataclass(frozen=True, slots=True)
class MeterTuning:
    """How the S-meter is put on a channel."""

    channel: str
    offset_hz: float
    half_width_hz: float
    output_rate_hz: int


@dataclass(frozen=True, slots=True, eq=False)
class ChannelBins:
    """The bins of a row that a channel covers, those at its edges in part."""

    first: int
    shares: Float32
    """float32 [n_bins]: share of each bin that lies in the channel; read-only."""
    full_scale_db: float

    def read(self, row: SpectrumRow) -> Reading:
        """Level and spectrum of the channel."""
        bins = slice(self.first, self.first + len(self.shares))
        over_full_scale_db = row.db[bins].astype(np.float64) - self.full_scale_db
        power = np.maximum(10 ** (over_full_scale_db / 10), LEAST_POWER).astype(np.float32)
        return Reading(
            level_db=10 * math.log10(float(power @ self.shares)),
            quiet_db=self._quiet_db(power),
            is_bound=self._is_bound(row, self.first + int(power.argmax())),
            power=frozen_array(power),
        )

    def _is_bound(self, row: SpectrumRow, peak: int) -> bool:
        """Whether the compression was still climbing when, or just before, it met the peak."""
        if row.is_slewing is None:
            return False
        return bool(row.is_slewing[max(0, peak - CLIMB_BINS) : peak + 1].any())

    def _quiet_db(self, power: Float32) -> float | None:
        """Noise in the channel, if a quarter of it is free of signal.

        It reads low by what the quantile of a row is under its mean: 1.5 dB where the server
        averages over 7 spectra, 0.3 dB over 100.
        """
        if len(power) < LEAST_BINS_FOR_QUIET:
            return None
        density = float(np.quantile(power, QUIET_QUANTILE))
        return 10 * math.log10(density * float(self.shares.sum()))


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """What serves each channel while the receiver stays as it is tuned."""

    by_rows: dict[str, ChannelBins]
    by_meter: MeterTuning | None
    outside: tuple[str, ...]
    """Channels that the band does not hold."""
    too_narrow: tuple[str, ...]
    """Channels in the band that neither can measure."""


def is_inside(band: Band, channel: ChannelSpec) -> bool:
    """Whether the usable part of a band holds a channel."""
    if band.center_freq_hz is None or band.sample_rate_hz is None:
        return False
    reach_hz = abs(channel.frequency_hz - band.center_freq_hz) + channel.bandwidth_hz / 2
    return reach_hz <= BAND_SHARE * band.sample_rate_hz / 2


def assign(band: Band, channels: Sequence[Channel], *, meter_works: bool = True) -> Assignment:
    """Choose what serves each channel of a band that is whole."""
    inside = [c for c in channels if is_inside(band, c.spec)]
    by_rows = {
        c.name: bins_of(band, c.spec) for c in inside if c.bandwidth_hz >= LEAST_BINS * band.bin_hz
    }
    tunings = [_tuning(band, c.spec) for c in inside]
    badly_served = [
        t
        for t in tunings
        if t is not None and (band.fft_compression == "adpcm" or t.channel not in by_rows)
    ]
    by_meter = badly_served[0] if badly_served and meter_works else None
    if by_meter is not None:
        by_rows.pop(by_meter.channel, None)
    served = {*by_rows, by_meter.channel if by_meter else None}
    return Assignment(
        by_rows=by_rows,
        by_meter=by_meter,
        outside=tuple(c.name for c in channels if c not in inside),
        too_narrow=tuple(c.name for c in inside if c.name not in served),
    )


def bins_of(band: Band, channel: ChannelSpec) -> ChannelBins:
    """The bins of a channel that lies within a band; bin k shows (k - size / 2) · width."""
    assert band.center_freq_hz is not None
    assert band.fft_size is not None
    middle = (channel.frequency_hz - band.center_freq_hz) / band.bin_hz + band.fft_size / 2
    half = channel.bandwidth_hz / band.bin_hz / 2
    first, last = round(middle - half), round(middle + half)
    indices = np.arange(max(first, 0), min(last, band.fft_size - 1) + 1)
    low, high = np.maximum(indices - 0.5, middle - half), np.minimum(indices + 0.5, middle + half)
    shares = np.maximum(high - low, 0.0).astype(np.float32)
    return ChannelBins(int(indices[0]), frozen_array(shares), band.full_scale_db)


def _tuning(band: Band, channel: ChannelSpec) -> MeterTuning | None:
    """None for a channel that is wider than the server would filter."""
    assert band.center_freq_hz is not None
    for rate_hz in (NARROW_OUTPUT_HZ, WIDE_OUTPUT_HZ):
        # The usual 12.5 kHz channel is measured within the 12 kHz that a voice channel fills.
        if channel.bandwidth_hz <= 1.05 * rate_hz:
            half_hz = min(channel.bandwidth_hz, FILTER_SHARE * rate_hz) / 2
            offset_hz = channel.frequency_hz - band.center_freq_hz
            return MeterTuning(channel.name, offset_hz, half_hz, rate_hz)
    return None
