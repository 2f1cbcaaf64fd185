"""A conversation with a SpyServer: whole messages, and the greeting."""

import pytest

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.spyserver_protocol import ping
from heimdall_edge.sources.spyserver_session import SpySession
from heimdall_edge.sources.tcp import ClosedHereError, PeerSilentError, TcpConnection

from ..emulators.spy_server import SpyServer


@pytest.fixture
def server():
    with SpyServer() as server:
        yield server


@pytest.fixture
def link(server):
    link = TcpConnection(host=server.host, port=server.port, who="rx: SpyServer")
    link.connect(5)
    yield link
    link.close()


@pytest.fixture
def session(link):
    return SpySession(link)


def test_a_greeting_tells_the_device_and_what_we_may(server, session):
    info, sync = session.greet(5)
    assert (info.name, info.serial) == ("Airspy", server.serial)
    assert (sync.can_control, sync.gain_index) == (False, 12)


def test_a_message_is_whole(session):
    session.greet(5)
    session.send(ping(0x01020304))
    message = session.receive(5)
    assert message.header.kind == 2
    assert message.body == b"\x04\x03\x02\x01"


def test_silence_says_what_was_waited_for(session):
    session.greet(5)
    with pytest.raises(PeerSilentError, match=r"0 of a message's 20 bytes came within 0.1 s"):
        session.receive(0.1)


def test_half_a_message_says_how_much_of_it_came(server, session):
    session.greet(5)
    server.trickle()
    session.send(ping(1))
    with pytest.raises(PeerSilentError, match=r"[12] of a message's 20 bytes came within 1.5 s"):
        session.receive(1.5)


def test_closing_is_no_refusal_of_the_server(server, session, link):
    link.close()
    with pytest.raises(ClosedHereError):
        session.greet(5)


def test_a_server_of_another_kind_is_said(server, session):
    server.version = 0x0A0D0A0D
    with pytest.raises(SourceError, match="no SpyServer, or one of another version") as caught:
        session.greet(5)
    assert caught.value.pause_s == 60
