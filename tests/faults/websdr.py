"""What a WebSDR page does to its listener."""

from __future__ import annotations

from tests.emulators.websdr_server import WebSdrServer

from .fault import Kind, set_attribute
from .station import Station


def station(page: WebSdrServer) -> Station:
    return Station(
        f"""
kind = "websdr"
latitude_deg = 52.24
longitude_deg = 6.86
websdr = {{ host = "{page.host}", port = {page.port} }}
""",
        frequency_hz=145.0125e6,
    )


KIND = Kind("websdr", peer=WebSdrServer, station=station)

RECONNECTS = "reconnecting: "

FAULTS = (
    KIND.fault("killed, and restarted", WebSdrServer.kill, WebSdrServer.restart, says=RECONNECTS),
    KIND.fault("stalls", WebSdrServer.stall, WebSdrServer.resume, says=RECONNECTS, within_s=60.0),
    KIND.fault(
        "too many listeners",
        set_attribute("refuses", True),
        set_attribute("refuses", False),
        says=RECONNECTS,
        from_start=True,
    ),
)
