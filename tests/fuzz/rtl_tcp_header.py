"""Arbitrary bytes as what an rtl_tcp server says first."""

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.rtl_tcp_protocol import HEADER_BYTES, parse_header, refuse_extended


def one_input(data: bytes) -> None:
    """Read a header and what follows it; only a SourceError may come of it."""
    try:
        dongle = parse_header(data[:HEADER_BYTES])
        refuse_extended(data[HEADER_BYTES:])
    except SourceError:
        return
    assert dongle.tuner
