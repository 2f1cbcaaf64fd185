"""What is to be kept of one receiver: some blocks, and what was heard in them.

::

    Clip ─▶ pieces: the blocks as they are ("band"), or their channel's IQ ("channel") ─▶ SigMF
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heimdall_edge.errors import BurstError
from heimdall_edge.signal.frontend import FrontEnd
from heimdall_edge.types import (
    NS_PER_S,
    ChannelBlock,
    ChannelSpec,
    ClockState,
    IQBlock,
    Observation,
    Place,
    ReceiverInfo,
    SampleFormat,
)

META_BYTES = 4_096
RATE_PER_BANDWIDTH = 2.5
"""A channel's own rate is at most so many times its bandwidth, where the receiver's is higher."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A span of one receiver's blocks, all of one centre, rate and format."""

    receiver: ReceiverInfo
    channels: tuple[ChannelSpec, ...]
    """Where it was heard."""
    whole_band: bool
    """Whether all that was sampled is kept; else the IQ of its one channel."""
    blocks: tuple[IQBlock, ...]
    observations: tuple[Observation, ...]
    """At least one, by start."""

    @property
    def channel(self) -> ChannelSpec | None:
        """Whose IQ is kept; ``None`` where the whole band is."""
        return None if self.whole_band else self.channels[0]

    @property
    def n_bytes(self) -> int:
        """What it takes in memory."""
        return sum(block.samples.nbytes for block in self.blocks)

    @property
    def recording_bytes(self) -> int:
        """What it will take on disk, about; rather less than that."""
        if self.channel is None:
            return self.n_bytes + META_BYTES
        lasts_s = sum(block.n_samples / block.sample_rate_hz for block in self.blocks)
        return round(lasts_s * RATE_PER_BANDWIDTH * self.channel.bandwidth_hz) * 8 + META_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A run of samples as a recording holds them, and what was so while they were taken."""

    samples: NDArray[Any]
    """Contiguous, in ``datatype``'s own numbers."""
    datatype: SampleFormat
    n_samples: int
    sample_rate_hz: float
    stream_index: int
    """Of its first sample, at its own rate, since the receiver was opened; gaps count too."""
    start_utc_ns: int
    center_freq_hz: float
    follows: bool
    """Whether it touches the piece before."""
    clock: ClockState
    place: Place | None
    gain_db: float | None
    full_scale_dbm: float | None


def pieces_of(clip: Clip) -> Iterator[Piece]:
    """What a clip's recording is made of, in order; none is empty."""
    pieces = _of_band(clip) if clip.channel is None else _of_channel(clip, clip.channel)
    return (piece for piece in pieces if piece.n_samples)


def _in_one_count(blocks: Sequence[IQBlock]) -> Iterator[IQBlock]:
    """The blocks, numbered on by the time that passed where the receiver was opened anew."""
    shift, last = 0, None
    for block in blocks:
        if last is not None and block.sample_start + shift < last.sample_start + last.n_samples:
            away_s = (block.start_utc_ns - last.end_utc_ns) / NS_PER_S
            n_away = max(1, round(away_s * block.sample_rate_hz))
            shift = last.sample_start + last.n_samples + n_away - block.sample_start
        last = replace(block, sample_start=block.sample_start + shift)
        yield last


def _of_band(clip: Clip) -> Iterator[Piece]:
    next_index = None
    for block in _in_one_count(clip.blocks):
        yield Piece(
            samples=np.ascontiguousarray(block.samples),
            datatype=block.datatype,
            n_samples=block.n_samples,
            sample_rate_hz=block.sample_rate_hz,
            stream_index=block.sample_start,
            start_utc_ns=block.start_utc_ns,
            center_freq_hz=block.center_freq_hz,
            follows=block.sample_start == next_index,
            clock=block.clock,
            place=block.place or clip.receiver.place,
            gain_db=block.gain_db,
            full_scale_dbm=block.full_scale_dbm,
        )
        next_index = block.sample_start + block.n_samples


def _of_channel(clip: Clip, channel: ChannelSpec) -> Iterator[Piece]:
    first = clip.blocks[0]
    front_end = FrontEnd(
        datatype=first.datatype,
        sample_rate_hz=first.sample_rate_hz,
        center_freq_hz=first.center_freq_hz,
        channels=[channel],
    )
    next_index = None
    for block in _in_one_count(clip.blocks):
        try:
            (part,) = front_end.process(block)
        except BurstError:  # of a block without sense the chain has told; here it is a gap
            continue
        iq = part.iq.reshape(-1)  # of one channel
        index = _stream_index(part, block, next_index)
        yield Piece(
            samples=np.ascontiguousarray(iq).view(np.float32),
            datatype="cf32_le",
            n_samples=len(iq),
            sample_rate_hz=part.sample_rate_hz,
            stream_index=index,
            start_utc_ns=part.start_utc_ns,
            center_freq_hz=channel.frequency_hz,
            follows=part.follows,
            clock=part.clock,
            place=part.place or clip.receiver.place,
            gain_db=part.gain_db,
            full_scale_dbm=block.full_scale_dbm,
        )
        if len(iq):
            next_index = index + len(iq)


def _stream_index(part: ChannelBlock, block: IQBlock, next_index: int | None) -> int:
    """The number of a channel block's first sample; never less than those before it end at."""
    if part.follows and next_index is not None:
        return next_index
    late_s = (part.start_utc_ns - block.start_utc_ns) / NS_PER_S
    at_s = block.sample_start / block.sample_rate_hz + late_s
    return max(round(at_s * part.sample_rate_hz), next_index or 0)
