from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall_edge.sources.kiwi_stamps import MIN_SIGMA_S
from heimdall_edge.sources.kiwi_time import FIRST_FRAMES, PATIENCE_FRAMES, LiveTime
from heimdall_edge.types import ClockSource, ClockState
from tests.sources.kiwi_frames_by_hand import (
    BEGUN_UTC_NS,
    FRAME_SAMPLES,
    NOMINAL_HZ,
    NS,
    RATE_HZ,
    WEEK_NS,
    Host,
    frame,
    true_utc_ns,
    week_ns,
)

FRAME_NS = round(FRAME_SAMPLES * NS / RATE_HZ)


def timed(frames, *, host=None, **options):
    """All that comes out, as the frames go in at their time."""
    host = host or Host()
    live = LiveTime(nominal_rate_hz=NOMINAL_HZ, host=host, **options)
    out = []
    for number, one in enumerate(frames):
        host.now_ns = (number + 1) * FRAME_NS
        out += live.take(one, host.now_ns)
    return out


def errors_ns(out, *, unseen=lambda sequence: 0, begun_utc_ns=BEGUN_UTC_NS):
    """By how much each frame's time is off the truth."""
    return [
        t.start_utc_ns
        - true_utc_ns(
            t.frame.sequence * FRAME_SAMPLES + unseen(t.frame.sequence), begun_utc_ns=begun_utc_ns
        )
        for t in out
    ]


def assert_no_gap_is_hidden(out, first_sample=0):
    assert out[0].sample_start == first_sample + out[0].lost_samples
    for before, after in pairwise(out):
        assert after.sample_start == (
            before.sample_start + before.frame.n_samples + after.lost_samples
        )


def test_frames_are_timed_to_some_nanoseconds_at_their_true_rate():
    out = timed(frame(n) for n in range(300))
    assert len(out) == 300
    assert max(map(abs, errors_ns(out))) < 60
    assert out[-1].sample_rate_hz == pytest.approx(RATE_HZ, rel=2e-8)
    assert out[-1].clock == ClockState(ClockSource.GNSS, sigma_s=MIN_SIGMA_S, locked=True)
    assert_no_gap_is_hidden(out)
    assert {t.lost_samples for t in out} == {0}


def test_the_first_second_is_held_back_until_its_time_is_certain():
    host = Host()
    live = LiveTime(nominal_rate_hz=NOMINAL_HZ, host=host)
    given_at = [len(live.take(frame(n), n)) for n in range(FIRST_FRAMES + 2)]
    assert given_at == [*[0] * (FIRST_FRAMES - 1), FIRST_FRAMES, 1, 1]


def test_outliers_are_left_out_wherever_they_are():
    off = {0: 5 * NS, 1: -3 * NS, 17: 10**5, 60: 9 * NS, 61: -(10**4), 120: WEEK_NS // 3}
    out = timed(frame(n, off_ns=off.get(n, 0)) for n in range(200))
    assert [t.frame.sequence for t in out] == list(range(200))
    assert max(map(abs, errors_ns(out))) < 60
    assert {t.lost_samples for t in out} == {0}


def test_a_gap_in_the_sequence_numbers_is_a_loss_of_whole_frames():
    numbers = [*range(10), *range(13, 60), *range(64, 120)]
    out = timed(frame(n) for n in numbers)
    lost = {t.frame.sequence: t.lost_samples for t in out if t.lost_samples}
    assert lost == {13: 3 * 512, 64: 4 * 512}
    assert max(map(abs, errors_ns(out))) < 60
    assert_no_gap_is_hidden(out)


def test_samples_that_the_stamps_alone_miss_are_lost_exactly_there():
    def unseen(sequence):
        return 340 if sequence >= 90 else 0

    out = timed(frame(n, missing_samples=unseen(n)) for n in range(200))
    assert {t.frame.sequence: t.lost_samples for t in out if t.lost_samples} == {90: 340}
    assert max(map(abs, errors_ns(out, unseen=unseen))) < 80
    assert_no_gap_is_hidden(out)


def test_a_whole_frame_that_is_missed_by_the_stamps_in_the_first_second_is_lost_too():
    out = timed(frame(n, missing_samples=512 if n >= 15 else 0) for n in range(60))
    assert {t.frame.sequence: t.lost_samples for t in out if t.lost_samples} == {15: 512}
    assert_no_gap_is_hidden(out)


def test_both_kinds_of_loss_at_once_are_added():
    numbers = [*range(50), *range(52, 120)]
    out = timed(frame(n, missing_samples=170 if n >= 52 else 0) for n in numbers)
    assert {t.frame.sequence: t.lost_samples for t in out if t.lost_samples} == {52: 1024 + 170}


@pytest.mark.parametrize("jump_ns", [150_000 + 40_000, NS // 3, 100 * NS])
def test_a_jump_that_is_no_loss_is_a_new_time_base(jump_ns):
    out = timed(frame(n, off_ns=jump_ns if n >= 100 else 0) for n in range(220))
    assert [t.frame.sequence for t in out] == list(range(220))
    assert {t.lost_samples for t in out} == {0}
    off = errors_ns(out)
    assert max(map(abs, off[:100])) < 60
    assert off[150:] == pytest.approx([jump_ns] * 70, abs=120)


def test_time_that_goes_back_is_an_error():
    with pytest.raises(ValueError, match=r"went back by \d+\.\d+ ms"):
        timed(frame(n, off_ns=-NS if n >= 100 else 0) for n in range(220))


def test_the_week_may_end_at_any_time():
    to_the_end_ns = WEEK_NS - week_ns(BEGUN_UTC_NS)
    begun = BEGUN_UTC_NS + to_the_end_ns - round(40.5 * 512e9 / RATE_HZ)
    assert week_ns(true_utc_ns(41 * 512, begun_utc_ns=begun)) < NS
    for first in (0, 20, 35):
        host = Host(begun)
        out = timed((frame(n, begun_utc_ns=begun) for n in range(first, 150)), host=host)
        assert max(map(abs, errors_ns(out, begun_utc_ns=begun))) < 60


def test_the_host_s_clock_settles_the_week_though_it_be_days_off():
    out = timed((frame(n) for n in range(60)), host=Host(BEGUN_UTC_NS + 3 * 86_400 * NS))
    assert max(map(abs, errors_ns(out))) < 60


def test_a_host_whose_clock_was_never_set_falls_back_to_its_own_time():
    out = timed((frame(n) for n in range(100)), host=Host(7 * NS))
    assert {t.clock.locked for t in out} == {False}


# ── without stamps ────────────────────────────────────────────────────────────────────────


def test_without_stamps_the_host_s_time_must_do_and_is_not_called_locked():
    out = timed(frame(n, stamped=False) for n in range(100))
    assert len(out) == 100
    assert {t.clock.locked for t in out} == {False}
    assert {t.clock.source for t in out} <= {ClockSource.NTP, ClockSource.NONE}
    assert out[0].sample_rate_hz == NOMINAL_HZ
    assert max(map(abs, errors_ns(out))) < 0.1 * NS
    assert_no_gap_is_hidden(out)


def test_without_stamps_frames_flow_as_they_come():
    host = Host()
    live = LiveTime(nominal_rate_hz=NOMINAL_HZ, host=host)
    for n in range(FIRST_FRAMES):
        live.take(frame(n, stamped=False), n * FRAME_NS)
    assert len(live.take(frame(99, stamped=False), 99 * FRAME_NS)) == 1
    assert not live.has_stamps


def test_without_stamps_the_sequence_numbers_still_show_losses():
    numbers = [*range(40), *range(43, 90)]
    host = Host()
    live = LiveTime(nominal_rate_hz=NOMINAL_HZ, host=host)
    out = []
    for n in numbers:
        host.now_ns = (n + 1) * FRAME_NS
        out += live.take(frame(n, stamped=False), host.now_ns)
    assert {t.frame.sequence: t.lost_samples for t in out if t.lost_samples} == {43: 3 * 512}
    assert_no_gap_is_hidden(out)


def test_stamps_that_come_later_are_used_from_then_on():
    out = timed(frame(n, stamped=n >= 60) for n in range(200))
    assert [t.frame.sequence for t in out] == list(range(200))
    assert [t.clock.source is ClockSource.GNSS for t in out] == [n >= 60 for n in range(200)]
    assert max(map(abs, errors_ns(out)[60:])) < 60
    assert_no_gap_is_hidden(out)


def test_stamps_that_never_agree_are_given_up_after_three_seconds():
    out = timed(frame(n, off_ns=(n * 7_919 % 1_000) * 10**6) for n in range(PATIENCE_FRAMES + 5))
    assert len(out) >= PATIENCE_FRAMES
    assert {t.clock.locked for t in out} == {False}


def test_stamps_that_end_leave_the_line_which_ages():
    out = timed(frame(n, stamped=n < 200) for n in range(200 + 24 * 80))
    assert max(map(abs, errors_ns(out))) < 2_000
    assert out[210].clock.locked
    assert out[-1].clock.source is ClockSource.GNSS
    assert not out[-1].clock.locked
    assert out[-1].clock.sigma_s > 1e-6


def test_a_server_that_lost_its_position_long_ago_is_not_locked():
    for age_s, locked in ((5, True), (60, True), (61, False), (252, False)):
        clock = timed(frame(n, age_s=age_s) for n in range(30))[-1].clock
        assert clock.locked is locked
        assert clock.sigma_s >= MIN_SIGMA_S
    assert clock.sigma_s > 4e-6


# ── what is refused ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sequence", [9, 3, 1000])
def test_a_sequence_number_that_goes_back_or_far_ahead_is_an_error(sequence):
    with pytest.raises(ValueError, match=rf"sequence number {sequence}; expected 10"):
        timed([*(frame(n) for n in range(10)), frame(sequence)])


def test_frames_that_change_their_size_are_an_error():
    with pytest.raises(ValueError, match="frame of 100 samples; expected 512"):
        timed([frame(0), frame(1, n_samples=100)])


def test_a_loss_before_the_first_frame_is_counted_where_its_number_is_known():
    out = timed((frame(n) for n in range(5, 60)), first_sample=1024, first_sequence=2)
    assert (out[0].lost_samples, out[0].sample_start) == (3 * 512, 1024 + 3 * 512)
    assert_no_gap_is_hidden(out, first_sample=1024)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3), st.sampled_from([0, 0, 0, 1, 40_000, -90_000, NS]), st.booleans()
        ),
        max_size=120,
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_comes_no_gap_is_hidden_and_no_frame_lost_or_given_twice(steps):
    frames, sequence = [], 0
    for step, off_ns, stamped in steps:
        sequence += step
        frames.append(frame(sequence, off_ns=off_ns, stamped=stamped))
    try:
        out = timed(frames)
    except ValueError:
        return
    given = [t.frame.sequence for t in out]
    assert given == [one.sequence for one in frames[: len(given)]]
    if out:
        assert_no_gap_is_hidden(out)
