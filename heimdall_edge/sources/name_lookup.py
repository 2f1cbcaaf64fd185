"""A host's addresses: asked for in a thread that nobody has to wait for."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

Resolve = Callable[[str, int], list[Any]]
"""(host, port) → addresses as ``socket.getaddrinfo`` gives them; may block; raises OSError."""


def resolve(host: str, port: int) -> list[Any]:
    """The TCP addresses of a host, in the order in which the system would try them."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class NameLookUp:
    """One question to the name servers, which nothing can interrupt once it is asked.

    So a thread asks it. That thread may outlive whoever wanted to know; it touches nothing then.
    """

    def __init__(self, host: str, port: int, *, resolve: Resolve) -> None:
        self._host, self._port, self._resolve = host, port, resolve
        self._answer: SimpleQueue[list[Any] | OSError] = SimpleQueue()

    def addresses(self, timeout_s: float) -> list[Any]:
        """The answer; nothing after :meth:`give_up`.

        Raises
        ------
        OSError
            There is none, or none in time; ``strerror`` says why.
        """
        threading.Thread(target=self._ask, name="look-up", daemon=True).start()
        try:
            answer = self._answer.get(timeout=timeout_s)
        except Empty:
            raise TimeoutError(errno.ETIMEDOUT, f"no answer in {timeout_s:g} s") from None
        if isinstance(answer, OSError):
            raise answer
        return answer

    def give_up(self) -> None:
        """Let who waits go on, from any thread."""
        self._answer.put([])

    def _ask(self) -> None:
        try:
            self._answer.put(self._resolve(self._host, self._port))
        except OSError as error:
            self._answer.put(error)
        except UnicodeError:  # an empty label, or one of more than 63 letters
            self._answer.put(OSError(errno.EINVAL, "it is no host name"))
