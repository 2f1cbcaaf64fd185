"""What the emulated network receivers share: a listener, its clients, and how they fail."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Self

PATIENCE_S = 20.0
LINK_SLACK_S = 0.1
ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER that makes ``close`` a reset: as the kernel does for a killed process."""


class TcpPeer:
    """A server of one kind, on loopback; a context manager.

    Controls that every kind has:

    ``kill()``
        The process dies: its clients are reset, its port is closed.
    ``restart()``
        It comes back on the same port.
    ``stall()`` / ``resume()``
        It goes on living, but neither sends nor reads.
    ``trickle()``
        From now on it sends one byte a second.
    ``send_garbage()``
        From now on it sends random bytes in place of what it should.
    ``bytes_per_s``
        A link that lets no more than this through; ``None`` is as fast as it goes.

    ``clients`` counts the connections it accepted, ``errors`` holds what it did not expect.
    """

    def __init__(self, *, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, 0
        self.clients = 0
        self.errors: list[Exception] = []
        self.bytes_per_s: float | None = None
        self._link_free_s = 0.0
        self._runs = threading.Event()
        self._gone = threading.Event()
        self._garbage = self._trickles = False
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._guard = threading.Lock()
        self._runs.set()

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert not self.errors, self.errors

    # ── controls ──────────────────────────────────────────────────────────────────────────

    def kill(self) -> None:
        self._gone.set()
        self._runs.set()
        with self._guard:
            sockets, self._connections = self._connections, []
            listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
        for connection in sockets:
            _abort(connection)
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "an emulator's thread does not end"
        for closed in [*sockets, *([listener] if listener else [])]:
            closed.close()
        self._threads = []

    def restart(self) -> None:
        self.kill()
        self._garbage = self._trickles = False
        self._listen()

    def stall(self) -> None:
        self._runs.clear()

    def resume(self) -> None:
        self._runs.set()

    def trickle(self) -> None:
        self._trickles = True

    def send_garbage(self) -> None:
        self._garbage = True

    # ── for the kinds ─────────────────────────────────────────────────────────────────────

    one_client = False
    """Whether the next one waits in the backlog until this one has left."""

    def serve(self, connection: socket.socket) -> None:
        """Speak with one client until it leaves: OSError is how that is noticed."""
        raise NotImplementedError

    def start_thread(self, target, *args: object) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(target, *args), daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def send(self, connection: socket.socket, data: bytes) -> None:
        """Send through the faults that are on."""
        rest = memoryview(data)
        while rest:
            self._wait_while_stalled()
            if self._trickles:
                connection.sendall(rest[:1])
                rest = rest[1:]
                self.pause(1.0)
                continue
            step = 8192 if self.bytes_per_s else len(rest)
            connection.sendall(rest[:step])
            if self.bytes_per_s:
                self._pass_link(min(step, len(rest)) / self.bytes_per_s)
            rest = rest[step:]

    def _pass_link(self, duration_s: float) -> None:
        """Wait as the link would; what a sleep took too long is made good by the next."""
        now_s = time.monotonic()
        self._link_free_s = max(self._link_free_s, now_s - LINK_SLACK_S) + duration_s
        self.pause(self._link_free_s - now_s)

    def receive(self, connection: socket.socket, n_bytes: int) -> bytes:
        """Exactly so many bytes."""
        data = b""
        while len(data) < n_bytes:
            part = connection.recv(n_bytes - len(data))
            if not part:
                raise ConnectionResetError("the client left")
            self._wait_while_stalled()
            data += part
        return data

    def pause(self, duration_s: float) -> None:
        """Sleep, but not through a kill."""
        if self._gone.wait(max(0.0, duration_s)):
            raise ConnectionAbortedError("killed")

    def part_from(self, connection: socket.socket) -> None:
        """Close one connection in good order."""
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    # ── inside ────────────────────────────────────────────────────────────────────────────

    def _wait_while_stalled(self) -> None:
        self._runs.wait()
        if self._gone.is_set():
            raise ConnectionAbortedError("killed")

    def _listen(self) -> None:
        self._gone.clear()
        self._runs.set()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(1)
        self.port = listener.getsockname()[1]
        self._listener = listener
        self.start_thread(self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        while not self._gone.is_set():
            connection, _ = listener.accept()
            with self._guard:
                if self._gone.is_set():
                    connection.close()
                    return
                self._connections.append(connection)
            self.clients += 1
            if self.one_client:
                self._client(connection)
            else:
                self.start_thread(self._client, connection)

    def _client(self, connection: socket.socket) -> None:
        try:
            self.serve(connection)
        except OSError:
            pass  # the client left, or we were killed
        finally:
            with self._guard:
                mine = connection in self._connections
                if mine:
                    self._connections.remove(connection)
            if mine:
                connection.close()

    def _guarded(self, target, *args: object) -> None:
        try:
            target(*args)
        except OSError:
            pass
        except Exception as error:
            self.errors.append(error)


class Pace:
    """Gives samples the time that a radio takes for them."""

    def __init__(self, peer: TcpPeer) -> None:
        self._peer = peer
        self._due_s = time.monotonic()

    def wait(self, duration_s: float) -> float:
        """Until so much more of the radio's time has passed; by how much that is late, seconds."""
        self._due_s += duration_s
        self._peer.pause(self._due_s - time.monotonic())
        return time.monotonic() - self._due_s


def _abort(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        connection.shutdown(socket.SHUT_RDWR)
