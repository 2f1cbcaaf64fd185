from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from heimdall_edge.config import Channel
from heimdall_edge.signal.detect import Detector, Heed
from heimdall_edge.types import Burst, ChannelBlock, ChannelSpec, ClockState, SampleCount

RATE_HZ = 16_000.0
CHANNEL = ChannelSpec("ch", 145e6, 12_500.0)
FRAME = 20
START_NS = 1_700_000_000_000_000_000
SAMPLE_NS = 62_500


def noise(n: int, seed: int = 1) -> np.ndarray:
    iq = np.random.default_rng(seed).standard_normal((n, 2), np.float32)
    return (iq * np.float32(math.sqrt(0.5e-6))).view(np.complex64)[:, 0]


def keyed(duration_s: float, *spans_s: tuple[float, float], level: float = 0.02) -> np.ndarray:
    iq = noise(round(duration_s * RATE_HZ))
    tone = (level * np.exp(2j * np.pi * 0.07 * np.arange(len(iq)))).astype(np.complex64)
    for start_s, stop_s in spans_s:
        at = slice(round(start_s * RATE_HZ), round(stop_s * RATE_HZ))
        iq[at] += tone[at]
    return iq


def blocks_of(iq: np.ndarray, n: int = 1_600) -> list[ChannelBlock]:
    return [
        ChannelBlock(
            bandwidth_hz=CHANNEL.bandwidth_hz,
            channels=(CHANNEL,),
            iq=iq[None, first : first + n],
            sample_rate_hz=RATE_HZ,
            start_utc_ns=START_NS + first * SAMPLE_NS,
            follows=first > 0,
            count=SampleCount(received=150 * len(iq[first : first + n])),
            clock=ClockState(),
        )
        for first in range(0, len(iq), n)
    ]


def channel(spec: ChannelSpec = CHANNEL, **changes: object) -> Channel:
    return Channel(
        name=spec.name,
        frequency_hz=spec.frequency_hz,
        bandwidth_hz=spec.bandwidth_hz,
        **({"hang_s": 0.05} | changes),  # type: ignore[arg-type]
    )


def detector(**changes: object) -> Detector:
    return Detector([channel(**changes)])


def heed(detector: Detector) -> Heed:
    """How well the only channel is listened to."""
    (only,) = detector.heeds
    return only


def run(detector: Detector, blocks: list[ChannelBlock]) -> list[Burst]:
    return [b for block in blocks for b in detector.process(block)] + detector.flush()


def seconds(burst: Burst) -> tuple[float, float]:
    start_s = (burst.start_utc_ns - START_NS) / 1e9
    return round(start_s, 2), round(start_s + burst.duration_s, 2)


def test_bursts_hold_the_very_samples_and_their_instant() -> None:
    iq = keyed(2.0, (0.5, 0.7), (1.2, 1.5))
    bursts = run(detector(), blocks_of(iq))
    assert [seconds(b) for b in bursts] == [(0.5, 0.7), (1.2, 1.5)]
    for burst in bursts:
        first = (burst.start_utc_ns - START_NS) // SAMPLE_NS
        np.testing.assert_array_equal(burst.iq, iq[first : first + len(burst.iq)])
        assert burst.count == SampleCount(received=150 * len(burst.iq))


def test_the_limit_is_the_floor_and_the_open_threshold() -> None:
    listener = detector(open_db=7.0)
    assert (listener.noise_power, listener.noise_floor_dbfs, [*listener.heeds]) == ({}, {}, [])
    run(listener, blocks_of(keyed(2.0)))
    in_channel_dbfs = -60 + 10 * math.log10(12.5 / 16)
    assert listener.noise_floor_dbfs["ch"] == pytest.approx(in_channel_dbfs, abs=0.3)
    assert heed(listener).limit_dbfs == pytest.approx(in_channel_dbfs + 7, abs=0.3)


def test_every_burst_that_starts_before_listened_until_has_been_given() -> None:
    listener = detector(hang_s=0.2, max_duration_s=0.5)
    assert [*listener.heeds] == []
    until_ns = START_NS
    for block in blocks_of(keyed(3.0, (0.5, 0.7), (1.2, 2.6)), n=500):
        bursts = listener.process(block)
        assert all(b.start_utc_ns >= until_ns for b in bursts)
        for known in listener.heeds:
            assert known.until_utc_ns >= until_ns
            until_ns = known.until_utc_ns
    assert until_ns >= START_NS + 3_000_000_000 - FRAME * SAMPLE_NS
    listener.flush()
    assert heed(listener).until_utc_ns == START_NS + 3_000_000_000


def test_a_transmission_under_way_holds_back_listened_until_at_its_start() -> None:
    listener = detector()
    for block in blocks_of(keyed(2.0, (0.5, 2.0))):
        listener.process(block)
    assert 0.49e9 < heed(listener).until_utc_ns - START_NS < 0.5e9


def gapped(iq: np.ndarray, gap_s: float, count: SampleCount) -> list[ChannelBlock]:
    """Two halves, with a gap between them that is told of on the second one."""
    half = len(iq) // 2
    first, second = blocks_of(iq, half)
    late_ns = second.start_utc_ns + round(gap_s * 1e9)
    return [
        first,
        replace(second, start_utc_ns=late_ns, follows=False, count=second.count + count),
    ]


def test_a_gap_ends_a_burst_and_the_loss_goes_to_the_bursts_that_it_touches() -> None:
    iq = keyed(2.0, (0.3, 0.4), (0.8, 1.2), (1.5, 1.6))
    lost = SampleCount(lost=5, dropped=3)
    listener = detector()
    bursts = run(listener, gapped(iq, 0.5, lost))
    assert [seconds(b) for b in bursts] == [(0.3, 0.4), (0.8, 1.0), (1.5, 1.7), (2.0, 2.1)]
    assert bursts[1].start_utc_ns + bursts[1].duration_s * 1e9 == START_NS + 1_000_000_000
    assert [(b.count.lost, b.count.dropped) for b in bursts] == [(0, 0), (5, 3), (5, 3), (0, 0)]
    assert heed(listener).since_utc_ns == START_NS + 1_500_000_000


def test_the_floor_outlives_a_gap() -> None:
    listener = detector()
    first, second = gapped(keyed(2.0), 0.5, SampleCount(lost=1))
    listener.process(first)
    floor = listener.noise_power["ch"]
    listener.process(replace(second, iq=second.iq[:, :200]))
    assert listener.noise_power["ch"] == pytest.approx(floor, rel=0.05)


def test_blocks_without_samples_after_a_gap_keep_their_counts() -> None:
    iq = keyed(2.0, (0.8, 1.2))
    first, second = gapped(iq, 0.5, SampleCount())
    filling = replace(
        second, iq=second.iq[:, :0], count=SampleCount(received=100, lost=9), follows=False
    )
    bursts = run(detector(), [first, filling, filling, second])
    assert [b.count.lost for b in bursts] == [9, 18]
    assert bursts[1].count.received == 150 * len(bursts[1].iq) + round(
        200 * len(bursts[1].iq) / second.n_samples
    )


@pytest.mark.parametrize("change", [{"gain_db": 20.0}, {"sample_rate_hz": 20_000.0}])
def test_a_change_of_gain_or_rate_starts_anew(change: dict[str, float]) -> None:
    listener = detector()
    first, second = blocks_of(keyed(2.0, (0.8, 1.2)), 16_000)
    listener.process(first)
    (burst,) = listener.process(replace(second, iq=second.iq[:, :1], **change))
    assert seconds(burst) == (0.8, 1.0)
    assert listener.noise_power == {}


def test_a_rate_that_wanders_by_parts_per_million_is_no_change() -> None:
    first, second = blocks_of(keyed(2.0, (0.8, 1.2)), 16_000)
    bursts = run(detector(), [first, replace(second, sample_rate_hz=16_000.05)])
    assert [seconds(b) for b in bursts] == [(0.8, 1.2)]


def test_a_clock_that_is_set_is_a_gap_whatever_the_block_says() -> None:
    first, second = blocks_of(keyed(2.0, (0.8, 1.2)), 16_000)
    year_later = replace(second, start_utc_ns=second.start_utc_ns + 31_536_000_000_000_000)
    bursts = run(detector(mode="continuous", window_s=0.1), [first, year_later])
    assert len(bursts) == 4
    bursts = run(detector(), [first, year_later])
    assert seconds(bursts[0]) == (0.8, 1.0)
    assert len(bursts) == 2


def test_continuous_mode_gives_whole_windows() -> None:
    iq = keyed(4.3, (0.0, 4.3))
    blocks = [replace(b, start_utc_ns=b.start_utc_ns + 300_000_000) for b in blocks_of(iq)]
    listener = detector(mode="continuous", window_s=1.0)
    bursts = run(listener, blocks)
    assert [seconds(b) for b in bursts] == [(1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]
    assert {len(b.iq) for b in bursts} == {16_000}
    assert listener.noise_floor_dbfs["ch"] == pytest.approx(
        -60 + 10 * math.log10(12.5 / 16), abs=0.5
    )


def test_a_carrier_that_is_always_there_is_one_transmission_cut_on_the_grid() -> None:
    bursts = run(detector(max_duration_s=1.0), blocks_of(keyed(30.0, (0.0, 30.0), level=0.05)))
    assert [seconds(b) for b in bursts] == [(float(n), n + 1.0) for n in range(30)]
    floor_dbfs = 10 * math.log10(bursts[-1].noise_power)
    assert floor_dbfs == pytest.approx(-60 + 10 * math.log10(12.5 / 16), abs=1.5)


def test_louder_noise_is_taken_for_a_transmission_for_a_minute_at_most() -> None:
    quiet, loud = noise(160_000), noise(16_000 * 80, seed=2) * np.float32(math.sqrt(20))
    bursts = run(detector(), blocks_of(np.concatenate((quiet, loud)), 16_000))
    last = seconds(bursts[-1])
    assert last[1] < 10 + 60
    assert all(seconds(b)[0] >= 9.99 for b in bursts)


def test_flushing_twice_gives_nothing_twice() -> None:
    listener = detector()
    assert listener.flush() == []
    first, second = blocks_of(keyed(2.0, (0.8, 1.2)), 16_000)
    listener.process(first)
    assert len(listener.flush()) == 1
    assert listener.flush() == []
    (burst,) = [*listener.process(second), *listener.flush()]
    assert seconds(burst) == (1.0, 1.2)


# ── several channels ──────────────────────────────────────────────────────────────────────

SECOND = ChannelSpec("ch2", 145.1e6, 12_500.0)


def pairs(first_iq: np.ndarray, second_iq: np.ndarray, n: int = 1_600) -> list[ChannelBlock]:
    return [
        replace(one, channels=(CHANNEL, SECOND), iq=np.concatenate((one.iq, other.iq)))
        for one, other in zip(blocks_of(first_iq, n), blocks_of(second_iq, n), strict=True)
    ]


def test_each_channel_has_its_own_bursts_floor_and_limit() -> None:
    listener = Detector([channel(open_db=7.0), channel(SECOND, open_db=9.0)])
    louder = 10 * keyed(2.0, (0.8, 1.2))
    bursts = run(listener, pairs(keyed(2.0, (0.5, 0.7)), louder))
    assert [(b.channel, seconds(b)) for b in bursts] == [
        (CHANNEL, (0.5, 0.7)),
        (SECOND, (0.8, 1.2)),
    ]
    np.testing.assert_array_equal(
        bursts[1].iq, louder[12_800 - 10 : 12_800 - 10 + len(bursts[1].iq)]
    )
    floors = listener.noise_floor_dbfs
    assert floors["ch2"] - floors["ch"] == pytest.approx(20, abs=0.2)
    limits = {h.channel: h.limit_dbfs for h in listener.heeds}
    assert limits == pytest.approx({"ch": floors["ch"] + 7, "ch2": floors["ch2"] + 9})


def test_of_channels_that_others_watch_nothing_is_taken() -> None:
    bursts = run(Detector([channel(SECOND)]), pairs(keyed(2.0, (0.5, 0.7)), keyed(2.0, (0.8, 1.2))))
    assert [(b.channel, seconds(b)) for b in bursts] == [(SECOND, (0.8, 1.2))]


def test_a_channel_left_out_ends_is_not_heeded_and_comes_back_as_after_a_gap() -> None:
    listener = Detector([channel(), channel(SECOND)])
    blocks = pairs(keyed(2.0, (0.5, 1.5)), keyed(2.0, (0.4, 1.6)))
    without = [replace(b, channels=(CHANNEL,), iq=b.iq[:1]) for b in blocks]
    bursts = [b for block in blocks[:8] for b in listener.process(block)]
    assert bursts == []
    (ended,) = listener.process(without[8])
    assert (ended.channel, seconds(ended)) == (SECOND, (0.4, 0.8))
    assert [h.channel for h in listener.heeds] == ["ch"]
    assert set(listener.noise_power) == {"ch", "ch2"}
    later = [b for block in [*without[9:12], *blocks[12:]] for b in listener.process(block)]
    assert [(b.channel, seconds(b)) for b in later] == [(CHANNEL, (0.5, 1.5)), (SECOND, (1.2, 1.6))]
    since = {h.channel: h.since_utc_ns for h in listener.heeds}
    assert since == {"ch": START_NS, "ch2": START_NS + 1_200_000_000}


def test_without_any_channel_all_ends_and_the_next_block_begins_anew() -> None:
    listener = detector()
    first, second, third = blocks_of(keyed(3.0, (0.8, 2.2)), 16_000)
    listener.process(first)
    (ended,) = listener.process(replace(second, channels=(), iq=second.iq[:0]))
    assert seconds(ended) == (0.8, 1.0)
    assert [*listener.heeds] == []
    (burst,) = listener.process(third)
    assert seconds(burst) == (2.0, 2.2)
    assert heed(listener).since_utc_ns == START_NS + 2_000_000_000


def test_a_full_scale_that_wanders_is_no_change() -> None:
    first, second = blocks_of(keyed(2.0, (0.8, 1.2)), 16_000)
    bursts = run(
        detector(),
        [replace(first, full_scale_dbm=-20.0), replace(second, full_scale_dbm=-20.01)],
    )
    assert [(seconds(b), b.full_scale_dbm) for b in bursts] == [((0.8, 1.2), -20.0)]
