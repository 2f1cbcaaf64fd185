"""From the outbox to the broker and its PUBACK: what is sent when, and what becomes of it.

::

    store ─▶ Outbox ─▶ [ Window ] ─▶ Link ─▶ broker
                ▲          │                    │
                └─ delete ─┴── Acknowledged ◀───┘

At most ``in_flight`` messages are under way at once. What the outbox held when the connection
came up is sent oldest first, marked as replayed. ``fix/last/<channel>`` follows what was sent on
``fix``.

A refusal for a message's own sake (no valid topic, no valid payload, too large) gives the message
up, and counts it. Any other, such as "not authorized", is the operator's to solve: the topic is
left alone for a while that doubles from a minute to an hour, its messages stay in the outbox
within its bounds, and other topics go on. A new connection tries every topic again.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from heimdall_edge import journal
from heimdall_edge.errors import PayloadError
from heimdall_edge.publish.base import PublisherState
from heimdall_edge.publish.broker import Acknowledged, LinkDown, LinkEvent, LinkUp
from heimdall_edge.publish.clocks import Clocks
from heimdall_edge.publish.encoding import sealed, to_json
from heimdall_edge.publish.link import Link
from heimdall_edge.publish.message import Message, StoredMessage
from heimdall_edge.publish.outbox import Outbox
from heimdall_edge.publish.retained import Retained, RetainedBoard
from heimdall_edge.publish.topics import Topics
from heimdall_edge.publish.window import Flight, TopicPauses, Window
from heimdall_edge.timestamps import rfc3339
from heimdall_edge.types import NS_PER_S

REFUSED = 128
"""MQTT v5: reason codes from here on are refusals."""
REFUSED_FOR_GOOD = frozenset({144, 149, 153})
"""Topic name invalid, packet too large, payload format invalid: no retry will change that."""
PACKET_OVERHEAD_BYTES = 64
"""More than a PUBLISH adds to its topic and payload."""
MAX_FRESH = 10_000
UPKEEP_S = 1.0

log = journal.logger("mqtt")


@dataclass(frozen=True, slots=True)
class Puback:
    """The broker took a message."""

    kind: str
    latency_s: float
    """Since it was handed to the client."""
    since_call_s: float | None = None
    """Since ``publish_…`` was called; ``None`` for what was replayed, and for retained topics."""
    since_window_s: float | None = None
    """Since the last window of a fix was closed; ``None`` where that is not known."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A message that is to be kept until the broker has it, and since when it wants to go."""

    message: Message
    called_s: float
    window_closed_s: float | None = None


class Delivery:
    """Owned by one thread; only ``state`` is for others."""

    def __init__(
        self,
        *,
        topics: Topics,
        outbox: Outbox,
        link: Link,
        clocks: Clocks,
        in_flight: int,
        fix_last_expiry_s: int,
        ack_timeout_s: float,
        pause_s: tuple[float, float],
        on_puback: Callable[[Puback], None],
        on_refused: Callable[[str], None],
    ) -> None:
        self._topics = topics
        self._outbox = outbox
        self._link = link
        self._clocks = clocks
        self._fix_last_expiry_s = fix_last_expiry_s
        self._ack_timeout_s = ack_timeout_s
        self._on_puback = on_puback
        self._on_refused = on_refused
        self._window = Window(in_flight)
        self._pauses = TopicPauses(shortest_s=pause_s[0], longest_s=pause_s[1])
        self._last_fixes = RetainedBoard()
        self._last_rows: dict[str, int] = {}  # topic of a last fix → its id in the outbox
        self._fresh: dict[int, Departure] = {}  # by id in the outbox
        self._replayed_up_to = 0
        self._max_packet_bytes: int | None = None
        self._was_on_disk = True
        self._next_upkeep_s = 0.0
        self.station = RetainedBoard()
        """What the station says of itself; whoever owns the delivery puts it there."""
        self._lock = threading.Lock()  # guards what follows, for those who read the state
        self._is_up = False
        self._last_error = "not connected yet"
        self._last_ack_s: float | None = None
        self._acknowledged: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    @property
    def is_up(self) -> bool:
        return self._is_up

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way: after :meth:`send`, that nothing can be sent, either."""
        return not (self._is_up and len(self._window))

    def state(self, *, inbox_dropped: int) -> PublisherState:
        """How it fares at this moment."""
        outbox = self._outbox.state(now_ns=self._clocks.steady_ns())
        with self._lock:
            return PublisherState(
                is_connected=self._is_up,
                in_flight=len(self._window),
                acknowledged=dict(self._acknowledged),
                refused=dict(self._refused),
                inbox_dropped=inbox_dropped,
                last_ack_monotonic_s=self._last_ack_s,
                last_error=None if self._is_up else self._last_error,
                outbox=outbox,
            )

    def store(self, departures: Sequence[Departure]) -> None:
        """Put messages on disk, all of them as one."""
        if not departures:
            return
        ids = self._outbox.insert_many(
            [departure.message for departure in departures], now_ns=self._clocks.steady_ns()
        )
        if self._is_up and len(self._fresh) < MAX_FRESH:
            self._fresh.update(zip(ids, departures, strict=True))

    def give_up(self, reason: str, **fields: object) -> None:
        """Count, and say, that a message was refused; here, or by the broker."""
        with self._lock:
            self._refused[reason] += 1
        self._on_refused(reason)
        log.warning("mqtt_refused", reason=reason, **fields)

    # ── what the link reports ─────────────────────────────────────────────────────────────

    def react(self, events: Sequence[LinkEvent]) -> None:
        """Take the link's word; what the broker has taken leaves the disk."""
        done: list[int] = []
        for event in events:
            match event:
                case LinkUp():
                    self._came_up(event)
                case LinkDown(reason):
                    self._went_down(reason)
                case Acknowledged():
                    flight = self._window.land(event.mid)
                    if flight and self._landed(flight, event) and flight.row_id is not None:
                        done.append(flight.row_id)
        if done:
            self._outbox.delete(done)

    def _came_up(self, event: LinkUp) -> None:
        with self._lock:
            self._is_up = True
        self._window.reset(broker_limit=event.receive_maximum)
        self._max_packet_bytes = event.maximum_packet_bytes
        self._fresh.clear()
        self._replayed_up_to = self._outbox.last_id
        self._pauses.clear()
        self.station.mark_all()
        self._last_fixes.mark_all()
        log.info("mqtt_connected")

    def _went_down(self, reason: str) -> None:
        if self._is_up or reason != self._last_error:
            log.warning("mqtt_disconnected", reason=reason)
        with self._lock:
            self._is_up, self._last_error = False, reason
        self._window.reset()
        self._fresh.clear()

    def _landed(self, flight: Flight, event: Acknowledged) -> bool:
        """The broker's word on a message; True where it need not be kept any longer."""
        departure = self._fresh.pop(flight.row_id, None) if flight.row_id is not None else None
        if event.code >= REFUSED:
            return self._was_refused(flight, event)
        self._pauses.taken(flight.topic)
        now_s = self._clocks.monotonic_s()
        with self._lock:
            self._acknowledged[flight.kind] += 1
            self._last_ack_s = now_s
        closed_s = departure.window_closed_s if departure else None
        self._on_puback(
            Puback(
                kind=flight.kind,
                latency_s=now_s - flight.sent_s,
                since_call_s=now_s - departure.called_s if departure else None,
                since_window_s=now_s - closed_s if closed_s is not None else None,
            )
        )
        return True

    def _was_refused(self, flight: Flight, event: Acknowledged) -> bool:
        is_for_good = event.code in REFUSED_FOR_GOOD
        self.give_up(event.reason, topic=flight.topic, kept=not is_for_good)
        if not is_for_good:
            self._pauses.refused(flight.topic, now_s=self._clocks.monotonic_s())
            self.station.mark(flight.topic)
            self._last_fixes.mark(flight.topic)
        return is_for_good

    # ── what goes out ─────────────────────────────────────────────────────────────────────

    def send(self) -> None:
        """Fill the window: the station's own state first, ``fix/last`` last."""
        self.send_station()
        if self._window.room:
            self._send_waiting()
        self._send_board(self._last_fixes)

    def send_station(self) -> None:
        """Send what the station says of itself, and nothing else."""
        self._send_board(self.station)

    def send_once(self, message: Message) -> None:
        """Send now, if there is a connection; nobody keeps it, and nobody waits for it."""
        self._hand_over(message)

    def _send_board(self, board: RetainedBoard) -> None:
        now_s = self._clocks.monotonic_s()
        paused = self._pauses.active(now_s)
        while self._window.room and (entry := board.take(now_s=now_s, skip_topics=paused)):
            try:
                payload = entry.render()
            except PayloadError as error:
                self.give_up("unpublishable", topic=entry.topic, error=error)
                continue
            expiry_s = None if entry.deadline_s is None else math.ceil(entry.deadline_s - now_s)
            message = Message(entry.kind, entry.topic, payload, retain=True, expiry_s=expiry_s)
            if not self._hand_over(message):
                board.mark(entry.topic)
                return

    def _send_waiting(self) -> None:
        rows = self._outbox.oldest(
            self._window.room,
            skip_ids=self._window.row_ids,
            skip_topics=self._pauses.active(self._clocks.monotonic_s()),
        )
        for row in rows:
            if not self._send_row(row):
                return

    def _send_row(self, row: StoredMessage) -> bool:
        message, departure = row.message, self._fresh.get(row.id)
        now_s, now_utc_ns = self._clocks.monotonic_s(), self._clocks.utc_ns()
        payload = sealed(
            message.payload,
            published_at_utc_ns=now_utc_ns,
            replayed=row.id <= self._replayed_up_to,
            publish_s=now_s - departure.called_s if departure else None,
        )
        outgoing = Message(message.kind, message.topic, to_json(payload), expiry_s=message.expiry_s)
        size = outgoing.size + PACKET_OVERHEAD_BYTES
        if self._max_packet_bytes is not None and size > self._max_packet_bytes:
            self.give_up("Packet too large", topic=message.topic, size_bytes=size)
            self._outbox.delete([row.id])
            return True
        if not self._hand_over(outgoing, row_id=row.id):
            return False
        if message.kind == "fix":
            self._remember_last(row.id, payload, now_s=now_s, now_utc_ns=now_utc_ns)
        return True

    def _remember_last(
        self, row_id: int, payload: dict[str, Any], *, now_s: float, now_utc_ns: int
    ) -> None:
        topic = self._topics.fix_last(payload["channel"])
        if row_id < self._last_rows.get(topic, 0):
            return  # sent again, after a later one had its PUBACK
        self._last_rows[topic] = row_id
        expires_at = rfc3339(now_utc_ns + self._fix_last_expiry_s * NS_PER_S)
        last = {**payload, "expires_at": expires_at}
        deadline_s = now_s + self._fix_last_expiry_s
        self._last_fixes.put(Retained("fix_last", topic, lambda: to_json(last), deadline_s))

    def _hand_over(self, message: Message, *, row_id: int | None = None) -> bool:
        """Give a message to the client; False if there is no connection after all."""
        mid = self._link.publish(
            message.topic,
            message.payload,
            qos=message.qos,
            retain=message.retain,
            expiry_s=message.expiry_s,
        )
        if mid is None:
            return False
        if message.qos:
            now_s = self._clocks.monotonic_s()
            self._window.take_off(mid, Flight(message.kind, message.topic, now_s, row_id))
        return True

    def keep_up(self) -> None:
        """About once a second: the outbox's bounds and disk, and whether the broker answers."""
        now_s, now_ns = self._clocks.monotonic_s(), self._clocks.steady_ns()
        if now_s < self._next_upkeep_s:
            return
        self._next_upkeep_s = now_s + UPKEEP_S
        self._outbox.keep_up(now_ns=now_ns)
        for notice in self._outbox.take_notices():
            log.warning("outbox", what=notice)
        is_on_disk = self._outbox.state(now_ns=now_ns).on_disk
        if is_on_disk != self._was_on_disk:
            self._was_on_disk = is_on_disk
            self.station.mark_kinds("info", "receiver")
        if self._is_up and self._window.longest_s(now_s) > self._ack_timeout_s:
            self._link.drop(f"no PUBACK for {self._ack_timeout_s:g} s")
