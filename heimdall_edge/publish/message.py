"""A message that waits for the broker, and a bounded queue of them in memory."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """Something to be sent."""

    kind: str
    """``fix``, ``observation``: a label for counters, of a closed set."""
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_s: int | None = None
    """How long the broker may keep it (MQTT v5)."""

    @property
    def size(self) -> int:
        """Bytes, as far as bounds go."""
        return len(self.payload) + len(self.topic)

    @property
    def crc32(self) -> int:
        """Checksum by which a stored message is known to be what was stored."""
        return zlib.crc32(f"{self.kind} {self.topic}".encode(), zlib.crc32(self.payload))


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message in the outbox; ids rise in the order in which messages were stored."""

    id: int
    stored_ns: int
    message: Message
    is_sound: bool = True
    """Whether it is still what was stored."""


class MemoryQueue:
    """Where messages wait while the disk does not take them; beyond a bound the oldest goes."""

    def __init__(self, *, max_rows: int, max_bytes: int) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._rows: deque[StoredMessage] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[StoredMessage]:
        return iter(self._rows)

    def extend(self, rows: Iterable[StoredMessage]) -> int:
        """Take messages; returns how many were given up for them."""
        given_up = 0
        for row in rows:
            self._rows.append(row)
            self.bytes += row.message.size
            while len(self._rows) > self._max_rows or self.bytes > self._max_bytes:
                self.bytes -= self._rows.popleft().message.size
                given_up += 1
        return given_up

    def remove(self, ids: Collection[int]) -> None:
        kept = [row for row in self._rows if row.id not in ids]
        self.clear()
        self.extend(kept)

    def drop_older(self, stored_ns: int) -> int:
        """Give up what was stored before an instant; returns how many."""
        dropped = 0
        while self._rows and self._rows[0].stored_ns < stored_ns:
            self.bytes -= self._rows.popleft().message.size
            dropped += 1
        return dropped

    def clear(self) -> None:
        self._rows.clear()
        self.bytes = 0
