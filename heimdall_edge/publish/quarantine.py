"""What is done with an outbox file that is damaged: moved aside, and read as far as it goes."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from heimdall_edge.publish.message import StoredMessage
from heimdall_edge.publish.message_table import (
    SELECT_MESSAGE,
    StorageError,
    readable,
    stored_message,
)

FILES_KEPT = 3
"""The latest damaged files, for who wants to know what happened."""


def move_aside(path: Path, *, stamp: int) -> Path:
    """Rename a file and its write-ahead log to ``<name>.damaged-<stamp>``; StorageError if not."""
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    try:
        for suffix in ("-wal", ""):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.replace(aside.with_name(aside.name + suffix))
        earlier = sorted(path.parent.glob(f"{path.name}.damaged-*[0-9]"))
        for old in earlier[:-FILES_KEPT]:
            old.unlink()
            old.with_name(f"{old.name}-wal").unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    return aside


def salvage(path: Path) -> list[StoredMessage]:
    """What can still be read from a damaged file, and is still what was stored; in order.

    Read from both ends, each until the damage: a hole in the middle costs only what it held.
    """
    found: dict[int, StoredMessage] = {}
    connection = sqlite3.connect(path, isolation_level=None)
    connection.text_factory = readable
    try:
        for order in ("ASC", "DESC"):
            with suppress(sqlite3.Error):
                for values in connection.execute(f"{SELECT_MESSAGE} ORDER BY id {order}"):
                    row = stored_message(values)
                    if row.is_sound:
                        found[row.id] = row
    finally:
        connection.close()
    return [found[message_id] for message_id in sorted(found)]
