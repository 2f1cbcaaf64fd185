"""What an rtl_tcp server and the network before it do to its client."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any, Self
from unittest import mock

from tests.emulators.rtl_tcp_server import RtlTcpServer
from tests.emulators.tone import Tone

from .fault import Kind, set_attribute
from .station import Station

RATE_HZ = 1.024e6


def receiver(host: str, port: int) -> str:
    return f"""
kind = "rtl_tcp"
center_freq_hz = 446.2e6
sample_rate_hz = {RATE_HZ}
gain_db = 28.0
rtl_tcp = {{ host = "{host}", port = {port} }}
"""


def server(host: str = "127.0.0.1") -> RtlTcpServer:
    return RtlTcpServer(host=host, tone=Tone(446_100_000))


def station(server: RtlTcpServer) -> Station:
    return Station(receiver(server.host, server.port))


class NamedServer(RtlTcpServer):
    """A server that is found by a name, while ``resolves``."""

    NAME = "sdr.invalid"

    def __init__(self) -> None:
        super().__init__(tone=Tone(446_100_000))
        self.resolves = True
        self._resolve = socket.getaddrinfo
        self._patch = mock.patch("socket.getaddrinfo", self._answer)

    def __enter__(self) -> Self:
        self._patch.start()
        return super().__enter__()

    def __exit__(self, *details: object) -> None:
        self._patch.stop()
        super().__exit__(*details)

    def _answer(self, host: Any, *more: Any, **settings: Any) -> Any:
        if host != self.NAME:
            return self._resolve(host, *more, **settings)
        if not self.resolves:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._resolve(self.host, *more, **settings)


KIND = Kind("rtl_tcp", peer=server, station=station, clear=RtlTcpServer.restart)

FAULTS = (
    KIND.fault("server killed", RtlTcpServer.kill, says="reconnecting: "),
    KIND.fault(
        "server killed, by IPv6",
        RtlTcpServer.kill,
        peer=partial(server, "::1"),
        says="reconnecting: ",
    ),
    KIND.fault("not there at the start", RtlTcpServer.kill, says="refused", from_start=True),
    KIND.fault(
        "another client has it: no header comes",
        set_attribute("no_header", True),
        set_attribute("no_header", False),
        says="reconnecting: .*(busy|another client)",
        from_start=True,
    ),
    KIND.fault(
        "half a header",
        set_attribute("half_header", True),
        set_attribute("half_header", False),
        says="reconnecting: .*(header|5 of 12)",
        from_start=True,
    ),
    KIND.fault(
        "random bytes instead of a header",
        set_attribute("magic", b"\x9c\x03\x81\x7f"),
        set_attribute("magic", b"RTL0"),
        says="reconnecting: .*RTL0",
        from_start=True,
    ),
    KIND.fault("stops sending, connection stays", RtlTcpServer.stall, says="reconnecting: "),
    KIND.fault("sends one byte a second", RtlTcpServer.trickle, says="reconnecting: "),
    KIND.fault(
        "leaves 0.5 s of samples out in silence",
        lambda server: server.drop(int(RATE_HZ / 2)),
        lambda _server: None,
        says=None,
        loses=True,
    ),
    KIND.fault(
        "a link that is too slow",
        set_attribute("bytes_per_s", 1.6e6),
        set_attribute("bytes_per_s", None),
        says=None,
        loses=True,
        within_s=40.0,
    ),
    KIND.fault(
        "its name cannot be resolved",
        set_attribute("resolves", False),
        set_attribute("resolves", True),
        peer=NamedServer,
        station=lambda server: Station(receiver(NamedServer.NAME, server.port)),
        says="reconnecting: .*sdr.invalid",
        from_start=True,
    ),
)
