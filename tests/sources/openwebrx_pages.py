"""An emulated OpenWebRX page, and sources on it, for the tests of the source."""

from __future__ import annotations

from heimdall_edge.config import Channel
from heimdall_edge.config_receivers import Receiver
from heimdall_edge.sources.openwebrx import OpenWebRxSource
from heimdall_edge.sources.public_servers import PublicServers
from heimdall_edge.types import Place, ReceiverInfo
from tests.emulators.openwebrx_server import EmulatedProfile, OpenWebRxServer

TWO_M, SEVENTY_CM = EmulatedProfile("2m", 145e6, 250e3), EmulatedProfile("70cm", 438e6, 250e3)
A = Channel(name="a", frequency_hz=145.0125e6)
B = Channel(name="b", frequency_hz=145.05e6)
INFO = ReceiverInfo("s", "hill", Place(50.0, 9.0, antenna_height_m=12.0))


def two_profiles() -> OpenWebRxServer:
    """A page, not yet running, that is tuned to the first of two profiles."""
    return OpenWebRxServer(profiles=(TWO_M, SEVENTY_CM), rows_per_s=40.0)


def table(server, *, place: bool = False, **settings) -> Receiver:
    where = {"latitude_deg": 50.0, "longitude_deg": 9.0} if place else {}
    address = {"host": server.host, "port": server.port, **settings}
    return Receiver(id="hill", kind="openwebrx", openwebrx=address, **where)


def source_on(server, *, channels=(A, B), receiver=None, **settings) -> OpenWebRxSource:
    return OpenWebRxSource(
        receiver=receiver or table(server),
        info=INFO,
        channels=channels,
        servers=settings.pop("servers", PublicServers(least_pause_s=0.0)),
        **settings,
    )
