from __future__ import annotations

import http
import logging
import ssl
import threading
import time

import pytest

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S
from heimdall_edge.sources.dialling import Address, Dialler
from heimdall_edge.sources.websocket import USER_AGENT, ElsewhereError, SilenceError, WebSocket
from tests.sources.small_servers import QUIET, raw_server, server_of


@pytest.fixture
def dialler():
    dialler = Dialler()
    yield dialler
    dialler.close()


def echo(connection):
    for message in connection:
        connection.send(message)


def wait_for_the_end(connection):
    for _ in connection:
        pass


def test_text_and_bytes_go_and_come_whole(dialler):
    with server_of(echo) as address:
        websocket = WebSocket.open(dialler, address, "/x")
        websocket.send("SET keepalive")
        assert websocket.receive(timeout_s=5) == "SET keepalive"
        websocket.close()


def test_tls_is_the_dialler_s_and_close_ends_a_read_there_too(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    dialler = Dialler(tls_context=trusting)
    with server_of(echo, ssl=context, logger=QUIET) as address:
        secure = Address("localhost", address.port, tls=True)
        websocket = WebSocket.open(dialler, secure, "/1/SND")
        websocket.send("over TLS")
        assert websocket.receive(timeout_s=5) == "over TLS"
        threading.Timer(0.2, dialler.close).start()
        began_s = time.monotonic()
        with pytest.raises(SourceError, match="closed by this side"):
            websocket.receive(timeout_s=30)
        assert time.monotonic() - began_s < 0.2 + CLOSE_TIMEOUT_S
        websocket.close()


def test_the_handshake_says_honestly_who_asks(dialler):
    seen = []

    def note(connection, request):
        seen.append((request.path, request.headers["User-Agent"], request.headers.get("Origin")))

    with server_of(echo, process_request=note) as address:
        headers = {"Origin": "http://sdr.example"}
        WebSocket.open(dialler, address, "/123/SND", headers=headers).close()
    assert seen == [("/123/SND", USER_AGENT, "http://sdr.example")]
    assert USER_AGENT.startswith("heimdall-edge/")


def test_silence_is_an_error_that_names_the_server(dialler):
    with server_of(wait_for_the_end) as address:
        websocket = WebSocket.open(dialler, address, "/")
        with pytest.raises(SilenceError, match=f"{address}: no message for 0.1 s"):
            websocket.receive(timeout_s=0.1)
        websocket.close()


def test_a_message_larger_than_agreed_ends_the_connection(dialler):
    def flood(connection):
        connection.send(bytes(2000))
        wait_for_the_end(connection)

    with server_of(flood, logger=QUIET) as address:
        websocket = WebSocket.open(dialler, address, "/", max_message_bytes=1000)
        with pytest.raises(SourceError, match="closed by us: code 1009"):
            websocket.receive(timeout_s=5)
        websocket.close()


def test_text_that_is_no_utf_8_is_an_error(dialler):
    def garble(connection):
        connection.socket.sendall(b"\x81\x02\xff\xfe")
        wait_for_the_end(connection)

    with server_of(garble, logger=QUIET) as address:
        websocket = WebSocket.open(dialler, address, "/")
        with pytest.raises(SourceError, match="closed by us: code 1007"):
            websocket.receive(timeout_s=5)
        websocket.close()


def test_a_server_that_says_why_it_closes_is_quoted(dialler):
    with server_of(lambda connection: connection.close(1013, "try later")) as address:
        websocket = WebSocket.open(dialler, address, "/")
        with pytest.raises(SourceError, match="by the server: code 1013, 'try later'"):
            websocket.receive(timeout_s=5)
        with pytest.raises(SourceError, match="by the server"):
            websocket.send("too late")
        websocket.close()


def test_what_a_server_said_before_it_hung_up_is_heard_though_sending_comes_too_late(dialler):
    hung_up = threading.Event()

    def refuse(connection):
        connection.send(b"MSG too_busy=4")
        connection.close()
        hung_up.set()

    with server_of(refuse) as address:
        websocket = WebSocket.open(dialler, address, "/x")
        assert hung_up.wait(5)
        for _ in range(3):
            websocket.send("SET keepalive")
        assert websocket.receive(timeout_s=5) == b"MSG too_busy=4"
        with pytest.raises(SourceError, match="closed by the server"):
            websocket.receive(timeout_s=5)
        websocket.close()


def test_a_server_that_just_hangs_up_is_told_from_one_that_says_why(dialler):
    with server_of(lambda connection: connection.close_socket()) as address:
        websocket = WebSocket.open(dialler, address, "/")
        with pytest.raises(SourceError, match=r"without a word|connection lost"):
            websocket.receive(timeout_s=5)
        websocket.close()


def test_a_redirection_is_not_followed_but_told(dialler):
    def elsewhere(connection, request):
        response = connection.respond(http.HTTPStatus.TEMPORARY_REDIRECT, "")
        response.headers["Location"] = "http://other.example:8074/"
        return response

    with (
        server_of(echo, process_request=elsewhere) as address,
        pytest.raises(ElsewhereError, match="HTTP 307") as caught,
    ):
        WebSocket.open(dialler, address, "/")
    assert caught.value.location == "http://other.example:8074/"


def test_a_page_that_is_no_websocket_is_an_error_with_its_status(dialler):
    def absent(connection, request):
        return connection.respond(http.HTTPStatus.NOT_FOUND, "no such thing")

    with (
        server_of(echo, process_request=absent) as address,
        pytest.raises(SourceError, match=f"{address}: HTTP 404 to the websocket handshake"),
    ):
        WebSocket.open(dialler, address, "/")


def test_a_server_of_another_protocol_is_an_error(dialler):
    with (
        raw_server(b"RTL0\x00\x00\x00\x05\x00\x00\x00\x1d") as address,
        pytest.raises(SourceError, match="expected a websocket server"),
    ):
        WebSocket.open(dialler, address, "/")


def test_a_server_that_drips_its_answer_is_given_up_in_time(dialler):
    with (
        raw_server(b"HTTP/1.1 101 Switching Protocols\r\n" * 99, gap_s=0.05) as address,
        pytest.raises(SourceError, match="no answer to the websocket handshake in time"),
    ):
        WebSocket.open(dialler, address, "/", timeout_s=0.5)


def test_the_dialler_s_close_ends_a_handshake_that_hangs(dialler):
    with raw_server(b"") as address:
        threading.Timer(0.2, dialler.close).start()
        began_s = time.monotonic()
        with pytest.raises(SourceError, match="closed while connecting"):
            WebSocket.open(dialler, address, "/")
        assert time.monotonic() - began_s < 0.2 + CLOSE_TIMEOUT_S


@pytest.mark.parametrize("by", ["websocket", "dialler"])
def test_close_from_another_thread_ends_a_read_that_waits(dialler, by):
    with server_of(wait_for_the_end) as address:
        websocket = WebSocket.open(dialler, address, "/")
        close = websocket.close if by == "websocket" else dialler.close
        threading.Timer(0.2, close).start()
        began_s = time.monotonic()
        with pytest.raises(SourceError, match="closed by this side"):
            websocket.receive(timeout_s=30)
        assert time.monotonic() - began_s < 0.2 + CLOSE_TIMEOUT_S
        websocket.close()
        websocket.close()


def test_close_does_not_wait_for_a_peer_that_reads_nothing(dialler):
    go_on = threading.Event()

    def deaf(connection):
        with connection.recv_flow_control:  # its reading thread waits
            go_on.wait(20)

    with server_of(deaf) as address:
        websocket = WebSocket.open(dialler, address, "/")
        sender = threading.Thread(target=lambda: _send_for_ever(websocket))
        sender.start()
        time.sleep(0.5)
        assert sender.is_alive()
        began_s = time.monotonic()
        websocket.close()
        assert time.monotonic() - began_s < CLOSE_TIMEOUT_S
        sender.join(CLOSE_TIMEOUT_S)
        assert not sender.is_alive()
        go_on.set()


def _send_for_ever(websocket):
    try:
        while True:
            websocket.send("x" * 100_000)
    except SourceError:
        return


def test_what_is_sent_is_never_written_to_a_log(dialler, caplog):
    caplog.set_level(logging.DEBUG)
    with server_of(echo, logger=QUIET) as address:
        websocket = WebSocket.open(dialler, address, "/")
        websocket.send("SET auth t=kiwi p=sesame")
        websocket.receive(timeout_s=5)
        websocket.close()
    assert "sesame" not in caplog.text
