"""RFC 3339 in UTC ⇄ integer nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from heimdall_edge.types import NS_PER_S

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII
)
_LATEST_YEAR = 2262
"""The last one whose nanoseconds fit into 64 bits."""


def rfc3339(instant_utc_ns: int) -> str:
    """An instant as ``2026-01-31T12:34:56.789012Z``; what is under a microsecond is cut off."""
    instant = _EPOCH + timedelta(microseconds=instant_utc_ns // 1_000)
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond:06d}Z"


def utc_ns(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 instant; ValueError if it is none.

    Decimals after the ninth are cut off; a leap second is the next day's first, as POSIX has it.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("expected RFC 3339 with a zone, such as 2026-01-31T12:34:56.789012Z")
    day, minute, second, decimals, offset = match.groups()
    leap_s = int(second == "60")
    whole = datetime.fromisoformat(f"{day}T{minute}:{int(second) - leap_s:02d}{offset or '+00:00'}")
    if not _EPOCH.year <= whole.year < _LATEST_YEAR:
        raise ValueError(f"year {whole.year}; expected {_EPOCH.year}…{_LATEST_YEAR - 1}")
    seconds = (whole - _EPOCH) // timedelta(seconds=1) + leap_s
    return seconds * NS_PER_S + int(f"{decimals or ''}000000000"[:9])
