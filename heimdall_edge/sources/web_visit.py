"""One visit to a volunteer's web receiver: leased, bounded, stamped, and ended from any thread.

::

    begin() ─▶ page(path) ─▶ connect(path) ─▶ send, receive ─▶ hang_up(pause_s) | close()
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.channel_levels import Moment
from heimdall_edge.sources.dialling import Address, Dialler
from heimdall_edge.sources.host_time import HostTime
from heimdall_edge.sources.public_servers import Lease, PublicServers
from heimdall_edge.sources.web_page import Page, fetch_page
from heimdall_edge.sources.websocket import WebSocket
from heimdall_edge.types import NS_PER_S


class WebVisit:
    """A source's way to its server; every error names it."""

    def __init__(self, address: Address, *, servers: PublicServers, host: HostTime) -> None:
        self.address = address
        self._servers, self._host = servers, host
        self._dialler = Dialler()
        self._closed = threading.Event()
        self._socket: WebSocket | None = None
        self._lease: Lease | None = None

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    @property
    def is_connected(self) -> bool:
        """Whether there is a websocket, or was one."""
        return self._socket is not None

    def begin(self) -> None:
        """Take the right to talk to the server; SourceError where it is in use or wants peace."""
        if self._closed.is_set():
            raise SourceError(f"{self.address}: was closed")
        self._lease = self._servers.lease(self.address.host, self.address.port)

    def page(self, path: str) -> Page:
        """GET a page; raises as :func:`fetch_page` does."""
        return fetch_page(self._dialler, self.address, path)

    def connect(self, path: str, *, headers: Mapping[str, str] | None = None) -> None:
        """Open the websocket; raises as :meth:`WebSocket.open` does."""
        self._socket = WebSocket.open(self._dialler, self.address, path, headers=headers)
        if self._closed.is_set():  # close() may have looked before there was a socket
            raise SourceError(f"{self.address}: was closed")

    def send(self, text: str) -> None:
        assert self._socket is not None
        self._socket.send(text)

    def receive(self, deadline_s: float, complaint: str) -> str | bytes:
        """The next message.

        Raises
        ------
        SourceError
            There is none by the deadline (``complaint`` says of what), or ever again.
        """
        assert self._socket is not None
        left_s = deadline_s - self.now_s()
        try:
            if left_s > 0:
                return self._socket.receive(timeout_s=left_s)
        except SourceError:
            if self._closed.is_set() or self.now_s() < deadline_s:
                raise
        raise SourceError(f"{self.address}: {complaint}")

    def was_worth_it(self) -> None:
        """It brought something: the next visit may come soon."""
        if self._lease is not None:
            self._lease.gave_samples()

    def hang_up(self, pause_s: float = 0.0) -> float:
        """Leave, and stay away for so long at least; gives how long that will be, seconds."""
        if self._socket is not None:
            self._socket.close()
        return pause_s if self._lease is None else self._lease.release(pause_s=pause_s)

    def give_up(self, error: SourceError) -> None:
        """Leave for what went wrong; it then asks for all of the pause that the server is owed."""
        error.pause_s = max(error.pause_s, self.hang_up(error.pause_s))

    def close(self) -> None:
        """Leave for good; idempotent, from any thread, also before anything was begun."""
        self._closed.set()
        self._dialler.close()
        self.hang_up()

    def now_s(self) -> float:
        """Monotonic time."""
        return self._host.monotonic_ns() / NS_PER_S

    def moment(self) -> Moment:
        """Now, by all clocks."""
        return Moment(self._host.utc_ns(), self.now_s(), self._host.clock)
