"""Arbitrary bytes into the reader of a KiwiSDR's messages, and into what heeds them."""

from __future__ import annotations

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.dialling import Address
from heimdall_edge.sources.kiwi_protocol import parse_message
from heimdall_edge.sources.kiwi_setup import KiwiSetup, Wish
from heimdall_edge.sources.kiwi_status import parse_status

ADDRESS = Address("kiwi.example", 8073)
STATUS = parse_status("status=active\nusers=0\nusers_max=4\n")
WISH = Wish(ADDRESS, "fuzz", 77_500.0, 5_000.0, agc=False, gain_db=50.0)


def one_input(data: bytes) -> None:
    setup = KiwiSetup(ADDRESS)
    try:
        for line in data.split(b"\n", 8):
            setup.heed(parse_message(b"MSG " + line))
        if setup.is_complete:
            setup.answers(WISH, setup.reception(WISH, STATUS))
    except (ValueError, SourceError):
        return
