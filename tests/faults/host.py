"""What happens to the host itself: its clock is set."""

from __future__ import annotations

import time
from collections.abc import Callable

from heimdall_edge.types import NS_PER_S, ClockState
from tests.emulators.rtl_tcp_server import RtlTcpServer
from tests.emulators.tone import Tone

from . import rtl_tcp
from .fault import Fault
from .station import Station


class SteppedTime:
    """The host's clocks, of which UTC may be set."""

    clock = ClockState()

    def __init__(self) -> None:
        self.ahead_ns = 0

    def utc_ns(self) -> int:
        return time.time_ns() + self.ahead_ns

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class SteppedHost(RtlTcpServer):
    """An rtl_tcp server, and the clock of the host that listens to it."""

    def __init__(self) -> None:
        super().__init__(tone=Tone(446_100_000))
        self.time = SteppedTime()

    def step(self, by_s: float) -> None:
        self.time.ahead_ns += round(by_s * NS_PER_S)


def station(host: SteppedHost) -> Station:
    return Station(rtl_tcp.receiver(host.host, host.port), host=host.time)


def stepped(by_s: float) -> Callable[[SteppedHost, Station], None]:
    """Set the clock, and see that what comes is stamped by it."""

    def inject(host: SteppedHost, station: Station) -> None:
        host.step(by_s)
        wanted_ns = host.time.utc_ns()
        station.wait_for(
            lambda: abs(station.newest_utc_ns() - wanted_ns) < 10 * NS_PER_S,
            within_s=15.0,
            what="to stamp by the new time",
        )

    return inject


FAULTS = tuple(
    Fault(
        kind="host",
        name=f"its clock is set {'ahead' if by_s > 0 else 'back'} by an hour",
        peer=SteppedHost,
        station=station,
        inject=stepped(by_s),
        clear=lambda _host, _station: None,
        says=None,
    )
    for by_s in (3600.0, -3600.0)
)
