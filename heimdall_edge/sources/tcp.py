"""A TCP connection that a source reads: with deadlines, and closed from any thread.

::

    name ─▶ addresses (IPv6 and IPv4) ─▶ the first that answers ─▶ send, receive_into … ─▶ close
            a thread of its own          one after the other        only poll waits       any thread

Nothing here waits without a limit, and whatever waits ends when :meth:`TcpConnection.close` is
called. What was received lies in the caller's buffer: the connection itself keeps nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

from heimdall_edge.errors import SourceError
from heimdall_edge.sources.name_lookup import NameLookUp, Resolve, resolve

KEEPALIVE_IDLE_S, KEEPALIVE_EVERY_S, KEEPALIVE_PROBES = 15, 5, 3
"""A peer that vanished without a word is noticed after half a minute, even if we never send."""
MS_PER_S = 1_000
ROUND_TRIP_OFFSET = 68
"""Where ``tcpi_rtt``, u32 in µs, stands in Linux's ``struct tcp_info`` (linux/tcp.h)."""


class ClosedHereError(SourceError):
    """We closed the connection: whoever waited on it may go home."""


class PeerClosedError(SourceError):
    """The other side ended the connection, or the network did."""


class PeerSilentError(SourceError):
    """What was waited for did not come in time."""


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Put ``name`` before the messages of parsers, which do not know whose bytes they read."""
    try:
        yield
    except SourceError as error:
        if str(error).startswith(name):
            raise
        raise type(error)(f"{name}: {error}", pause_s=error.pause_s) from error


def written(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class TcpConnection:
    """One connection to one peer; it lives once.

    One thread connects, sends and receives; any thread may close. ``_guard`` guards the sockets:
    the last one to use them closes them, so that none is closed under a thread that waits on it.

    Parameters
    ----------
    host, port
        A name or an address; IPv6 with or without brackets.
    who
        Begins each message, such as ``"rx1: rtl_tcp"``.
    resolve
        Looks a name up.
    """

    def __init__(self, *, host: str, port: int, who: str, resolve: Resolve = resolve) -> None:
        self._host, self._port = host.removeprefix("[").removesuffix("]"), port
        self.name = f"{who} at {written(self._host, port)}"
        self._look_up = NameLookUp(self._host, port, resolve=resolve)
        self._guard = threading.Lock()
        self._users = 0
        self._closed = False
        self._wake_fd: int | None = None
        self._socket: socket.socket | None = None

    # ── from any thread ───────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """End whatever waits, and the connection; returns at once, and may be called again."""
        with self._guard:
            self._closed = True
            self._look_up.give_up()
            if self._wake_fd is not None:
                os.eventfd_write(self._wake_fd, 1)
            self._close_if_unused()

    # ── from the one thread that uses it ──────────────────────────────────────────────────

    def connect(self, timeout_s: float) -> None:
        """Look the host up, and try its addresses one after the other.

        Each address gets its share of the time that is left, so that one that swallows packets
        does not keep the next from being tried.

        Raises
        ------
        SourceError
            The name is unknown, or no address answers; the message gives each one's reason.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._in_use():
            addresses = self._addresses(timeout_s)
            reasons = []
            for number, (family, kind, protocol, _, address) in enumerate(addresses):
                left_s = max(0.0, deadline_s - time.monotonic()) / (len(addresses) - number)
                try:
                    self._socket = self._connected(family, kind, protocol, address, left_s)
                    return
                except OSError as error:
                    reasons.append(f"{address[0]}: {error.strerror or error}")
            raise SourceError(f"{self.name}: cannot connect ({'; '.join(reasons)})")

    def send(self, data: bytes, timeout_s: float) -> None:
        """Send all of it.

        Raises
        ------
        PeerSilentError
            The other side takes nothing.
        PeerClosedError
            It is gone.
        """
        deadline_s, rest = time.monotonic() + timeout_s, memoryview(data)
        with self._in_use():
            connected = self._connection()
            while rest:
                if not self._ready(connected, select.POLLOUT, deadline_s):
                    raise PeerSilentError(f"{self.name}: takes no data for {timeout_s:g} s")
                with self._peer_errors():
                    rest = rest[connected.send(rest) :]

    def receive_into(self, buffer: memoryview, timeout_s: float) -> int:
        """Receive what is there, at least one byte and at most what the buffer holds.

        Returns
        -------
        How many bytes; 0 when none came in time.

        Raises
        ------
        PeerClosedError
            The other side ended the connection.
        """
        with self._in_use():
            connected = self._connection()
            while self._ready(connected, select.POLLIN, time.monotonic() + timeout_s):
                with self._peer_errors():
                    if n_bytes := connected.recv_into(buffer):
                        return n_bytes
                    raise PeerClosedError(f"{self.name}: closed the connection")
            return 0

    def fill(self, buffer: memoryview, timeout_s: float, *, already: int = 0) -> int:
        """Receive until the buffer is full or the time is over.

        Parameters
        ----------
        already
            How many of its bytes are there.

        Returns
        -------
        How many of its bytes are there now.
        """
        deadline_s = time.monotonic() + timeout_s
        while already < len(buffer):
            received = self.receive_into(buffer[already:], max(0.0, deadline_s - time.monotonic()))
            if not received:
                break
            already += received
        return already

    @property
    def round_trip_s(self) -> float:
        """How long a word to the peer and back takes, as the kernel measured it; 0 if unknown."""
        size = ROUND_TRIP_OFFSET + 4
        with self._in_use():
            info = self._connection().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
        if len(info) < size:
            return 0.0
        return float(struct.unpack_from("@I", info, ROUND_TRIP_OFFSET)[0]) / 1e6

    # ── inside ────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        """The socket stays open meanwhile."""
        with self._guard:
            if self._closed:
                raise self._was_closed()
            if self._wake_fd is None:
                self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._users += 1
        try:
            yield
        finally:
            with self._guard:
                self._users -= 1
                self._close_if_unused()

    def _close_if_unused(self) -> None:
        """Release what the system lent; called with the guard."""
        if not self._closed or self._users:
            return
        if self._socket is not None:
            self._socket.close()
        if self._wake_fd is not None:
            os.close(self._wake_fd)
        self._socket = self._wake_fd = None

    def _connection(self) -> socket.socket:
        if self._socket is None:
            raise SourceError(f"{self.name}: is not connected")
        return self._socket

    def _addresses(self, timeout_s: float) -> list[Any]:
        """What the name stands for."""
        try:
            found = self._look_up.addresses(timeout_s)
        except OSError as error:
            reason = error.strerror or str(error)
            raise SourceError(
                f"{self.name}: cannot find the host {self._host!r}: {reason}"
            ) from error
        if self._closed:
            raise self._was_closed()
        return found

    def _connected(
        self, family: int, kind: int, protocol: int, address: Any, timeout_s: float
    ) -> socket.socket:
        """A socket that is connected to one address; OSError says why there is none."""
        candidate = socket.socket(family, kind, protocol)
        try:
            candidate.setblocking(False)
            _keep_alive(candidate)
            code = candidate.connect_ex(address)
            if code == errno.EINPROGRESS:
                if not self._ready(candidate, select.POLLOUT, time.monotonic() + timeout_s):
                    raise TimeoutError(errno.ETIMEDOUT, f"no answer in {timeout_s:.1f} s")
                code = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            if candidate.getsockname() == candidate.getpeername():
                # The kernel picked the very port that nobody listens on: we talk to ourselves.
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        except BaseException:
            candidate.close()
            raise
        return candidate

    def _ready(self, connected: socket.socket, event: int, deadline_s: float) -> bool:
        """Wait until the socket can go on; False when the time is over."""
        assert self._wake_fd is not None
        poll = select.poll()
        poll.register(connected, event)
        poll.register(self._wake_fd, select.POLLIN)
        ready = poll.poll(max(0.0, deadline_s - time.monotonic()) * MS_PER_S)
        if self._closed:
            raise self._was_closed()
        return bool(ready)

    @contextlib.contextmanager
    def _peer_errors(self) -> Iterator[None]:
        try:
            yield
        except (BlockingIOError, InterruptedError):
            return  # the kernel changed its mind: ask again
        except OSError as error:
            reason = error.strerror or str(error)
            raise PeerClosedError(f"{self.name}: the connection broke: {reason}") from error

    def _was_closed(self) -> ClosedHereError:
        return ClosedHereError(f"{self.name}: was closed here")


def _keep_alive(connected: socket.socket) -> None:
    """Small commands go at once, and a dead peer is noticed."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_EVERY_S)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
