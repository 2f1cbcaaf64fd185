"""A question to a daemon of this host, and its answer: one datagram each way."""

from __future__ import annotations

import socket

MOST_BYTES = 2048


def exchange(host: str, port: int, request: bytes, *, timeout_s: float) -> bytes | None:
    """Send a datagram, and give the one that comes back; ``None`` where none does in time.

    Nobody listening is known at once (ECONNREFUSED). The socket is connected: an answer from any
    other address is not seen.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout_s)
            client.connect((host, port))
            client.send(request)
            return client.recv(MOST_BYTES)
    except OSError:
        return None  # the answer to "is it there?" is no
