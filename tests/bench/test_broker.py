"""The bench's own broker: mosquitto, or the embedded one, or a clear message."""

from __future__ import annotations

import shutil
import socket

import pytest

from heimdall_edge.bench import broker
from heimdall_edge.bench.broker import running_broker
from heimdall_edge.errors import HeimdallError


def is_taken(port: int) -> bool:
    """Whether somebody listens there; a broker is not to be startled by a call without a word."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def test_mosquitto_listens_for_as_long_as_the_block_lasts(tmp_path):
    with running_broker(tmp_path) as found:
        assert (found.name, found.protocol) == ("mosquitto", "5")
        assert is_taken(found.port)
    assert not is_taken(found.port)


def test_where_there_is_none_the_embedded_broker_is_used_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name, path=None: None)
    with running_broker(tmp_path) as found:
        assert "mosquitto is not installed" in found.name
        assert found.protocol == "3.1.1"
        assert is_taken(found.port)


def test_a_mosquitto_that_ends_at_once_is_quoted(tmp_path, monkeypatch):
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho address in use >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _name, path=None: str(program))
    with (
        pytest.raises(HeimdallError, match="did not start: address in use"),
        running_broker(tmp_path),
    ):
        pass


def test_one_that_never_listens_is_given_up(tmp_path, monkeypatch):
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _name, path=None: str(program))
    monkeypatch.setattr(broker, "START_TIMEOUT_S", 0.1)
    with pytest.raises(HeimdallError, match="did not start"), running_broker(tmp_path):
        pass
