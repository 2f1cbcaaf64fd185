"""Where transmissions begin and end, on all channels of one width at once.

::

    samples ─▶ frames (band power density) ─▶ level of a frame ─▶ over close_db? ─▶ Squelch ─▶ Span
                        └─▶ noise floors ───────────▲

What costs is done for all channels together, as rows of one array; a channel's own squelch is asked
only where a frame is over its close threshold, or something is open.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.config import Channel
from heimdall_edge.signal.floor import NoiseFloors, Rows
from heimdall_edge.signal.history import ChannelHistory, Instants, Span
from heimdall_edge.signal.squelch import Squelch
from heimdall_edge.signal.stft import Stft, band_columns, hann
from heimdall_edge.types import ChannelSpec, Complex64, Float32, Float64, Scalar

_SLOT_S = 0.1
"""How often the floors are renewed; a channel's first slot waits for its own floor."""


class BurstFinder:
    """Finds the transmissions among the samples of channels, run by run.

    A frame is 16 bandwidths⁻¹ long (1.3 ms of a 12.5 kHz channel, 9 µs of a 1.8 MHz one), frames
    overlap by half, and a frame's level is its mean density within the channel: what lies in the
    filter's skirts opens nothing. The floor in force is that of the slots before, so what is found
    does not depend on how the samples were cut into blocks.

    Parameters
    ----------
    channels : sequence of Channel
        Of one bandwidth. Which of them the blocks hold may change within a run: one that is new
        begins as after a gap, but for its floor, and one that is gone ends.
    """

    def __init__(self, channels: Sequence[Channel], *, sample_rate_hz: float) -> None:
        bandwidth_hz = channels[0].bandwidth_hz
        self._stft = Stft(hann(2 * max(8, round(8 * sample_rate_hz / bandwidth_hz))))
        self._hop = self._stft.hop_length
        self._columns = band_columns(self._stft.n_fft, sample_rate_hz, bandwidth_hz)
        self._hop_s = self._hop / sample_rate_hz
        # A density of 1 is noise of power 1 over the whole rate: in the channel it is this much.
        self._channel_share = min(bandwidth_hz / sample_rate_hz, 1.0)
        self._row_of = {channel.spec: row for row, channel in enumerate(channels)}
        self._close_ratios: Float64 = 10 ** (np.array([c.close_db for c in channels]) / 10)
        self._squelches = [
            Squelch(channel, sample_rate_hz=sample_rate_hz, hop=self._hop) for channel in channels
        ]
        n_columns = self._columns.stop - self._columns.start
        self._floors = NoiseFloors(n_channels=len(channels), n_columns=n_columns)
        self._slot_frames = self._floors.whole_cells(round(_SLOT_S / self._hop_s))
        self._rows: Rows = np.empty(0, np.intp)
        """Of each channel of the newest block, in its order: the row that keeps its state."""
        self.since_utc_ns: Instants = np.zeros(len(channels), np.int64)
        """int64 [n_channels]: nothing is known of what was before."""
        self._is_awake = np.zeros(len(channels), np.bool_)
        """[n_channels]: whether its squelch is open, or about to open."""
        self._begin_run()

    def _begin_run(self) -> None:
        self._channels: tuple[ChannelSpec, ...] = ()
        """Those of the newest block; none at the beginning of a run."""
        self._n_framed = 0
        self._unframed: Complex64 = np.empty((len(self._rows), 0), np.complex64)
        self._begin_slot()

    def _begin_slot(self) -> None:
        self._slot: list[Float32] = []
        self._levels: list[Float32] = []
        self._n_in_slot = 0

    @property
    def settled(self) -> Rows:
        """Every span that starts before this sample has been given, intp [n_channels]."""
        n_decided = np.where(self._has_floor, self._n_framed, self._n_framed - self._n_in_slot)
        settled: Rows = n_decided * self._hop
        for row in np.flatnonzero(self._is_awake).tolist():
            settled[row] = self._squelches[row].settled
        return settled

    @property
    def noise_power(self) -> Float64:
        """Noise floor in the channel, float64 [n_channels], linear; NaN while there is none."""
        return self._floors.power * self._channel_share

    @property
    def _has_floor(self) -> NDArray[np.bool_]:
        return ~np.isnan(self._floors.power)

    # ── samples in, spans out ─────────────────────────────────────────────────────────────

    def add(self, history: ChannelHistory) -> list[Span]:
        """Take the newest block's samples; give the spans that ended."""
        block = history.newest_block
        spans = [] if block.channels == self._channels else self._choose(block.channels, history)
        iq = np.concatenate((self._unframed, block.iq), axis=1)
        while n_new := min(self._stft.n_frames(iq.shape[1]), self._slot_frames - self._n_in_slot):
            frames = self._stft.power_density(iq[:, : (n_new + 1) * self._hop])
            spans += self._take(frames[..., self._columns], history)
            iq = iq[:, n_new * self._hop :]
        self._unframed = iq.copy()
        return spans

    def end_run(self, history: ChannelHistory) -> list[Span]:
        """Give what is still open: the run ends here, and the next samples are of another one."""
        spans = self._end(np.arange(len(self._rows)), history.stop, history)
        self._begin_run()
        return spans

    def _choose(self, channels: tuple[ChannelSpec, ...], history: ChannelHistory) -> list[Span]:
        """Look at these channels from the newest block on; give what was open on others."""
        before = self._rows if self._channels else self._rows[:0]
        rows = np.array([self._row_of[channel] for channel in channels], np.intp)
        stop = history.stop - history.newest_block.n_samples
        spans = self._end(np.flatnonzero(~np.isin(before, rows)), stop, history)
        self.since_utc_ns[np.setdiff1d(rows, before)] = history.newest_block.start_utc_ns
        places = {row: place for place, row in enumerate(before.tolist())}
        chosen = np.array([places.get(row, -1) for row in rows.tolist()], np.intp)
        self._unframed = _rows_or_nan(self._unframed, chosen)
        self._slot = [_rows_or_nan(frames, chosen) for frames in self._slot]
        self._levels = [_rows_or_nan(levels, chosen) for levels in self._levels]
        self._channels, self._rows = channels, rows
        return spans

    def _take(self, frames: Float32, history: ChannelHistory) -> list[Span]:
        """Take frames of one slot, float32 [n_rows, n_frames, n_columns]."""
        levels = np.einsum("ijk->ij", frames) / np.float32(frames.shape[2])
        first = self._n_framed
        self._slot.append(frames)
        self._levels.append(levels)
        self._n_framed += frames.shape[1]
        self._n_in_slot += frames.shape[1]
        spans = self._decide(levels, first, np.flatnonzero(self._has_floor[self._rows]), history)
        if self._n_in_slot == self._slot_frames:
            spans += self._learn(np.arange(len(self._rows)), history)
            self._begin_slot()
        return spans

    def _learn(self, places: Rows, history: ChannelHistory) -> list[Span]:
        """Renew floors by the slot so far; what had none is decided by the very first one."""
        if not self._slot:
            return []
        rows = self._rows[places]
        waiting = places[~self._has_floor[rows]]
        slot = np.concatenate(self._slot, axis=1)
        self._floors.update(slot[places], rows, hop_s=self._hop_s)
        levels = np.concatenate(self._levels, axis=1)
        return self._decide(levels, self._n_framed - self._n_in_slot, waiting, history)

    def _decide(
        self, levels: Float32, first: int, places: Rows, history: ChannelHistory
    ) -> list[Span]:
        """Run the thresholds over the levels, float32 [n_rows, n_frames], of some of the rows."""
        rows = self._rows[places]
        floors = self._floors.power[rows]
        is_held = levels[places] >= (self._close_ratios[rows] * floors)[:, None]
        spans: list[Span] = []
        for i in np.flatnonzero(is_held.any(axis=1) | self._is_awake[rows]).tolist():
            squelch, holds = self._squelches[rows[i]], np.flatnonzero(is_held[i])
            spans += squelch.take(first, levels[places[i]], holds, float(floors[i]), history)
            self._is_awake[rows[i]] = not squelch.is_shut
        return spans

    def _end(self, places: Rows, stop: int, history: ChannelHistory) -> list[Span]:
        """End what is open on some of the rows, at a sample."""
        spans = self._learn(places, history)
        rows = self._rows[places]
        for row in rows.tolist():
            floor = float(self._floors.power[row])
            spans += self._squelches[row].end_run(stop, history, floor=floor)
        self._is_awake[rows] = False
        return spans


def _rows_or_nan(array: NDArray[Scalar], chosen: Rows) -> NDArray[Scalar]:
    """The chosen rows; -1 is for one that is not there yet: no numbers."""
    no_row = np.full((1, *array.shape[1:]), np.nan, array.dtype)
    return np.concatenate((array, no_row))[chosen]
