from __future__ import annotations

import weakref

import numpy as np
import pytest

from heimdall_edge.signal.history import ChannelHistory, Span
from heimdall_edge.types import (
    ChannelBlock,
    ChannelSpec,
    ClockSource,
    ClockState,
    FrequencyError,
    Place,
    SampleCount,
)

CHANNEL = ChannelSpec("ch", 145e6, 12_500.0)
START_NS = 1_700_000_000_000_000_000


def block(first: int, n: int, **changes: object) -> ChannelBlock:
    values = {
        "bandwidth_hz": CHANNEL.bandwidth_hz,
        "channels": (CHANNEL,),
        "iq": np.arange(first, first + n).astype(np.complex64)[None],
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
    np.testing.assert_array_equal(history.iq(CHANNEL, 8, 17), np.arange(8, 17))
    assert history.stop == 25
    assert history.iq(CHANNEL, 4, 4).size == 0


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
    history.forget(np.array([15]))
    np.testing.assert_array_equal(history.iq(CHANNEL, 15, 30), np.arange(15, 30))
    assert history.iq(CHANNEL, 0, 10).size == 0
    assert history.utc_ns(15) == START_NS + 750_000


def test_a_burst_carries_the_state_of_the_block_that_it_starts_in() -> None:
    clock, place = ClockState(ClockSource.GNSS, 1e-7, locked=True), Place(45.0, 7.0)
    history = history_of(block(0, 10), block(10, 10, clock=clock, place=place, gain_db=30.0))
    burst = history.burst(Span(CHANNEL, 12, 18, 0.5))
    assert burst.start_utc_ns == START_NS + 600_000
    assert (burst.clock, burst.place, burst.gain_db) == (clock, place, 30.0)
    assert (burst.noise_power, burst.channel, burst.sample_rate_hz) == (0.5, CHANNEL, 20_000.0)
    assert not burst.iq.flags.writeable
    assert history.burst(Span(CHANNEL, 8, 18, 0.5)).place is None


def test_received_and_clipped_samples_are_shared_out_by_time() -> None:
    quiet = SampleCount(received=1000, clipped=0)
    history = history_of(block(0, 10, count=quiet), block(10, 10))
    assert history.burst(Span(CHANNEL, 5, 15, 1.0)).count == SampleCount(received=1000, clipped=5)


def test_a_loss_goes_to_every_burst_whose_window_it_touches() -> None:
    history = history_of(block(0, 10), block(10, 10, count=SampleCount(1000, lost=7)))
    history.end(block(0, 10, count=SampleCount(1000, dropped=9)))
    assert history.burst(Span(CHANNEL, 0, 9, 1.0)).count.lost == 0
    assert history.burst(Span(CHANNEL, 0, 10, 1.0)).count.lost == 7
    assert history.burst(Span(CHANNEL, 5, 15, 1.0)).count.lost == 7
    assert history.burst(Span(CHANNEL, 11, 19, 1.0)).count == SampleCount(received=800)
    assert history.burst(Span(CHANNEL, 11, 20, 1.0)).count.dropped == 9


@pytest.mark.parametrize("at", [0, 1])
def test_a_block_without_samples_still_gives_its_counts(at: int) -> None:
    empty = block(10, 0, count=SampleCount(received=50, lost=1))
    blocks = [block(0, 10), block(10, 10)]
    blocks.insert(at, empty if at else block(0, 0, count=SampleCount(received=50, lost=1)))
    count = history_of(*blocks).burst(Span(CHANNEL, 0, 20, 1.0)).count
    assert count == SampleCount(received=2050, lost=1, clipped=20)


OTHER = ChannelSpec("other", 145.1e6, 12_500.0)


def pair(first: int, n: int, *channels: ChannelSpec) -> ChannelBlock:
    """Samples of CHANNEL are their indices, those of OTHER the negative ones."""
    rows = {CHANNEL: np.arange(first, first + n), OTHER: -np.arange(first, first + n)}
    iq = np.array([rows[channel] for channel in channels]).astype(np.complex64)
    return block(first, n, channels=channels, iq=iq.reshape(len(channels), n))


def test_each_channel_has_its_own_samples_also_when_their_order_changes() -> None:
    history = history_of(pair(0, 10, CHANNEL, OTHER), pair(10, 10, OTHER, CHANNEL))
    history.append(pair(20, 10, OTHER))
    np.testing.assert_array_equal(history.iq(CHANNEL, 5, 30), np.arange(5, 20))
    np.testing.assert_array_equal(history.iq(OTHER, 5, 30), -np.arange(5, 30))
    assert history.burst(Span(OTHER, 5, 25, 1.0)).channel == OTHER


def test_a_long_transmission_on_one_channel_does_not_keep_the_others_samples() -> None:
    history = ChannelHistory(pair(0, 10, CHANNEL, OTHER))
    first_samples = weakref.ref(history.newest_block.iq.base)
    for first in range(10, 1_000, 10):
        history.append(pair(first, 10, CHANNEL, OTHER))
        history.forget(np.array([5, first + 8]))
    assert first_samples() is None
    np.testing.assert_array_equal(history.iq(CHANNEL, 5, 1_000), np.arange(5, 1_000))
    assert len(history.iq(OTHER, 0, 990)) == 0
    burst = history.burst(Span(CHANNEL, 5, 990, 1.0))
    np.testing.assert_array_equal(burst.iq, np.arange(5, 990))
    assert len(history.iq(CHANNEL, 0, 990)) == 0  # it was given: nobody asks for it again
    np.testing.assert_array_equal(history.iq(CHANNEL, 990, 1_000), np.arange(990, 1_000))


def test_a_burst_carries_level_calibration_and_frequency_error() -> None:
    error = FrequencyError(2.0, 0.1)
    history = history_of(block(0, 10, full_scale_dbm=-20.0, frequency_error=error), block(10, 10))
    burst = history.burst(Span(CHANNEL, 3, 18, 1.0))
    assert (burst.full_scale_dbm, burst.frequency_error) == (-20.0, error)
