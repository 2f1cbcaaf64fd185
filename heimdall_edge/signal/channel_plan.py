"""How a channel is cut out of a band: its filter, its output rate, and the frames to do it in.

Each choice depends on rates and widths alone, so that receivers of one rate agree on a channel,
whatever else they watch. Only the frames serve all channels of a receiver together.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from heimdall_edge.config import BAND_SHARE
from heimdall_edge.types import ChannelSpec, Float64

STOPBAND_DB = 100.0
OVERSAMPLING = 1.25
"""A channel's output rate over its bandwidth: at least this, where the input allows."""
MAX_DECIMATION = 8192
RATE_TOLERANCE = 1e-3
"""Receivers whose true rates differ by parts per million get the same decimation."""
MAX_FRAME_OVERLAPS = 4
"""A frame is at most this many overlaps long: longer ones save little, and come late."""
MIN_FRAME_S = 0.01
"""Frames may always last this long, however short the filters."""


def lies_within(channel: ChannelSpec, *, sample_rate_hz: float, center_freq_hz: float) -> bool:
    """Whether all of a channel lies in the part of the band that a receiver passes."""
    reach_hz = (BAND_SHARE * sample_rate_hz - channel.bandwidth_hz) / 2
    return abs(channel.frequency_hz - center_freq_hz) <= reach_hz


def check_fits(channel: ChannelSpec, *, sample_rate_hz: float, center_freq_hz: float) -> None:
    """Refuse a channel that this receiver cannot give, with a ``ValueError``."""
    if not lies_within(channel, sample_rate_hz=sample_rate_hz, center_freq_hz=center_freq_hz):
        half_band_hz = BAND_SHARE * sample_rate_hz / 2
        low_hz = channel.frequency_hz - channel.bandwidth_hz / 2
        high_hz = channel.frequency_hz + channel.bandwidth_hz / 2
        raise ValueError(
            f"channel {channel.name!r} ({low_hz:.1f}…{high_hz:.1f} Hz) lies outside the "
            f"receiver's band; expected within {center_freq_hz - half_band_hz:.1f}…"
            f"{center_freq_hz + half_band_hz:.1f} Hz"
        )
    narrowest_hz = sample_rate_hz / MAX_DECIMATION
    if not channel.bandwidth_hz >= narrowest_hz:
        raise ValueError(
            f"channel {channel.name!r} is {channel.bandwidth_hz} Hz wide; expected at least "
            f"{narrowest_hz:.1f} Hz at a sample rate of {sample_rate_hz} Hz"
        )


def channel_decimation(sample_rate_hz: float, bandwidth_hz: float) -> int:
    """The greatest divisor of the form 2**a · 3**(0…1) · 5**(0…2) that oversamples enough.

    So few factors keep the common multiple small where channels of several widths share a frame.
    """
    greatest = sample_rate_hz / (OVERSAMPLING * bandwidth_hz) * (1 + RATE_TOLERANCE)
    odd_parts = (odd for odd in (1, 3, 5, 15, 25, 75) if odd <= greatest)
    return max((odd * 2 ** int(math.log2(greatest / odd)) for odd in odd_parts), default=1)


def channel_taps(sample_rate_hz: float, bandwidth_hz: float) -> Float64:
    """The channel's low pass: flat to half its bandwidth, stopped a quarter further.

    Where the channel nearly fills the input, it stops at the edge of the band instead. The noise
    bandwidth is the mean of pass and stop band: 1.125 times the channel's.

    Returns
    -------
    float64 [2 * half_length + 1]
        Symmetric, unit gain at 0 Hz. Kaiser's formulas: J. F. Kaiser, "Nonrecursive digital
        filter design using the I0-sinh window function", 1974.
    """
    output_rate_hz = sample_rate_hz / channel_decimation(sample_rate_hz, bandwidth_hz)
    pass_edge = bandwidth_hz / 2 / sample_rate_hz
    stop_edge = min(OVERSAMPLING * bandwidth_hz, output_rate_hz) / 2 / sample_rate_hz
    length = (STOPBAND_DB - 7.95) / (2.285 * 2 * math.pi * (stop_edge - pass_edge))
    n = np.arange(-math.ceil(length / 2), math.ceil(length / 2) + 1)
    window = np.kaiser(len(n), 0.1102 * (STOPBAND_DB - 8.7))
    taps: Float64 = np.sinc((pass_edge + stop_edge) * n) * window
    taps /= taps.sum()
    return taps


@dataclass(frozen=True, slots=True)
class FramePlan:
    """How samples are cut into overlapping frames; all in input samples."""

    n_fft: int
    margin: int
    """Spoiled by the filters at either end of a frame."""

    @property
    def hop(self) -> int:
        """Kept of each frame, and the distance between frames."""
        return self.n_fft - 2 * self.margin

    @property
    def cost(self) -> float:
        """Relative time of the forward transform, a kept sample."""
        return self.n_fft * math.log2(self.n_fft) / self.hop


def plan_frames(*, sample_rate_hz: float, half_length: int, quantum: int) -> FramePlan:
    """The cheapest frames for filters that reach ``half_length`` samples to either side.

    ``quantum`` divides both the transform's length and the margin, so that every channel has a
    whole number of bins, and of output samples, a frame.
    """
    margin = math.ceil(half_length / quantum) * quantum
    longest = max(MAX_FRAME_OVERLAPS * 2 * margin, MIN_FRAME_S * sample_rate_hz)
    powers = itertools.product(range(24), range(5), range(5))
    lengths = (quantum * 2**a * 3**b * 5**c for a, b, c in powers)
    plans = (FramePlan(n, margin) for n in lengths if 2 * margin < n <= longest)
    return min(plans, key=lambda plan: plan.cost)
