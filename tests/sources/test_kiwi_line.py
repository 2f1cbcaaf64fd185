from __future__ import annotations

import pytest

from heimdall_edge.sources.gps_time import utc_of_week_time
from heimdall_edge.sources.kiwi_line import TOLERANCE_NS, begin_line
from tests.sources.kiwi_frames_by_hand import (
    BEGUN_UTC_NS,
    FRAME_SAMPLES,
    NOMINAL_HZ,
    RATE_HZ,
    WEEK_NS,
    true_utc_ns,
    week_ns,
)


def stamps(numbers, *, off_ns=lambda number: 0):
    return [
        (n * FRAME_SAMPLES, (week_ns(true_utc_ns(n * FRAME_SAMPLES)) + off_ns(n)) % WEEK_NS)
        for n in numbers
    ]


def begun(frames):
    return begin_line(
        frames,
        samples_per_frame=FRAME_SAMPLES,
        nominal_rate_hz=NOMINAL_HZ,
        near_utc_ns=BEGUN_UTC_NS,
    )


def test_a_line_says_when_each_sample_was_taken():
    running, samples = begun(stamps(range(24)))
    assert samples == [n * FRAME_SAMPLES for n in range(24)]
    assert running.line.sample_rate_hz == pytest.approx(RATE_HZ, rel=1e-8)
    assert running.line.utc_ns(10**6) == pytest.approx(true_utc_ns(10**6), abs=200)


def test_a_stamp_s_offset_is_what_it_is_later_than_the_line():
    running, _ = begun(stamps(range(24)))
    ((sample, stamp_ns),) = stamps([30])
    assert running.offset_ns(sample, stamp_ns) == pytest.approx(0, abs=5)
    assert running.offset_ns(sample, (stamp_ns - 7_000) % WEEK_NS) == pytest.approx(-7_000, abs=5)
    assert running.tolerance_ns == TOLERANCE_NS


def test_the_line_follows_a_crystal_that_drifts():
    # 2e-10 a second for five minutes: 9 µs off a straight line, and never 0.15 µs off this one.
    drift = 2e-10

    def bent_ns(number):
        elapsed_s = number * FRAME_SAMPLES / RATE_HZ
        return round(drift * elapsed_s**2 / 2 * 1e9)

    running, _ = begun(stamps(range(24), off_ns=bent_ns))
    for sample, stamp_ns in stamps(range(24, 24 * 300), off_ns=bent_ns):
        assert abs(running.offset_ns(sample, stamp_ns)) < 150
        running.take(sample, stamp_ns)
    assert bent_ns(24 * 300) > 8_000


def test_too_few_stamps_that_agree_are_an_error():
    with pytest.raises(ValueError, match="expected 8 or more"):
        begun(stamps(range(24), off_ns=lambda n: n * n * 10**7))


def test_the_week_is_the_host_s():
    running, _ = begun(stamps(range(24)))
    at = utc_of_week_time(week_ns(BEGUN_UTC_NS), near_utc_ns=BEGUN_UTC_NS)
    assert running.line.utc_ns(0) == pytest.approx(at, abs=5)
