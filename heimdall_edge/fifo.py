"""A bounded hand-off between two threads.

::

    reader ── offer() ─▶ ┌───────────────┐ ──▶ for item in fifo   worker
      radio: never waits │ █ █ █ █ · · · │     ends when closed, and drained
      (once full, it takes nothing until it is half empty: one long gap, not many short ones)
    reader ── put() ───▶ └───────────────┘
      file: waits for room, until close()
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Fifo(Generic[T]):
    """First in, first out, bounded; ``close()`` lets the consumer drain what is in it."""

    def __init__(self, *, max_items: int) -> None:
        self._items: deque[T] = deque()
        self._max_items = max_items
        self._is_refusing = False
        self._closed = False
        self._changed = threading.Condition()

    def offer(self, item: T) -> bool:
        """Put an item in if there is room, at once; False if there is none, or it is closed.

        After a refusal there is room again only once half of the items are gone.
        """
        with self._changed:
            limit = self._max_items // 2 + 1 if self._is_refusing else self._max_items
            self._is_refusing = len(self._items) >= limit
            if self._closed or self._is_refusing:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def put(self, item: T) -> bool:
        """Put an item in as soon as there is room; False if it was closed before."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._max_items)
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, *, timeout_s: float | None = None) -> T | None:
        """Take the oldest item; ``None`` after the timeout, or when closed and drained."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._items), timeout_s)
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def __iter__(self) -> Iterator[T]:
        while (item := self.get()) is not None:
            yield item

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_drained(self) -> bool:
        """Closed, and nothing left in it."""
        with self._changed:
            return self._closed and not self._items

    def close(self) -> None:
        """Take nothing more; idempotent, from any thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
