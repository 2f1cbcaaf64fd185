"""Channel IQ → bursts.

::

    ChannelBlock ─▶ ChannelHistory ─▶ BurstFinder | WindowGrid ─▶ Span ─▶ Burst
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, Protocol

from heimdall_edge.signal.bursts import BurstFinder
from heimdall_edge.signal.history import ChannelHistory, Span
from heimdall_edge.signal.windows import WindowGrid
from heimdall_edge.types import Burst, ChannelBlock, ChannelSpec

_GREATEST_JUMP_NS = 250_000_000
"""A stamp that is off by more was set anew (a clock stepped): a gap, whatever the block says."""


class _Finder(Protocol):
    """What looks for spans, run by run."""

    @property
    def settled(self) -> int: ...

    @property
    def noise_power(self) -> float | None: ...

    def add(self, history: ChannelHistory) -> list[Span]: ...

    def end_run(self, history: ChannelHistory) -> list[Span]: ...


class Detector:
    """Finds the transmissions on one channel of one receiver.

    Parameters
    ----------
    mode
        ``burst`` gives each transmission, from ``open_db`` over the tracked floor until it stays
        under ``close_db`` for ``hang_s``. One longer than ``max_duration_s`` is cut at whole
        multiples of that in UTC; a piece under ``min_duration_s`` is not reported.
        ``continuous`` gives the whole windows of the UTC grid of ``window_s`` in which the channel
        is ``open_db`` over its quiet part.

    Notes
    -----
    A gap ends what is open, and so does a change of rate or gain, or a clock that is set. The
    floor outlives a gap, but not a change of gain or rate. What a gap cost is counted in each
    burst that touches it.
    """

    def __init__(
        self,
        *,
        channel: ChannelSpec,
        mode: Literal["burst", "continuous"] = "burst",
        open_db: float = 8.0,
        close_db: float = 5.0,
        hang_s: float = 0.2,
        min_duration_s: float = 0.05,
        max_duration_s: float = 5.0,
        window_s: float = 5.0,
    ) -> None:
        self._channel = channel
        self._mode = mode
        self._open_db = open_db
        self._close_db = close_db
        self._hang_s = hang_s
        self._min_duration_s = min_duration_s
        self._max_duration_s = max_duration_s
        self._window_s = window_s
        self._history: ChannelHistory | None = None
        self._finder: _Finder | None = None
        self._is_flushed = False

    @property
    def noise_power(self) -> float | None:
        """Noise floor in the channel's bandwidth, linear, full scale 1.0; None while unknown."""
        return self._finder.noise_power if self._finder else None

    @property
    def noise_floor_dbfs(self) -> float | None:
        """:attr:`noise_power` as a level."""
        return None if self.noise_power is None else 10 * math.log10(self.noise_power)

    @property
    def limit_dbfs(self) -> float | None:
        """The total level in the channel under which nothing is reported; None while unknown."""
        floor_dbfs = self.noise_floor_dbfs
        return None if floor_dbfs is None else floor_dbfs + self._open_db

    @property
    def listening_since_ns(self) -> int | None:
        """When the last gap ended: nothing is known of what was before; None before any block."""
        return self._history.start_utc_ns if self._history else None

    @property
    def listened_until_ns(self) -> int | None:
        """Every burst that starts before this instant has been given; None before any block.

        A transmission under way holds it at its start (or at its last cut).
        """
        if self._history is None or self._finder is None:
            return None
        settled = self._history.stop if self._is_flushed else self._finder.settled
        return self._history.utc_ns(settled)

    def process(self, block: ChannelBlock) -> list[Burst]:
        """Take the channel's next block; give the bursts that ended by it."""
        bursts: list[Burst] = []
        history, finder = self._history, self._finder
        if history is None or finder is None or not self._continues(block, history):
            bursts = self._end_run(block)
            history, finder = self._begin_run(self._with_counts_owed(block))
        else:
            history.append(block)
        bursts += [history.burst(span) for span in finder.add(history)]
        history.forget(finder.settled)
        return bursts

    def flush(self) -> list[Burst]:
        """End what is open: no block will follow, or only after a gap."""
        bursts = self._end_run(None)
        self._is_flushed = True
        return bursts

    def _continues(self, block: ChannelBlock, history: ChannelHistory) -> bool:
        if self._is_flushed or not block.follows or self._is_retuned_by(block):
            return False
        jump_ns = block.start_utc_ns - history.utc_ns(history.stop)
        return abs(jump_ns) <= _GREATEST_JUMP_NS

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
        if self._mode == "continuous":
            return WindowGrid(
                sample_rate_hz=sample_rate_hz,
                bandwidth_hz=self._channel.bandwidth_hz,
                open_db=self._open_db,
                window_s=self._window_s,
            )
        return BurstFinder(
            sample_rate_hz=sample_rate_hz,
            bandwidth_hz=self._channel.bandwidth_hz,
            open_db=self._open_db,
            close_db=self._close_db,
            hang_s=self._hang_s,
            min_duration_s=self._min_duration_s,
            max_duration_s=self._max_duration_s,
        )
