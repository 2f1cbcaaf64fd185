"""What must not be lost, until the broker has it: on disk, bounded, and oldest first.

::

    insert ─▶ [ disk: SQLite, synchronous=FULL ] ─▶ oldest ─▶ (sent) ─▶ delete, on PUBACK
                   │ full, read-only     ▲ room again
                   ▼                     │
              [ memory, bounded ] ───────┘          each bound evicts the oldest, and counts it

``insert`` returns when the message is durable. While the disk does not take it, messages wait in
memory, and ``state`` says so; what is on disk already can still be read and deleted. A damaged
file is moved aside under a name that says so, and what is sound in it is carried over.

Thread-safe: one lock guards everything, the connection included. No clock is read: ``now_ns`` is
a nanosecond count that only rises while the process lives (a step of the host's clock must not
make a week's fixes look old), and is comparable with that of the process before.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from heimdall_edge.errors import OutboxError
from heimdall_edge.publish.message import MemoryQueue, Message, StoredMessage
from heimdall_edge.publish.message_table import (
    DamagedFileError,
    MessageTable,
    StorageError,
)
from heimdall_edge.publish.quarantine import move_aside, salvage
from heimdall_edge.types import NS_PER_S

RETRY_DISK_S = 5.0
"""How often a disk that did not take a message is tried again."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OutboxState:
    """The outbox at one moment."""

    depth: int
    bytes: int
    oldest_age_s: float | None
    on_disk: bool
    """False: what comes in now is in memory only."""
    evicted: Mapping[str, int] = field(default_factory=dict)
    """``rows``, ``bytes``, ``age``, ``memory`` or ``damaged`` → messages given up."""
    last_error: str | None = None
    """What the disk said last, while it is not used."""


class Outbox:
    """Messages that wait for the broker; open it before use, close it after."""

    def __init__(
        self,
        path: Path,
        *,
        max_rows: int = 100_000,
        max_bytes: int = 256 * 2**20,
        max_age_s: float = 7 * 86_400.0,
        memory_max_rows: int = 10_000,
        memory_max_bytes: int = 16 * 2**20,
    ) -> None:
        self.path = path
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._max_age_ns = round(max_age_s * NS_PER_S)
        self._lock = threading.RLock()
        self._table: MessageTable | None = None
        self._memory = MemoryQueue(max_rows=memory_max_rows, max_bytes=memory_max_bytes)
        self._undeleted: set[int] = set()
        """Done with, but the disk did not take the DELETE: never given out again."""
        self._last_id = 0
        self._now_ns = 0
        self._retry_at_ns = 0
        self._last_error: str | None = None
        self._evicted: Counter[str] = Counter()
        self._notices: list[str] = []

    # ── life ──────────────────────────────────────────────────────────────────────────────

    def open(self, *, now_ns: int) -> None:
        """Open or create the file; a disk that does not take it means memory, not an error.

        Raises
        ------
        OutboxError
            Another process uses the file: two daemons run with one state directory.
        """
        with self._lock:
            self._now_ns = now_ns
            try:
                self._open_table().take_reserve()
            except DamagedFileError as error:
                self._replace(error)
            except StorageError as error:
                if error.is_locked:
                    raise OutboxError(f"{error}: another process uses this outbox") from None
                self._leave_disk(error)
                if self._table is None:
                    # Above any id in the file that could not be read.
                    self._last_id = max(self._last_id, now_ns)

    def close(self) -> None:
        """Let go of the file; idempotent. What was in memory only is lost."""
        with self._lock:
            if self._table is not None:
                self._table.close()
                self._table = None

    def take_notices(self) -> list[str]:
        """What happened to the file since the last call, in words for the journal."""
        with self._lock:
            notices, self._notices = self._notices, []
            return notices

    # ── messages ──────────────────────────────────────────────────────────────────────────

    def insert(self, message: Message, *, now_ns: int) -> int:
        """Store one message; see :meth:`insert_many`."""
        return self.insert_many([message], now_ns=now_ns)[0]

    def insert_many(self, messages: Sequence[Message], *, now_ns: int) -> list[int]:
        """Store messages, all or none; durable when it returns, unless ``on_disk`` is False.

        Returns their ids, which rise.
        """
        with self._lock:
            self._catch_up(now_ns)
            first = self._last_id + 1
            rows = [StoredMessage(first + i, now_ns, m) for i, m in enumerate(messages)]
            self._last_id += len(rows)
            if self._last_error is not None or not self._on_disk(
                lambda table: table.insert(rows), otherwise=False
            ):
                self._evicted["memory"] += self._memory.extend(rows)
            self._keep_bounds()
            return [row.id for row in rows]

    def oldest(
        self, limit: int, *, skip_ids: Collection[int] = (), skip_topics: Collection[str] = ()
    ) -> list[StoredMessage]:
        """Up to ``limit`` messages, oldest first; what is no longer what was stored is evicted."""
        with self._lock:
            skipped = self._undeleted.union(skip_ids)
            on_disk: list[StoredMessage] = self._on_disk(
                lambda table: table.oldest(limit, skip_ids=skipped, skip_topics=skip_topics),
                otherwise=[],
            )
            unsound = {row.id for row in on_disk if not row.is_sound}
            if unsound:
                self._evicted["damaged"] += len(unsound)
                self.delete(unsound)
            in_memory = (
                row
                for row in self._memory
                if row.id not in skipped and row.message.topic not in skip_topics
            )
            # What is in memory is younger than all that is on disk.
            found = [row for row in on_disk if row.is_sound]
            return [*found, *islice(in_memory, limit - len(found))]

    def delete(self, ids: Iterable[int]) -> None:
        """Forget messages, acknowledged or refused for good; unknown ids do no harm."""
        with self._lock:
            self._undeleted.update(ids)
            if self._memory:
                self._memory.remove(self._undeleted)
            if self._on_disk(lambda table: table.delete(self._undeleted), otherwise=False):
                self._undeleted.clear()

    def keep_up(self, *, now_ns: int) -> None:
        """Evict what is too old, and go back to disk when that is possible; call it regularly."""
        with self._lock:
            self._catch_up(now_ns)
            self._keep_bounds()

    @property
    def last_id(self) -> int:
        """Id of the message that was stored last."""
        with self._lock:
            return self._last_id

    def state(self, *, now_ns: int) -> OutboxState:
        """How much waits, how old it is, what was given up."""
        with self._lock:
            stored_ns = [row.stored_ns for row in islice(self._memory, 1)]
            on_disk = self._on_disk(lambda table: table.oldest_stored_ns(), otherwise=None)
            if on_disk is not None:
                stored_ns.append(on_disk)
            rows, size = (self._table.rows, self._table.bytes) if self._table else (0, 0)
            return OutboxState(
                depth=rows + len(self._memory),
                bytes=size + self._memory.bytes,
                oldest_age_s=max(0, now_ns - min(stored_ns)) / NS_PER_S if stored_ns else None,
                on_disk=self._table is not None and self._last_error is None,
                evicted=dict(+self._evicted),
                last_error=self._last_error,
            )

    def _catch_up(self, now_ns: int) -> None:
        self._now_ns = now_ns
        if self._last_error is not None and now_ns >= self._retry_at_ns:
            self._return_to_disk()
        if self._undeleted:
            self.delete(())

    def _keep_bounds(self) -> None:
        oldest_ns = self._now_ns - self._max_age_ns
        evicted: Counter[str] = self._on_disk(
            lambda table: table.trim(
                max_rows=self._max_rows, max_bytes=self._max_bytes, oldest_ns=oldest_ns
            ),
            otherwise=Counter(),
        )
        self._evicted += evicted
        self._evicted["age"] += self._memory.drop_older(oldest_ns)

    # ── disk ──────────────────────────────────────────────────────────────────────────────

    def _on_disk(self, action: Callable[[MessageTable], T], *, otherwise: T) -> T:
        """Do something with the table; where it is damaged, once more with what replaces it."""
        for _ in range(2):
            if self._table is None:
                break
            try:
                return action(self._table)
            except DamagedFileError as error:
                self._replace(error)
            except StorageError as error:
                self._leave_disk(error)
                break
        return otherwise

    def _open_table(self) -> MessageTable:
        table = self._table = MessageTable(self.path)
        self._last_id = max(self._last_id, table.highest_id)
        return table

    def _leave_disk(self, error: Exception) -> None:
        """From now on new messages wait in memory."""
        if self._last_error is None:
            self._notices.append(f"{error}: the outbox is in memory until the disk takes it again")
        self._last_error = str(error)
        self._retry_at_ns = self._now_ns + round(RETRY_DISK_S * NS_PER_S)
        if self._table is not None:
            self._table.give_reserve()

    def _return_to_disk(self) -> None:
        """Bring what waits in memory to disk; or stay in memory, and try again later."""
        try:
            table = self._table or self._open_table()
            table.take_reserve()
            table.insert(list(self._memory))
            table.recount()
        except DamagedFileError as error:
            self._replace(error)
        except StorageError as error:
            self._leave_disk(error)
        else:
            self._memory.clear()
            self._last_error = None
            self._notices.append(f"{self.path}: the outbox is on disk again")

    def _replace(self, error: DamagedFileError) -> None:
        """Move a damaged file aside, and start a new one with what is sound in it."""
        lost = 0
        if self._table is not None:
            lost = self._table.rows
            self._table.close()
            self._table = None
        try:
            aside = move_aside(self.path, stamp=self._now_ns)
            rows = [row for row in salvage(aside) if row.id not in self._undeleted]
            table = self._open_table()
            table.take_reserve()
            table.insert(rows)
        except (StorageError, DamagedFileError) as worse:
            self._leave_disk(worse)
            return
        self._last_id = max(self._last_id, table.highest_id)
        self._evicted["damaged"] += max(0, lost - len(rows))
        self._notices.append(
            f"{error}: damaged; moved aside as {aside.name}, {len(rows)} messages carried over"
        )
