"""The outbox: what it promises when all goes well, and when nothing does."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heimdall_edge.errors import OutboxError
from heimdall_edge.publish.message import Message
from heimdall_edge.publish.outbox import RETRY_DISK_S, Outbox
from heimdall_edge.types import NS_PER_S

LATER_NS = round((RETRY_DISK_S + 1) * NS_PER_S)


def message(number: int, *, size: int = 100, topic: str = "h/fix") -> Message:
    return Message("fix", topic, f"{number:06d}".encode().ljust(size, b"."))


def numbers(outbox: Outbox, limit: int = 10_000) -> list[int]:
    return [int(row.message.payload[:6]) for row in outbox.oldest(limit)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    made = Outbox(path)
    made.open(now_ns=0)
    yield made
    made.close()


def test_messages_are_given_out_oldest_first_and_leave_when_deleted(outbox: Outbox) -> None:
    ids = [outbox.insert(message(n), now_ns=n) for n in range(5)]
    assert ids == sorted(set(ids))
    assert outbox.last_id == ids[-1]
    assert numbers(outbox, 3) == [0, 1, 2]
    outbox.delete(ids[:2])
    assert numbers(outbox) == [2, 3, 4]
    assert [row.id for row in outbox.oldest(9, skip_ids=ids[2:4])] == [ids[4]]
    assert outbox.oldest(9, skip_topics=["h/fix"]) == []
    state = outbox.state(now_ns=2 + NS_PER_S)
    assert (state.depth, state.bytes) == (3, 3 * 105)
    assert state.oldest_age_s == 1.0
    assert state.on_disk
    assert state.last_error is None


def test_an_empty_outbox_has_no_age(outbox: Outbox) -> None:
    state = outbox.state(now_ns=0)
    assert (state.depth, state.bytes, state.oldest_age_s) == (0, 0, None)


def test_an_id_never_comes_again_while_the_process_lives(outbox: Outbox) -> None:
    first = outbox.insert(message(1), now_ns=0)
    outbox.delete([first])
    assert outbox.insert(message(2), now_ns=0) > first


@pytest.mark.parametrize(
    ("bounds", "reason", "left"),
    [
        ({"max_rows": 4}, "rows", [6, 7, 8, 9]),
        ({"max_bytes": 3 * 105}, "bytes", [7, 8, 9]),
        ({"max_age_s": 4.5}, "age", [5, 6, 7, 8, 9]),
    ],
)
def test_each_bound_evicts_the_oldest_and_counts_it(
    path: Path, bounds: dict[str, float], reason: str, left: list[int]
) -> None:
    outbox = Outbox(path, **bounds)  # type: ignore[arg-type]
    outbox.open(now_ns=0)
    for n in range(10):
        outbox.insert(message(n), now_ns=n * NS_PER_S)
    assert numbers(outbox) == left
    assert outbox.state(now_ns=0).evicted == {reason: 10 - len(left)}
    outbox.close()


def test_age_also_counts_while_nothing_comes_in(path: Path) -> None:
    outbox = Outbox(path, max_age_s=10)
    outbox.open(now_ns=0)
    outbox.insert(message(1), now_ns=0)
    outbox.keep_up(now_ns=11 * NS_PER_S)
    assert outbox.state(now_ns=0).evicted == {"age": 1}
    outbox.close()


def test_a_message_larger_than_the_outbox_is_evicted_and_not_fatal(path: Path) -> None:
    outbox = Outbox(path, max_bytes=1000)
    outbox.open(now_ns=0)
    outbox.insert_many([message(1), message(2, size=5000)], now_ns=0)
    assert numbers(outbox) == []
    assert outbox.state(now_ns=0).evicted == {"bytes": 2}
    outbox.close()


def test_two_daemons_with_one_outbox_are_the_operators_fault(outbox: Outbox) -> None:
    with pytest.raises(OutboxError, match="another process uses this outbox"):
        Outbox(outbox.path).open(now_ns=0)


def test_threads_lose_nothing_between_them(outbox: Outbox) -> None:
    def write(first: int) -> None:
        for n in range(first, first + 50):
            outbox.insert(message(n), now_ns=0)

    writers = [threading.Thread(target=write, args=(100 * i,)) for i in range(4)]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    while len(seen) < 200:
        rows = outbox.oldest(20)
        seen += [int(row.message.payload[:6]) for row in rows]
        outbox.delete([row.id for row in rows])
    for writer in writers:
        writer.join()
    assert sorted(seen) == [100 * i + n for i in range(4) for n in range(50)]
    assert outbox.state(now_ns=0).depth == 0


WRITER = """
import sys
from pathlib import Path
from heimdall_edge.publish.message import Message
from heimdall_edge.publish.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]))
outbox.open(now_ns=0)
for number in range(100_000):
    outbox.insert(Message("fix", "h/fix", b"%06d" % number), now_ns=number)
    print(number, flush=True)
"""


@pytest.mark.parametrize("after_rows", [1, 40, 333])
def test_what_was_stored_survives_a_kill(path: Path, after_rows: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= after_rows:
                os.kill(writer.pid, signal.SIGKILL)
                break
        stored = [after_rows, *(int(line) for line in writer.stdout if line.endswith("\n"))][-1]
    outbox = Outbox(path)
    outbox.open(now_ns=0)
    found = numbers(outbox, 100_000)
    assert found[: stored + 1] == list(range(stored + 1))
    assert outbox.insert(message(0), now_ns=0) > outbox.oldest(1)[0].id
    outbox.close()


# ── a file that is damaged ────────────────────────────────────────────────────────────────


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    match kind:
        case "garbage":
            content = bytearray(random.Random(1).randbytes(5000))
        case "truncated":
            del content[len(content) // 2 :]
        case "empty header":
            content[:100] = bytes(100)
        case "random pages":
            content[8192:40_000] = random.Random(2).randbytes(40_000 - 8192)
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["garbage", "truncated", "empty header", "random pages"])
def test_a_damaged_file_is_moved_aside_and_life_goes_on(path: Path, kind: str) -> None:
    before = Outbox(path)
    before.open(now_ns=0)
    before.insert_many([message(n, size=500) for n in range(300)], now_ns=0)
    before.close()
    damage(path, kind)

    outbox = Outbox(path)
    outbox.open(now_ns=5)
    found = numbers(outbox)
    assert set(found) <= set(range(300))
    assert found == sorted(found)
    outbox.insert(message(777), now_ns=6)
    assert numbers(outbox)[-1] == 777
    (notice,) = outbox.take_notices()
    assert "damaged; moved aside as outbox.sqlite.damaged-5" in notice
    assert outbox.take_notices() == []
    assert (path.parent / "outbox.sqlite.damaged-5").exists()
    assert outbox.state(now_ns=6).on_disk
    outbox.close()


def test_a_file_that_breaks_while_it_is_used_is_replaced_too(path: Path) -> None:
    outbox = Outbox(path)
    outbox.open(now_ns=0)
    outbox.insert_many([message(n, size=2000) for n in range(500)], now_ns=0)
    outbox.close()
    outbox.open(now_ns=1)  # nothing of it is in SQLite's page cache now
    damage(path, "random pages")
    outbox.insert(message(777), now_ns=2)
    found = numbers(outbox)
    assert found[-1] == 777
    state = outbox.state(now_ns=3)
    assert state.on_disk
    assert state.depth == len(found)
    assert state.evicted["damaged"] >= 1
    assert any("damaged" in notice for notice in outbox.take_notices())
    outbox.close()


def test_a_message_that_is_not_what_was_stored_is_not_given_out(path: Path) -> None:
    outbox = Outbox(path)
    outbox.open(now_ns=0)
    outbox.insert_many([message(n) for n in range(3)], now_ns=0)
    outbox.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE message SET payload = x'7b7d' WHERE id = 2")
    connection.close()
    outbox.open(now_ns=0)
    assert numbers(outbox) == [0, 2]
    assert outbox.state(now_ns=0).depth == 2
    assert outbox.state(now_ns=0).evicted == {"damaged": 1}
    outbox.close()


# ── a disk that does not take it ──────────────────────────────────────────────────────────


def test_on_a_full_disk_messages_wait_in_memory_and_go_back_to_disk(small_disk: Any) -> None:
    outbox = Outbox(small_disk.folder / "outbox.sqlite")
    outbox.open(now_ns=0)
    on_disk = [outbox.insert(message(n, size=1000), now_ns=0) for n in range(100)]
    filler = small_disk.fill()
    later = list(range(100, 600))
    for n in later:
        outbox.insert(message(n, size=1000), now_ns=1)
    state = outbox.state(now_ns=1)
    assert not state.on_disk
    assert state.last_error is not None
    assert "full" in state.last_error
    assert state.depth == 600
    assert numbers(outbox) == [*range(100), *later]

    # Acknowledged messages leave the full disk, and those in memory; nothing comes twice.
    outbox.delete(on_disk[:90])
    outbox.delete([row.id for row in outbox.oldest(600) if row.message.payload < b"000150"][10:])
    assert numbers(outbox) == [*range(90, 100), *range(150, 600)]
    (notice,) = outbox.take_notices()
    assert "in memory until the disk takes it again" in notice

    filler.unlink()
    outbox.keep_up(now_ns=LATER_NS)
    assert outbox.state(now_ns=LATER_NS).on_disk
    assert "on disk again" in outbox.take_notices()[0]
    outbox.close()
    outbox.open(now_ns=LATER_NS)
    assert numbers(outbox) == [*range(90, 100), *range(150, 600)]
    assert outbox.state(now_ns=0).evicted == {}
    outbox.close()


def test_a_disk_that_stays_full_is_tried_now_and_then_only(small_disk: Any) -> None:
    outbox = Outbox(small_disk.folder / "outbox.sqlite", memory_max_rows=5)
    outbox.open(now_ns=0)
    small_disk.fill()
    for n in range(400):
        outbox.insert(message(n, size=4000), now_ns=0)
    assert not outbox.state(now_ns=0).on_disk
    outbox.keep_up(now_ns=LATER_NS)
    assert not outbox.state(now_ns=LATER_NS).on_disk
    assert len(outbox.take_notices()) == 1
    assert outbox.state(now_ns=0).evicted["memory"] > 0
    assert numbers(outbox)[-5:] == [395, 396, 397, 398, 399]
    outbox.close()


def test_a_disk_that_is_full_from_the_start_still_gives_what_it_holds(small_disk: Any) -> None:
    outbox = Outbox(small_disk.folder / "outbox.sqlite")
    outbox.open(now_ns=0)
    outbox.insert(message(1), now_ns=0)
    outbox.close()
    (small_disk.folder / "outbox.sqlite.reserve").unlink()
    filler = small_disk.fill()
    outbox = Outbox(small_disk.folder / "outbox.sqlite")
    outbox.open(now_ns=0)
    outbox.insert(message(2), now_ns=0)
    assert not outbox.state(now_ns=0).on_disk
    filler.unlink()
    outbox.keep_up(now_ns=LATER_NS)
    assert numbers(outbox) == [1, 2]
    assert outbox.state(now_ns=LATER_NS).on_disk
    outbox.close()


def test_a_folder_that_is_not_there_yet_means_memory_until_it_is(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "later" / "outbox.sqlite", memory_max_rows=3, max_age_s=60)
    outbox.open(now_ns=0)
    for n in range(5):
        outbox.insert(message(n), now_ns=n)
    assert numbers(outbox) == [2, 3, 4]
    state = outbox.state(now_ns=2)
    assert (state.depth, state.on_disk, state.evicted) == (3, False, {"memory": 2})
    (tmp_path / "later").mkdir()
    outbox.insert(message(5), now_ns=LATER_NS)
    assert outbox.state(now_ns=LATER_NS).on_disk
    assert numbers(outbox) == [2, 3, 4, 5]
    outbox.close()


def test_in_memory_too_there_is_a_greatest_age(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "nowhere" / "outbox.sqlite", max_age_s=1)
    outbox.open(now_ns=0)
    outbox.insert(message(1), now_ns=0)
    outbox.keep_up(now_ns=2 * NS_PER_S)
    assert numbers(outbox) == []
    assert outbox.state(now_ns=0).evicted == {"age": 1}


def test_closing_twice_does_no_harm(outbox: Outbox) -> None:
    outbox.close()
    outbox.close()
    assert outbox.state(now_ns=0).depth == 0
