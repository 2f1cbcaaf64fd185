"""What is under way to the broker, and which topics it does not want for now."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flight:
    """A message that was handed over, and is not acknowledged."""

    kind: str
    topic: str
    sent_s: float
    """Monotonic."""
    row_id: int | None = None
    """In the outbox; ``None`` for what is not kept there."""


class Window:
    """Messages under way, bounded. Owned by one thread; only ``len`` is for others."""

    def __init__(self, limit: int) -> None:
        self._configured_limit = self._limit = limit
        self._flights: dict[int, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def room(self) -> int:
        return max(0, self._limit - len(self._flights))

    @property
    def row_ids(self) -> list[int]:
        return [f.row_id for f in self._flights.values() if f.row_id is not None]

    def reset(self, *, broker_limit: int | None = None) -> None:
        """Forget everything: the connection is another, and so may be the broker's own limit."""
        self._flights.clear()
        self._limit = min(self._configured_limit, broker_limit or self._configured_limit)

    def take_off(self, mid: int, flight: Flight) -> None:
        self._flights[mid] = flight

    def land(self, mid: int) -> Flight | None:
        """The message of that id, no longer under way; ``None`` if it is none of ours."""
        return self._flights.pop(mid, None)

    def longest_s(self, now_s: float) -> float:
        """How long the oldest message has been under way; 0 where there is none."""
        return next((now_s - flight.sent_s for flight in self._flights.values()), 0.0)


class TopicPauses:
    """Topics that the broker refuses: each is left alone for a while, which doubles."""

    def __init__(self, *, shortest_s: float, longest_s: float) -> None:
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._pauses: dict[str, tuple[float, float]] = {}  # until, length

    def refused(self, topic: str, *, now_s: float) -> None:
        """Leave a topic alone; several refusals of one try count as one."""
        until_s, length_s = self._pauses.get(topic, (now_s, self._shortest_s / 2))
        if until_s <= now_s:
            length_s = min(2 * length_s, self._longest_s)
            self._pauses[topic] = (now_s + length_s, length_s)

    def taken(self, topic: str) -> None:
        """The broker takes it after all."""
        self._pauses.pop(topic, None)

    def clear(self) -> None:
        self._pauses.clear()

    def active(self, now_s: float) -> list[str]:
        return [topic for topic, (until_s, _) in self._pauses.items() if until_s > now_s]
