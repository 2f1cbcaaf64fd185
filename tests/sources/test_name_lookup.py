"""A host's addresses, asked for without waiting for ever."""

import socket
import threading
import time

import pytest

from heimdall_edge.sources.name_lookup import NameLookUp, resolve


def test_an_address_is_its_own_answer():
    (answer,) = NameLookUp("127.0.0.1", 80, resolve=resolve).addresses(10)
    assert answer[4] == ("127.0.0.1", 80)


def test_a_name_that_nobody_knows_is_an_error_with_its_reason():
    def unknown(host, port):
        raise socket.gaierror(socket.EAI_NONAME, f"{host} is not known")

    with pytest.raises(OSError, match=r"nowhere\.example is not known"):
        NameLookUp("nowhere.example", 80, resolve=unknown).addresses(10)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
def test_what_is_no_name_is_an_error(host):
    with pytest.raises(OSError, match=r"no host name|not known|No address"):
        NameLookUp(host, 80, resolve=resolve).addresses(10)


@pytest.fixture
def never():
    event = threading.Event()
    yield lambda host, port: event.wait() and []
    event.set()


def test_silence_ends_at_the_deadline(never):
    began_s = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer in 0\.2 s"):
        NameLookUp("slow.example", 80, resolve=never).addresses(0.2)
    assert time.monotonic() - began_s < 1


def test_giving_up_ends_the_waiting_at_once(never):
    look_up = NameLookUp("slow.example", 80, resolve=never)
    threading.Timer(0.1, look_up.give_up).start()
    began_s = time.monotonic()
    assert look_up.addresses(60) == []
    assert time.monotonic() - began_s < 5


def test_who_gave_up_beforehand_does_not_wait(never):
    look_up = NameLookUp("slow.example", 80, resolve=never)
    look_up.give_up()
    assert look_up.addresses(60) == []
