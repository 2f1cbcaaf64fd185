"""What an OpenWebRX page and its other listeners do."""

from __future__ import annotations

from tests.emulators.openwebrx_server import EmulatedProfile, OpenWebRxServer

from .fault import Kind
from .station import Station

PROFILES = (EmulatedProfile("70cm", 446.0e6, 1e6), EmulatedProfile("2m", 145.0e6, 1e6))


def server() -> OpenWebRxServer:
    return OpenWebRxServer(profiles=PROFILES)


def station(page: OpenWebRxServer) -> Station:
    return Station(
        f"""
kind = "openwebrx"
openwebrx = {{ host = "{page.host}", port = {page.port} }}
""",
        frequency_hz=446.1e6,
    )


def refuse(page: OpenWebRxServer) -> None:
    page.refuse = "Too many clients"
    page.kill()
    page.restart()


def admit(page: OpenWebRxServer) -> None:
    page.refuse = None


KIND = Kind("openwebrx", peer=server, station=station)

FAULTS = (
    KIND.fault(
        "killed, and restarted",
        OpenWebRxServer.kill,
        OpenWebRxServer.restart,
        says="reconnecting: ",
    ),
    KIND.fault("too many clients", refuse, admit, says="reconnecting: .*[Tt]oo many clients"),
    KIND.fault(
        "stalls",
        OpenWebRxServer.stall,
        OpenWebRxServer.resume,
        says="reconnecting: ",
        within_s=60.0,
    ),
    KIND.fault(
        "another listener changes the profile",
        lambda page: page.select_profile("2m"),
        lambda page: page.select_profile("70cm"),
        says=None,
    ),
    KIND.fault(
        "sends garbage",
        OpenWebRxServer.send_garbage,
        lambda page: setattr(page, "garbage", None),
        says="reconnecting: ",
    ),
)
