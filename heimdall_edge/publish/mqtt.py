"""Publishes over MQTT: an inbox, one thread, an outbox before the broker.

::

    publish_…() ─▶ Inbox ─▶ ┌────────────── publisher thread ──────────────┐
                            │ fix, observation ─▶ Outbox ─┐                │
                            │ info, receivers ──▶ board ──┼─▶ Delivery ─▶ Link ─▶ broker
                            │ stats ──────────────────────┘                │  │
                            └───────────────▲──────────────────────────────┘  │
                                            └──── LinkUp, LinkDown, PUBACK ◀──┘

A fix is on disk before it is handed to the client, and leaves the disk on PUBACK only. The caller
never waits: neither for the disk, nor for the network.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from heimdall_edge import journal
from heimdall_edge.errors import PayloadError
from heimdall_edge.publish.base import PublisherState
from heimdall_edge.publish.broker import Broker, LinkEvent, Will
from heimdall_edge.publish.clocks import Clocks
from heimdall_edge.publish.delivery import Delivery, Departure, Puback
from heimdall_edge.publish.encoding import to_json
from heimdall_edge.publish.inbox import Inbox
from heimdall_edge.publish.link import Link
from heimdall_edge.publish.message import Message
from heimdall_edge.publish.outbox import Outbox
from heimdall_edge.publish.payload_station import InfoPayload, StatsPayload
from heimdall_edge.publish.retained import Retained
from heimdall_edge.publish.topics import Topics
from heimdall_edge.publish.wire_fix import fix_payload
from heimdall_edge.publish.wire_observation import observation_payload
from heimdall_edge.publish.wire_station import outbox_payload, receiver_payload
from heimdall_edge.timestamps import rfc3339
from heimdall_edge.types import Fix, Observation, ReceiverStatus

TURN_S = 1.0
"""The publisher turns at least so often, also when nothing happens."""
MAX_REQUESTS = 10_000

log = journal.logger("mqtt")

Publishable = Fix | Observation | InfoPayload | ReceiverStatus | StatsPayload


@dataclass(frozen=True, slots=True)
class _Request:
    value: Publishable
    called_s: float


class MqttPublisher:
    """See the module; implements :class:`~heimdall_edge.publish.base.Publisher`.

    ``on_puback`` and ``on_refused`` (with the reason, of a closed set) are called on the
    publisher's thread, and must not block. A publisher is started once.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        topics: Topics,
        outbox: Outbox,
        in_flight: int = 20,
        geojson: bool = False,
        include_mel: bool = False,
        include_iq: bool = False,
        fix_last_expiry_s: int = 3600,
        ack_timeout_s: float = 60.0,
        backoff_s: tuple[float, float] = (1.0, 60.0),
        pause_s: tuple[float, float] = (60.0, 3600.0),
        on_puback: Callable[[Puback], None] = lambda _: None,
        on_refused: Callable[[str], None] = lambda _: None,
        utc_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._topics = topics
        self._outbox = outbox
        self._geojson = geojson
        self._include_mel = include_mel
        self._include_iq = include_iq
        self._clocks = Clocks(utc_ns=utc_ns, monotonic_s=monotonic_s)
        self._inbox: Inbox[_Request, LinkEvent] = Inbox(max_requests=MAX_REQUESTS)
        self._link = Link(
            broker=broker,
            will=Will(topics.availability, b"offline"),
            on_event=self._inbox.report,
            backoff_s=backoff_s,
            rng=rng,
        )
        self._delivery = Delivery(
            topics=topics,
            outbox=outbox,
            link=self._link,
            clocks=self._clocks,
            in_flight=in_flight,
            fix_last_expiry_s=fix_last_expiry_s,
            ack_timeout_s=ack_timeout_s,
            pause_s=pause_s,
            on_puback=on_puback,
            on_refused=on_refused,
        )
        self._thread = threading.Thread(target=self._run, name="mqtt-publisher", daemon=True)
        self._deadline_s: float | None = None
        self._progress_s = monotonic_s()

    # ── for any thread ────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Open the outbox and connect; OutboxError if another process has the outbox."""
        self._outbox.open(now_ns=self._clocks.steady_ns())
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Send what can be sent, say ``stopped``, close; what is left stays in the outbox."""
        self._deadline_s = self._clocks.monotonic_s() + timeout_s
        self._inbox.close()
        if self._thread.ident is not None:
            self._thread.join(timeout_s + TURN_S)

    def publish_fix(self, fix: Fix) -> None:
        """Publish a fix, or a refusal; it becomes the latest of its channel."""
        self._offer(fix)

    def publish_observation(self, observation: Observation) -> None:
        self._offer(observation)

    def publish_info(self, info: InfoPayload) -> None:
        """Publish who this station is; published again at every connect."""
        self._offer(info)

    def publish_receiver(self, status: ReceiverStatus) -> None:
        """Publish how a receiver fares; published again at every connect."""
        self._offer(status)

    def publish_stats(self, stats: StatsPayload) -> None:
        """Publish at once where there is a connection, else not at all: QoS 0."""
        self._offer(stats)

    @property
    def progress_monotonic_s(self) -> float:
        """When the publisher's thread last turned."""
        return self._progress_s

    @property
    def state(self) -> PublisherState:
        """How it fares at this moment."""
        return self._delivery.state(inbox_dropped=self._inbox.dropped)

    def _offer(self, value: Publishable) -> None:
        self._inbox.offer(_Request(value, self._clocks.monotonic_s()))

    # ── the publisher's thread ────────────────────────────────────────────────────────────

    def _run(self) -> None:
        self._say_availability(b"online")
        self._link.start()
        try:
            while self._deadline_s is None:
                self._turn(TURN_S)
            # Some of the time is kept for the last word.
            self._turn_until(self._deadline_s - min(1.0, self._time_left_s() / 4))
            self._say_availability(b"stopped")
            self._turn_until(self._deadline_s, send=self._delivery.send_station)
        finally:
            if not self._link.stop(max(0.1, self._time_left_s())):
                log.warning("thread_outlived_its_deadline", thread="mqtt-link")
            self._outbox.close()

    def _time_left_s(self) -> float:
        return (self._deadline_s or 0.0) - self._clocks.monotonic_s()

    def _turn_until(self, until_s: float, *, send: Callable[[], None] | None = None) -> None:
        """Turn until nothing is under way, or until then."""
        self._turn(0.0, send=send)
        while not (self._inbox.is_empty and self._delivery.is_idle):
            left_s = until_s - self._clocks.monotonic_s()
            if left_s <= 0:
                break
            self._turn(min(TURN_S, left_s), send=send)

    def _turn(self, timeout_s: float, *, send: Callable[[], None] | None = None) -> None:
        requests, events = self._inbox.take(timeout_s=timeout_s)
        self._progress_s = self._clocks.monotonic_s()
        self._accept(requests)
        self._delivery.react(events)
        self._delivery.keep_up()
        if self._delivery.is_up:
            (send or self._delivery.send)()

    def _accept(self, requests: list[_Request]) -> None:
        departures = []
        for request in requests:
            try:
                departure = self._departure(request)
            except PayloadError as error:
                kind = type(request.value).__name__
                self._delivery.give_up("unpublishable", what=kind, error=error)
                continue
            if departure is not None:
                departures.append(departure)
        self._delivery.store(departures)

    def _departure(self, request: _Request) -> Departure | None:
        """What must be kept until the broker has it; ``None`` for the rest, which is seen to."""
        topics = self._topics
        match request.value:
            case Fix() as fix:
                payload = fix_payload(
                    fix, published_at_utc_ns=self._clocks.utc_ns(), geojson=self._geojson
                )
                closed = [o.detected_monotonic_s for o in fix.scene.heard]
                closed_s = max((s for s in closed if s is not None), default=None)
                message = Message("fix", topics.fix, to_json(payload))
                return Departure(message, request.called_s, closed_s)
            case Observation() as observation:
                payload = observation_payload(
                    observation, include_mel=self._include_mel, include_iq=self._include_iq
                )
                message = Message("observation", topics.observation, to_json(payload))
                return Departure(message, request.called_s)
            case InfoPayload() as info:
                self._say("info", topics.info, partial(self._info, info))
            case ReceiverStatus() as status:
                topic = topics.receiver_state(status.receiver_id)
                self._say("receiver", topic, partial(self._receiver, status))
            case StatsPayload() as stats:
                body = to_json(stats.model_copy(update=self._of_this_moment()).to_dict())
                self._delivery.send_once(Message("stats", topics.stats, body, qos=0))
        return None

    # ── what the station says of itself ───────────────────────────────────────────────────

    def _say(self, kind: str, topic: str, render: Callable[[], bytes]) -> None:
        self._delivery.station.put(Retained(kind, topic, render))

    def _say_availability(self, payload: bytes) -> None:
        self._say("availability", self._topics.availability, lambda: payload)

    def _info(self, info: InfoPayload) -> bytes:
        return to_json(info.model_copy(update=self._of_this_moment()).to_dict())

    def _receiver(self, status: ReceiverStatus) -> bytes:
        outbox = self._outbox.state(now_ns=self._clocks.steady_ns())
        payload = receiver_payload(
            status,
            station=self._topics.station,
            published_at_utc_ns=self._clocks.utc_ns(),
            outbox=None if outbox.on_disk else outbox_payload(outbox),
        )
        return to_json(payload)

    def _of_this_moment(self) -> dict[str, Any]:
        outbox = self._outbox.state(now_ns=self._clocks.steady_ns())
        return {
            "published_at": rfc3339(self._clocks.utc_ns()),
            "outbox": outbox_payload(outbox),
        }
