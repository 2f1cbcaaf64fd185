"""Whatever a WebSDR site might send: its script, and its stream."""

from __future__ import annotations

import contextlib

from heimdall_edge.sources.js_literals import assigned
from heimdall_edge.sources.websdr_protocol import read_page, read_sound

PREFIXES = ("", "var bandinfo=", "var bandinfo=[{centerfreq:1,samplerate:1,name:")


def one_input(data: bytes) -> None:
    """Feed arbitrary bytes to each parser; only its documented errors pass."""
    with contextlib.suppress(ValueError):
        read_sound(data)
    text = data.decode("utf-8", "replace")
    for prefix in PREFIXES:
        with contextlib.suppress(ValueError):
            read_page(prefix + text)
    with contextlib.suppress(ValueError):
        assigned("x=" + text, "x")
