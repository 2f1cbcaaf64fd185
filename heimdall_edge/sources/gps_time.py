"""GPS time as receivers stamp it, and UTC.

GPS time runs without leap seconds from 1980-01-06, and a stamp counts from the start of its week:
which week it is must come from elsewhere, as the recorder's clock.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime

from heimdall_edge.types import NS_PER_S

WEEK_NS = 604_800 * NS_PER_S
_GPS_EPOCH_NS = 315_964_800 * NS_PER_S

# GPS − UTC in seconds, from 00:00 UTC of that day on: IERS Bulletins C 16, 30, 36, 43, 49 and 52
# give UTC − TAI, and GPS − TAI is −19 s. None has been announced since 2017.
_LEAPS = (
    (datetime(1999, 1, 1, tzinfo=UTC), 13),
    (datetime(2006, 1, 1, tzinfo=UTC), 14),
    (datetime(2009, 1, 1, tzinfo=UTC), 15),
    (datetime(2012, 7, 1, tzinfo=UTC), 16),
    (datetime(2015, 7, 1, tzinfo=UTC), 17),
    (datetime(2017, 1, 1, tzinfo=UTC), 18),
)
_LEAP_SINCE_NS = [round(since.timestamp()) * NS_PER_S for since, _ in _LEAPS]


def gps_minus_utc_ns(utc_ns: int) -> int:
    """By how much GPS time is ahead at an instant; ValueError before 1999."""
    row = bisect_right(_LEAP_SINCE_NS, utc_ns)
    if row == 0:
        raise ValueError(f"{utc_ns} ns UTC is before 1999-01-01, expected a later instant")
    return _LEAPS[row - 1][1] * NS_PER_S


def utc_of_week_time(week_time_ns: int, *, near_utc_ns: int) -> int:
    """UTC (ns) of a GPS time of the week, in the week that brings it nearest to an instant."""
    ahead_ns = gps_minus_utc_ns(near_utc_ns)
    since_epoch_ns = near_utc_ns - _GPS_EPOCH_NS + ahead_ns
    weeks = (since_epoch_ns - week_time_ns + WEEK_NS // 2) // WEEK_NS
    gps_ns = _GPS_EPOCH_NS + weeks * WEEK_NS + week_time_ns
    return gps_ns - gps_minus_utc_ns(gps_ns - ahead_ns)
