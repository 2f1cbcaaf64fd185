from __future__ import annotations

import numpy as np
import pytest

from heimdall_edge.signal.history import ChannelHistory, Span
from heimdall_edge.types import (
    ChannelBlock,
    ChannelSpec,
    ClockSource,
    ClockState,
    Place,
    SampleCount,
)

CHANNEL = ChannelSpec("ch", 145e6, 12_500.0)
START_NS = 1_700_000_000_000_000_000


def block(first: int, n: int, **changes: object) -> ChannelBlock:
    values = {
        "channel": CHANNEL,
        "iq": np.arange(first, first + n).astype(np.complex64),
        "sample_rate_hz": 20_000.0,
        "start_utc_ns": START_NS + first * 50_000,
        "follows": first > 0,
        "count": SampleCount(received=100 * n, clipped=n),
        "clock": ClockState(),
    }
    return ChannelBlock(**(values | changes))  # type: ignore[arg-type]


def history_of(*blocks: ChannelBlock) -> ChannelHistory:
    history = ChannelHistory(blocks[0])
    for following in blocks[1:]:
        history.append(following)
    return history


def test_samples_come_back_across_blocks() -> None:
    history = history_of(block(0, 10), block(10, 5), block(15, 10))
    np.testing.assert_array_equal(history.iq(8, 17), np.arange(8, 17))
    assert history.stop == 25
    assert history.iq(4, 4).size == 0


def test_instants_and_indices_are_inverse_and_take_the_stamp_of_their_own_block() -> None:
    late = block(10, 10, start_utc_ns=START_NS + 600_000)  # its clock says 100 µs more
    history = history_of(block(0, 10), late)
    assert history.utc_ns(9) == START_NS + 450_000
    assert history.utc_ns(10) == START_NS + 600_000
    assert history.utc_ns(20) == START_NS + 1_100_000
    for index in (0, 3, 9, 10, 15, 19):
        assert history.index_at(history.utc_ns(index)) == index
    assert history.index_at(START_NS + 124_000) == 2
    assert history.index_at(START_NS - 100_000) == -2


def test_forgetting_keeps_what_is_still_needed() -> None:
    history = history_of(block(0, 10), block(10, 10), block(20, 10))
    history.forget(before=15)
    np.testing.assert_array_equal(history.iq(15, 30), np.arange(15, 30))
    assert history.iq(0, 10).size == 0
    assert history.utc_ns(15) == START_NS + 750_000


def test_a_burst_carries_the_state_of_the_block_that_it_starts_in() -> None:
    clock, place = ClockState(ClockSource.GNSS, 1e-7, locked=True), Place(45.0, 7.0)
    history = history_of(block(0, 10), block(10, 10, clock=clock, place=place, gain_db=30.0))
    burst = history.burst(Span(12, 18, 0.5))
    assert burst.start_utc_ns == START_NS + 600_000
    assert (burst.clock, burst.place, burst.gain_db) == (clock, place, 30.0)
    assert (burst.noise_power, burst.channel, burst.sample_rate_hz) == (0.5, CHANNEL, 20_000.0)
    assert not burst.iq.flags.writeable
    assert history.burst(Span(8, 18, 0.5)).place is None


def test_received_and_clipped_samples_are_shared_out_by_time() -> None:
    quiet = SampleCount(received=1000, clipped=0)
    history = history_of(block(0, 10, count=quiet), block(10, 10))
    assert history.burst(Span(5, 15, 1.0)).count == SampleCount(received=1000, clipped=5)


def test_a_loss_goes_to_every_burst_whose_window_it_touches() -> None:
    history = history_of(block(0, 10), block(10, 10, count=SampleCount(1000, lost=7)))
    history.end(block(0, 10, count=SampleCount(1000, dropped=9)))
    assert history.burst(Span(0, 9, 1.0)).count.lost == 0
    assert history.burst(Span(0, 10, 1.0)).count.lost == 7
    assert history.burst(Span(5, 15, 1.0)).count.lost == 7
    assert history.burst(Span(11, 19, 1.0)).count == SampleCount(received=800)
    assert history.burst(Span(11, 20, 1.0)).count.dropped == 9


@pytest.mark.parametrize("at", [0, 1])
def test_a_block_without_samples_still_gives_its_counts(at: int) -> None:
    empty = block(10, 0, count=SampleCount(received=50, lost=1))
    blocks = [block(0, 10), block(10, 10)]
    blocks.insert(at, empty if at else block(0, 0, count=SampleCount(received=50, lost=1)))
    count = history_of(*blocks).burst(Span(0, 20, 1.0)).count
    assert count == SampleCount(received=2050, lost=1, clipped=20)
