"""One page of a receiver's own web server: what it says of itself before a channel is taken.

Bounded in size and time however the server drips it out, and ended by the dialler's ``close``.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from dataclasses import dataclass
from typing import cast

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.dialling import Address, Dialler
from heimdall_edge.sources.websocket import USER_AGENT

MAX_PAGE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Page:
    """What came back, whatever the status."""

    status: int
    body: bytes
    location: str | None = None
    """Where it sends us (HTTP 3xx)."""

    @property
    def text(self) -> str:
        """The body as UTF-8; bytes that are none become U+FFFD."""
        return self.body.decode("utf-8", "replace")


def fetch_page(
    dialler: Dialler,
    address: Address,
    path: str,
    *,
    timeout_s: float = 10.0,
    max_bytes: int = MAX_PAGE_BYTES,
) -> Page:
    """GET one page.

    Raises
    ------
    SourceError
        It cannot be reached, does not speak HTTP, takes too long, or is too large.
    """
    deadline_s = time.monotonic() + timeout_s
    connected = dialler.dial(address, timeout_s=timeout_s)
    try:
        connected.settimeout(timeout_s)
        connected.sendall(_request(address, path))
        return _page(_DeadlineReader(connected, deadline_s), max_bytes)
    except (http.client.HTTPException, OSError, ValueError) as error:
        reason = _reason(error) if not dialler.is_closed else "closed by this side"
        raise SourceError(f"{address}: GET {path}: {reason}; expected a web page") from error
    finally:
        dialler.forget(connected)


def _request(address: Address, path: str) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {address}",
        f"User-Agent: {USER_AGENT}",
        "Accept: */*",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode("ascii", "replace")


def _page(reader: _DeadlineReader, max_bytes: int) -> Page:
    response = http.client.HTTPResponse(cast(socket.socket, reader), method="GET")
    with response:
        response.begin()
        body = response.read(max_bytes + 1)
        if len(body) > max_bytes:
            raise ValueError(f"more than {max_bytes} bytes")
        if response.length:  # read() with a limit does not mind
            raise http.client.IncompleteRead(body, response.length)
        return Page(response.status, body, response.getheader("Location"))


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "took too long"
    return f"{error}" or type(error).__name__


class _DeadlineReader(io.RawIOBase):
    """A socket's bytes until a deadline; ``http.client`` asks its socket for a file only."""

    def __init__(self, connected: socket.socket, deadline_s: float) -> None:
        self._connected, self._deadline_s = connected, deadline_s

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._connected.settimeout(left_s)
        return self._connected.recv_into(buffer)
