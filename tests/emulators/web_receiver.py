"""What the emulated web receivers share: HTTP pages, a websocket, and the faults of both."""

from __future__ import annotations

import contextlib
import http
import logging
import os
import select
import socket
import threading
from collections.abc import Callable

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve


class WebReceiver:
    """A receiver's web server, on a port of its own; a context manager.

    Faults: ``kill()`` (every connection breaks, nobody listens), ``restart()`` (on the same port),
    ``stall()`` and ``resume()`` (connections stay, nothing is sent), ``send_garbage()`` (random
    binary messages from now on), ``send_oversize()`` (one message of 4 MiB), ``trickle()`` (the
    next message comes at one byte a second), ``half_header = True`` (half an HTTP answer to the
    websocket handshake, then silence), ``pages`` may be emptied (404).
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, 0
        self.half_header = False
        self.garbage: Callable[[], bytes] | None = None
        self.user_agents: list[str] = []
        self.n_connections = 0
        """Websockets ever accepted."""
        self._guard = threading.Lock()
        self._connections: list[ServerConnection] = []
        self._stalled, self._trickling = threading.Event(), threading.Event()
        self._stopping = threading.Event()
        self._oversize: list[bytes] = []
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    # ── what a kind of receiver says ──────────────────────────────────────────────────────

    def page(self, path: str) -> bytes | None:
        """The body of a page; None for 404."""
        raise NotImplementedError

    def is_stream(self, path: str) -> bool:
        raise NotImplementedError

    def converse(self, connection: ServerConnection) -> None:
        """Serve one websocket until it ends (ConnectionClosed)."""
        raise NotImplementedError

    # ── life and faults ───────────────────────────────────────────────────────────────────

    def __enter__(self):
        self.restart()
        return self

    def __exit__(self, *_details: object) -> None:
        self.kill()

    def restart(self) -> None:
        self._stopping = threading.Event()
        logger = logging.Logger("emulator", level=logging.CRITICAL + 1)
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family)
        self._server = serve(
            self._serve_one,
            sock=listener,
            process_request=self._answer,
            compression=None,
            max_size=1 << 16,
            close_timeout=0.2,
            ping_interval=None,
            logger=logger,
        )
        self.port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def kill(self) -> None:
        if self._server is None or self._thread is None:
            return
        self._stopping.set()
        self._server.shutdown()
        self._thread.join(10)
        with self._guard:
            connections = list(self._connections)
        for connection in connections:
            connection.close_socket()
        self._server = None

    def stall(self) -> None:
        self._stalled.set()

    def resume(self) -> None:
        self._stalled.clear()

    def send_garbage(self) -> None:
        self.garbage = lambda: os.urandom(200)

    def send_oversize(self) -> None:
        self._oversize.append(bytes(4 << 20))

    def trickle(self) -> None:
        self._trickling.set()

    # ── the wire ──────────────────────────────────────────────────────────────────────────

    def send(self, connection: ServerConnection, message: str | bytes) -> None:
        """Send a message, or what the faults make of it."""
        while self._stalled.is_set():
            if self._stopping.wait(0.01):
                return
        if self._oversize:
            message = self._oversize.pop()
        elif self.garbage is not None and isinstance(message, bytes):
            message = self.garbage()
        if self._trickling.is_set():
            self._drip(connection)
            return
        connection.send(message)

    def wait(self, seconds: float) -> None:
        """Let time pass; ConnectionClosed where the server stops meanwhile."""
        if self._stopping.wait(seconds):
            raise ConnectionClosed(None, None)

    def _drip(self, connection: ServerConnection) -> None:
        """A frame of 100 bytes, one byte a second."""
        for byte in bytes([0x82, 100]) + bytes(100):
            with contextlib.suppress(OSError):
                connection.socket.sendall(bytes([byte]))
            self.wait(1.0)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        self.user_agents.append(request.headers.get("User-Agent", ""))
        if not self.is_stream(request.path):
            body = self.page(request.path)
            status = http.HTTPStatus.OK if body is not None else http.HTTPStatus.NOT_FOUND
            headers = Headers({"Content-Length": str(len(body or b"")), "Connection": "close"})
            return Response(status.value, status.phrase, headers, body or b"")
        if self.half_header:
            self._answer_half(connection.socket)
            return Response(503, "gone", Headers())
        return None

    def _answer_half(self, peer: socket.socket) -> None:
        """Half a status line, then nothing until the peer has gone or this server ends."""
        with contextlib.suppress(OSError):
            peer.sendall(b"HTTP/1.1 101 Switching Pro")
            while not self._stopping.wait(0.05):
                readable, _, _ = select.select([peer], [], [], 0)
                if readable and not peer.recv(1, socket.MSG_PEEK):
                    break
            peer.shutdown(socket.SHUT_RDWR)

    def _serve_one(self, connection: ServerConnection) -> None:
        with self._guard:
            self._connections.append(connection)
            self.n_connections += 1
        try:
            self.converse(connection)
        except (ConnectionClosed, OSError, TimeoutError):
            connection.close_socket()
        finally:
            with self._guard:
                self._connections.remove(connection)
