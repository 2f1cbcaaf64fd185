"""The queue in memory."""

from __future__ import annotations

from dataclasses import replace

from heimdall_edge.publish.message import MemoryQueue, Message, StoredMessage


def rows(*ids: int, size: int = 10) -> list[StoredMessage]:
    return [StoredMessage(i, 100 * i, Message("fix", "", b"x" * size)) for i in ids]


def test_beyond_a_bound_the_oldest_goes_and_is_counted() -> None:
    queue = MemoryQueue(max_rows=3, max_bytes=1000)
    assert queue.extend(rows(1, 2, 3)) == 0
    assert queue.extend(rows(4, 5)) == 2
    assert [row.id for row in queue] == [3, 4, 5]
    assert queue.extend(rows(6, size=985)) == 2
    assert [row.id for row in queue] == [5, 6]
    assert queue.bytes == 995


def test_a_message_that_is_larger_than_the_queue_does_not_stay() -> None:
    queue = MemoryQueue(max_rows=3, max_bytes=5)
    assert queue.extend(rows(1)) == 1
    assert (len(queue), queue.bytes) == (0, 0)


def test_messages_leave_by_id_or_by_age() -> None:
    queue = MemoryQueue(max_rows=9, max_bytes=1000)
    queue.extend(rows(1, 2, 3, 4))
    queue.remove({2, 99})
    assert queue.drop_older(300) == 1
    assert [row.id for row in queue] == [3, 4]
    assert queue.bytes == 20
    queue.clear()
    assert (len(queue), queue.bytes) == (0, 0)


def test_a_checksum_covers_all_that_is_sent() -> None:
    message = Message("fix", "a/fix", b"payload")
    assert message.size == len("a/fix") + len(b"payload")
    others = [
        replace(message, payload=b"Payload"),
        replace(message, topic="a/fax"),
        replace(message, kind="observation"),
    ]
    assert len({message.crc32, *(other.crc32 for other in others)}) == 4
