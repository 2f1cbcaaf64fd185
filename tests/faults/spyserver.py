"""What a SpyServer and its other clients do."""

from __future__ import annotations

from functools import partial

from tests.emulators.spy_server import SpyServer

from .fault import Kind, set_attribute
from .station import Station


def station(server: SpyServer) -> Station:
    return Station(
        f"""
kind = "spyserver"
center_freq_hz = 446.2e6
sample_rate_hz = {server.max_rate_hz / 4}
spyserver = {{ host = "{server.host}", port = {server.port} }}
"""
    )


KIND = Kind("spyserver", peer=SpyServer, station=station, clear=SpyServer.restart)

FAULTS = (
    KIND.fault("server killed", SpyServer.kill, says="reconnecting: "),
    KIND.fault(
        "server killed, by IPv6",
        SpyServer.kill,
        peer=partial(SpyServer, host="::1"),
        says="reconnecting: ",
    ),
    KIND.fault(
        "loses its framing", SpyServer.lose_framing, says="reconnecting: .*(framing|protocol)"
    ),
    KIND.fault("stops sending, connection stays", SpyServer.stall, says="reconnecting: "),
    KIND.fault("sends one byte a second", SpyServer.trickle, says="reconnecting: "),
    KIND.fault(
        "closes once greeted",
        set_attribute("closes_after_hello", True),
        set_attribute("closes_after_hello", False),
        says="reconnecting: .*closed",
        from_start=True,
    ),
    KIND.fault(
        "has no hardware",
        set_attribute("device_type", 0),
        set_attribute("device_type", 3),
        says="reconnecting: .*(hardware|device)",
        from_start=True,
    ),
    KIND.fault(
        "leaves 10 packets out",
        lambda server: server.drop_packets(10),
        lambda _server: None,
        says=None,
        loses=True,
    ),
    KIND.fault(
        "another client moves the device away, and back",
        lambda server: server.move(145_000_000),
        lambda server: server.move(446_200_000),
        says="reconnecting: .*(centre|moved)",
    ),
)
