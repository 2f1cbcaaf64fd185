"""A source's TCP connection: deadlines, refusals, and closing it from another thread."""

import socket
import threading
import time
from pathlib import Path

import pytest

from heimdall_edge.errors import SourceDataError, SourceError
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S
from heimdall_edge.sources.name_lookup import resolve
from heimdall_edge.sources.tcp import (
    ClosedHereError,
    PeerClosedError,
    PeerSilentError,
    TcpConnection,
    named,
)

from ..emulators.tcp_peer import TcpPeer

PATIENCE_S = 10.0


class Echo(TcpPeer):
    """Gives back what it receives, after a greeting."""

    greeting = b"hello"

    def serve(self, connection):
        self.send(connection, self.greeting)
        while True:
            self.send(connection, self.receive(connection, 1))


class Mute(TcpPeer):
    """Never says nor reads anything."""

    def serve(self, connection):
        while True:
            self.pause(0.02)


@pytest.fixture
def connection_to():
    made = []

    def make(peer=None, **settings):
        settings = {"who": "rx: test", **settings}
        if peer is not None:
            settings = {"host": peer.host, "port": peer.port, **settings}
        made.append(TcpConnection(**settings))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


class Task:
    """Something that waits, in a thread."""

    def __init__(self, function, *arguments):
        self.error = None
        self._call = (function, arguments)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        function, arguments = self._call
        try:
            function(*arguments)
        except SourceError as error:
            self.error = error

    def ends_within_s(self, limit_s):
        self._thread.join(limit_s)
        return not self._thread.is_alive()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def silent_listener():
    """A listener that nobody accepts from, its backlog full: a connect waits for ever."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


@pytest.fixture
def black_hole():
    """(host, port) that answers no connect."""
    listener, fillers = silent_listener()
    yield listener.getsockname()
    for opened in [listener, *fillers]:
        opened.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_is_sent_arrives_and_comes_back(connection_to, host):
    with Echo(host=host) as peer:
        connection = connection_to(peer)
        connection.connect(5)
        connection.send(b"abc", 5)
        buffer = bytearray(8)
        assert connection.fill(memoryview(buffer), 5) == 8
        assert bytes(buffer) == b"helloabc"
        assert 0 <= connection.round_trip_s < 1


def test_brackets_around_an_ipv6_address_are_understood(connection_to):
    with Echo(host="::1") as peer:
        connection = connection_to(host="[::1]", port=peer.port)
        connection.connect(5)
        assert connection.name == f"rx: test at [::1]:{peer.port}"


def test_a_name_is_tried_at_all_its_addresses(connection_to):
    with Echo(host="::1") as peer:
        addresses = [*resolve("127.0.0.1", peer.port), *resolve("::1", peer.port)]
        connection = connection_to(peer, host="both.example", resolve=lambda *_: addresses)
        connection.connect(5)
        assert peer.port == connection._socket.getpeername()[1]


def test_an_address_that_swallows_packets_leaves_time_for_the_next(connection_to, black_hole):
    with Echo() as peer:
        addresses = [*resolve(*black_hole), *resolve(peer.host, peer.port)]
        connection = connection_to(peer, host="both.example", resolve=lambda *_: addresses)
        began_s = time.monotonic()
        connection.connect(1.0)
        assert time.monotonic() - began_s < 1.0


def test_a_refused_connection_says_each_address_and_why(connection_to):
    with Echo() as peer:
        port = peer.port
    connection = connection_to(host="127.0.0.1", port=port)
    with pytest.raises(SourceError) as caught:
        connection.connect(5)
    assert str(caught.value) == (
        f"rx: test at 127.0.0.1:{port}: cannot connect (127.0.0.1: Connection refused)"
    )


def test_a_connect_ends_at_its_deadline(connection_to, black_hole):
    host, port = black_hole
    connection = connection_to(host=host, port=port)
    began_s = time.monotonic()
    with pytest.raises(SourceError, match=r"cannot connect \(127.0.0.1: no answer in 0.3 s\)"):
        connection.connect(0.3)
    assert time.monotonic() - began_s < 1


def test_an_unknown_name_is_said(connection_to):
    def unknown(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    connection = connection_to(host="nowhere.example", port=1, resolve=unknown)
    with pytest.raises(SourceError) as caught:
        connection.connect(5)
    assert str(caught.value) == (
        "rx: test at nowhere.example:1: cannot find the host 'nowhere.example': "
        "Name or service not known"
    )


def test_the_system_does_not_know_an_invalid_name(connection_to):
    connection = connection_to(host="nowhere.invalid", port=1)
    with pytest.raises(SourceError, match=r"cannot find the host 'nowhere\.invalid'"):
        connection.connect(PATIENCE_S)


def test_what_is_no_host_name_is_said(connection_to):
    connection = connection_to(host="a" * 70 + ".example", port=1)
    with pytest.raises(SourceError, match="cannot find the host"):
        connection.connect(PATIENCE_S)


def test_a_name_server_that_does_not_answer_ends_at_the_deadline(connection_to):
    answer = threading.Event()
    connection = connection_to(host="slow.example", port=1, resolve=lambda *_: answer.wait() and [])
    with pytest.raises(SourceError, match=r"cannot find the host 'slow.example': no answer in 0.2"):
        connection.connect(0.2)
    answer.set()


def test_closing_does_not_wait_for_a_name_server(connection_to):
    answer, asked = threading.Event(), threading.Event()

    def never(host, port):
        asked.set()
        answer.wait()
        return []

    connection = connection_to(host="slow.example", port=1, resolve=never)
    task = Task(connection.connect, 60)
    assert asked.wait(PATIENCE_S)
    connection.close()
    assert task.ends_within_s(CLOSE_TIMEOUT_S)
    assert isinstance(task.error, ClosedHereError)
    answer.set()


def test_closing_ends_a_connect_that_waits(connection_to, black_hole):
    host, port = black_hole
    connection = connection_to(host=host, port=port)
    task = Task(connection.connect, 60)
    assert not task.ends_within_s(0.2)
    connection.close()
    assert task.ends_within_s(CLOSE_TIMEOUT_S)
    assert isinstance(task.error, ClosedHereError)


def test_closing_ends_a_read_that_waits(connection_to):
    with Mute() as peer:
        connection = connection_to(peer)
        connection.connect(5)
        task = Task(connection.receive_into, memoryview(bytearray(1)), 60)
        assert not task.ends_within_s(0.1)
        connection.close()
        assert task.ends_within_s(CLOSE_TIMEOUT_S)
        assert isinstance(task.error, ClosedHereError)


def test_closing_ends_a_send_that_waits(connection_to):
    with Mute() as peer:
        connection = connection_to(peer)
        connection.connect(5)
        task = Task(connection.send, bytes(32 << 20), 60)
        assert not task.ends_within_s(0.2)
        connection.close()
        assert task.ends_within_s(CLOSE_TIMEOUT_S)
        assert isinstance(task.error, ClosedHereError)


def test_a_closed_connection_can_not_be_used(connection_to):
    connection = connection_to(host="127.0.0.1", port=1)
    connection.close()
    connection.close()
    for use in (lambda: connection.connect(1), lambda: connection.send(b"a", 1)):
        with pytest.raises(ClosedHereError, match="was closed here"):
            use()


def test_what_is_not_connected_can_not_be_used(connection_to):
    with pytest.raises(SourceError, match=r"rx: test at 127\.0\.0\.1:1: is not connected"):
        connection_to(host="127.0.0.1", port=1).send(b"a", 1)


def test_errors_of_parsers_get_the_name_of_whose_bytes_they_read():
    def refuse(message):
        with named("rx: test at host:1"):
            raise SourceDataError(message, pause_s=7)

    for message in ("half a header", "rx: test at host:1: half a header"):
        with pytest.raises(SourceDataError) as caught:
            refuse(message)
        assert str(caught.value) == "rx: test at host:1: half a header"
        assert caught.value.pause_s == 7


def test_a_peer_that_takes_nothing_is_said(connection_to):
    with Mute() as peer:
        connection = connection_to(peer)
        connection.connect(5)
        with pytest.raises(PeerSilentError, match=r"takes no data for 0.2 s"):
            connection.send(bytes(32 << 20), 0.2)


def test_a_read_gives_up_in_time_and_keeps_what_came(connection_to):
    with Echo() as peer:
        connection = connection_to(peer)
        connection.connect(5)
        buffer = memoryview(bytearray(100))
        assert connection.fill(buffer, 0.3) == 5
        connection.send(b"more", 5)
        assert connection.fill(buffer, 0.3, already=5) == 9
        assert bytes(buffer[:9]) == b"hellomore"
        assert connection.receive_into(buffer, 0.1) == 0


def test_one_byte_a_second_does_not_stretch_the_deadline(connection_to):
    with Echo() as peer:
        peer.trickle()
        connection = connection_to(peer)
        connection.connect(5)
        began_s = time.monotonic()
        assert 1 <= connection.fill(memoryview(bytearray(100)), 1.5) <= 3
        assert time.monotonic() - began_s < 2.5


def test_a_peer_that_leaves_is_said(connection_to):
    class Brief(Echo):
        def serve(self, connection):
            self.send(connection, b"bye")

    with Brief() as peer:
        connection = connection_to(peer)
        connection.connect(5)
        with pytest.raises(PeerClosedError, match="closed the connection"):
            connection.fill(memoryview(bytearray(10)), 5)


def test_a_peer_that_is_killed_is_said(connection_to, eventually):
    with Echo() as peer:
        connection = connection_to(peer)
        connection.connect(5)
        connection.fill(memoryview(bytearray(5)), 5)
        peer.kill()
        with pytest.raises(PeerClosedError):
            connection.fill(memoryview(bytearray(10)), 5)
        with pytest.raises(PeerClosedError, match="the connection broke"):
            connection.send(b"a", 5)


def test_a_dead_peer_would_be_noticed_and_commands_go_at_once(connection_to):
    with Echo() as peer:
        connection = connection_to(peer)
        connection.connect(5)
        option = connection._socket.getsockopt
        assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert option(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_nothing_is_left_open_after_many_connections(eventually):
    with Echo() as peer:
        before = open_files()
        for _ in range(30):
            connection = TcpConnection(host=peer.host, port=peer.port, who="rx")
            connection.connect(5)
            connection.fill(memoryview(bytearray(5)), 5)
            connection.close()
        eventually(lambda: open_files() <= before, "all are closed")
