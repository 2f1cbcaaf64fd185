"""When one channel's transmissions begin and end: thresholds, hang, least and greatest duration."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.config import Channel
from heimdall_edge.signal.history import ChannelHistory, Span
from heimdall_edge.types import NS_PER_S, Float32

Frames = NDArray[np.intp]
"""Indices of frames of a run, ascending."""


class Squelch:
    """Follows one channel's level from opening to close, run by run.

    A frame at ``open_db`` over the floor opens, back to where the level rose over ``close_db``; the
    first pause longer than ``hang_s`` under that closes.

    Parameters
    ----------
    hop
        Samples from one frame to the next; a frame is twice as long.
    """

    def __init__(self, channel: Channel, *, sample_rate_hz: float, hop: int) -> None:
        hop_s = hop / sample_rate_hz
        self._channel = channel.spec
        self._hop = hop
        self._open_ratio = 10 ** (channel.open_db / 10)
        self._hang_frames = math.ceil(channel.hang_s / hop_s - 1e-9)
        self._min_samples = max(1.0, channel.min_duration_s * sample_rate_hz)
        self._max_samples = channel.max_duration_s * sample_rate_hz
        self._max_ns = round(channel.max_duration_s * NS_PER_S)
        self._max_lead_frames = math.ceil(channel.max_duration_s / hop_s)
        self._sample_ns = math.ceil(NS_PER_S / sample_rate_hz)
        # A density of 1 is noise of power 1 over the whole rate: in the channel it is this much.
        self._channel_share = min(channel.bandwidth_hz / sample_rate_hz, 1.0)
        self.begin_run()

    def begin_run(self) -> None:
        """Forget all frames: those that come next are of another run."""
        self._n_decided = 0
        self._start: int | None = None
        self._noise_power = self._noise_at_start = 0.0
        self._last_rise = self._last_hold = -2

    @property
    def is_shut(self) -> bool:
        """Whether nothing is open, nor about to open: frames under ``close_db`` change nothing."""
        return self._start is None and not self._is_rising

    @property
    def settled(self) -> int:
        """Every span that starts before this sample has been given."""
        if self._start is not None:
            return self._start
        frame = self._last_rise if self._is_rising else self._n_decided
        return max(frame, self._n_decided - self._max_lead_frames) * self._hop

    @property
    def _is_rising(self) -> bool:
        return self._last_hold == self._n_decided - 1

    def take(
        self, first: int, levels: Float32, holds: Frames, floor: float, history: ChannelHistory
    ) -> list[Span]:
        """Decide frames; give the spans that ended by them.

        Parameters
        ----------
        first
            Index of the first of these frames.
        levels : float32 [n_frames]
            Their mean density within the channel.
        holds
            Which of these frames, from 0, are at ``close_db`` over the floor or more.
        floor
            Noise level on the scale of the frames, linear.
        """
        self._n_decided = first + len(levels)
        if len(holds) == 0 and self._start is None:
            return []
        opens = holds[levels[holds] >= self._open_ratio * floor] + first
        held = np.concatenate(([self._last_hold], holds + first))
        rises = np.concatenate(([self._last_rise], held[1:][held[1:] > held[:-1] + 1]))
        self._last_rise, self._last_hold = int(rises[-1]), int(held[-1])
        self._noise_power = floor * self._channel_share
        return self._follow(rises, held, opens, history)

    def end_run(self, stop: int, history: ChannelHistory, *, floor: float) -> list[Span]:
        """Give what is still open: the run ends at sample ``stop``."""
        spans: list[Span] = []
        if self._start is not None:
            self._noise_power = floor * self._channel_share
            is_silent = self._last_hold < self._n_decided - 1
            spans = self._close(self._stop_of(self._last_hold) if is_silent else stop, history)
        self.begin_run()
        return spans

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
        return (frame + 2) * self._hop

    def _open(self, start: int) -> None:
        self._start, self._noise_at_start = start, self._noise_power

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
        return [Span(self._channel, self._start, stop, self._noise_at_start)]
