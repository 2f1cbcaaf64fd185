from __future__ import annotations

import threading
import time

import pytest

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.base import CLOSE_TIMEOUT_S
from heimdall_edge.sources.dialling import Dialler
from heimdall_edge.sources.web_page import Page, fetch_page
from tests.sources.small_servers import raw_server


@pytest.fixture
def dialler():
    dialler = Dialler()
    yield dialler
    dialler.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\nusers=1\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nusers=1\nand more",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nusers=1\n\r\n0\r\n\r\n",
    ],
)
def test_a_page_comes_whole_however_it_is_framed(dialler, answer):
    with raw_server(answer) as address:
        assert fetch_page(dialler, address, "/status") == Page(200, b"users=1\n")


def test_a_status_and_where_it_sends_us_are_told(dialler):
    with raw_server(b"HTTP/1.1 302 Found\r\nLocation: http://b.example/\r\n\r\n") as address:
        page = fetch_page(dialler, address, "/")
    assert (page.status, page.location, page.text) == (302, "http://b.example/", "")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"RTL0\x00\x00\x00\x05\x00\x00\x00\x1d", "RTL0"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", "headers"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(5000), "more than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "IncompleteRead"),
    ],
)
def test_what_is_no_page_or_too_large_is_an_error_that_says_so(dialler, answer, why):
    with (
        raw_server(answer) as address,
        pytest.raises(SourceError, match=rf"{address}: GET /status: .*{why}"),
    ):
        fetch_page(dialler, address, "/status", max_bytes=1000)


def test_a_server_that_drips_is_given_up_in_time(dialler):
    with (
        raw_server(b"HTTP/1.1 200 OK\r\n" + b"x" * 999, gap_s=0.05) as address,
        pytest.raises(SourceError, match="took too long"),
    ):
        fetch_page(dialler, address, "/", timeout_s=0.5)


def test_the_dialler_s_close_ends_it(dialler):
    with raw_server(b"") as address:
        threading.Timer(0.2, dialler.close).start()
        began_s = time.monotonic()
        with pytest.raises(SourceError, match="closed by this side"):
            fetch_page(dialler, address, "/")
        assert time.monotonic() - began_s < 0.2 + CLOSE_TIMEOUT_S
