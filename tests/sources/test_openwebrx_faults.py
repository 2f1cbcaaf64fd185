"""What an OpenWebRX page can do wrong while it is listened to."""

from __future__ import annotations

import time

import pytest

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.public_servers import PublicServers
from tests.sources.listening_thread import Ear
from tests.sources.openwebrx_pages import A, source_on, two_profiles


@pytest.fixture
def server():
    with two_profiles() as server:
        yield server


def fault(name: str):
    """Name of a fault → what it does to a server."""
    return {
        "kill": lambda s: s.kill(),
        "stall": lambda s: s.stall(),
        "no rows": lambda s: setattr(s, "has_rows", False),
        "garbage": lambda s: s.send_garbage(),
        "oversize": lambda s: s.send_oversize(),
        "trickle": lambda s: s.trickle(),
        "sdr_error": lambda s: s.say("sdr_error", "No SDR Devices available"),
    }[name]


@pytest.mark.parametrize(
    ("name", "match", "pause_s"),
    [
        ("kill", "connection (lost|closed)", 0.0),
        ("stall", "no row of its spectrum for 1 s", 0.0),
        ("no rows", "no row of its spectrum for 1 s", 0.0),
        ("garbage", "20 malformed messages in a row", 0.0),
        ("oversize", "connection closed by us: code 1009", 0.0),
        ("trickle", "no row of its spectrum for 1 s", 0.0),
        ("sdr_error", "No SDR Devices available", 300.0),
    ],
)
def test_a_fault_is_an_error_that_names_the_server(server, eventually, name, match, pause_s):
    patience_s = 5.0 if name == "garbage" else 1.0
    with Ear(source_on(server, stall_s=patience_s, start_s=patience_s)) as ear:
        eventually(lambda: server.is_heard, "rows go out")
        fault(name)(server)
        error = ear.ends()
    assert error.args[0].startswith(f"127.0.0.1:{server.port}: ")
    assert error.pause_s == pause_s
    with pytest.raises(SourceError, match=match):
        raise error
    server.kill()


def test_what_is_open_is_given_before_the_error(server, eventually):
    with Ear(source_on(server)) as ear:
        eventually(lambda: ear.listened("a"), "it listens")
        server.key(A.frequency_hz, -60.0)
        time.sleep(0.6)
        server.kill()
        ear.ends()
    assert len(ear.heard("a")) == 1


def test_after_a_restart_a_new_source_finds_the_server_again(server, eventually):
    servers = PublicServers(least_pause_s=0.0)
    with Ear(source_on(server, servers=servers)) as ear:
        eventually(lambda: ear.said, "it listens")
        server.kill()
        ear.ends()
    server.restart()
    with Ear(source_on(server, servers=servers)) as ear:
        eventually(lambda: ear.said, "it listens again")
