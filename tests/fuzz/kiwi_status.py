"""Arbitrary bytes as a KiwiSDR's status page, and as the place in its configuration."""

from __future__ import annotations

from heimdall_edge.sources.kiwi_status import parse_status, place_of_configuration


def one_input(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for read in (parse_status, place_of_configuration):
        try:
            found = read(text)
        except ValueError:
            continue
        place = getattr(found, "place", None)
        place = getattr(place, "place", place)
        assert place is None or (abs(place.latitude_deg) <= 90 and abs(place.longitude_deg) <= 180)
