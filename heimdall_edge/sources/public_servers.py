"""Being a good guest: one connection to a volunteer's server at a time, and long pauses.

::

    servers.lease(host, port) ──▶ Lease ── gave_samples() ── release(pause_s=…)
       SourceError: in use, or too early

A source lives once, and supervision makes a new one for each attempt: what a server may be asked,
and when, is remembered here, for all the receivers of a station.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from heimdall_edge.errors import SourceError

LEAST_PAUSE_S = 120.0
"""Between the beginnings of two attempts; doubled by each attempt that brought nothing."""
LONGEST_PAUSE_S = 1800.0
"""Up to which it is doubled; a server's own word may ask for longer."""


@dataclass(slots=True)
class _Server:
    """What is remembered of one server."""

    leased: bool = False
    earliest_s: float = -math.inf
    """When it may be asked again, on the monotonic clock."""
    in_vain: int = 0
    """Attempts in a row that brought no samples."""


class PublicServers:
    """The servers of others that a station's receivers use; shared by all of its sources.

    ``_guard`` guards the table and every entry in it: sources live in threads of their own.
    """

    def __init__(
        self,
        *,
        least_pause_s: float = LEAST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._least_pause_s, self._longest_pause_s = least_pause_s, longest_pause_s
        self._monotonic_s = monotonic_s
        self._guard = threading.Lock()
        self._servers: dict[tuple[str, int], _Server] = {}

    def lease(self, host: str, port: int) -> Lease:
        """Take the right to talk to a server, until it is released.

        Raises
        ------
        SourceError
            Another receiver of this station talks to it, or it was asked a short while ago;
            ``pause_s`` says how long to leave it alone.
        """
        name = f"{host}:{port}"
        with self._guard:
            server = self._servers.setdefault(_key(host, port), _Server())
            if server.leased:
                raise SourceError(
                    f"{name}: another receiver of this station uses it; "
                    "expected one connection a server",
                    pause_s=self._least_pause_s,
                )
            now_s = self._monotonic_s()
            if (left_s := server.earliest_s - now_s) > 0:
                raise SourceError(f"{name}: is left alone for {left_s:.0f} s more", pause_s=left_s)
            server.leased = True
            pause_s = self._least_pause_s * 2.0 ** min(server.in_vain, 30)
            server.earliest_s = now_s + min(pause_s, self._longest_pause_s)
            server.in_vain += 1
        return Lease(self, host, port)

    def _succeeded(self, host: str, port: int) -> None:
        with self._guard:
            self._servers[_key(host, port)].in_vain = 0

    def _release(self, host: str, port: int, pause_s: float) -> None:
        with self._guard:
            server = self._servers[_key(host, port)]
            server.leased = False
            server.earliest_s = max(server.earliest_s, self._monotonic_s() + pause_s)

    def _left_s(self, host: str, port: int) -> float:
        with self._guard:
            return max(0.0, self._servers[_key(host, port)].earliest_s - self._monotonic_s())


class Lease:
    """The right to talk to one server; lives until :meth:`release`."""

    def __init__(self, servers: PublicServers, host: str, port: int) -> None:
        self._servers, self._host, self._port = servers, host, port
        self._guard = threading.Lock()
        self._released = False

    def gave_samples(self) -> None:
        """The attempt was worth it: the next pause is the least one again."""
        self._servers._succeeded(self._host, self._port)

    def release(self, *, pause_s: float = 0.0) -> float:
        """Give it back; idempotent, from any thread.

        Parameters
        ----------
        pause_s
            For how long the server asked to be left alone; the first release's counts.

        Returns
        -------
        For how long it will be left alone from now on, seconds.
        """
        with self._guard:
            is_first, self._released = not self._released, True
        if is_first:
            self._servers._release(self._host, self._port, pause_s)
        return self._servers._left_s(self._host, self._port)


def _key(host: str, port: int) -> tuple[str, int]:
    return host.casefold().rstrip("."), port
