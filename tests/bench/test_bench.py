"""What `heimdall-edge bench` prints, in which order, and where from."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from heimdall_edge import bench, cli
from heimdall_edge.bench.broker import LocalBroker
from heimdall_edge.bench.table import Table, machine_in_words


def table(title: str) -> Table:
    return Table(title=title, columns=("a",), rows=[("1",)])


@pytest.fixture
def folders(monkeypatch):
    """Every measurement but its call; the folders that they were given."""
    seen = []

    @contextmanager
    def running_broker(folder):
        seen.append(folder)
        yield LocalBroker("a broker", 1, "5")

    monkeypatch.setattr(bench, "running_broker", running_broker)
    monkeypatch.setattr(bench, "cpu_table", lambda *, seconds: table(f"CPU of {seconds} s"))
    monkeypatch.setattr(bench, "mel_table", lambda: table("mel"))
    monkeypatch.setattr(bench, "latency_table", lambda broker, folder: table(broker.name))
    monkeypatch.setattr(bench, "replay_table", lambda folder: table("replay"))
    monkeypatch.setattr(bench, "daemon_table", lambda broker, folder: table("daemon"))
    return seen


def test_the_command_prints_every_table_with_the_machine_on_top(folders, capsys):
    assert cli.main(["bench", "--seconds", "0.5"]) == 0
    tables = capsys.readouterr().out.strip().split("\n\n")
    assert [t.splitlines()[0] for t in tables] == [
        "CPU of 0.5 s",
        "mel",
        "a broker",
        "replay",
        "daemon",
    ]
    assert all(t.splitlines()[1] == machine_in_words() for t in tables)


def test_nothing_is_left_on_disk(folders):
    bench.print_tables(seconds=0.5)
    (folder,) = folders
    assert not folder.exists()
