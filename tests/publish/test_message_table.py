"""The file of the outbox."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from heimdall_edge.publish.message import Message, StoredMessage
from heimdall_edge.publish.message_table import (
    RESERVE_BYTES,
    DamagedFileError,
    MessageTable,
    StorageError,
)


def row(i: int, *, topic: str = "h/fix", size: int = 100) -> StoredMessage:
    return StoredMessage(i, 1000 * i, Message("fix", topic, bytes([i % 256]) * size, expiry_s=9))


@pytest.fixture
def table(tmp_path: Path) -> MessageTable:
    made = MessageTable(tmp_path / "outbox.sqlite")
    made.take_reserve()
    made.insert([row(i) for i in range(1, 11)])
    return made


def ids(table: MessageTable) -> list[int]:
    return [found.id for found in table.oldest(1000)]


def test_messages_come_back_as_they_were_oldest_first(table: MessageTable) -> None:
    assert table.oldest(3) == [row(1), row(2), row(3)]
    assert (table.rows, table.bytes, table.highest_id) == (10, 10 * 105, 10)
    assert table.oldest_stored_ns() == 1000


def test_what_is_skipped_is_not_given_out(table: MessageTable) -> None:
    table.insert([row(11, topic="h/other")])
    found = table.oldest(3, skip_ids=[1, 2], skip_topics=["h/fix"])
    assert [one.id for one in found] == [11]


def test_deleting_counts_only_what_was_there(table: MessageTable) -> None:
    table.delete([1, 2, 2, 99])
    assert ids(table) == list(range(3, 11))
    assert (table.rows, table.bytes) == (8, 8 * 105)


def test_each_bound_evicts_the_oldest_and_counts_it(table: MessageTable) -> None:
    assert table.trim(max_rows=99, max_bytes=10**6, oldest_ns=3000) == {"age": 2}
    assert table.trim(max_rows=6, max_bytes=10**6, oldest_ns=0) == {"rows": 2}
    assert table.trim(max_rows=99, max_bytes=3 * 105 + 1, oldest_ns=0) == {"bytes": 3}
    assert ids(table) == [8, 9, 10]
    table.recount()
    assert (table.rows, table.bytes) == (3, 3 * 105)
    assert not table.trim(max_rows=99, max_bytes=10**6, oldest_ns=0)


def test_what_was_stored_is_there_when_the_file_is_opened_again(table: MessageTable) -> None:
    table.close()
    again = MessageTable(table.path)
    assert ids(again) == list(range(1, 11))
    assert (again.rows, again.bytes, again.highest_id) == (10, 10 * 105, 10)
    again.close()


def test_a_failed_insert_leaves_nothing_behind(table: MessageTable) -> None:
    bad = StoredMessage(12, 0, Message("fix", "h/fix", None))  # type: ignore[arg-type]
    with pytest.raises((sqlite3.IntegrityError, TypeError)):
        table.insert([row(11), bad])
    assert table.rows == 10
    assert ids(table) == list(range(1, 11))


def test_a_second_process_is_kept_out(table: MessageTable) -> None:
    with pytest.raises(StorageError, match="locked") as caught:
        MessageTable(table.path)
    assert caught.value.is_locked


def test_a_row_that_was_tampered_with_is_not_sound(table: MessageTable) -> None:
    table.close()
    with sqlite3.connect(table.path) as connection:
        connection.execute("UPDATE message SET payload = x'00ff' WHERE id = 1")
        connection.execute("UPDATE message SET topic = cast(x'ff' AS TEXT) WHERE id = 2")
        connection.execute("UPDATE message SET kind = 7.5, qos = 'x' WHERE id = 3")
        connection.execute("UPDATE message SET payload = 'text' WHERE id = 4")
    connection.close()
    again = MessageTable(table.path)
    assert [found.is_sound for found in again.oldest(5)] == [False, False, False, False, True]
    again.close()


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_said_to_be_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"outbox\.sqlite"):
        MessageTable(path)


def test_a_database_of_another_layout_is_not_ours_to_read(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(DamagedFileError, match="layout 7, expected 1"):
        MessageTable(path)


def test_a_folder_that_is_not_there_is_the_disks_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="unable to open"):
        MessageTable(tmp_path / "nowhere" / "outbox.sqlite")


def test_the_reserve_is_taken_given_and_taken_again(table: MessageTable) -> None:
    reserve = table.path.with_name("outbox.sqlite.reserve")
    assert reserve.stat().st_size == RESERVE_BYTES
    table.give_reserve()
    table.give_reserve()
    assert not reserve.exists()
    table.take_reserve()
    assert reserve.stat().st_blocks * 512 >= RESERVE_BYTES


def test_room_that_cannot_be_set_aside_is_said(table: MessageTable) -> None:
    reserve = table.path.with_name("outbox.sqlite.reserve")
    reserve.unlink()
    reserve.mkdir()
    with pytest.raises(StorageError, match="reserve"):
        table.take_reserve()
