"""A conversation with a SpyServer: whole messages in, commands out, and the greeting."""

from __future__ import annotations

import time
from dataclasses import dataclass

from heimdall_edge import __version__
from heimdall_edge.errors import SourceError
from heimdall_edge.sources.spyserver_protocol import (
    HEADER_BYTES,
    ClientSync,
    DeviceInfo,
    Header,
    Kind,
    hello,
    parse_client_sync,
    parse_device_info,
    parse_header,
)
from heimdall_edge.sources.tcp import (
    ClosedHereError,
    PeerClosedError,
    PeerSilentError,
    TcpConnection,
)

SEND_TIMEOUT_S = 5.0
REFUSED_PAUSE_S = 300.0
"""Servers are volunteers': one that is full or closed to us is left alone."""
ENDED_PAUSE_S = 60.0
WRONG_SERVER_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message."""

    header: Header
    body: bytes


class SpySession:
    """One client's conversation, over a connection that is made and closed by whoever owns it."""

    def __init__(self, link: TcpConnection) -> None:
        self._link = link

    def greet(self, timeout_s: float) -> tuple[DeviceInfo, ClientSync]:
        """Say hello; what the server has, and what this client may.

        Raises
        ------
        SourceError
            It refuses, is silent, has no hardware, or is no SpyServer.
        """
        self.send(hello(f"heimdall-edge/{__version__}"))
        deadline_s = time.monotonic() + timeout_s
        info, sync = None, None
        while info is None or sync is None:
            message = self._greeting(deadline_s, timeout_s)
            if message.header.kind == Kind.DEVICE_INFO:
                info = parse_device_info(message.body)
                if not info.device_type:
                    raise SourceError("the server has no hardware", pause_s=REFUSED_PAUSE_S)
            elif message.header.kind == Kind.CLIENT_SYNC:
                sync = parse_client_sync(message.body)
        return info, sync

    def send(self, data: bytes) -> None:
        """Send commands."""
        self._link.send(data, SEND_TIMEOUT_S)

    def receive(self, timeout_s: float) -> Message:
        """The next message.

        Raises
        ------
        PeerSilentError
            It is not there, whole, in time.
        PeerClosedError
            The server ended the session.
        SourceError
            Its framing is lost.
        """
        began_s = time.monotonic()
        header = parse_header(self._exactly(HEADER_BYTES, timeout_s, "message"))
        left_s = max(0.0, began_s + timeout_s - time.monotonic())
        body = self._exactly(header.body_bytes, left_s, "body")
        return Message(header, bytes(body))

    def _exactly(self, n_bytes: int, timeout_s: float, what: str) -> bytearray:
        buffer = bytearray(n_bytes)
        received = self._link.fill(memoryview(buffer), timeout_s)
        if received < n_bytes:
            raise PeerSilentError(
                f"{received} of a {what}'s {n_bytes} bytes came within {timeout_s:.2g} s"
            )
        return buffer

    def _greeting(self, deadline_s: float, timeout_s: float) -> Message:
        """A message before the stream: what goes wrong here is left alone for a while."""
        try:
            return self.receive(max(0.0, deadline_s - time.monotonic()))
        except ClosedHereError:
            raise
        except PeerClosedError as error:
            raise SourceError(
                "closed the connection instead of a greeting: it is full, or does not want us",
                pause_s=REFUSED_PAUSE_S,
            ) from error
        except PeerSilentError as error:
            raise SourceError(
                f"no greeting within {timeout_s:g} s, expected DEVICE_INFO and CLIENT_SYNC "
                f"({error})",
                pause_s=ENDED_PAUSE_S,
            ) from error
        except SourceError as error:
            raise SourceError(
                f"no SpyServer, or one of another version: {error}", pause_s=WRONG_SERVER_PAUSE_S
            ) from error
