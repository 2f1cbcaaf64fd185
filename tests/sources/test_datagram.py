"""One datagram each way."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest

from heimdall_edge.sources.datagram import exchange


@contextmanager
def answering(answer, host="127.0.0.1"):
    """A peer that answers one datagram; gives its address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.bind((host, 0))
        peer.settimeout(30)

        def serve():
            request, who = peer.recvfrom(2048)
            peer.sendto(answer(request), who)

        thread = threading.Thread(target=serve)
        thread.start()
        yield peer.getsockname()[:2]
        thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_comes_back_is_given(host):
    with answering(lambda request: request[::-1], host) as address:
        assert exchange(*address, b"abc", timeout_s=10.0) == b"cba"


def test_nobody_there_is_known_at_once():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began_s = time.monotonic()
    assert exchange("127.0.0.1", port, b"?", timeout_s=10.0) is None
    assert time.monotonic() - began_s < 2.0


def test_one_that_does_not_answer_is_not_waited_for():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        began_s = time.monotonic()
        assert exchange(*mute.getsockname(), b"?", timeout_s=0.003) is None
        assert time.monotonic() - began_s < 0.5
