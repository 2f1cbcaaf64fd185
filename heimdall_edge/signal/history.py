"""The recent samples of a width's channels: their instants, and what became of the receiver's own.

A *run* is a stretch of channel samples without a gap; indices count from its first sample. All
channels of a width share instants and counts. Their samples come together, too, but are kept one
by one: a transmission of minutes on one channel must not keep the others' samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.types import (
    NS_PER_S,
    Burst,
    ChannelBlock,
    ChannelSpec,
    Complex64,
    SampleCount,
    frozen_array,
)

Instants = NDArray[np.int64]
"""UTC, integer nanoseconds."""

_NOTHING = frozen_array(np.empty((0, 0), np.complex64))


class Span(NamedTuple):
    """Samples ``start`` to ``stop`` (not included) of a run hold something on a channel."""

    channel: ChannelSpec
    start: int
    stop: int
    noise_power: float
    """Noise floor in the channel at that time, linear."""


@dataclass(slots=True)
class _Piece:
    """One block of a run."""

    first: int
    stop: int
    block: ChannelBlock
    """Without its samples once it is thinned out."""
    rows: dict[ChannelSpec, int]
    """Of the block's channels in its samples."""
    kept: dict[ChannelSpec, Complex64] = field(default_factory=dict)
    """complex64 [n_samples] of the channels that still need it then."""

    def of(self, channel: ChannelSpec) -> Complex64 | None:
        """A channel's samples; ``None`` where it was not computed, or has released them."""
        if len(self.block.iq) and (row := self.rows.get(channel)) is not None:
            samples: Complex64 = self.block.iq[row]
            return samples
        return self.kept.get(channel)

    def thin_out(self, needed_by: Sequence[ChannelSpec]) -> None:
        """Keep the samples of these channels only, unless they are all."""
        if len(needed_by) < len(self.block.channels):
            rows = {channel: self.of(channel) for channel in needed_by}
            self.kept = {channel: row.copy() for channel, row in rows.items() if row is not None}
            self.block = replace(self.block, iq=_NOTHING)

    def utc_ns(self, index: int) -> int:
        past_s = (index - self.first) / self.block.sample_rate_hz
        return self.block.start_utc_ns + round(past_s * NS_PER_S)

    def count_up_to(self, index: int) -> tuple[int, int]:
        """(received, clipped) before ``index``, spread evenly over the block."""
        share = min(max((index - self.first) / max(self.stop - self.first, 1), 0.0), 1.0)
        count = self.block.count
        return round(share * count.received), round(share * count.clipped)


class ChannelHistory:
    """The run under way, as far back as somebody still needs it."""

    def __init__(self, first_block: ChannelBlock) -> None:
        self._pieces: deque[_Piece] = deque()
        self._lost_after = SampleCount()
        self.start_utc_ns = first_block.start_utc_ns
        self._add(0, first_block)

    @property
    def stop(self) -> int:
        """Index after the newest sample."""
        return self._pieces[-1].stop

    @property
    def newest_block(self) -> ChannelBlock:
        return self._pieces[-1].block

    def append(self, block: ChannelBlock) -> None:
        """Add the block that follows without a gap; its channels may be others."""
        self._add(self.stop, block)

    def _add(self, first: int, block: ChannelBlock) -> None:
        if not self._pieces or block.channels != self.newest_block.channels:
            self._rows = {channel: row for row, channel in enumerate(block.channels)}
        self._pieces.append(_Piece(first, first + block.n_samples, block, self._rows))

    def end(self, next_block: ChannelBlock) -> None:
        """Learn what was lost between this run and the block that begins the next one."""
        count = next_block.count
        self._lost_after = SampleCount(lost=count.lost, dropped=count.dropped)

    def forget(self, needed_from: NDArray[np.intp]) -> None:
        """Release what nobody needs any more; the newest block always stays whole.

        Parameters
        ----------
        needed_from : intp [n_channels]
            The first sample that each channel of the newest block still needs.
        """
        oldest = int(needed_from.min(initial=self.stop))
        while len(self._pieces) > 1 and self._pieces[0].stop < oldest:
            self._pieces.popleft()
        if len(self._pieces) > 1:  # those before were thinned out when they were the last but one
            piece, channels = self._pieces[-2], self.newest_block.channels
            piece.thin_out([channels[i] for i in np.flatnonzero(needed_from < piece.stop)])

    def iq(self, channel: ChannelSpec, start: int, stop: int) -> Complex64:
        """Copy a channel's samples, complex64 [stop - start]."""
        parts = [
            samples[max(start - p.first, 0) : stop - p.first]
            for p in self._pieces
            if p.first < stop and start < p.stop and (samples := p.of(channel)) is not None
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.complex64)

    def utc_ns(self, index: int) -> int:
        """When a sample was at the antenna, by the stamp of its own block."""
        return self._piece_at(index).utc_ns(index)

    def index_at(self, utc_ns: int) -> int:
        """The sample nearest to an instant; the inverse of :meth:`utc_ns`."""
        piece = next(
            (p for p in reversed(self._pieces) if p.block.start_utc_ns <= utc_ns), self._pieces[0]
        )
        past_s = (utc_ns - piece.block.start_utc_ns) / NS_PER_S
        return piece.first + round(past_s * piece.block.sample_rate_hz)

    def burst(self, span: Span) -> Burst:
        """Cut a span out as a burst."""
        first = self._piece_at(span.start).block
        iq = frozen_array(self.iq(span.channel, span.start, span.stop))
        for piece in self._pieces:
            if piece.stop <= span.stop:
                piece.kept.pop(span.channel, None)
        return Burst(
            channel=span.channel,
            iq=iq,
            sample_rate_hz=first.sample_rate_hz,
            start_utc_ns=self.utc_ns(span.start),
            noise_power=span.noise_power,
            count=self._count(span.start, span.stop),
            clock=first.clock,
            place=first.place,
            gain_db=first.gain_db,
            full_scale_dbm=first.full_scale_dbm,
            frequency_error=first.frequency_error,
        )

    def _piece_at(self, index: int) -> _Piece:
        return next((p for p in reversed(self._pieces) if p.first <= index), self._pieces[0])

    def _count(self, start: int, stop: int) -> SampleCount:
        """What became of the receiver's samples in a window; a loss at its very edge counts."""
        total = SampleCount()
        for piece in self._pieces:
            before, until = piece.count_up_to(start), piece.count_up_to(stop)
            total += SampleCount(received=until[0] - before[0], clipped=until[1] - before[1])
            if start <= piece.first <= stop:
                total += SampleCount(lost=piece.block.count.lost, dropped=piece.block.count.dropped)
        return total + self._lost_after if stop == self.stop else total
