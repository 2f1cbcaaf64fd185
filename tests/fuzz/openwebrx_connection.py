"""A whole OpenWebRX connection: any messages, one after the other."""

from __future__ import annotations

import contextlib

from heimdall_edge.config import Channel
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.channel_levels import Moment
from heimdall_edge.sources.openwebrx_feed import OpenWebRxFeed
from heimdall_edge.types import ClockState, Place, ReceiverInfo

CHANNELS = (
    Channel(name="a", frequency_hz=145.0e6),
    Channel(name="b", frequency_hz=145.05e6, mode="continuous", window_s=0.5),
)


MAX_MESSAGES = 32
"""So that an input of line breaks is no slow one."""


def one_input(data: bytes) -> None:
    """Lines as texts, and as binary messages, one after the other."""
    feed = OpenWebRxFeed(receiver=ReceiverInfo("s", "r", Place(0, 0)), channels=CHANNELS)
    utc_ns = 1_790_000_000 * 10**9
    with contextlib.suppress(SourceError):
        for n, line in enumerate(data.split(b"\n")[:MAX_MESSAGES]):
            moment = Moment(utc_ns + n * 10**8, n * 0.1, ClockState())
            feed.take(line.decode("utf-8", "replace"), moment)
            feed.take(line, moment)
    feed.flush()
