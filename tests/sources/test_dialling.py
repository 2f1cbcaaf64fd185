from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S
from heimdall_edge.sources.dialling import Address, Dialler
from tests.conftest import free_port


@pytest.fixture
def dialler():
    dialler = Dialler()
    yield dialler
    dialler.close()


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def address_of(listener, **options):
    return Address("127.0.0.1", listener.getsockname()[1], **options)


def closed_while(dialler, action):
    """What an action raised, and how long it took to, once the dialler was closed."""
    raised = []

    def act():
        try:
            action()
        except SourceError as error:
            raised.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive(), "the action should wait"
    closed_at_s = time.monotonic()
    dialler.close()
    assert time.monotonic() - closed_at_s < CLOSE_TIMEOUT_S
    thread.join(CLOSE_TIMEOUT_S)
    assert not thread.is_alive(), "close() did not end it"
    return str(raised[0])


def test_it_connects_by_name_and_by_address_of_either_family(dialler, listener):
    port = listener.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        dialler.forget(dialler.dial(Address(host, port)))
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as six:
        address = Address("::1", six.getsockname()[1])
        assert str(address) == f"[::1]:{address.port}"
        dialler.forget(dialler.dial(address))


def test_a_port_where_nobody_listens_is_named(dialler):
    address = Address("127.0.0.1", free_port())
    with pytest.raises(
        SourceError, match=rf"127\.0\.0\.1:{address.port}: cannot connect: .*efused"
    ):
        dialler.dial(address)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".invalid", "..", "x" * 300])
def test_a_name_that_is_none_is_an_error_that_names_it(dialler, host):
    with pytest.raises(SourceError, match="cannot connect"):
        dialler.dial(Address(host, 80))


@pytest.fixture
def dead_resolver(monkeypatch):
    over = threading.Event()

    def wait(*_, **__):
        over.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    yield
    over.set()


def test_close_ends_a_resolver_that_does_not_answer(dialler, dead_resolver):
    said = closed_while(dialler, lambda: dialler.dial(Address("slow.example", 80)))
    assert said == "slow.example:80: closed while connecting"


def test_a_resolver_that_does_not_answer_is_waited_for_until_the_timeout(dialler, dead_resolver):
    with pytest.raises(SourceError, match=r"slow\.example:80: cannot connect: timed out"):
        dialler.dial(Address("slow.example", 80), timeout_s=0.2)


@pytest.fixture
def full_listener():
    """Its backlog is full: the kernel lets further connections wait."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)
        time.sleep(0.1)
        yield listener
        for one in waiting:
            one.close()


def test_close_ends_a_connection_attempt(dialler, full_listener):
    said = closed_while(dialler, lambda: dialler.dial(address_of(full_listener)))
    assert said.endswith("closed while connecting")


def test_a_host_that_does_not_answer_is_given_up_at_the_timeout(dialler, full_listener):
    with pytest.raises(SourceError, match="cannot connect: timed out"):
        dialler.dial(address_of(full_listener), timeout_s=0.3)


def test_close_ends_a_tls_handshake(dialler, listener):
    said = closed_while(dialler, lambda: dialler.dial(address_of(listener, tls=True)))
    assert said.endswith("closed while connecting")


def test_a_tls_handshake_that_nobody_answers_times_out(dialler, listener):
    with pytest.raises(SourceError, match="timed out"):
        dialler.dial(address_of(listener, tls=True), timeout_s=0.3)


def test_close_ends_a_read_and_refuses_what_comes_after(dialler, listener):
    connected = dialler.dial(address_of(listener))

    def read():
        if connected.recv(1) == b"":
            raise SourceError("ended")

    assert closed_while(dialler, read) == "ended"
    dialler.forget(connected)
    with pytest.raises(SourceError, match="closed while connecting"):
        dialler.dial(address_of(listener))


# ── TLS ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def tls_server(certificate, listener):
    """Answers each connection with five bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def serve():
        accepted, _ = listener.accept()
        with accepted:
            try:
                with context.wrap_socket(accepted, server_side=True) as secure:
                    secure.sendall(b"hello")
                    secure.recv(1)
            except OSError:
                return  # the client does not trust us

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    thread.join()


def test_it_speaks_tls_with_a_server_it_trusts(certificate, tls_server):
    dialler = Dialler(tls_context=ssl.create_default_context(cafile=str(certificate[0])))
    secure = dialler.dial(Address("localhost", tls_server, tls=True))
    assert secure.recv(5) == b"hello"
    dialler.forget(secure)


def test_a_certificate_that_nobody_signed_is_refused_by_name(dialler, tls_server):
    with pytest.raises(SourceError, match=r"TLS failed: .*self.signed.*; expected a certificate"):
        dialler.dial(Address("localhost", tls_server, tls=True))
