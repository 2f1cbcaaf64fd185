"""RFC 3339 against the standard library."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heimdall_edge.timestamps import rfc3339, utc_ns

EARLIEST = datetime(1970, 1, 1)  # noqa: DTZ001 - Hypothesis wants naive bounds
LATEST = datetime(2261, 12, 31)  # noqa: DTZ001


@given(st.datetimes(EARLIEST, LATEST))
def test_microseconds_go_out_and_come_back_unchanged(instant: datetime) -> None:
    whole = instant.replace(tzinfo=UTC)
    text = rfc3339(utc_ns(whole.isoformat()))
    assert datetime.fromisoformat(text) == whole
    assert len(text) == len("2026-01-31T12:34:56.789012Z")
    assert text.endswith("Z")


def test_nanoseconds_are_read_and_are_cut_off_in_writing() -> None:
    instant = utc_ns("2026-01-31T12:34:56.123456789Z")
    assert instant % 1_000_000_000 == 123_456_789
    assert rfc3339(instant) == "2026-01-31T12:34:56.123456Z"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-01-31T14:34:56+02:00", "2026-01-31T12:34:56Z"),
        ("2026-01-31t12:34:56.5z", "2026-01-31T12:34:56.500Z"),
        ("2026-01-31T12:34:56.1234567899Z", "2026-01-31T12:34:56.123456789Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.5Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000000Z"),
    ],
)
def test_one_instant_may_be_written_in_several_ways(text: str, same: str) -> None:
    assert utc_ns(text) == utc_ns(same)


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "1790000000", "2026-01-31", "2026-01-31T12:34:56", "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z", "2026-01-31T24:00:00Z", "1969-12-31T23:59:59Z",
        "2262-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-31T12:34:61Z",
        "2026-01-31T12:34:56Z\n", "٢٠٢٦-01-31T12:34:56Z", "2026-01-31T12:34:56+99:00",
    ],
)  # fmt: skip
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|must be|out of range|Invalid|offset"):
        utc_ns(text)
