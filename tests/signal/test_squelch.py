from __future__ import annotations

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.signal.history import ChannelHistory, Span
from heimdall_edge.signal.squelch import Squelch
from heimdall_edge.types import ChannelBlock, ClockState, SampleCount

RATE_HZ = 16_000.0
HOP = 16
"""Samples; a frame lasts 2 ms."""
START_NS = 1_700_000_000_000_000_000
FLOOR = 2.0
NOISE_POWER = FLOOR * 12.5 / 16
IDLE, HELD, LOUD = 0.5 * FLOOR, 5.0 * FLOOR, 20.0 * FLOOR
"""Under close_db (5 dB), between the two, and over open_db (10 dB)."""


def channel(**changes: float) -> Channel:
    values = {"open_db": 10.0, "close_db": 5.0, "hang_s": 0.002, "min_duration_s": 0.0}
    return Channel(name="ch", frequency_hz=145e6, **(values | changes))


def run_of(n_samples: int) -> ChannelHistory:
    iq = np.zeros((1, n_samples), np.complex64)
    spec = channel().spec
    return ChannelHistory(
        ChannelBlock(
            spec.bandwidth_hz, (spec,), iq, RATE_HZ, START_NS, False, SampleCount(), ClockState()
        )
    )


def take(squelch: Squelch, first: int, *levels: float, floor: float = FLOOR) -> list[Span]:
    frames = np.array(levels, np.float32)
    holds = np.flatnonzero(frames >= 10**0.5 * floor)
    return squelch.take(first, frames, holds, floor, run_of(HOP * (first + len(levels) + 1)))


def made(**changes: float) -> Squelch:
    return Squelch(channel(**changes), sample_rate_hz=RATE_HZ, hop=HOP)


def test_it_opens_back_to_the_rise_and_closes_after_the_hang() -> None:
    squelch = made()
    levels = [IDLE, HELD, LOUD, IDLE, IDLE, IDLE, HELD, LOUD, HELD, IDLE, IDLE, IDLE, IDLE]
    (first,) = take(squelch, 0, *levels[:9])
    assert first == Span(channel().spec, 1 * HOP, 4 * HOP, NOISE_POWER)
    assert squelch.settled == 6 * HOP
    assert not squelch.is_shut
    (second,) = take(squelch, 9, *levels[9:])
    assert second[1:3] == (6 * HOP, 10 * HOP)
    assert squelch.is_shut
    assert squelch.settled == len(levels) * HOP


def test_a_rise_that_has_not_opened_keeps_it_awake_until_it_falls() -> None:
    squelch = made()
    assert take(squelch, 0, IDLE, HELD, HELD) == []
    assert not squelch.is_shut
    assert squelch.settled == 1 * HOP
    assert take(squelch, 3, IDLE) == []
    assert squelch.is_shut
    assert squelch.settled == 4 * HOP


@pytest.mark.parametrize(("last", "stop"), [(HELD, 99), (IDLE, 5 * HOP)])
def test_the_end_of_a_run_ends_it_where_it_was_last_heard(last: float, stop: int) -> None:
    squelch = made()
    assert take(squelch, 0, IDLE, IDLE, LOUD, HELD, last) == []
    (span,) = squelch.end_run(99, run_of(99), floor=FLOOR)
    assert span[1:3] == (2 * HOP, stop)
    assert squelch.is_shut
    assert squelch.end_run(99, run_of(99), floor=FLOOR) == []
    assert take(squelch, 0, IDLE, LOUD, IDLE, IDLE, IDLE)[0][1:3] == (HOP, 3 * HOP)


def test_what_is_cut_carries_the_floor_of_the_cut() -> None:
    squelch = made(max_duration_s=0.01)
    (first,) = take(squelch, 0, *[LOUD] * 10)
    (second, *_) = take(squelch, 10, *[LOUD] * 10, floor=2 * FLOOR)
    assert (first.start, first.stop) == (0, 160)
    assert (second.start, second.stop) == (160, 320)
    assert (first.noise_power, second.noise_power) == (NOISE_POWER, NOISE_POWER)
    (third, *_) = take(squelch, 20, *[LOUD] * 10, floor=2 * FLOOR)
    assert third.noise_power == 2 * NOISE_POWER


def test_what_is_shorter_than_the_least_duration_is_left_out() -> None:
    levels = [IDLE, LOUD, IDLE, IDLE, IDLE, LOUD, LOUD, LOUD, IDLE, IDLE, IDLE]
    (only,) = take(made(min_duration_s=0.0025), 0, *levels)
    assert only[1:3] == (5 * HOP, 9 * HOP)
