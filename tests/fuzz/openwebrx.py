"""What an OpenWebRX server might send: a text, a row, its status page."""

from __future__ import annotations

import contextlib

from heimdall_edge.sources.openwebrx_protocol import read_text, server_version
from heimdall_edge.sources.openwebrx_rows import Band, read_row
from heimdall_edge.sources.openwebrx_status import read_status


def one_input(data: bytes) -> None:
    """Feed arbitrary bytes to each parser; only its documented errors pass."""
    text = data.decode("utf-8", "replace")
    for parse in (read_text, server_version, read_status):
        with contextlib.suppress(ValueError):
            parse(text)
    size = max(64, len(data) * 2 - 12)
    for band in (
        Band(145.0e6, 250e3, 64, "none"),
        Band(145.0e6, 250e3, size, "adpcm"),
        Band(145.0e6, 250e3, max(64, (len(data) - 1) // 4), "none"),
    ):
        with contextlib.suppress(ValueError):
            read_row(data, band)
        with contextlib.suppress(ValueError):
            read_row(b"\x01" + data, band)
