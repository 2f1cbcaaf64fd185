"""Where transmissions begin and end: envelope, thresholds over the floor, hang, least and greatest.

::

    samples ─▶ frames (band power density) ─▶ level of a frame ─▶ open … close, hang ─▶ Span
                        └─▶ noise floor ────────────▲
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.signal.floor import NoiseFloor
from heimdall_edge.signal.history import ChannelHistory, Span
from heimdall_edge.signal.stft import Stft, band_columns, hann
from heimdall_edge.types import NS_PER_S, Float32

Frames = NDArray[np.intp]
"""Indices of frames of a run, ascending."""

_SLOT_S = 0.1
"""How often the floor is renewed; the first slot waits for its own floor."""


class BurstFinder:
    """Finds the transmissions among channel samples, run by run.

    A frame is 16 bandwidths⁻¹ long (1.3 ms of a 12.5 kHz channel, 9 µs of a 1.8 MHz one), frames
    overlap by half, and a frame's level is its mean density within the channel: what lies in the
    filter's skirts opens nothing. A frame at ``open_db`` over the floor opens, back to where the
    level rose over ``close_db``; the first pause longer than ``hang_s`` under that closes. The
    floor in force is that of the slots before, so what is found does not depend on how the samples
    were cut into blocks.
    """

    def __init__(
        self,
        *,
        sample_rate_hz: float,
        bandwidth_hz: float,
        open_db: float,
        close_db: float,
        hang_s: float,
        min_duration_s: float,
        max_duration_s: float,
    ) -> None:
        self._stft = Stft(hann(2 * max(8, round(8 * sample_rate_hz / bandwidth_hz))))
        self._hop = self._stft.hop_length
        self._columns = band_columns(self._stft.n_fft, sample_rate_hz, bandwidth_hz)
        self._hop_s = self._hop / sample_rate_hz
        # A density of 1 is noise of power 1 over the whole rate: in the channel it is this much.
        self._channel_share = min(bandwidth_hz / sample_rate_hz, 1.0)
        self._open_ratio = 10 ** (open_db / 10)
        self._close_ratio = 10 ** (close_db / 10)
        self._hang_frames = math.ceil(hang_s / self._hop_s - 1e-9)
        self._min_samples = max(1.0, min_duration_s * sample_rate_hz)
        self._max_samples = max_duration_s * sample_rate_hz
        self._max_ns = round(max_duration_s * NS_PER_S)
        self._max_lead_frames = math.ceil(max_duration_s / self._hop_s)
        self._sample_ns = math.ceil(NS_PER_S / sample_rate_hz)
        self._floor = NoiseFloor(n_columns=self._columns.stop - self._columns.start)
        self._slot_frames = self._floor.whole_cells(round(_SLOT_S / self._hop_s))
        self._begin_run()

    def _begin_run(self) -> None:
        self._slot: list[Float32] = []
        self._n_in_slot = 0
        self._undecided: list[Float32] = []
        self._n_framed = 0
        self._n_decided = 0
        self._start: int | None = None
        self._noise_at_start = 0.0
        self._last_rise = self._last_hold = -2

    @property
    def settled(self) -> int:
        """Every span that starts before this sample has been given."""
        if self._start is not None:
            return self._start
        is_rising = self._last_hold == self._n_decided - 1
        frame = self._last_rise if is_rising else self._n_decided
        return max(frame, self._n_decided - self._max_lead_frames) * self._hop

    @property
    def noise_power(self) -> float | None:
        """Noise floor in the channel, linear; None until there are cells enough for one."""
        return None if self._floor.power is None else self._floor.power * self._channel_share

    def add(self, history: ChannelHistory) -> list[Span]:
        """Take the samples that have come since; give the spans that ended."""
        spans: list[Span] = []
        while n_new := self._frames_at_hand(history):
            start = self._n_framed * self._hop
            iq = history.iq(start, start + (n_new + 1) * self._hop)
            self._n_framed += n_new
            spans += self._take(self._stft.power_density(iq)[:, self._columns], history)
        return spans

    def end_run(self, history: ChannelHistory) -> list[Span]:
        """Give what is still open: the run ends here, and the next samples are of another one."""
        spans = self._renew_floor(history)
        if self._start is not None:
            silent = self._last_hold < self._n_decided - 1
            stop = self._stop_of(self._last_hold) if silent else history.stop
            spans += self._close(stop, history)
        self._begin_run()
        return spans

    def _frames_at_hand(self, history: ChannelHistory) -> int:
        """How many whole frames are new, as far as the slot has room."""
        n_samples = history.stop - self._n_framed * self._hop
        return min(self._stft.n_frames(n_samples), self._slot_frames - self._n_in_slot)

    def _take(self, frames: Float32, history: ChannelHistory) -> list[Span]:
        """Take frames of one slot."""
        self._slot.append(frames)
        self._n_in_slot += len(frames)
        self._undecided.append(np.add.reduce(frames, axis=1) / frames.shape[1])
        spans = [] if self._floor.power is None else self._decide(history)
        if self._n_in_slot == self._slot_frames:
            spans += self._renew_floor(history)
        return spans

    def _renew_floor(self, history: ChannelHistory) -> list[Span]:
        """Learn the floor from the slot; the very first one is decided by it, too."""
        if self._slot:
            self._floor.update(np.concatenate(self._slot), hop_s=self._hop_s)
        self._slot, self._n_in_slot = [], 0
        return self._decide(history)

    def _decide(self, history: ChannelHistory) -> list[Span]:
        """Run the thresholds over the undecided levels."""
        if not self._undecided:
            return []
        levels = np.concatenate(self._undecided)
        self._undecided = []
        first, self._n_decided = self._n_decided, self._n_decided + len(levels)
        if self._floor.power is None:  # too few samples for a floor, or none of them is a number
            return []
        new = np.flatnonzero(levels >= self._close_ratio * self._floor.power)
        if len(new) == 0 and self._start is None:
            return []
        opens = new[levels[new] >= self._open_ratio * self._floor.power] + first
        holds = np.concatenate(([self._last_hold], new + first))
        rises = np.concatenate(([self._last_rise], holds[1:][holds[1:] > holds[:-1] + 1]))
        self._last_rise, self._last_hold = int(rises[-1]), int(holds[-1])
        return self._follow(rises, holds, opens, history)

    def _follow(
        self, rises: Frames, holds: Frames, opens: Frames, history: ChannelHistory
    ) -> list[Span]:
        """Walk from each opening to its close, by the indices of frames.

        ``holds`` are at ``close_db`` or over, ``rises`` the first ones of a row of them (the newest
        ones of before come first), ``opens`` at ``open_db`` or over.
        """
        next_holds = np.concatenate((holds[1:], [self._n_decided]))
        ends = holds[next_holds - holds > self._hang_frames + 1]
        spans: list[Span] = []
        cursor = 0
        while True:
            if self._start is None:
                found = np.searchsorted(opens, cursor)
                if found == len(opens):
                    return spans
                cursor = int(opens[found])
                rise = int(rises[np.searchsorted(rises, cursor, side="right") - 1])
                self._open(max(rise, cursor - self._max_lead_frames) * self._hop)
            found = np.searchsorted(ends, cursor)
            if found == len(ends):
                return spans + self._cut_long(self._stop_of(int(holds[-1])), history)
            cursor = int(ends[found]) + 1
            spans += self._close(self._stop_of(cursor - 1), history)

    def _stop_of(self, frame: int) -> int:
        return frame * self._hop + self._stft.n_fft

    def _open(self, start: int) -> None:
        self._start, self._noise_at_start = start, self.noise_power or 0.0

    def _close(self, stop: int, history: ChannelHistory) -> list[Span]:
        spans = self._cut_long(stop, history)
        spans += self._span_until(stop)
        self._start = None
        return spans

    def _cut_long(self, stop: int, history: ChannelHistory) -> list[Span]:
        """Cut what is too long at whole multiples of the greatest duration in UTC."""
        spans: list[Span] = []
        while self._start is not None and stop - self._start > self._max_samples + 1:
            # A cut lies on the sample nearest to the grid: past it, lest it be found again.
            past_ns = history.utc_ns(self._start) + self._sample_ns
            cut = history.index_at((past_ns // self._max_ns + 1) * self._max_ns)
            cut = min(max(cut, self._start + 1), stop)  # stamps may jitter
            spans += self._span_until(cut)
            self._open(cut)
        return spans

    def _span_until(self, stop: int) -> list[Span]:
        if self._start is None or stop - self._start < self._min_samples:
            return []
        return [Span(self._start, stop, self._noise_at_start)]
