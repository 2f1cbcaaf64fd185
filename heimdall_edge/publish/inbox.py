"""The publisher's one door: what callers want sent, and what the link reports.

::

    any thread ── offer() ──▶ [ requests, bounded: the oldest goes ] ─┐
                                                                      ├─ take() ─▶ publisher thread
    link thread ── report() ─▶ [ events: none is ever given up ] ─────┘

Neither waits for the other side.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Request = TypeVar("Request")
Event = TypeVar("Event")


class Inbox(Generic[Request, Event]):
    """Two queues and one condition, which guards both."""

    def __init__(self, *, max_requests: int) -> None:
        self._requests: deque[Request] = deque()
        self._events: deque[Event] = deque()
        self._max_requests = max_requests
        self._is_closed = False
        self._is_woken = False
        self._changed = threading.Condition()
        self.dropped = 0

    def offer(self, request: Request) -> None:
        """Leave a request; after ``close`` it is dropped."""
        with self._changed:
            if self._is_closed or len(self._requests) >= self._max_requests:
                self.dropped += 1
            if self._is_closed:
                return
            if len(self._requests) >= self._max_requests:
                self._requests.popleft()
            self._requests.append(request)
            self._changed.notify()

    def report(self, event: Event) -> None:
        """Leave an event."""
        with self._changed:
            self._events.append(event)
            self._changed.notify()

    def close(self) -> None:
        """Take no more requests, and wake who waits."""
        with self._changed:
            self._is_closed = self._is_woken = True
            self._changed.notify()

    def take(self, *, timeout_s: float) -> tuple[list[Request], list[Event]]:
        """Take all there is; waits for something, up to a time."""
        with self._changed:
            self._changed.wait_for(
                lambda: bool(self._requests or self._events or self._is_woken), timeout_s
            )
            taken = list(self._requests), list(self._events)
            self._requests.clear()
            self._events.clear()
            self._is_woken = False
            return taken

    @property
    def is_empty(self) -> bool:
        with self._changed:
            return not (self._requests or self._events)
