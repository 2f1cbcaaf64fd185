"""TCP and TLS connections that another thread may end at any moment, even while they are made.

::

    Dialler.dial(address) ── resolve ── connect ── TLS ──▶ socket
    Dialler.close() ──────────── ends whichever of them is under way, and every socket made

``getaddrinfo`` cannot be interrupted: it runs in a thread of its own, which is left to itself when
nobody waits for it any more.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import threading
import time
from dataclasses import dataclass

from heimdall_edge.errors import SourceError

SLICE_S = 0.1
"""How soon a wait notices ``close()``."""

_Resolved = list[tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    """A name or an address, IPv6 without brackets."""
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.bracketed_host}:{self.port}"

    @property
    def bracketed_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


class Dialler:
    """Makes one source's connections, and ends them all.

    ``_guard`` guards the list of sockets against a ``close`` at the wrong moment: a socket is
    either in the list when ``close`` looks, or is refused by :meth:`_keep` afterwards.
    """

    def __init__(self, *, tls_context: ssl.SSLContext | None = None) -> None:
        self._tls_context = tls_context
        self._closed = threading.Event()
        self._guard = threading.Lock()
        self._sockets: list[socket.socket] = []

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def dial(self, address: Address, *, timeout_s: float = 10.0) -> socket.socket:
        """Connect, with TLS where the address wants it.

        Returns
        -------
        A blocking socket without a timeout; whoever asked for it closes it.

        Raises
        ------
        SourceError
            It cannot be reached within the timeout, its certificate is not good, or this dialler
            was closed.
        """
        deadline_s = time.monotonic() + timeout_s
        try:
            connected = self._connect(address, deadline_s)
            if address.tls:
                connected = self._with_tls(connected, address, deadline_s)
        except ssl.SSLError as error:
            self._check_open(address)
            reason = getattr(error, "verify_message", None) or error.reason or "no TLS server"
            raise SourceError(
                f"{address}: TLS failed: {reason}; expected a certificate for {address.host}"
            ) from error
        except OSError as error:
            self._check_open(address)
            reason = "timed out" if isinstance(error, TimeoutError) else error.strerror or error
            raise SourceError(f"{address}: cannot connect: {reason}") from error
        connected.settimeout(None)
        return connected

    def forget(self, connected: socket.socket) -> None:
        """Close a socket that was dialled."""
        with self._guard:
            self._sockets = [kept for kept in self._sockets if kept is not connected]
        connected.close()

    def close(self) -> None:
        """End what is under way and what was made; idempotent, from any thread, never waits."""
        self._closed.set()
        with self._guard:
            for connected in self._sockets:
                self.cut(connected)

    @staticmethod
    def cut(connected: socket.socket) -> None:
        """End a connection under whoever reads or writes it; the socket is still to be closed."""
        # Past SSLSocket's own shutdown, which would pull its state away from a reader.
        with contextlib.suppress(OSError):  # the peer was faster
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    # ── step by step ──────────────────────────────────────────────────────────────────────

    def _check_open(self, address: Address) -> None:
        if self._closed.is_set():
            raise SourceError(f"{address}: closed while connecting")

    def _keep(self, connected: socket.socket, address: Address) -> None:
        with self._guard:
            if not self._closed.is_set():
                self._sockets.append(connected)
                return
        connected.close()
        self._check_open(address)

    def _connect(self, address: Address, deadline_s: float) -> socket.socket:
        """Try each of the host's addresses; the last one's error is the one to tell."""
        found = self._resolve(address, deadline_s)
        last_error = OSError(errno.EADDRNOTAVAIL, "the name has no address")
        for tried, (family, where) in enumerate(found):
            share_s = (deadline_s - time.monotonic()) / (len(found) - tried)
            connecting = socket.socket(family, socket.SOCK_STREAM)
            self._keep(connecting, address)
            try:
                self._connect_one(connecting, where, address, time.monotonic() + share_s)
            except OSError as error:
                self.forget(connecting)
                last_error = error
            except SourceError:
                self.forget(connecting)
                raise
            else:
                return connecting
        raise last_error

    def _connect_one(
        self,
        connecting: socket.socket,
        where: tuple[str, int] | tuple[str, int, int, int],
        address: Address,
        deadline_s: float,
    ) -> None:
        connecting.setblocking(False)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        code = connecting.connect_ex(where)
        if code == errno.EINPROGRESS:
            poll = select.poll()
            poll.register(connecting, select.POLLOUT)
            while not poll.poll(1e3 * SLICE_S):
                self._check_open(address)
                if time.monotonic() > deadline_s:
                    raise TimeoutError
            code = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._check_open(address)
        if code:
            raise OSError(code, os.strerror(code))

    def _resolve(self, address: Address, deadline_s: float) -> _Resolved:
        """All addresses of a host, in the resolver's order."""
        found: _Resolved = []
        failed: list[OSError] = []
        done = threading.Event()

        def ask() -> None:
            try:
                answers = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
                found.extend((family, where) for family, _, _, _, where in answers)  # type: ignore[misc]
            except OSError as error:
                failed.append(error)
            except UnicodeError as error:  # a label that is too long, or empty
                failed.append(OSError(errno.EINVAL, f"not a host name: {error}"))
            done.set()

        threading.Thread(target=ask, name=f"resolve-{address.host}", daemon=True).start()
        while not done.wait(SLICE_S):
            self._check_open(address)
            if time.monotonic() > deadline_s:
                raise TimeoutError
        if failed:
            raise failed[0]
        return found

    def _with_tls(
        self, connected: socket.socket, address: Address, deadline_s: float
    ) -> socket.socket:
        """Speak TLS on a socket, which the wrapped one replaces."""
        context = self._tls_context or ssl.create_default_context()
        connected.settimeout(max(SLICE_S, deadline_s - time.monotonic()))
        with self._guard:
            wrapped = context.wrap_socket(
                connected, server_hostname=address.host, do_handshake_on_connect=False
            )
            self._sockets = [s for s in self._sockets if s is not connected] + [wrapped]
        try:
            self._check_open(address)
            wrapped.do_handshake()
        except (OSError, SourceError):
            self.forget(wrapped)
            raise
        return wrapped
