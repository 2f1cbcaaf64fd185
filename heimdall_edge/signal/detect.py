"""Channel IQ → bursts.

::

    ChannelBlock ─▶ ChannelHistory ─▶ BurstFinder | WindowGrid ─▶ Span ─▶ Burst
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from heimdall_edge.config import Channel
from heimdall_edge.signal.bursts import BurstFinder
from heimdall_edge.signal.floor import Rows
from heimdall_edge.signal.history import ChannelHistory, Instants, Span
from heimdall_edge.signal.windows import WindowGrid
from heimdall_edge.types import Burst, ChannelBlock, ChannelSpec, Float64

GREATEST_JUMP_NS = 250_000_000
"""A stamp that is off by more was set anew (a clock stepped): a gap, whatever the block says."""


class Heed(NamedTuple):
    """How well one channel is listened to."""

    channel: str
    since_utc_ns: int
    """When the last gap ended: nothing is known of what was before."""
    until_utc_ns: int
    """Every burst that starts before this instant has been given. A transmission under way holds
    it at its start (or at its last cut)."""
    limit_dbfs: float
    """The total level in the channel under which nothing is reported."""


class _Finder(Protocol):
    """What looks for spans, run by run."""

    @property
    def since_utc_ns(self) -> Instants: ...

    @property
    def settled(self) -> Rows: ...

    @property
    def noise_power(self) -> Float64: ...

    def add(self, history: ChannelHistory) -> list[Span]: ...

    def end_run(self, history: ChannelHistory) -> list[Span]: ...


class Detector:
    """Finds the transmissions on channels of one width of one receiver.

    Parameters
    ----------
    channels : sequence of Channel
        Of one bandwidth and one mode, and of one ``window_s`` where that is ``continuous``.

        ``burst`` gives each transmission, from ``open_db`` over the tracked floor until it stays
        under ``close_db`` for ``hang_s``. One longer than ``max_duration_s`` is cut at whole
        multiples of that in UTC; a piece under ``min_duration_s`` is not reported.
        ``continuous`` gives the whole windows of the UTC grid of ``window_s`` in which the channel
        is ``open_db`` over its quiet part.

    Notes
    -----
    A gap ends what is open, and so does a change of rate or gain, or a clock that is set. The
    floor outlives a gap, but not a change of gain or rate. What a gap cost is counted in each
    burst that touches it. A channel that a block leaves out ends there; one that comes back begins
    as after a gap.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = tuple(channels)
        self._row_of = {channel.spec: row for row, channel in enumerate(channels)}
        self._rows: Rows = np.empty(0, np.intp)
        """Of the channels in ``_own``, in that order, the rows of the finder's arrays."""
        self._seen: tuple[ChannelSpec, ...] = ()
        """The channels of the newest block …"""
        self._own: tuple[ChannelSpec, ...] = ()
        """… and those of them that are watched here."""
        self._history: ChannelHistory | None = None
        self._finder: _Finder | None = None
        self._is_flushed = False

    @property
    def noise_power(self) -> dict[str, float]:
        """Noise floors by channel, in its bandwidth, linear, full scale 1.0, where known."""
        if self._finder is None:
            return {}
        powers = zip(self._channels, self._finder.noise_power.tolist(), strict=True)
        return {channel.name: power for channel, power in powers if not math.isnan(power)}

    @property
    def noise_floor_dbfs(self) -> dict[str, float]:
        """:attr:`noise_power` as levels."""
        return {name: 10 * math.log10(power) for name, power in self.noise_power.items()}

    @property
    def heeds(self) -> Iterator[Heed]:
        """How well each channel of the newest block is listened to, where its floor is known."""
        history, finder = self._history, self._finder
        if history is None or finder is None:
            return
        settled = np.full(len(self._channels), history.stop) if self._is_flushed else finder.settled
        instants = {index: history.utc_ns(index) for index in set(settled[self._rows].tolist())}
        limits_db = 10 * np.log10(finder.noise_power)
        since_utc_ns = finder.since_utc_ns
        for row in self._rows.tolist():
            if not math.isnan(limits_db[row]):
                channel = self._channels[row]
                yield Heed(
                    channel.name,
                    int(since_utc_ns[row]),
                    instants[int(settled[row])],
                    float(limits_db[row]) + channel.open_db,
                )

    def process(self, block: ChannelBlock) -> list[Burst]:
        """Take the next block of these channels; give the bursts that ended by it.

        Of what it holds of others, nothing is taken.
        """
        block = self._share_of(block)
        if not block.channels:
            return self.flush()
        bursts: list[Burst] = []
        history, finder = self._history, self._finder
        if history is None or finder is None or not self._continues(block, history):
            bursts = self._end_run(block)
            history, finder = self._begin_run(self._with_counts_owed(block))
        else:
            history.append(block)
        bursts += [history.burst(span) for span in finder.add(history)]
        history.forget(finder.settled[self._rows])
        return bursts

    def flush(self) -> list[Burst]:
        """End what is open: no block will follow, or only after a gap."""
        bursts = self._end_run(None)
        self._is_flushed = True
        return bursts

    def _share_of(self, block: ChannelBlock) -> ChannelBlock:
        """What the block holds of these channels."""
        if block.channels != self._seen:
            self._seen = block.channels
            own = [channel for channel in block.channels if channel in self._row_of]
            self._rows = np.array([self._row_of[channel] for channel in own], np.intp)
            self._own = tuple(own)
        if self._own == block.channels:
            return block
        places = [block.channels.index(channel) for channel in self._own]
        return replace(block, channels=self._own, iq=block.iq[places])

    def _continues(self, block: ChannelBlock, history: ChannelHistory) -> bool:
        if self._is_flushed or not block.follows or self._is_retuned_by(block):
            return False
        jump_ns = block.start_utc_ns - history.utc_ns(history.stop)
        return abs(jump_ns) <= GREATEST_JUMP_NS

    def _is_retuned_by(self, block: ChannelBlock) -> bool:
        """Whether gain or rate changed; a rate that is fitted anew wanders by ppm: no change."""
        if self._history is None:
            return False
        last = self._history.newest_block
        same_rate = math.isclose(last.sample_rate_hz, block.sample_rate_hz, rel_tol=1e-2)
        return last.gain_db != block.gain_db or not same_rate

    def _with_counts_owed(self, block: ChannelBlock) -> ChannelBlock:
        """Add the counts of a run that has no samples yet: the filters are still filling."""
        if self._history is None or self._history.stop > 0 or self._is_flushed:
            return block
        return replace(block, count=self._history.newest_block.count + block.count)

    def _begin_run(self, block: ChannelBlock) -> tuple[ChannelHistory, _Finder]:
        if self._finder is None or self._is_retuned_by(block):
            self._finder = self._make_finder(block.sample_rate_hz)
        self._history = ChannelHistory(block)
        self._is_flushed = False
        return self._history, self._finder

    def _end_run(self, next_block: ChannelBlock | None) -> list[Burst]:
        history, finder = self._history, self._finder
        if history is None or finder is None or self._is_flushed:
            return []
        if next_block is not None:
            history.end(next_block)
        return [history.burst(span) for span in finder.end_run(history)]

    def _make_finder(self, sample_rate_hz: float) -> _Finder:
        if self._channels[0].mode == "continuous":
            return WindowGrid(self._channels, sample_rate_hz=sample_rate_hz)
        return BurstFinder(self._channels, sample_rate_hz=sample_rate_hz)
