"""A websocket for sources: it blocks with a deadline, it is bounded, and any thread may close it.

::

    WebSocket.open(dialler, address, path) ──▶ send(text), receive(timeout_s) ──▶ close()
       SourceError, or ElsewhereError (HTTP 3xx)     SourceError

The ``websockets`` library speaks RFC 6455 (its threaded connection: one reading thread each), on a
socket of ours: no redirection is followed unasked, and no proxy taken from the environment. What
reaches a source is a message or a :class:`~heimdall_edge.errors.SourceError` that names the server.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Mapping

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection
from websockets.uri import parse_uri

from heimdall_edge import __version__
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.dialling import Address, Dialler

USER_AGENT = f"heimdall-edge/{__version__}"
MAX_MESSAGE_BYTES = 1 << 20
MAX_WAITING_MESSAGES = 64
"""How many may wait for the reader; then the peer must wait."""
FAREWELL_S = 0.3
"""How long a peer may take to answer that we close."""


class ElsewhereError(SourceError):
    """The server answers the handshake with another address (HTTP 3xx); the caller may follow."""

    def __init__(self, message: str, *, location: str) -> None:
        self.location = location
        super().__init__(message)


class SilenceError(SourceError):
    """No message came in time; the connection still stands."""


class WebSocket:
    """One open connection; one thread receives, any thread sends or closes."""

    def __init__(self, connection: ClientConnection, *, dialler: Dialler, address: Address) -> None:
        self._connection, self._dialler, self._address = connection, dialler, address
        self._closed = threading.Event()
        self._has_told_end = False

    @classmethod
    def open(
        cls,
        dialler: Dialler,
        address: Address,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> WebSocket:
        """Connect, and shake hands; ``dialler.close()`` ends this too.

        Raises
        ------
        ElsewhereError
            It sends us to another address.
        SourceError
            It cannot be reached, is no websocket, or refuses; it says which.
        """
        deadline_s = time.monotonic() + timeout_s
        tcp = dialler.dial(address, timeout_s=timeout_s)
        try:
            connection = _shaken_hands(
                tcp,
                f"ws://{address}{path}",  # TLS, where wanted, is the dialler's
                headers=headers or {},
                timeout_s=max(0.1, deadline_s - time.monotonic()),
                max_message_bytes=max_message_bytes,
            )
        except (WebSocketException, OSError, EOFError) as error:
            dialler.forget(tcp)
            raise _refused(error, address, is_closed=dialler.is_closed) from error
        return cls(connection, dialler=dialler, address=address)

    def send(self, text: str) -> None:
        """Send one text message; its content never shows in an error.

        That the server has hung up is said by :meth:`receive`, after the last that it said: who
        refuses somebody gives the reason first, and the reason must not be missed.
        """
        try:
            self._connection.send(text)
        except ConnectionClosed as error:
            if self._has_told_end or self._is_closed:
                raise self._ended(error) from error

    def receive(self, *, timeout_s: float) -> bytes | str:
        """The next message, whole.

        Raises
        ------
        SilenceError
            None came in time; asking again is fine.
        SourceError
            The connection ended (:meth:`close` does that too), or a message is larger than agreed.
        """
        try:
            return self._connection.recv(timeout=timeout_s)
        except TimeoutError as error:
            raise SilenceError(f"{self._address}: no message for {timeout_s:g} s") from error
        except ConnectionClosed as error:
            self._has_told_end = True
            raise self._ended(error) from error

    def close(self) -> None:
        """Say goodbye and hang up; idempotent, from any thread, within :data:`FAREWELL_S` or so.

        A peer that reads nothing could hold up the goodbye: it has a thread of its own, and its
        time is limited.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        farewell = threading.Thread(target=self._connection.close, name="farewell", daemon=True)
        farewell.start()
        farewell.join(1.5 * FAREWELL_S)
        if farewell.is_alive():  # the library waits for a send that never ends
            self._dialler.cut(self._connection.socket)
            farewell.join(FAREWELL_S)
        self._dialler.forget(self._connection.socket)

    @property
    def _is_closed(self) -> bool:
        """Whether it was this side that ended the connection."""
        return self._closed.is_set() or self._dialler.is_closed

    def _ended(self, error: ConnectionClosed) -> SourceError:
        if self._is_closed:
            return SourceError(f"{self._address}: closed by this side")
        by_server = _by_server(error)
        close, cause = error.rcvd if by_server else error.sent, error.__cause__
        if isinstance(cause, OSError):
            return SourceError(f"{self._address}: connection lost: {cause.strerror or cause}")
        if close is None:
            return SourceError(f"{self._address}: connection closed without a word")
        who = "the server" if by_server else "us"
        reason = f", {close.reason!r}" if close.reason else ""
        return SourceError(
            f"{self._address}: connection closed by {who}: code {close.code}{reason}"
        )


def _shaken_hands(
    tcp: socket.socket,
    uri: str,
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    max_message_bytes: int,
) -> ClientConnection:
    """The library's connection on a socket of ours.

    Not its ``connect()``: from version 17 on that follows redirections by itself, and wants to
    be a context manager. No compression, no keepalive of its own: we have deadlines.
    """
    protocol = ClientProtocol(parse_uri(uri), max_size=max_message_bytes, logger=_silent())
    connection = ClientConnection(
        tcp, protocol, close_timeout=FAREWELL_S, max_queue=MAX_WAITING_MESSAGES
    )
    try:
        connection.handshake(dict(headers), USER_AGENT, timeout_s)
    except (WebSocketException, OSError, EOFError):
        connection.close_socket()
        connection.recv_events_thread.join()
        raise
    connection.__enter__()  # version 17 warns whoever uses it without
    return connection


def _by_server(error: ConnectionClosed) -> bool:
    """Whether it was the other side that ended the connection."""
    return error.rcvd is not None and error.rcvd_then_sent is not False


def _refused(error: Exception, address: Address, *, is_closed: bool) -> SourceError:
    """Why a handshake failed, in words that name the server."""
    if is_closed:
        return SourceError(f"{address}: closed while connecting")
    if isinstance(error, InvalidStatus):
        response = error.response
        location = response.headers.get("Location")
        said = f"{address}: HTTP {response.status_code} to the websocket handshake"
        if 300 <= response.status_code < 400 and location:
            return ElsewhereError(f"{said}: go to {location[:200]!r}", location=location)
        return SourceError(f"{said}; expected 101 (is this the right server and path?)")
    if isinstance(error, TimeoutError):
        return SourceError(f"{address}: no answer to the websocket handshake in time")
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    return SourceError(f"{address}: {error}{cause}; expected a websocket server")


def _silent() -> logging.Logger:
    """A logger that says nothing: at level DEBUG the library would write passwords out."""
    return logging.Logger("websocket", level=logging.CRITICAL + 1)
