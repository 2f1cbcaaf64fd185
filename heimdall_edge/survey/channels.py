"""What was on each channel: how much of the time, and how loud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from heimdall_edge.config import Channel
from heimdall_edge.signal.stft import band_columns
from heimdall_edge.types import Float32, Observation

CELL_S = 0.002
"""Occupancy counts cells of about this length."""
SPIKE_COLUMNS = 2
"""To either side of the centre: a Hann window's skirts, and what the offset wanders."""
QUIET_SHARE = 0.1
"""Where no floor was found, the level that this share of a channel's cells stays under is one."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelMeasure:
    """What was on one channel."""

    channel: Channel
    noise_floor_dbfs: float | None
    occupancy: float | None
    """Share of the time over the opening threshold, 0…1."""
    n_bursts: int
    strongest_snr_db: float | None


class ChannelLevels:
    """The power in each channel, spectrum by spectrum.

    Parameters
    ----------
    has_spike
        Whether the centre holds a converter's offset, which the daemon takes off, and which is
        therefore nobody's signal.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        n_fft: int,
        sample_rate_hz: float,
        center_freq_hz: float,
        has_spike: bool,
    ) -> None:
        self._channels = tuple(channels)
        self._n_fft, self._rate_hz, self._center_hz = n_fft, sample_rate_hz, center_freq_hz
        shares = [self._share_of(channel, has_spike=has_spike) for channel in self._channels]
        self._shares = np.stack(shares, axis=1) if shares else np.empty((n_fft, 0), np.float32)
        """float32 [n_fft, n_channels]: what of each column's density is the channel's power."""
        self._levels: list[Float32] = []

    def feed(self, density: Float32) -> None:
        """Take the power density of some frames, float32 [n_frames, n_fft]."""
        self._levels.append(density @ self._shares)

    def measures(
        self, *, floors_dbfs: Mapping[str, float], observations: Sequence[Observation]
    ) -> tuple[ChannelMeasure, ...]:
        """What was on each channel, given its noise floor and what was heard."""
        cells = self._cells()
        return tuple(
            _measure(
                channel,
                cells[:, number],
                floors_dbfs.get(channel.name),
                [o for o in observations if o.channel == channel.name],
            )
            for number, channel in enumerate(self._channels)
        )

    def _cells(self) -> Float32:
        """float32 [n_cells, n_channels]: mean power over about ``CELL_S``."""
        width = self._shares.shape[1]
        levels = np.concatenate([np.empty((0, width), np.float32), *self._levels])
        n_frames = max(1, round(CELL_S * self._rate_hz / self._n_fft))
        n_cells = len(levels) // n_frames
        whole = levels[: n_cells * n_frames]
        return np.asarray(whole.reshape(n_cells, n_frames, width).mean(axis=1))

    def _share_of(self, channel: Channel, *, has_spike: bool) -> Float32:
        """float32 [n_fft]: 1 / n_fft within the channel; it makes up for the spike's columns."""
        n_fft = self._n_fft
        shift = round((channel.frequency_hz - self._center_hz) / self._rate_hz * n_fft)
        centred = band_columns(n_fft, self._rate_hz, channel.bandwidth_hz)
        share = np.zeros(n_fft, np.float32)
        share[max(0, centred.start + shift) : min(n_fft, centred.stop + shift)] = 1 / n_fft
        total = share.sum()
        if has_spike:
            share[n_fft // 2 - SPIKE_COLUMNS : n_fft // 2 + SPIKE_COLUMNS + 1] = 0
        return share * (total / share.sum()) if share.any() else share


def _measure(
    channel: Channel, cells: Float32, floor_dbfs: float | None, heard: list[Observation]
) -> ChannelMeasure:
    return ChannelMeasure(
        channel=channel,
        noise_floor_dbfs=floor_dbfs,
        occupancy=_occupancy(cells, floor_dbfs, channel.open_db),
        n_bursts=len(heard),
        strongest_snr_db=max((o.snr_db for o in heard if o.snr_db is not None), default=None),
    )


def _occupancy(cells: Float32, floor_dbfs: float | None, open_db: float) -> float | None:
    """Share of the cells over the threshold; None where there is none."""
    if not len(cells):
        return None
    floor = float(np.quantile(cells, QUIET_SHARE))
    if floor_dbfs is not None:
        floor = 10 ** (floor_dbfs / 10)
    return float(np.mean(cells > floor * 10 ** (open_db / 10)))
