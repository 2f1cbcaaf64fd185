"""The recent samples of one channel: their instants, and what became of the receiver's own samples.

A *run* is a stretch of channel samples without a gap; indices count from its first sample.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from heimdall_edge.types import (
    NS_PER_S,
    Burst,
    ChannelBlock,
    Complex64,
    SampleCount,
    frozen_array,
)


class Span(NamedTuple):
    """Samples ``start`` to ``stop`` (not included) of a run hold something."""

    start: int
    stop: int
    noise_power: float
    """Noise floor in the channel at that time, linear."""


class _Piece(NamedTuple):
    first: int
    stop: int
    block: ChannelBlock

    def utc_ns(self, index: int) -> int:
        past_s = (index - self.first) / self.block.sample_rate_hz
        return self.block.start_utc_ns + round(past_s * NS_PER_S)

    def count_up_to(self, index: int) -> tuple[int, int]:
        """(received, clipped) before ``index``, spread evenly over the block."""
        share = min(max((index - self.first) / max(len(self.block.iq), 1), 0.0), 1.0)
        count = self.block.count
        return round(share * count.received), round(share * count.clipped)


class ChannelHistory:
    """The run under way, as far back as somebody still needs it."""

    def __init__(self, first_block: ChannelBlock) -> None:
        self._pieces: deque[_Piece] = deque([_Piece(0, len(first_block.iq), first_block)])
        self._lost_after = SampleCount()
        self.start_utc_ns = first_block.start_utc_ns

    @property
    def stop(self) -> int:
        """Index after the newest sample."""
        return self._pieces[-1].stop

    @property
    def newest_block(self) -> ChannelBlock:
        return self._pieces[-1].block

    def append(self, block: ChannelBlock) -> None:
        """Add the block that follows without a gap."""
        first = self.stop
        self._pieces.append(_Piece(first, first + len(block.iq), block))

    def end(self, next_block: ChannelBlock) -> None:
        """Learn what was lost between this run and the block that begins the next one."""
        count = next_block.count
        self._lost_after = SampleCount(lost=count.lost, dropped=count.dropped)

    def forget(self, before: int) -> None:
        """Release the blocks that lie wholly before an index."""
        while len(self._pieces) > 1 and self._pieces[0].stop < before:
            self._pieces.popleft()

    def iq(self, start: int, stop: int) -> Complex64:
        """Copy samples, complex64 [stop - start]."""
        parts = [
            p.block.iq[max(start - p.first, 0) : stop - p.first]
            for p in self._pieces
            if p.first < stop and start < p.stop
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
        return Burst(
            channel=first.channel,
            iq=frozen_array(self.iq(span.start, span.stop)),
            sample_rate_hz=first.sample_rate_hz,
            start_utc_ns=self.utc_ns(span.start),
            noise_power=span.noise_power,
            count=self._count(span.start, span.stop),
            clock=first.clock,
            place=first.place,
            gain_db=first.gain_db,
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
