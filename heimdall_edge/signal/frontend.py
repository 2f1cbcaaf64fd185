"""A receiver's raw blocks in, every channel's IQ out: the first stage of the flow.

::

    IQBlock ─▶ refused? ─▶ gap? ─▶ Channelizer ─▶ ChannelBlock, one a width of channels

Samples stay in the converter's own steps until the channel filters scale them: no pass over the
wideband samples is spent on the offset or the scale.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from heimdall_edge.errors import BurstError
from heimdall_edge.signal.channelizer import Channelizer, MeanTracker
from heimdall_edge.types import (
    NS_PER_S,
    ChannelBlock,
    ChannelSpec,
    IQBlock,
    SampleCount,
    SampleFormat,
    frozen_array,
)

MEAN_TIME_S = 4.0
"""Slow enough to leave a burst of a second at the very centre within 1 dB; offsets are slower."""
MAX_OFFSET = 1 / 16
"""Share of full scale that a converter's offset may reach (-24 dBFS); more is a signal."""
RATE_WANDER = 1e-6
"""Change of a rate that is fitted to time stamps anew (KiwiSDR): no reason to start afresh."""
MAX_MAGNITUDE = 1e6
"""A float beyond it is no sample, and would drown its neighbours in rounding errors."""


@dataclass(frozen=True, slots=True)
class SampleLayout:
    """What the numbers of a sample format mean."""

    dtype: str
    """Of the array, in NumPy's notation."""
    lowest: int
    """The converter's limits: a sample with I or Q there is clipped."""
    highest: int
    full_scale: float
    zero: float = 0.0
    """The number that stands for no signal."""
    is_raw: bool = False
    """Whether it is the converter's own output, with its offset; the wider formats have passed
    a digital down-converter, whose 0 Hz is a frequency like any other (DCF77 on a KiwiSDR)."""


LAYOUTS: dict[SampleFormat, SampleLayout] = {
    "cu8": SampleLayout("|u1", 0, 255, 127.5, zero=127.5, is_raw=True),
    "ci8": SampleLayout("|i1", -128, 127, 128.0, is_raw=True),
    "ci16_le": SampleLayout("<i2", -32_768, 32_767, 32_768.0),
    "ci16_be": SampleLayout(">i2", -32_768, 32_767, 32_768.0),
    "cf32_le": SampleLayout("<f4", -1, 1, 1.0),
}


def layout_of(datatype: SampleFormat, full_scale: float | None = None) -> SampleLayout:
    """A format's numbers, of a converter that fills it, or of a smaller one inside it."""
    layout = LAYOUTS[datatype]
    if full_scale is None:
        return layout
    highest = round(full_scale) - (layout.highest < layout.full_scale)
    return replace(layout, lowest=-round(full_scale), highest=highest, full_scale=full_scale)


class FrontEnd:
    """Raw samples of one receiver to complex64 samples of its channels.

    At a gap, and after a refused block, the filters start afresh: no output is made of samples
    that were never received, so each start costs the output of the longest filter's length
    (seconds: 51 / bandwidth). A sample's output comes within a frame: 16 ms for channels of
    12.5 kHz.

    Parameters
    ----------
    datatype, sample_rate_hz, center_freq_hz
        Of the blocks that it takes.
    channels : sequence of ChannelSpec
        At least one.
    full_scale : float, optional
        As :attr:`IQBlock.full_scale` says.
    remove_offset : bool, optional
        Whether to track and remove the converter's offset; ``None`` is for the 8-bit formats.

    Raises
    ------
    ValueError
        An unknown datatype, an impossible rate, or a channel that does not fit into the band.
    """

    def __init__(
        self,
        *,
        datatype: SampleFormat,
        sample_rate_hz: float,
        center_freq_hz: float,
        channels: Sequence[ChannelSpec],
        full_scale: float | None = None,
        remove_offset: bool | None = None,
    ) -> None:
        _check_stream(datatype, sample_rate_hz, channels)
        self._datatype = datatype
        self._sample_rate_hz = sample_rate_hz
        self._center_freq_hz = center_freq_hz
        self._full_scale = full_scale
        self._layout = layout = layout_of(datatype, full_scale)
        is_tracked = layout.is_raw if remove_offset is None else remove_offset
        self._channelizer = Channelizer(
            sample_rate_hz=sample_rate_hz,
            center_freq_hz=center_freq_hz,
            channels=channels,
            full_scale=layout.full_scale,
            mean=MeanTracker(
                nominal=layout.zero,
                max_deviation=MAX_OFFSET * layout.full_scale if is_tracked else 0.0,
                time_constant=MEAN_TIME_S * sample_rate_hz,
            ),
        )
        self._next_index: int | None = None
        """Where the next block must start; ``None``: nothing came before, or it was refused."""
        self._follows = False
        self._owed = SampleCount()
        """Of refused blocks: rides on the next one that is taken."""

    def accepts(self, block: IQBlock) -> bool:
        """Whether the block is of this front end's format, rate (within 1 ppm) and centre."""
        return (
            block.datatype == self._datatype
            and block.full_scale == self._full_scale
            and math.isclose(block.sample_rate_hz, self._sample_rate_hz, rel_tol=RATE_WANDER)
            and block.center_freq_hz == self._center_freq_hz
        )

    def limit_to(self, channels: Collection[str]) -> None:
        """From the next block on, compute the channels of these names only."""
        self._channelizer.limit_to(channels)

    def process(self, block: IQBlock) -> tuple[ChannelBlock, ...]:
        """Take the next block; give one ChannelBlock a width, in the order of the channels.

        One may have no samples yet, or no channels, but still carries the counts: summed over a
        width's blocks, they are those of the blocks put in. ``follows`` is False from a gap up
        to and including the first block after it that has samples.

        Raises
        ------
        BurstError
            The samples are not of the format, or not finite. The block is left out as if it had
            been dropped: its samples are counted as dropped on the next one.
        ValueError
            The block is of another format, rate or centre: see :meth:`accepts`.
        """
        self._check(block)
        count = self._take_count(block)
        self._restart_at_gap(block)
        first_index = self._channelizer.output_index
        outputs = self._channelizer.feed(block.samples)
        follows, self._follows = self._follows, self._follows or outputs[0].shape[1] > 0
        # Exact: integers up to the division, and only over the few samples to this block's stamp.
        offset_ns = round((first_index - block.sample_start) * NS_PER_S / block.sample_rate_hz)
        return tuple(
            ChannelBlock(
                bandwidth_hz=bank.bandwidth_hz,
                channels=bank.channels,
                iq=frozen_array(iq),
                sample_rate_hz=block.sample_rate_hz / bank.decimation,
                start_utc_ns=block.start_utc_ns + offset_ns,
                follows=follows,
                count=count,
                clock=block.clock,
                place=block.place,
                gain_db=block.gain_db,
                full_scale_dbm=block.full_scale_dbm,
                frequency_error=block.frequency_error,
            )
            for bank, iq in zip(self._channelizer.banks, outputs, strict=True)
        )

    def _check(self, block: IQBlock) -> None:
        """Refuse what cannot be used, and owe its counts to the next block."""
        if not self.accepts(block):
            raise ValueError(
                f"block of {block.datatype} at {block.sample_rate_hz} Hz round "
                f"{block.center_freq_hz} Hz; expected {self._datatype} at "
                f"{self._sample_rate_hz} Hz round {self._center_freq_hz} Hz"
            )
        try:
            _check_samples(block, self._layout)
        except BurstError:
            dropped = block.dropped_samples + block.n_samples
            self._owed += SampleCount(lost=block.lost_samples, dropped=dropped)
            self._next_index = None
            raise

    def _restart_at_gap(self, block: IQBlock) -> None:
        n_missing = block.lost_samples + block.dropped_samples + block.discarded_samples
        if n_missing or block.sample_start != self._next_index:
            self._channelizer.restart(block.sample_start)
            self._follows = False
        self._next_index = block.sample_start + block.n_samples

    def _take_count(self, block: IQBlock) -> SampleCount:
        owed, self._owed = self._owed, SampleCount()
        return owed + SampleCount(
            received=block.n_samples,
            lost=block.lost_samples,
            dropped=block.dropped_samples,
            clipped=_n_clipped(block, self._layout),
        )


def _check_stream(
    datatype: SampleFormat, sample_rate_hz: float, channels: Sequence[ChannelSpec]
) -> None:
    if datatype not in LAYOUTS:
        raise ValueError(f"datatype {datatype!r}; expected one of {', '.join(LAYOUTS)}")
    if not 0 < sample_rate_hz < np.inf:
        raise ValueError(f"sample rate {sample_rate_hz} Hz; expected a finite positive number")
    if not channels:
        raise ValueError("no channels; expected at least one")


def _check_samples(block: IQBlock, layout: SampleLayout) -> None:
    where = f"block at sample {block.sample_start}"
    samples = block.samples
    if samples.dtype != np.dtype(layout.dtype) or samples.ndim != 1 or len(samples) % 2:
        raise BurstError(
            "malformed_block",
            f"{where}: {samples.dtype.str} {list(samples.shape)}; expected {layout.dtype} "
            f"[2 * n_samples] for {block.datatype}",
        )
    if samples.dtype.kind == "f" and len(samples):
        peak = float(np.abs(samples).max())
        if not peak <= MAX_MAGNITUDE:
            raise BurstError(
                "not_finite",
                f"{where}: holds {peak}; expected finite samples, full scale 1.0",
            )


def _n_clipped(block: IQBlock, layout: SampleLayout) -> int:
    """How many complex samples have I or Q at the converter's limit."""
    at_limit = (block.samples <= layout.lowest) | (block.samples >= layout.highest)
    return int(np.count_nonzero(at_limit.view(np.uint16)))
