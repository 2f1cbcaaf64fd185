from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from heimdall_edge.config import Channel
from heimdall_edge.signal.bursts import BurstFinder
from heimdall_edge.signal.floor import independent_columns
from heimdall_edge.signal.history import ChannelHistory, Span
from heimdall_edge.types import ChannelBlock, ChannelSpec, ClockState, SampleCount

RATE_HZ = 16_000.0
CHANNEL = ChannelSpec("ch", 145e6, 12_500.0)
FRAME = 20
"""Samples: 16 over the bandwidth."""
START_NS = 1_700_000_000_000_000_000


def noise(rng: np.random.Generator, n: int) -> np.ndarray:
    """White, of power 1 over the whole rate."""
    iq = rng.standard_normal((n, 2), np.float32) * np.float32(math.sqrt(0.5))
    return iq.view(np.complex64)[:, 0]


def keyed(duration_s: float, *spans_s: tuple[float, float], snr_db: float, seed: int = 1):
    """Noise, with a tone switched on from second to second; ``snr_db`` in the channel."""
    iq = noise(np.random.default_rng(seed), round(duration_s * RATE_HZ))
    amplitude = math.sqrt(10 ** (snr_db / 10) * CHANNEL.bandwidth_hz / RATE_HZ)
    tone = (amplitude * np.exp(2j * np.pi * 0.07 * np.arange(len(iq)))).astype(np.complex64)
    for start_s, stop_s in spans_s:
        at = slice(round(start_s * RATE_HZ), round(stop_s * RATE_HZ))
        iq[at] += tone[at]
    return iq


def finder(**changes: float) -> BurstFinder:
    values = {
        "open_db": 8.0,
        "close_db": 5.0,
        "hang_s": 0.05,
        "min_duration_s": 0.0,
        "max_duration_s": 5.0,
    }
    channel = Channel(
        name=CHANNEL.name,
        frequency_hz=CHANNEL.frequency_hz,
        bandwidth_hz=CHANNEL.bandwidth_hz,
        **(values | changes),
    )
    return BurstFinder([channel], sample_rate_hz=RATE_HZ)


def found(finder: BurstFinder, iq: np.ndarray, cuts: list[int] | None = None) -> list[Span]:
    """Feed a run in blocks that end at ``cuts``, and end it."""
    edges = [0, *sorted(cuts or []), len(iq)]
    spans: list[Span] = []
    history = None
    for first, stop in itertools.pairwise(edges):
        block = ChannelBlock(
            bandwidth_hz=CHANNEL.bandwidth_hz,
            channels=(CHANNEL,),
            iq=iq[None, first:stop],
            sample_rate_hz=RATE_HZ,
            start_utc_ns=START_NS + first * 62_500,
            follows=first > 0,
            count=SampleCount(),
            clock=ClockState(),
        )
        if history is None:
            history = ChannelHistory(block)
        else:
            history.append(block)
        settled_before = finder.settled[0]
        new = finder.add(history)
        assert all(span.start >= settled_before for span in new)
        assert finder.settled[0] >= settled_before
        history.forget(finder.settled)
        spans += new
    assert history is not None
    return spans + finder.end_run(history)


def test_a_transmission_is_found_to_a_frame_at_either_end() -> None:
    spans = found(finder(), keyed(2.0, (0.7, 1.3), snr_db=25))
    assert len(spans) == 1
    assert -FRAME <= spans[0].start - 0.7 * RATE_HZ <= 0
    assert 0 <= spans[0].stop - 1.3 * RATE_HZ <= FRAME
    assert 10 * math.log10(spans[0].noise_power * 16 / 12.5) == pytest.approx(0.0, abs=0.5)


def test_it_opens_at_the_open_threshold_only_and_goes_on_to_the_close_threshold() -> None:
    # Over close_db, never over open_db: nothing. Noise of 12.5 kHz · 1.25 ms scatters by 3 dB.
    assert found(finder(open_db=16.0, close_db=4.0), keyed(2.0, (0.7, 1.3), snr_db=10)) == []
    step = keyed(2.0, (0.9, 1.1), snr_db=25)
    step += keyed(2.0, (0.7, 1.3), snr_db=10, seed=2) - keyed(2.0, snr_db=0, seed=2)
    (span,) = found(finder(open_db=16.0, close_db=3.0), step)
    assert span.start == pytest.approx(0.7 * RATE_HZ, abs=FRAME)
    assert span.stop == pytest.approx(1.3 * RATE_HZ, abs=FRAME)


def test_pauses_up_to_the_hang_time_do_not_end_it() -> None:
    iq = keyed(2.0, (0.5, 0.6), (0.64, 0.8), (0.9, 1.0), snr_db=25)
    spans = found(finder(hang_s=0.05), iq)
    assert [round(s.start / RATE_HZ, 1) for s in spans] == [0.5, 0.9]
    assert len(found(finder(hang_s=0.0), iq)) == 3
    assert len(found(finder(hang_s=0.2), iq)) == 1


def test_what_is_shorter_than_the_least_duration_is_not_reported() -> None:
    iq = keyed(2.0, (0.5, 0.52), (1.0, 1.1), snr_db=25)
    (span,) = found(finder(min_duration_s=0.05), iq)
    assert span.start == pytest.approx(1.0 * RATE_HZ, abs=FRAME)


def test_a_long_one_is_cut_at_whole_multiples_in_utc_and_a_short_one_is_not() -> None:
    # The grid of 0.5 s lies at whole half seconds: the run starts on one.
    spans = found(finder(max_duration_s=0.5), keyed(3.0, (0.3, 2.2), (2.4, 2.8), snr_db=25))
    stops = [s.stop for s in spans]
    assert stops[:4] == [8_000, 16_000, 24_000, 32_000]
    assert [s.start for s in spans][1:5] == stops[:4]
    assert stops[4] == pytest.approx(2.2 * RATE_HZ, abs=FRAME)
    assert spans[5].start == pytest.approx(2.4 * RATE_HZ, abs=FRAME)
    assert spans[5].stop == pytest.approx(2.8 * RATE_HZ, abs=FRAME)
    assert len(spans) == 6


def test_an_open_transmission_holds_back_what_is_settled_until_its_end_or_cut() -> None:
    iq = keyed(2.0, (0.7, 5.0), snr_db=25)
    block = ChannelBlock(
        CHANNEL.bandwidth_hz,
        (CHANNEL,),
        iq[None],
        RATE_HZ,
        START_NS,
        False,
        SampleCount(),
        ClockState(),
    )
    listener = finder()
    assert listener.add(ChannelHistory(block)) == []
    assert listener.settled[0] == pytest.approx(0.7 * RATE_HZ, abs=FRAME)
    cutter = finder(max_duration_s=0.5)
    cutter.add(ChannelHistory(block))
    assert cutter.settled[0] == 24_000
    idle = finder()
    idle.add(ChannelHistory(replace(block, iq=keyed(2.0, snr_db=0)[None])))
    assert len(iq) - FRAME < idle.settled[0] <= len(iq)


def test_a_rising_level_that_has_not_opened_yet_holds_back_what_is_settled() -> None:
    iq = keyed(2.0, (1.9, 2.0), snr_db=12)
    block = ChannelBlock(
        CHANNEL.bandwidth_hz,
        (CHANNEL,),
        iq[None],
        RATE_HZ,
        START_NS,
        False,
        SampleCount(),
        ClockState(),
    )
    listener = finder(open_db=20.0, close_db=3.0)
    assert listener.add(ChannelHistory(block)) == []
    assert 1.85 * RATE_HZ < listener.settled[0] < 1.99 * RATE_HZ


def test_a_recording_shorter_than_the_first_floor_is_decided_by_what_there_is() -> None:
    (span,) = found(finder(), keyed(0.08, (0.03, 0.05), snr_db=25))
    assert span.start == pytest.approx(0.03 * RATE_HZ, abs=FRAME)
    assert found(finder(), keyed(0.005, (0.001, 0.004), snr_db=40)) == []


def test_the_floor_outlives_a_run() -> None:
    listener = finder()
    found(listener, keyed(1.0, snr_db=0))
    floor = listener.noise_power[0]
    (span,) = found(listener, keyed(0.02, (0.0, 0.02), snr_db=25))
    assert span == Span(CHANNEL, 0, 320, floor)


def test_what_was_heard_in_one_run_does_not_reach_into_the_next() -> None:
    listener = finder(open_db=12.0, close_db=6.0)
    first, second = keyed(2.0, (1.0, 1.4), snr_db=25), keyed(1.0, (0.3, 0.6), snr_db=25, seed=5)
    found(listener, first)
    fresh = finder(open_db=12.0, close_db=6.0)
    found(fresh, keyed(2.0, snr_db=0))
    spans, expected = found(listener, second, [3_000, 9_000]), found(fresh, second)
    assert [s[1:3] for s in spans] == [s[1:3] for s in expected]
    assert listener.settled[0] == 0


def test_a_strong_neighbour_outside_of_the_channel_opens_nothing() -> None:
    iq = keyed(2.0, snr_db=0)
    at = slice(16_000, 24_000)
    iq[at] += (10 * np.exp(2j * np.pi * 0.48 * np.arange(8_000))).astype(np.complex64)
    # Hard keying splatters for a frame at either end: no transmission is that short.
    assert found(finder(min_duration_s=0.05), iq) == []


def test_bad_samples_are_no_transmission_and_do_not_spoil_what_follows() -> None:
    iq = keyed(2.0, (1.0, 1.2), snr_db=25)
    iq[4_000:8_000:7] = np.nan
    (span,) = found(finder(), iq)
    assert span.start == pytest.approx(1.0 * RATE_HZ, abs=FRAME)


def test_what_is_no_number_at_all_is_decided_without_a_floor() -> None:
    iq = np.full(16_000, np.nan, np.complex64)
    block = ChannelBlock(
        CHANNEL.bandwidth_hz,
        (CHANNEL,),
        iq[None],
        RATE_HZ,
        START_NS,
        False,
        SampleCount(),
        ClockState(),
    )
    listener = finder()
    assert listener.add(ChannelHistory(block)) == []
    assert np.isnan(listener.noise_power[0])
    assert listener.settled[0] > 0.8 * len(iq)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 24_000), max_size=12),
    hang_s=st.sampled_from([0.0, 0.01, 0.1]),
    max_duration_s=st.sampled_from([0.1, 0.25, 5.0]),
    snr_db=st.floats(4, 30),
)
def test_what_is_found_does_not_depend_on_the_blocks(
    cuts: list[int], hang_s: float, max_duration_s: float, snr_db: float
) -> None:
    iq = keyed(1.5, (0.2, 0.3), (0.31, 0.72), (1.0, 1.45), snr_db=snr_db)
    settings_ = {"hang_s": hang_s, "max_duration_s": max_duration_s, "close_db": 4.0}
    assert found(finder(**settings_), iq, cuts) == found(finder(**settings_), iq)


def test_noise_alone_gives_less_than_one_false_alarm_an_hour() -> None:
    """Ten minutes of noise give none, at a threshold 2 dB under the default one.

    At the default one, a frame of noise (gamma distributed, of the shape that its scatter shows)
    exceeds 8 dB with a probability that makes far less than one of an hour's six million.
    """
    rng = np.random.default_rng(11)
    iq = noise(rng, round(600 * RATE_HZ))
    listener = finder(open_db=6.0, close_db=5.0, min_duration_s=0.0)
    assert found(listener, iq, list(range(160_000, len(iq), 160_000))) == []

    frames_an_hour = 3600 * RATE_HZ / (FRAME / 2)
    over_threshold = stats.gamma.sf(
        10**0.8, independent_columns(15), scale=1 / independent_columns(15)
    )
    assert frames_an_hour * over_threshold < 0.01


# ── many channels ─────────────────────────────────────────────────────────────────────────

SPECS = [ChannelSpec(f"ch{i}", 145e6 + 12_500 * i, 12_500.0) for i in range(4)]
SETTINGS = [
    {"open_db": 8.0, "hang_s": 0.05},
    {"open_db": 12.0, "close_db": 6.0, "hang_s": 0.0},
    {"open_db": 8.0, "max_duration_s": 0.25},
    {"open_db": 10.0, "min_duration_s": 0.3},
]


def channels(rows: Sequence[int] = range(4)) -> list[Channel]:
    values = {"close_db": 5.0, "hang_s": 0.05, "min_duration_s": 0.0}
    return [
        Channel(name=SPECS[i].name, frequency_hz=SPECS[i].frequency_hz, **(values | SETTINGS[i]))
        for i in rows
    ]


def four_channels() -> np.ndarray:
    """complex64 [4, n]: two seconds, each with its own transmissions."""
    return np.stack(
        [
            keyed(2.0, (0.05, 0.1), (0.7, 1.3), snr_db=25, seed=1),
            keyed(2.0, (0.65, 0.9), (0.95, 1.1), snr_db=20, seed=2),
            keyed(2.0, (0.3, 2.0), snr_db=30, seed=3),
            keyed(2.0, (0.2, 0.4), (1.0, 1.4), snr_db=15, seed=4),
        ]
    )


def feed(
    watched: Sequence[int], iq: np.ndarray, parts: list[tuple[int, list[int]]]
) -> tuple[BurstFinder, list[Span]]:
    """Feed a run in blocks of (samples, rows that are in it), and end it."""
    finder = BurstFinder(channels(watched), sample_rate_hz=RATE_HZ)
    history, first, spans = None, 0, []
    for n, rows in parts:
        block = ChannelBlock(
            bandwidth_hz=12_500.0,
            channels=tuple(SPECS[i] for i in rows),
            iq=iq[rows, first : first + n],
            sample_rate_hz=RATE_HZ,
            start_utc_ns=START_NS + first * 62_500,
            follows=first > 0,
            count=SampleCount(),
            clock=ClockState(),
        )
        if history is None:
            history = ChannelHistory(block)
        else:
            history.append(block)
        new = finder.add(history)
        for span in new:
            np.testing.assert_array_equal(
                history.iq(span.channel, *span[1:3]),
                iq[SPECS.index(span.channel), span[1] : span[2]],
            )
        history.forget(finder.settled[[watched.index(row) for row in rows]])
        spans += new
        first += n
    assert history is not None
    return finder, spans + finder.end_run(history)


def alone(row: int, iq: np.ndarray, sizes: list[int]) -> list[Span]:
    return feed([row], iq, [(n, [row]) for n in sizes])[1]


def test_channels_together_give_what_each_gives_alone() -> None:
    iq = four_channels()
    sizes = [437] * (len(iq[0]) // 437)
    _, together = feed(range(4), iq, [(n, [0, 1, 2, 3]) for n in sizes])
    for row, spec in enumerate(SPECS):
        assert [s for s in together if s.channel == spec] == alone(row, iq, sizes)
    assert len(together) == 2 + 2 + 7 + 1


def test_a_channel_that_is_left_out_ends_and_the_others_do_not_notice() -> None:
    iq = four_channels()
    all_rows, sizes = [0, 1, 2, 3], [1_000] * 32
    parts = [(n, all_rows if i < 13 else [0, 1, 3]) for i, n in enumerate(sizes)]
    _, spans = feed(range(4), iq, parts)
    cut = [s for s in spans if s.channel == SPECS[2]]
    assert cut[-1].stop == 13_000
    whole = [s for s in alone(2, iq, sizes) if s.stop <= 13_000]
    assert cut[:-1] == whole
    for row in (0, 1, 3):
        assert [s for s in spans if s.channel == SPECS[row]] == alone(row, iq, sizes)


def test_a_channel_that_comes_back_begins_there_with_the_floor_it_had() -> None:
    iq = four_channels()
    before, away, back = ([(1_000, [0, 1, 2, 3])] * 8, [(1_010, [1, 3])] * 8, [3, 2, 1, 0])
    under_test, spans = feed(range(4), iq, [*before, *away, *[(1_000, back)] * 15])
    assert under_test.since_utc_ns.tolist() == [
        START_NS + 16_080 * 62_500, START_NS, START_NS + 16_080 * 62_500, START_NS
    ]  # fmt: skip
    in_the_middle = [s for s in spans if s.channel == SPECS[0]][-1]
    assert 16_080 <= in_the_middle.start <= 16_080 + FRAME
    assert in_the_middle.stop == pytest.approx(1.3 * RATE_HZ, abs=FRAME)
    sizes = [1_000] * 8 + [1_010] * 8 + [1_000] * 15
    for row in (1, 3):
        assert [s for s in spans if s.channel == SPECS[row]] == alone(row, iq, sizes)


def test_a_channel_that_is_new_in_the_middle_of_a_slot_waits_for_its_own_floor() -> None:
    iq = four_channels()
    under_test, spans = feed(range(4), iq, [(9_900, [1])] + [(700, [1, 0])] * 20)
    assert np.isfinite(under_test.noise_power).tolist() == [True, True, False, False]
    (found_,) = [s for s in spans if s.channel == SPECS[0]]
    assert found_.start == pytest.approx(0.7 * RATE_HZ, abs=FRAME)
    assert found_.stop == pytest.approx(1.3 * RATE_HZ, abs=FRAME)
    assert [s for s in spans if s.channel == SPECS[1]] == alone(1, iq, [9_900] + [700] * 20)
