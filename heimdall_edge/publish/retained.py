"""Retained topics: only the latest word counts, and the broker must have it after each connect."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retained:
    """The latest word on one topic."""

    kind: str
    topic: str
    render: Callable[[], bytes]
    """Makes the payload at the moment of sending."""
    deadline_s: float | None = None
    """Monotonic time after which it is no longer worth sending."""


class RetainedBoard:
    """One entry a topic; knows which of them the broker has not seen. Owned by one thread."""

    def __init__(self) -> None:
        self._entries: dict[str, Retained] = {}
        self._unsent: dict[str, None] = {}  # a set that keeps its order

    def put(self, entry: Retained) -> None:
        """Say something new on a topic."""
        self._entries[entry.topic] = entry
        self._unsent[entry.topic] = None

    def mark(self, topic: str) -> None:
        """Have a topic sent again."""
        if topic in self._entries:
            self._unsent[topic] = None

    def mark_kinds(self, *kinds: str) -> None:
        """Have the topics of these kinds sent again."""
        for topic, entry in self._entries.items():
            if entry.kind in kinds:
                self._unsent[topic] = None

    def mark_all(self) -> None:
        """Have everything sent again, in the order in which the topics came."""
        self._unsent = dict.fromkeys(self._entries)

    def take(self, *, now_s: float, skip_topics: Collection[str] = ()) -> Retained | None:
        """The next entry to be sent, which then counts as sent; ``None`` when there is none."""
        for topic in list(self._unsent):
            entry = self._entries[topic]
            if entry.deadline_s is not None and entry.deadline_s <= now_s:
                del self._entries[topic], self._unsent[topic]
            elif topic not in skip_topics:
                del self._unsent[topic]
                return entry
        return None
