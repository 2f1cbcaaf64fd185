"""The outbox's file: one SQLite table, and a reserve that keeps DELETE possible on a full disk.

In WAL mode a DELETE needs room too. So a file of :data:`RESERVE_BYTES` lies beside the database,
and is given up when the disk is full: what is then acknowledged can still be deleted. Nothing is
inserted again before the reserve is back.

A table has no lock: the :class:`~heimdall_edge.publish.outbox.Outbox` that made it owns it. Its
methods raise DamagedFileError or StorageError, and never a bare ``sqlite3.Error`` for either.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heimdall_edge.publish.message import Message, StoredMessage

RESERVE_BYTES = 2 * 2**20
"""Twice what the write-ahead log holds between checkpoints; log and database may each grow so."""
_CHECKPOINT_PAGES = 128
_LAYOUT = 1
"""``user_version`` of the file; a file with another one is not ours to read."""

_CREATE = f"""
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY, stored_ns INTEGER NOT NULL, size INTEGER NOT NULL,
    kind TEXT NOT NULL, topic TEXT NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL,
    expiry_s INTEGER, crc32 INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS message_age ON message (stored_ns, size);
PRAGMA user_version = {_LAYOUT};
"""
SELECT_MESSAGE = (
    "SELECT id, stored_ns, kind, topic, payload, qos, retain, expiry_s, crc32 FROM message"
)
_CONTENT_ERRORS = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


class DamagedFileError(Exception):
    """The file is no database of ours, or is no longer sound."""


class StorageError(Exception):
    """The disk does not take it: full, read-only, gone, or held by another process."""

    def __init__(self, message: str, *, is_locked: bool = False) -> None:
        self.is_locked = is_locked
        super().__init__(message)


class MessageTable:
    """Messages on disk; ``rows`` and ``bytes`` say how many, and how large."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self.bytes = 0
        self.highest_id = 0
        self._reserve = path.with_name(f"{path.name}.reserve")
        with _named_errors(path):
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=1.0
            )
        try:
            with _named_errors(path):
                self._prepare()
            self.recount()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        self._connection.text_factory = readable
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")  # one daemon a file; and no -shm file to corrupt
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        (layout,) = run("PRAGMA user_version").fetchone()
        if layout not in (0, _LAYOUT):
            raise DamagedFileError(f"{self.path}: layout {layout}, expected {_LAYOUT}")
        if layout == 0:
            self._connection.executescript(_CREATE)

    def recount(self) -> None:
        """Take rows, bytes and highest id from the file."""
        with _named_errors(self.path):
            # The index holds the sizes too: no payload is read.
            self.rows, size, highest_id = self._connection.execute(
                "SELECT count(*), total(size), (SELECT max(id) FROM message) "
                "FROM message INDEXED BY message_age"
            ).fetchone()
        self.bytes, self.highest_id = int(size), highest_id or 0

    def close(self) -> None:
        """Close the file; what cannot be checkpointed now is at the next opening."""
        self._connection.close()

    def take_reserve(self) -> None:
        """Set room aside; StorageError where there is none."""
        try:
            with self._reserve.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError as error:
            self.give_reserve()
            raise StorageError(f"{self._reserve}: {error.strerror}") from None

    def give_reserve(self) -> None:
        """Free the room that was set aside, for DELETE to work in."""
        try:
            self._reserve.unlink(missing_ok=True)
        except OSError:
            return  # read-only: there is nothing to free, and nothing to delete with

    def insert(self, rows: Collection[StoredMessage]) -> bool:
        """Durable, all or none, when it returns True: there is no other answer."""
        with self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_values(row) for row in rows],
            )
        self.rows += len(rows)
        self.bytes += sum(row.message.size for row in rows)
        self.highest_id = max([self.highest_id, *(row.id for row in rows)])
        return True

    def oldest(
        self, limit: int, *, skip_ids: Collection[int] = (), skip_topics: Collection[str] = ()
    ) -> list[StoredMessage]:
        """Up to ``limit`` messages, oldest first."""
        ids, topics = ",".join("?" * len(skip_ids)), ",".join("?" * len(skip_topics))
        with _named_errors(self.path):
            found = self._connection.execute(
                f"{SELECT_MESSAGE} WHERE id NOT IN ({ids}) AND topic NOT IN ({topics}) "
                "ORDER BY id LIMIT ?",
                (*skip_ids, *skip_topics, limit),
            ).fetchall()
        return [stored_message(row) for row in found]

    def oldest_stored_ns(self) -> int | None:
        with _named_errors(self.path):
            found = self._connection.execute("SELECT min(stored_ns) FROM message").fetchone()
        return None if found[0] is None else int(found[0])

    def delete(self, ids: Iterable[int]) -> bool:
        """Delete messages; an id that is not there does no harm. Always True, as ``insert``."""
        with _named_errors(self.path):
            # Not waiting for the disk: what a power cut brings back is sent twice, and no worse.
            self._connection.execute("PRAGMA synchronous = NORMAL")
        try:
            with self._transaction():
                sizes = [size for one in ids for size in self._delete("id = ?", one)]
        finally:
            self._connection.execute("PRAGMA synchronous = FULL")
        self._uncount(sizes)
        return True

    def trim(self, *, max_rows: int, max_bytes: int, oldest_ns: int) -> Counter[str]:
        """Delete the oldest beyond the bounds; returns how many, by bound."""
        evicted: Counter[str] = Counter()
        in_order = "id IN (SELECT id FROM message ORDER BY id LIMIT ?)"
        with _named_errors(self.path):
            sizes = self._delete("stored_ns < ?", oldest_ns)
        evicted["age"] = self._uncount(sizes)
        if self.rows > max_rows:
            with self._transaction():
                sizes = self._delete(in_order, self.rows - max_rows)
            evicted["rows"] = self._uncount(sizes)
        if self.bytes > max_bytes:
            with self._transaction():
                sizes = self._delete(in_order, self._rows_of(self.bytes - max_bytes))
            evicted["bytes"] = self._uncount(sizes)
        return +evicted

    def _rows_of(self, wanted_bytes: int) -> int:
        """How many of the oldest messages have that many bytes together."""
        rows = 0
        for (size,) in self._connection.execute("SELECT size FROM message ORDER BY id"):
            rows += 1
            wanted_bytes -= size
            if wanted_bytes <= 0:
                break
        return rows

    def _delete(self, condition: str, value: int) -> list[int]:
        """Delete, within a transaction or as one; returns the sizes of what is gone."""
        sql = f"DELETE FROM message WHERE {condition} RETURNING size"  # noqa: S608
        return [size for (size,) in self._connection.execute(sql, (value,)).fetchall()]

    def _uncount(self, sizes: list[int]) -> int:
        self.rows -= len(sizes)
        self.bytes -= sum(sizes)
        return len(sizes)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _named_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _values(row: StoredMessage) -> tuple[object, ...]:
    m = row.message
    return (
        row.id, row.stored_ns, m.size, m.kind, m.topic, m.qos, m.retain, m.expiry_s, m.crc32,
        m.payload,
    )  # fmt: skip


def stored_message(values: tuple[Any, ...]) -> StoredMessage:
    """A row as it was read; what damage made of it is not sound, and raises nothing."""
    message_id, stored_ns, kind, topic, payload, qos, retain, expiry_s, crc32 = values
    match stored_ns, kind, topic, payload, qos, expiry_s:
        case (int(), str(), str(), bytes(), 0 | 1 | 2, int() | None):
            message = Message(kind, topic, payload, qos, bool(retain), expiry_s)
            return StoredMessage(message_id, stored_ns, message, message.crc32 == crc32)
    return StoredMessage(message_id, 0, Message("", "", b""), is_sound=False)


def readable(text: bytes) -> str:
    """Text out of the file, whatever it holds: a checksum finds what is damaged."""
    return text.decode(errors="replace")


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Tell a damaged file from a disk that does not take it."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
        if code in _CONTENT_ERRORS:
            raise DamagedFileError(f"{path}: {error}") from None
        if isinstance(error, sqlite3.OperationalError):
            is_locked = code == sqlite3.SQLITE_BUSY
            raise StorageError(f"{path}: {error}", is_locked=is_locked) from None
        raise
