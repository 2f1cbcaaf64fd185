"""Damaged files: moved aside, read as far as they go."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from heimdall_edge.publish.message import Message, StoredMessage
from heimdall_edge.publish.message_table import MessageTable, StorageError
from heimdall_edge.publish.quarantine import FILES_KEPT, move_aside, salvage


def filled(path: Path, n_rows: int) -> None:
    table = MessageTable(path)
    table.insert(
        [StoredMessage(i, i, Message("fix", "h/fix", b"%06d" % i * 200)) for i in range(n_rows)]
    )
    table.close()


def test_a_file_goes_aside_with_its_log_under_a_name_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"file")
    path.with_name("outbox.sqlite-wal").write_bytes(b"log")
    aside = move_aside(path, stamp=17)
    assert aside.name == "outbox.sqlite.damaged-17"
    assert aside.read_bytes() == b"file"
    assert aside.with_name("outbox.sqlite.damaged-17-wal").read_bytes() == b"log"
    assert not path.exists()


def test_only_the_latest_damaged_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    for stamp in range(100, 100 + FILES_KEPT + 2):
        path.write_bytes(b"file")
        move_aside(path, stamp=stamp)
    stamps = sorted(int(p.name.rsplit("-", 1)[1]) for p in tmp_path.iterdir())
    assert stamps == [102, 103, 104]


def test_a_folder_that_takes_no_new_name_is_the_disks_fault(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"file")
    (tmp_path / "outbox.sqlite.damaged-1").mkdir()
    (tmp_path / "outbox.sqlite.damaged-1" / "occupied").touch()
    with pytest.raises(StorageError, match=r"outbox\.sqlite"):
        move_aside(path, stamp=1)


def test_all_of_a_sound_file_is_salvaged(tmp_path: Path) -> None:
    filled(tmp_path / "x", 50)
    assert [row.id for row in salvage(tmp_path / "x")] == list(range(50))


@pytest.mark.parametrize("seed", range(8))
def test_what_is_salvaged_from_a_damaged_file_is_what_was_stored(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "x"
    filled(path, 200)
    content = bytearray(path.read_bytes())
    if seed % 2:
        del content[rng.randrange(len(content) // 2, len(content)) :]
    for _ in range(3):
        at = rng.randrange(4096, len(content) - 600)
        content[at : at + 500] = rng.randbytes(500)
    path.write_bytes(content)
    for row in salvage(path):
        assert row.message.payload == b"%06d" % row.id * 200


def test_nothing_is_salvaged_from_garbage(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"garbage" * 1000)
    assert salvage(tmp_path / "x") == []
