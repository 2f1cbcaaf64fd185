"""What arrives on systemd's notification socket."""

from __future__ import annotations

import os
import socket

import pytest

from heimdall_edge.systemd import ServiceNotifier, watchdog_interval_s


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """The service manager's end: a datagram socket, as sd_notify(3) has it."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(path))
        end.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield end


def test_each_message_is_as_documented(manager):
    notifier = ServiceNotifier()
    try:
        notifier.ready("3 receivers\nrunning")
        assert manager.recv(1000) == b"READY=1\nSTATUS=3 receivers; running"
        notifier.reloading()
        name, monotonic = manager.recv(1000).decode().split("\n")
        assert name == "RELOADING=1"
        assert int(monotonic.removeprefix("MONOTONIC_USEC=")) > 0
        notifier.status("well")
        assert manager.recv(1000) == b"STATUS=well"
        notifier.alive()
        assert manager.recv(1000) == b"WATCHDOG=1"
        notifier.stopping()
        assert manager.recv(1000) == b"STOPPING=1\nSTATUS=stopping"
    finally:
        notifier.close()


def test_a_status_is_sent_where_it_changes(manager):
    notifier = ServiceNotifier()
    try:
        notifier.ready("1 of 2 running")
        for text in ("1 of 2 running", "2 of 2 running", "2 of 2 running", "1 of 2 running"):
            notifier.status(text)
        notifier.alive()
        said = [manager.recv(1000) for _ in range(4)]
        assert said == [
            b"READY=1\nSTATUS=1 of 2 running",
            b"STATUS=2 of 2 running",
            b"STATUS=1 of 2 running",
            b"WATCHDOG=1",
        ]
    finally:
        notifier.close()


def test_a_status_in_any_script_arrives(manager):
    notifier = ServiceNotifier()
    try:
        notifier.ready("469…470 Hz, Überlingen")
        assert manager.recv(1000).decode() == "READY=1\nSTATUS=469…470 Hz, Überlingen"
    finally:
        notifier.close()


def test_without_a_service_manager_nothing_happens(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = ServiceNotifier()
    notifier.ready("x")
    notifier.close()


@pytest.mark.parametrize(
    ("pid", "usec", "expected"),
    [
        (str(os.getpid()), "20000000", 10.0),
        (None, "1000000", 0.5),
        ("1", "1000000", None),
        (None, None, None),
        (None, "soon", None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(monkeypatch, pid, usec, expected):
    for name, value in (("WATCHDOG_PID", pid), ("WATCHDOG_USEC", usec)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert watchdog_interval_s() == expected
