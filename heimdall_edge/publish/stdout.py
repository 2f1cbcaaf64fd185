"""Publishes to a stream: the same payloads, one JSON object a line, no broker at all.

What a line is says its ``schema``. A reader that has gone away ends the publishing with the
stream's own error (BrokenPipeError): there is nobody left to publish to.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TextIO

from heimdall_edge.publish.base import PublisherState
from heimdall_edge.publish.encoding import to_json
from heimdall_edge.publish.payload_station import InfoPayload, StatsPayload
from heimdall_edge.publish.wire_fix import fix_payload
from heimdall_edge.publish.wire_observation import observation_payload
from heimdall_edge.publish.wire_station import receiver_payload
from heimdall_edge.timestamps import rfc3339
from heimdall_edge.types import Fix, Observation, ReceiverStatus


class StdoutPublisher:
    """Implements :class:`~heimdall_edge.publish.base.Publisher`; a lock keeps lines whole."""

    def __init__(
        self,
        *,
        stream: TextIO,
        station: str,
        geojson: bool = False,
        include_mel: bool = False,
        include_iq: bool = False,
        utc_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._station = station
        self._geojson = geojson
        self._include_mel = include_mel
        self._include_iq = include_iq
        self._utc_ns = utc_ns
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._written: Counter[str] = Counter()

    def start(self) -> None:
        """Nothing to do: the stream is open."""

    def stop(self, timeout_s: float) -> None:  # noqa: ARG002 - every line is out already
        """Flush the stream, which stays open: it is its owner's to close."""
        with self._lock:
            self._stream.flush()

    def publish_fix(self, fix: Fix) -> None:
        now_utc_ns = self._utc_ns()
        payload = fix_payload(fix, published_at_utc_ns=now_utc_ns, geojson=self._geojson)
        self._write("fix", payload)

    def publish_observation(self, observation: Observation) -> None:
        payload = observation_payload(
            observation, include_mel=self._include_mel, include_iq=self._include_iq
        )
        self._write("observation", payload)

    def publish_info(self, info: InfoPayload) -> None:
        self._write("info", {**info.to_dict(), "published_at": rfc3339(self._utc_ns())})

    def publish_receiver(self, status: ReceiverStatus) -> None:
        now_utc_ns = self._utc_ns()
        payload = receiver_payload(status, station=self._station, published_at_utc_ns=now_utc_ns)
        self._write("receiver", payload)

    def publish_stats(self, stats: StatsPayload) -> None:
        self._write("stats", {**stats.to_dict(), "published_at": rfc3339(self._utc_ns())})

    @property
    def progress_monotonic_s(self) -> float:
        """Now: there is no thread that could hang."""
        return self._monotonic_s()

    @property
    def state(self) -> PublisherState:
        """What was written counts as acknowledged."""
        with self._lock:
            return PublisherState(is_connected=True, acknowledged=dict(self._written))

    def _write(self, kind: str, payload: dict[str, Any]) -> None:
        line = to_json(payload).decode()
        with self._lock:
            self._stream.write(f"{line}\n")
            self._stream.flush()
            self._written[kind] += 1
