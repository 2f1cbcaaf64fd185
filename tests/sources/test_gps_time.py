from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.sources.gps_time import WEEK_NS, gps_minus_utc_ns, utc_of_week_time

NS = 1_000_000_000
GPS_EPOCH = datetime(1980, 1, 6, tzinfo=UTC)


def utc_ns(*fields: int) -> int:
    return round(datetime(*fields, tzinfo=UTC).timestamp()) * NS


def week_time_ns(utc: int, leap_s: int) -> int:
    """By the definition: seconds since 1980-01-06, leap seconds counted, in weeks."""
    return (utc - round(GPS_EPOCH.timestamp()) * NS + leap_s * NS) % WEEK_NS


@pytest.mark.parametrize(
    ("fields", "leap_s"),
    [
        ((1999, 1, 1), 13),
        ((2005, 12, 31, 23, 59, 59), 13),
        ((2006, 1, 1), 14),
        ((2009, 1, 1), 15),
        ((2012, 6, 30, 23, 59, 59), 15),
        ((2012, 7, 1), 16),
        ((2015, 7, 1), 17),
        ((2016, 12, 31, 23, 59, 59), 17),
        ((2017, 1, 1), 18),
        ((2026, 1, 1), 18),
    ],
)
def test_gps_is_ahead_by_the_leap_seconds_of_the_day(fields, leap_s):
    assert gps_minus_utc_ns(utc_ns(*fields)) == leap_s * NS


def test_before_the_table_begins_there_is_no_answer():
    with pytest.raises(ValueError, match="before 1999"):
        gps_minus_utc_ns(utc_ns(1998, 12, 31))


def test_the_real_stamp_of_a_recording_gives_its_instant():
    # The third block of DF0KL's recording, which its name says was begun at 10:41:56 UTC.
    at = utc_of_week_time(124_934_214_561_607, near_utc_ns=utc_ns(2017, 11, 27, 10, 41, 56))
    assert at == utc_ns(2017, 11, 27, 10, 41, 56) + 214_561_607


@given(
    at=st.integers(utc_ns(2017, 1, 2), utc_ns(2060, 1, 1)),
    off=st.integers(-WEEK_NS // 2 + NS, WEEK_NS // 2 - NS),
)
def test_a_host_clock_that_is_off_by_days_still_settles_the_week(at, off):
    near = max(at + off, utc_ns(2017, 1, 1))
    assert utc_of_week_time(week_time_ns(at, 18), near_utc_ns=near) == at


def test_a_recording_over_a_leap_second_counts_with_the_new_one_after_it():
    begun = utc_ns(2016, 12, 31, 23, 59, 50)
    at = utc_ns(2017, 1, 1, 0, 0, 5)
    assert utc_of_week_time(week_time_ns(at, 18), near_utc_ns=begun) == at


def test_a_stamp_behind_the_end_of_the_week_belongs_to_the_next():
    saturday = utc_ns(2017, 11, 25, 23, 59, 40)
    assert utc_of_week_time(2 * NS, near_utc_ns=saturday) == utc_ns(2017, 11, 25, 23, 59, 44)
